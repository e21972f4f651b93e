/** The hub's virtual camera as ffmpeg arguments, for those who open one without the hub, and what is drawn in its pictures. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { CaptureInput, Device } from "../../packages/server/src/devices/device.ts";
import { decodePattern, patternTimeMs } from "../../packages/server/src/devices/virtual/pattern.ts";
import { type VirtualCamera, VirtualProvider } from "../../packages/server/src/devices/virtual/provider.ts";
import { first } from "./sync.ts";

const exec = promisify(execFile);

/** Ways in which cameras send their pictures, with a keyframe a second; nothing is kept back in making them but by B-frames. */
export type Encoding = "h264" | "h264 with AUDs" | "h264 with B-frames" | "hevc" | "mjpeg";

export interface DrawnCamera extends Omit<VirtualCamera, "codec"> {
  readonly encoding: Encoding;
  /** Default false. */
  readonly audio?: boolean;
}

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

/** What an ffmpeg is given that stands for such a camera: what it reads, and what it makes of its picture and its sound. */
export interface CameraArgs {
  readonly input: readonly string[];
  readonly video: readonly string[];
  /** Empty without sound. */
  readonly audio: readonly string[];
}

export async function cameraArgs({ encoding, audio = false, ...camera }: DrawnCamera): Promise<CameraArgs> {
  const { input, encode } = await drawnCamera({ ...camera, codec: encoding === "mjpeg" ? "mjpeg" : "h264" });
  // Sound of the same input keeps step with the picture; one of its own would hold it up.
  const graph = `${input.at(-1) ?? ""}[out0];sine=sample_rate=16000[out1]`;
  return {
    input: audio ? [...input.slice(0, -1), graph] : input,
    video: ["-map", "0:v", ...(encoding === "hevc" ? [] : encode), ...encoderArgs(encoding, camera.fps)],
    audio: audio ? ["-map", "0:a", "-c:a", "aac"] : [],
  };
}

/** Where they differ from those of a virtual camera. */
function encoderArgs(encoding: Encoding, fps: number): string[] {
  if (encoding === "h264 with AUDs") return ["-aud", "1"];
  if (encoding === "h264 with B-frames") {
    // P-frames are sent as soon as they were taken, and the B-frames before them after that.
    const params = "bframes=2:b-adapt=0:sync-lookahead=0:rc-lookahead=0:sliced-threads=1:force-cfr=1";
    return ["-preset", "veryfast", "-tune", "psnr", "-x264-params", params];
  }
  // RTP knows no others.
  if (encoding === "mjpeg") return ["-huffman", "default"];
  if (encoding !== "hevc") return [];
  const params = `keyint=${fps}:log-level=error:pools=1:frame-threads=1`;
  const encoder = ["-c:v", "libx265", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p"];
  return [...encoder, "-x265-params", params];
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
