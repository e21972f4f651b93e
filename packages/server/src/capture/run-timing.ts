/**
 * Places the frames of one run on the source's time scale and says when they were captured. One object a run:
 *
 * - *kernel*: the stream's times are CLOCK_MONOTONIC already (V4L2 buffer stamps).
 * - *stream*: the stream's own times plus one constant of the run; capture time by least-delayed arrival.
 * - *receive*: the stream has no times worth keeping: media time is the time of arrival.
 *
 * ffmpeg hands a frame over when the next one reaches its muxer, so the arrival of a frame is the moment the
 * fragment *before* it came, or one before that for each frame it keeps back ahead of the muxer. Where there is audio
 * too, a frame of either track may push the other's out of the muxer, and that one frame cannot be counted on: times
 * are late by up to a frame interval, and never early.
 */
import { OcelliError } from "@ocelli/protocol";
import { ArrivalClock } from "../clock/arrival-clock.ts";
import type { CaptureInput } from "../devices/device.ts";
import type { RawFrame } from "../media/fragment-parser.ts";

/** A frame and where it belongs. */
export interface TimedFrame {
  readonly frame: RawFrame;
  /** What to add to the frame's times to put them on the source's scale, whole microseconds. */
  readonly offsetUs: number;
  /** When it was captured, on CLOCK_MONOTONIC. */
  readonly capturedAtMonoUs: number;
  readonly receivedAtMonoUs: number;
  /** Set where the frame's own duration means nothing. */
  readonly durationUs?: number;
}

export interface RunTiming {
  /** `arrival` also where a device that should give kernel stamps gives others. */
  readonly timeSource: "kernel" | "arrival";
  /** How far the camera's clock has run ahead of ours, this run and those before it. */
  readonly skewUs: number;
  /**
   * Takes the next frame of the run; gives the frames whose times are known now, in order.
   * @param onTime false where the frame came some time before `receivedAtMonoUs`; default true
   * @throws OcelliError `capture_failed` when the stream's times jumped: the run is of no further use
   */
  add(frame: RawFrame, receivedAtMonoUs: number, onTime?: boolean): TimedFrame[];
  /** Of which frames the moment they came has to be known, now that the run is under way. */
  readonly onTimeFrames: "every" | "some" | "none";
}

export interface RunTimingOptions {
  readonly timeSource: "kernel" | "arrival";
  readonly times: "stream" | "receive";
  /** See `CaptureInput`. Default none. */
  readonly keptBack?: CaptureInput["keptBack"];
  /** Media times of this run begin above this one: the newest decode time of the run before. */
  readonly afterUs: number;
  /**
   * `skewUs` at the end of the run before, if its frames are continued: the time between the two is then right on the
   * media clock, however far that had run away from ours. Default 0.
   */
  readonly skewUs?: number;
  /** Assumed for the first frame of a *receive* run. */
  readonly nominalIntervalUs: number | undefined;
  /** Larger jumps of the stream's times against the clock end the run; default 15 s. */
  readonly jumpUs?: number;
}

/** Kernel stamps further than this from now are of another clock. */
const kernelToleranceUs = 5_000_000;
/** Frames held back at most while a stream's times settle. */
const maxHeld = 600;

export function runTiming(options: RunTimingOptions): RunTiming {
  if (options.timeSource === "kernel") return new KernelTiming(options);
  return options.times === "receive" ? new ReceiveTiming(options) : new StreamTiming(options);
}

class KernelTiming implements RunTiming {
  readonly #options: RunTimingOptions;
  #fallback: StreamTiming | undefined;
  #checked = false;

  constructor(options: RunTimingOptions) {
    this.#options = options;
  }

  get timeSource(): "kernel" | "arrival" {
    return this.#fallback === undefined ? "kernel" : "arrival";
  }

  get skewUs(): number {
    return this.#fallback?.skewUs ?? 0;
  }

  get onTimeFrames(): "some" | "none" {
    return this.#fallback === undefined ? "none" : "some";
  }

