/** The hub's virtual camera as ffmpeg arguments, for those who open one without the hub, and what is drawn in its pictures. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { CaptureInput, Device } from "../../packages/server/src/devices/device.ts";
import { decodePattern, patternTimeMs } from "../../packages/server/src/devices/virtual/pattern.ts";
import { type VirtualCamera, VirtualProvider } from "../../packages/server/src/devices/virtual/provider.ts";
import { first } from "./sync.ts";

const exec = promisify(execFile);

export interface FfmpegCamera {
  /** Up to and with `-i` and what is read. */
  readonly input: readonly string[];
  readonly encode: readonly string[];
}

export async function drawnCamera(camera: VirtualCamera): Promise<FfmpegCamera> {
  const provider = new VirtualProvider({ cameras: [camera] });
  const found: Device[] = [];
  await provider.start(({ device }) => found.push(device));
  const { width, height, fps } = camera;
  const { args, video }: CaptureInput = first(found).input({ format: "", width, height, fps });
  return { input: args, encode: video === "copy" ? [] : video.encodeArgs };
}

/**
 * When the first picture of a file was made, as is drawn in it, in milliseconds after the instant. Drawing itself is late at
 * times where the machine is busy, never early: the cameras make frames at a fixed rate, so all of a file's pictures are
 * looked at, and the least late counts.
 */
export async function firstDrawnMs(
  file: string,
  format: string,
  { width, fps }: Pick<VirtualCamera, "width" | "fps">,
  instantMs: number,
): Promise<number> {
  const pictures = await lumaOf(file, format, width, 48);
  const patterns = pictures.map((pixels) => decodePattern(pixels, width)).filter((one) => one !== undefined);
  const begun = first(patterns).frame;
  return Math.min(
    ...patterns.map((one) => patternTimeMs(one, instantMs) - ((one.frame - begun) * 1000) / fps - instantMs),
  );
}

/** First `height` rows of `width` pixels of each picture, as 8-bit luma, in order. */
export async function lumaOf(
  file: string,
  format: string,
  width: number,
  height: number,
): Promise<Uint8Array[]> {
  const { stdout } = await exec(
    "ffmpeg",
    [
      ...["-nostdin", "-loglevel", "error"],
      ...["-f", format, ...(format === "image2pipe" ? ["-c:v", "mjpeg"] : []), "-i", file],
      ...["-vf", `crop=${width}:${height}:0:0,format=gray`, "-fps_mode", "passthrough"],
      ...["-f", "rawvideo", "pipe:1"],
    ],
    { encoding: "buffer", maxBuffer: 1024 * 1024 * 1024 },
  );
  const size = width * height;
  return Array.from({ length: Math.floor(stdout.length / size) }, (_, index) =>
    stdout.subarray(index * size, (index + 1) * size),
  );
}
