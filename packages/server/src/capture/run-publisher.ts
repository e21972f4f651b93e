/**
 * Turns the raw frames of a source's runs into its fragments: numbers them over all runs, drops what comes
 * before the first keyframe of a run, marks the first frame after a gap, and reports that gap.
 */
import type { Clock } from "../clock/clock.ts";
import type { Fragment } from "../media/fragment.ts";
import { makeFragment, type RawFrame } from "../media/fragment-parser.ts";
import { buildFrameFragment } from "../media/frame-fragment.ts";
import { usToTicks } from "../media/time-scale.ts";
import type { TimedFrame } from "./run-timing.ts";

export interface RunPublisherOptions {
  readonly clock: Clock;
  readonly publish: (fragment: Fragment) => void;
  readonly onGap: (fromUs: number, toUs: number, reason: string) => void;
}

export class RunPublisher {
  readonly #options: RunPublisherOptions;
  #sequence = 0;
  #newestDecodeUs = 0;
  /** Media time of the last video frame presented; `undefined` while there is nothing to be continued. */
  #lastMediaUs: number | undefined;
  #waitsForKeyframe = true;
  #skipFrames = 0;
  #gapReason: string | undefined;

  constructor(options: RunPublisherOptions) {
    this.#options = options;
  }

  /** Greatest decode time given out: the next run begins after it. */
  get newestDecodeUs(): number {
    return this.#newestDecodeUs;
  }

  /**
   * @param skipFrames video frames dropped at the beginning
   * @param gapReason why the last run ended, if its frames are continued
   */
  beginRun(skipFrames: number, gapReason: string | undefined): void {
    this.#waitsForKeyframe = true;
    this.#skipFrames = skipFrames;
    this.#gapReason = gapReason;
  }

  /** Nobody continues the frames so far: the next run begins without a gap. */
  reset(): void {
    this.#lastMediaUs = undefined;
  }

  add(timed: TimedFrame, capturedAtUs?: number): void {
    const { frame } = timed;
    const video = frame.track.kind === "video";
    if (video && this.#skipFrames > 0) {
      this.#skipFrames--;
      return;
    }
    let discontinuity = false;
    const mediaUs = frame.ptsUs + timed.offsetUs;
    const captured = capturedAtUs ?? this.#options.clock.monoToWallUs(timed.capturedAtMonoUs);
    if (this.#waitsForKeyframe) {
      if (!video || !frame.keyframe) return;
      this.#waitsForKeyframe = false;
      if (this.#lastMediaUs !== undefined) {
        discontinuity = true;
        // By the media clock: the wall clock may have been stepped since the last frame.
        const awayUs = Math.max(0, mediaUs - this.#lastMediaUs);
        this.#options.onGap(captured - awayUs, captured, this.#gapReason ?? "restart");
      }
    }
    const fragment = makeFragment(withDuration(timed), {
      offsetUs: timed.offsetUs,
      sequence: this.#sequence++,
      capturedAtUs: captured,
      receivedAtMonoUs: timed.receivedAtMonoUs,
      discontinuity,
    });
    this.#newestDecodeUs = Math.max(this.#newestDecodeUs, fragment.decodeTimeUs);
    if (video) this.#lastMediaUs = Math.max(this.#lastMediaUs ?? mediaUs, mediaUs);
    this.#options.publish(fragment);
  }
}

/** The frame with the duration that was measured, where the stream's own was invented. */
function withDuration(timed: TimedFrame): RawFrame {
  const { frame, durationUs } = timed;
  if (durationUs === undefined) return frame;
  const made = buildFrameFragment({
    trackId: frame.track.id,
    duration: Math.max(1, usToTicks(durationUs, frame.track.timescale)),
    compositionOffset: frame.ptsTicks - frame.dtsTicks,
    keyframe: frame.keyframe,
    sample: frame.sample,
  });
  return { ...frame, ...made, durationUs };
}
