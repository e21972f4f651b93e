/** What an independent reader says of a file. */
import { execFileSync } from "node:child_process";

export interface Probed {
  readonly frames: number;
  readonly durationS: number;
  /** Presentation times of the video frames it decodes, seconds. */
  readonly pts: readonly number[];
  readonly errors: string;
}

export function ffprobe(path: string): Probed {
  const args = ["-v", "error", "-count_frames", "-select_streams", "v", "-show_entries"];
  const run = (entries: string): { stdout: string } => ({
    stdout: execFileSync("ffprobe", [...args, entries, "-of", "json", path], { encoding: "utf8" }),
  });
  const stream = JSON.parse(run("stream=nb_read_frames,duration:format=duration").stdout) as {
    streams: { nb_read_frames: string }[];
    format: { duration?: string };
  };
  const frames = JSON.parse(run("frame=pts_time").stdout) as { frames: { pts_time: string }[] };
  return {
    frames: Number(stream.streams[0]?.nb_read_frames ?? 0),
    durationS: Number(stream.format.duration ?? 0),
    pts: frames.frames.map((frame) => Number(frame.pts_time)),
    errors: decodeErrors(path),
  };
}

/** What ffmpeg complains of when it decodes everything. */
function decodeErrors(path: string): string {
  try {
    execFileSync("ffmpeg", ["-v", "error", "-xerror", "-i", path, "-f", "null", "-"], { stdio: "pipe" });
    return "";
  } catch (error) {
    return String(error);
  }
}

/** Names of the boxes at the top level. */
export function topBoxes(file: Buffer): string[] {
  const names: string[] = [];
  for (let at = 0; at + 8 <= file.length; ) {
    const size = file.readUInt32BE(at);
    names.push(file.toString("latin1", at + 4, at + 8));
    at += size === 1 ? Number(file.readBigUInt64BE(at + 8)) : Math.max(8, size);
  }
  return names;
}
