/**
 * How many pictures a player shows. The number of packets is greater where an edit list cuts the beginning off:
 * frames before the cut are in the file only because the codec needs them.
 */
import type { Clock } from "../clock/clock.ts";
import { mediaFileArgs } from "../ffmpeg/media-file.ts";
import { runFfmpeg } from "../ffmpeg/run.ts";

export interface PresentedFramesOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** ffprobe's name or path. */
  readonly ffprobe?: string;
}

export interface PresentedFrames {
  readonly presented: number;
  /** Frames in the file that no player shows. */
  readonly hidden: number;
}

/** Reading all of a long file takes its time, milliseconds. */
const timeoutMs = 600_000;

/**
 * Reads the whole file, without decoding it.
 * @throws OcelliError `ffmpeg_failed`, `ffmpeg_missing`; the signal's reason
 */
export async function countPresentedFrames(
  path: string,
  options: PresentedFramesOptions,
): Promise<PresentedFrames> {
  const flags = await packetFields(path, "flags", [], options);
  const hidden = flags.filter((flag) => flag.includes("D")).length;
  return { presented: flags.length - hidden, hidden };
}

/** Media microseconds that lie hidden before the first picture; 0 for most files. */
export async function hiddenLeadUs(path: string, options: PresentedFramesOptions): Promise<number> {
  const [first] = await packetFields(path, "pts_time", ["-read_intervals", "%+#1"], options);
  const seconds = Number.parseFloat(first ?? "");
  return Number.isFinite(seconds) ? Math.max(0, Math.round(-seconds * 1e6)) : 0;
}

/** One field of each video packet, in the order of the file. */
async function packetFields(
  path: string,
  field: string,
  args: readonly string[],
  { clock, signal, ffprobe = "ffprobe" }: PresentedFramesOptions,
): Promise<string[]> {
  const { stdout } = await runFfmpeg({
    clock,
    signal,
    program: ffprobe,
    quietArgs: false,
    purpose: "counting the frames of a file",
    args: [
      ...["-v", "error", "-select_streams", "v:0", "-show_entries", `packet=${field}`],
      ...["-of", "csv=p=0", ...args, ...mediaFileArgs, "-i", path],
    ],
    timeoutMs,
    maxStdoutBytes: 2 ** 28,
  });
  return stdout
    .toString("latin1")
    .split("\n")
    .map((line) => line.replace(/,.*$/, "").trim())
    .filter((line) => line !== "");
}
