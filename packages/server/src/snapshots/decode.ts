/** Turns the last frame of a GOP into a JPEG or PNG with one short run of ffmpeg, fed through its stdin. */
import { OcelliError } from "@ocelli/protocol";
import type { Clock } from "../clock/clock.ts";
import { runFfmpeg } from "../ffmpeg/run.ts";
import type { Fragment } from "../media/fragment.ts";

export interface DecodeOptions {
  readonly clock: Clock;
  readonly format: "jpg" | "png";
  /** 1–100, for JPEG. */
  readonly quality: number;
  readonly signal: AbortSignal;
  /** Milliseconds. Default 15 000. */
  readonly timeoutMs?: number;
  /** ffmpeg's name or path. */
  readonly ffmpeg?: string;
}

/**
 * @param frame the frame wanted, one of `gop`
 * @param gop from the keyframe on, in decoding order
 * @throws OcelliError `ffmpeg_failed`, `ffmpeg_missing`; the signal's reason
 */
export async function decodeFrame(
  frame: Fragment,
  gop: readonly Fragment[],
  options: DecodeOptions,
): Promise<Buffer> {
  // An intra-only codec needs no other frame.
  const needed = frame.track.kind === "video" && frame.track.codec === "mjpeg" ? [frame] : gop;
  // Only the frame wanted is encoded. Half of its duration allows for rounding of times on the way.
  const fromS = (frame.mediaTimeUs - Math.max(1, frame.durationUs / 2)) / 1e6;
  const { stdout } = await runFfmpeg({
    clock: options.clock,
    purpose: `decoding a ${frame.track.codec} frame`,
    args: [
      // The init segment says everything: no looking ahead.
      ...["-probesize", "32", "-analyzeduration", "0", "-copyts", "-f", "mp4", "-i", "pipe:0"],
      ...["-map", "0:v:0", "-vf", `select=gte(t\\,${fromS.toFixed(6)})`, "-fps_mode", "passthrough"],
      ...(options.format === "png"
        ? ["-c:v", "png"]
        : ["-c:v", "mjpeg", "-qmin", "1", "-q:v", String(jpegScale(options.quality))]),
      ...["-frames:v", "1", "-f", "image2pipe", "pipe:1"],
    ],
    stdin: [frame.init.bytes, ...needed.map((one) => one.bytes)],
    timeoutMs: options.timeoutMs ?? 15_000,
    signal: options.signal,
    ...(options.ffmpeg === undefined ? {} : { program: options.ffmpeg }),
  });
  if (stdout.length === 0) {
    throw new OcelliError(
      "ffmpeg_failed",
      `ffmpeg could not decode the newest ${frame.track.codec} frame. Try again.`,
      {
        details: { codec: frame.track.codec, frames: needed.length },
      },
    );
  }
  return stdout;
}

/**
 * ffmpeg's JPEG quantiser scale (1 best to 31) for the customary quality of 1–100. Both scale a quantisation matrix;
 * ffmpeg's (of MPEG-1, over 8) is on average 5.9 times as fine as the one of ISO/IEC 10918-1 Annex K at scale 1.
 */
export function jpegScale(quality: number): number {
  const percent = quality < 50 ? 5000 / quality : 200 - 2 * quality;
  return Math.min(31, Math.max(1, Math.round((percent / 100) * 16.9)));
}
