import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";

const exec = promisify(execFile);
const quiet = ["-hide_banner", "-nostdin", "-loglevel", "error", "-y"];

/** Runs ffmpeg to its end and returns how long that took, milliseconds. */
export async function ffmpeg(args: readonly string[]): Promise<number> {
  const startedAt = performance.now();
  await exec("ffmpeg", [...quiet, ...args], { maxBuffer: 16 * 1024 * 1024 });
  return performance.now() - startedAt;
}

export type ClipCodec = "mjpeg" | "h264";

export const clipSize = "1280x720";
export const clipFps = 30;
const clipSeconds = 10;
const made = new Map<string, Promise<string>>();

/** A clip as a camera would deliver it, 1280x720 at 30 frames a second, made once a run. */
export function clip(folder: string, codec: ClipCodec): Promise<string> {
  const path = join(folder, `${codec}.mp4`);
  const known = made.get(path);
  if (known !== undefined) return known;
  const encoder = {
    mjpeg: ["-c:v", "mjpeg", "-q:v", "5", "-pix_fmt", "yuvj420p"],
    h264: [
      ...["-c:v", "libx264", "-preset", "veryfast", "-b:v", "4M", "-maxrate", "4M", "-bufsize", "4M"],
      ...["-g", String(clipFps), "-bf", "0", "-pix_fmt", "yuv420p"],
    ],
  };
  const source = `testsrc2=size=${clipSize}:rate=${clipFps}:duration=${clipSeconds}`;
  // Grain, for pictures of a size real ones have.
  const making = ffmpeg(["-f", "lavfi", "-i", `${source},noise=alls=6:allf=t`, ...encoder[codec], path]).then(
    () => path,
  );
  made.set(path, making);
  return making;
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
      ...quiet,
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