  add(frame: RawFrame, receivedAtMonoUs: number, onTime = true): TimedFrame[] {
    if (!this.#checked && frame.track.kind === "video") {
      this.#checked = true;
      const age = receivedAtMonoUs - frame.ptsUs;
      // A driver may stamp with another clock, or not at all.
      if (Math.abs(age) > kernelToleranceUs) this.#fallback = new StreamTiming(this.#options);
    }
    if (this.#fallback !== undefined) return this.#fallback.add(frame, receivedAtMonoUs, onTime);
    return [{ frame, offsetUs: 0, capturedAtMonoUs: frame.ptsUs, receivedAtMonoUs }];
  }
}

class StreamTiming implements RunTiming {
  readonly timeSource = "arrival";
  readonly onTimeFrames = "some";
  readonly #clock = new ArrivalClock();
  readonly #afterUs: number;
  readonly #jumpUs: number;
  readonly #earlierSkewUs: number;
  /** What the clock said when the offset was chosen. */
  #startUs: number | undefined;
  #offsetUs: number | undefined;
  readonly #keptBack: NonNullable<CaptureInput["keptBack"]>;
  /** When the newest fragments with pictures came, and whether that is known; no more than are of use. */
  #arrivals: { readonly atUs: number; readonly known: boolean }[] = [];
  #held: { readonly frame: RawFrame; readonly receivedAtMonoUs: number }[] = [];

  constructor(options: RunTimingOptions) {
    this.#afterUs = options.afterUs;
    this.#jumpUs = options.jumpUs ?? 15_000_000;
    this.#earlierSkewUs = options.skewUs ?? 0;
    this.#keptBack = options.keptBack ?? {};
  }

  get skewUs(): number {
    return this.#earlierSkewUs + (this.#startUs === undefined ? 0 : this.#startUs - this.#clock.toMonoUs(0));
  }

  add(frame: RawFrame, receivedAtMonoUs: number, onTime = true): TimedFrame[] {
    if (frame.track.kind === "video") {
      const alone = frame.init.tracks.length === 1;
      const back = (this.#keptBack[frame.track.codec] ?? 0) + (alone ? 1 : 0);
      this.#arrivals.push({ atUs: receivedAtMonoUs, known: onTime });
      const arrival = this.#arrivals.length > back ? this.#arrivals.shift() : undefined;
      if (arrival !== undefined) this.#arrived(frame, arrival.atUs, arrival.known);
    }
    this.#held.push({ frame, receivedAtMonoUs });
    if (!this.#clock.settled && this.#held.length < maxHeld) return [];
    const held = this.#held;
    this.#held = [];
    this.#offsetUs ??= this.#chooseOffset(held);
    const offsetUs = this.#offsetUs;
    return held.map(({ frame, receivedAtMonoUs }) => ({
      frame,
      offsetUs,
      capturedAtMonoUs: this.#clock.toMonoUs(frame.ptsUs),
      receivedAtMonoUs,
    }));
  }

  /** @param known whether the time is that of its arrival, and not of a later look */
  #arrived(frame: RawFrame, atUs: number, known: boolean): void {
    const deviation = this.#clock.deviationUs(frame.ptsUs, atUs);
    if (Math.abs(deviation) > this.#jumpUs) {
      throw new OcelliError(
        "capture_failed",
        `the stream's timestamps jumped by ${(-deviation / 1e6).toFixed(1)} s against the clock`,
      );
    }
    if (known) this.#clock.arrived(frame.ptsUs, atUs);
  }

  /** Media time as near to CLOCK_MONOTONIC as can be told now and the run before allows, but never back into that one. */
  #chooseOffset(held: readonly { readonly frame: RawFrame }[]): number {
    this.#startUs = this.#clock.toMonoUs(0);
    let offsetUs = this.#startUs + this.#earlierSkewUs;
    for (const { frame } of held) offsetUs = Math.max(offsetUs, this.#afterUs + 1 - frame.dtsUs);
    return offsetUs;
  }
}

class ReceiveTiming implements RunTiming {
  readonly timeSource = "arrival";
  readonly onTimeFrames = "every";
  readonly skewUs = 0;
  readonly #options: RunTimingOptions;
  #previousArrivalUs: number | undefined;
  #lastMediaUs: number;

  constructor(options: RunTimingOptions) {
    this.#options = options;
    this.#lastMediaUs = options.afterUs;
  }

  add(frame: RawFrame, receivedAtMonoUs: number): TimedFrame[] {
    // Other tracks have no times that would match.
    if (frame.track.kind !== "video") return [];
    const arrivedUs =
      this.#previousArrivalUs ?? receivedAtMonoUs - (this.#options.nominalIntervalUs ?? frame.durationUs);
    this.#previousArrivalUs = receivedAtMonoUs;
    // Two frames in one read have one arrival: keep them in order.
    const mediaUs = Math.max(arrivedUs, this.#lastMediaUs + 1);
    this.#lastMediaUs = mediaUs;
    return [
      {
        frame,
        offsetUs: mediaUs - frame.ptsUs,
        capturedAtMonoUs: mediaUs,
        receivedAtMonoUs,
        durationUs: Math.max(1, receivedAtMonoUs - mediaUs),
      },
    ];
  }
}
