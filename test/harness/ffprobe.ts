import { execFile } from "node:child_process";
import { promisify } from "node:util";

const run = promisify(execFile);

export interface ProbedFile {
  readonly format: { format_name: string; duration: number; size: number };
  readonly streams: readonly {
    codec_type: string;
    codec_name: string;
    width?: number;
    height?: number;
    nb_read_frames: number;
  }[];
}

/** What ffprobe says of a file, every frame decoded and counted. Throws when it finds an error in the file. */
export async function ffprobe(file: string): Promise<ProbedFile> {
  const { stdout, stderr } = await run(
    "ffprobe",
    ["-v", "error", "-count_frames", "-show_format", "-show_streams", "-of", "json", file],
    { maxBuffer: 64 * 1024 * 1024 },
  );
  if (stderr.trim() !== "") throw new Error(`ffprobe complains about ${file}: ${stderr}`);
  const { format, streams } = JSON.parse(stdout) as {
    format: Record<string, string>;
    streams: Record<string, string & number>[];
  };
  return {
    format: {
      format_name: String(format.format_name),
      duration: Number(format.duration),
      size: Number(format.size),
    },
    streams: streams.map((stream) => ({
      codec_type: String(stream.codec_type),
      codec_name: String(stream.codec_name),
      ...(stream.width === undefined ? {} : { width: Number(stream.width), height: Number(stream.height) }),
      nb_read_frames: Number(stream.nb_read_frames),
    })),
  };
}

export function videoOf(probed: ProbedFile) {
  const video = probed.streams.find((stream) => stream.codec_type === "video");
  if (video === undefined) throw new Error("the file has no video");
  return video;
}

/** Presentation times of the video packets in seconds, in file order. */
export async function packetTimes(file: string): Promise<number[]> {
  const { stdout } = await run(
    "ffprobe",
    ["-v", "error", "-select_streams", "v:0", "-show_entries", "packet=pts_time", "-of", "csv=p=0", file],
    { maxBuffer: 64 * 1024 * 1024 },
  );
  return stdout
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => Number(line.split(",")[0]));
}

/** Names of the top-level boxes of an MP4 file, in order, by a reader of the tests' own. */
export async function topLevelBoxes(file: string): Promise<string[]> {
  const { open } = await import("node:fs/promises");
  const handle = await open(file);
  try {
    const { size } = await handle.stat();
    const names: string[] = [];
    const head = Buffer.alloc(16);
    for (let at = 0; at + 8 <= size; ) {
      await handle.read(head, 0, 16, at);
      const small = head.readUInt32BE(0);
      const length = small === 1 ? Number(head.readBigUInt64BE(8)) : small;
      names.push(head.toString("latin1", 4, 8));
      if (length < 8) break;
      at += length;
    }
    return names;
  } finally {
    await handle.close();
  }
}
