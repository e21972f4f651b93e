/** Real fragments, made by ffmpeg as a capture makes them, for tests of this floor and of those above. */
import { execFileSync } from "node:child_process";
import type { Fragment } from "../../media/fragment.ts";
import { FragmentParser, makeFragment } from "../../media/fragment-parser.ts";

export interface MakeFragmentsOptions {
  /** lavfi video source. Default: one second of testsrc2, 320x240 at 30 frames a second. */
  readonly video?: string;
  /** lavfi audio source, AAC. Default: none. */
  readonly audio?: string;
  /** ffmpeg arguments of the encoder: `["-c:v", "mjpeg"]`. */
  readonly encoder: readonly string[];
  /** Media time of the first frame. Default 5 s. */
  readonly startUs?: number;
  /** Capture time of media time 0, epoch microseconds. */
  readonly captureOffsetUs?: number;
  /** Monotonic time of media time 0, for `receivedAtMonoUs`. Default 0. */
  readonly monoOffsetUs?: number;
}

export const defaultCaptureOffsetUs = 1_736_951_400_000_000;

export function makeFragments(options: MakeFragmentsOptions): Fragment[] {
  const { startUs = 5_000_000, captureOffsetUs = defaultCaptureOffsetUs, monoOffsetUs = 0 } = options;
  const movflags = "+frag_every_frame+empty_moov+default_base_moof+skip_trailer+frag_discont";
  const bytes = execFileSync(
    "ffmpeg",
    [
      ...["-v", "error", "-f", "lavfi", "-i", options.video ?? "testsrc2=s=320x240:r=30:d=1"],
      ...(options.audio === undefined ? [] : ["-f", "lavfi", "-i", options.audio, "-c:a", "aac"]),
      ...options.encoder,
      ...[
        "-copyts",
        "-avoid_negative_ts",
        "disabled",
        "-video_track_timescale",
        "1000000",
        "-write_prft",
        "pts",
      ],
      ...["-movflags", movflags, "-f", "mp4", "pipe:1"],
    ],
    { maxBuffer: 256 * 2 ** 20, stdio: ["ignore", "pipe", "ignore"] },
  );
  return new FragmentParser().push(bytes).map((frame, sequence) =>
    makeFragment(frame, {
      offsetUs: startUs,
      sequence,
      capturedAtUs: captureOffsetUs + startUs + frame.ptsUs,
      receivedAtMonoUs: monoOffsetUs + startUs + frame.ptsUs + frame.durationUs,
      discontinuity: false,
    }),
  );
}
