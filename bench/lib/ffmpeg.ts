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
