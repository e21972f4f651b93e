import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import type { Fragment } from "../fragment.ts";
import { FragmentParser, makeFragment, type RawFrame } from "../fragment-parser.ts";
import { type HybridMp4Options, HybridMp4Writer } from "../mp4-writer.ts";
import { TwoPipeParser } from "../two-pipe-parser.ts";

/** Small real clips made by ffmpeg as the capture makes them, and a look at files with ffprobe and ffmpeg. */

const outputArgs = [
  ...["-copyts", "-avoid_negative_ts", "disabled", "-video_track_timescale", "1000000", "-write_prft", "pts"],
  ...["-movflags", "+frag_every_frame+empty_moov+default_base_moof+skip_trailer+frag_discont", "-f", "mp4"],
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

export interface Clip {
  readonly video: Buffer;
  readonly audio: Buffer | undefined;
}

export async function makeClip(options: ClipOptions): Promise<Clip> {
  const { frames = 20, fps = 10, size = "96x64" } = options;
  const start = `setpts=PTS+${clipStartUs / 1e6}/TB`;
  const args = ["-hide_banner", "-loglevel", "error"];
  args.push("-f", "lavfi", "-i", `testsrc2=size=${size}:rate=${fps}:duration=${frames / fps},${start}`);
  if (options.audio)
    args.push("-f", "lavfi", "-i", `sine=duration=${frames / fps}:sample_rate=48000,a${start}`);
  args.push("-map", "0:v", ...videoArgs[options.video], ...outputArgs, "pipe:1");
  if (options.audio) args.push("-map", "1:a", "-c:a", options.audio, ...outputArgs, "pipe:3");
  const child = spawn("ffmpeg", args, {
    stdio: ["ignore", "pipe", "inherit", options.audio ? "pipe" : "ignore"],
  });
  const gather = (stream: unknown): Buffer[] => {
    const chunks: Buffer[] = [];
    if (stream && typeof stream === "object" && "on" in stream && typeof stream.on === "function") {
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    }
    return chunks;
  };
  const video = gather(child.stdout);
  const audio = gather(child.stdio[3]);
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`ffmpeg ended with ${code}`);
  return { video: Buffer.concat(video), audio: options.audio ? Buffer.concat(audio) : undefined };
}

/** The clip's frames in the order of their decode times, as a capture would bring them. */
export function rawFrames(clip: Clip): RawFrame[] {
  if (!clip.audio) return new FragmentParser().push(Buffer.from(clip.video));
  const parser = new TwoPipeParser();
  const frames = [...parser.pushVideo(Buffer.from(clip.video)), ...parser.pushAudio(Buffer.from(clip.audio))];
  return frames.sort((a, b) => a.dtsUs - b.dtsUs);
}

/** Epoch microseconds of media time 0 in the clips. */
export const epochUs = 1_750_000_000_000_000;

export function fragmentsOf(clip: Clip, offsetUs = 0): Fragment[] {
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
