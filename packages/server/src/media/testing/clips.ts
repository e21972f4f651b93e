import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import type { Fragment } from "../fragment.ts";
import { FragmentParser, makeFragment, type RawFrame } from "../fragment-parser.ts";
import { type HybridMp4Options, HybridMp4Writer } from "../mp4-writer.ts";

/** Small real clips made by ffmpeg as the capture makes them, and a look at files with ffprobe and ffmpeg. */

const movFlags = "+empty_moov+default_base_moof+skip_trailer+frag_discont";
const outputArgs = (withAudio: boolean): string[] => [
  ...["-copyts", "-avoid_negative_ts", "disabled", "-video_track_timescale", "1000000", "-write_prft", "pts"],
  ...(withAudio
    ? ["-movflags", movFlags, "-frag_duration", "1"]
    : ["-movflags", `${movFlags}+frag_every_frame`]),
  ...["-f", "mp4", "pipe:1"],
];

/** Times of the clips start here, far enough from zero for frames that are decoded before they are shown. */
export const clipStartUs = 7_000_000;

export const videoArgs = {
  mjpeg: ["-c:v", "mjpeg", "-q:v", "5"],
  h264: ["-c:v", "libx264", "-bf", "2", "-g", "8", "-preset", "ultrafast", "-x264-params", "b-adapt=0"],
  hevc: [
    "-c:v",
    "libx265",
    "-tag:v",
    "hvc1",
    "-preset",
    "ultrafast",
    "-x265-params",
    "log-level=error:keyint=8:bframes=2",
  ],
  av1: ["-c:v", "libaom-av1", "-cpu-used", "8", "-g", "5"],
};

export interface ClipOptions {
  readonly video: keyof typeof videoArgs;
  readonly audio?: "aac" | "libopus";
  readonly frames?: number;
  readonly fps?: number;
  readonly size?: string;
}

/** @returns what ffmpeg writes to its stdout */
export async function makeClip(options: ClipOptions): Promise<Buffer> {
  const { frames = 20, fps = 10, size = "96x64", audio } = options;
  const start = `setpts=PTS+${clipStartUs / 1e6}/TB`;
  const seconds = frames / fps;
  const args = ["-hide_banner", "-loglevel", "error"];
  args.push("-f", "lavfi", "-i", `testsrc2=size=${size}:rate=${fps}:duration=${seconds},${start}`);
  if (audio) args.push("-f", "lavfi", "-i", `sine=duration=${seconds}:sample_rate=48000,a${start}`);
  args.push("-map", "0:v", ...videoArgs[options.video]);
  if (audio) args.push("-map", "1:a", "-c:a", audio);
  args.push(...outputArgs(audio !== undefined));
  const child = spawn("ffmpeg", args, { stdio: ["ignore", "pipe", "inherit"] });
  const chunks: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`ffmpeg ended with ${code}`);
  return Buffer.concat(chunks);
}

/** The clip's frames in the order of their decode times. */
export function rawFrames(clip: Buffer): RawFrame[] {
  return new FragmentParser().push(Buffer.from(clip)).sort((a, b) => a.dtsUs - b.dtsUs);
}

/** Epoch microseconds of media time 0 in the clips. */
export const epochUs = 1_750_000_000_000_000;

export function fragmentsOf(clip: Buffer, offsetUs = 0): Fragment[] {
  return rawFrames(clip).map((frame, sequence) =>
    makeFragment(frame, {
      offsetUs,
      sequence,
      capturedAtUs: epochUs + frame.ptsUs + offsetUs,
      receivedAtMonoUs: frame.ptsUs,
      discontinuity: false,
    }),
  );
}

/** A growing file from these frames, `perFragment` at a time, and the finished one. */
export function recordingOf(
  fragments: readonly Fragment[],
  options: Omit<HybridMp4Options, "first"> & { perFragment?: number } = {},
): { growing: Buffer; finished: Buffer; writer: HybridMp4Writer; ends: number[] } {
  const { perFragment = 5, ...rest } = options;
  const first = fragments.find((fragment) => fragment.track.kind === "video");
  if (!first) throw new Error("no video in the clip");
  const writer = new HybridMp4Writer({ first, ...rest });
  const parts = [writer.header()];
  const ends = [writer.length];
  for (let i = 0; i < fragments.length; i += perFragment) {
    parts.push(...writer.fragment(fragments.slice(i, i + perFragment)));
    ends.push(writer.length);
  }
  const growing = Buffer.concat(parts);
  return { growing, finished: finish(growing, writer.finish()), writer, ends };
}

export function finish(growing: Buffer, end: ReturnType<HybridMp4Writer["finish"]>): Buffer {
  const file = Buffer.concat([growing.subarray(0, end.moovOffset), end.moov]);
  end.patch.bytes.copy(file, end.patch.offset);
  return file;
}

export async function ffprobe(path: string, ...args: readonly string[]): Promise<ProbeResult> {
  const stdout = await run("ffprobe", ["-v", "error", "-of", "json", ...args, path]);
  return JSON.parse(stdout) as ProbeResult;
}

export interface ProbeResult {
  readonly streams?: readonly Record<string, string | undefined>[];
  readonly packets?: readonly Record<string, string | undefined>[];
  readonly frames?: readonly Record<string, string | undefined>[];
  readonly format?: Record<string, string | undefined>;
}

/** Hash of each decoded picture, in presentation order. */
export async function pictureHashes(path: string, stream = "0:v"): Promise<string[]> {
  const stdout = await run("ffmpeg", [
    ...["-hide_banner", "-loglevel", "error", "-i", path, "-map", stream],
    ...["-fps_mode", "passthrough", "-f", "framemd5", "-"],
  ]);
  const lines = stdout.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return lines.map((line) => line.split(",").at(-1)?.trim() ?? "");
}

/** Both stdout, and an error with what the tool complained about on stderr. */
export function run(command: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(command, args, { maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) => {
      if (error || stderr !== "") reject(new Error(`${command}: ${stderr || error?.message}`));
      else resolve(stdout);
    });
  });
}
