/**
 * What the capture times of a member's frames say. Takes them one by one and keeps none: memory is the same for a second
 * and for a month.
 */
import { missingIn } from "../../recording/drops.ts";
import { IntervalCurve, type IntervalSpan } from "./interval-curve.ts";
import { type IntervalBin, IntervalHistogram } from "./interval-histogram.ts";

export interface FrameFigures {
  readonly frames: number;
  readonly firstFrameAtUs: number | undefined;
  readonly lastFrameAtUs: number | undefined;
  /** From frame to frame as the camera really gave them: the mean of those times between two that are near the usual one. */
  readonly intervalUs: number | undefined;
  /** Standard deviation of all that are no hole. */
  readonly deviationUs: number | undefined;
  /** What half of all times between two frames, and one in a hundred, are longer than; holes included. */
  readonly medianUs: number | undefined;
  readonly percentile99Us: number | undefined;
  readonly longestUs: number | undefined;
  /** Frames that would have fitted into the holes. */
  readonly missing: number;
  /** Frames that were captured before the one in front of them: the clock was set back, or files overlap. */
  readonly stepsBack: number;
  /** For a plot. */
  readonly curve: readonly IntervalSpan[];
}

/** Spans of the curve: what a page has room for. */
const spans = 200;

/** A hole is longer than that many times the usual; the same rule by which a recording counts its dropped frames. */
const holeFactor = 1.5;
/** Shorter than that: the frame before was late. */
const shortFactor = 0.5;

/** How near to the nominal interval counts as kept, and which share of all must be. */
const nominalWithin = 0.1;
const nominalKept = 0.1;

export class FrameMeter {
  readonly #intervals = new IntervalHistogram();
  readonly #curve = new IntervalCurve(spans);
  #frames = 0;
  #firstUs: number | undefined;
  #lastUs: number | undefined;
  #longestUs: number | undefined;
  #stepsBack = 0;

  /** Takes the next frame in the order they are shown. */
  add(capturedAtUs: number): void {
    const beforeUs = this.#lastUs;
    this.#frames++;
    this.#firstUs ??= capturedAtUs;
    this.#lastUs = capturedAtUs;
    if (beforeUs === undefined) return;
    const us = capturedAtUs - beforeUs;
    if (us < 0) {
      this.#stepsBack++;
      return;
    }
    this.#intervals.add(us);
    this.#curve.add(beforeUs, capturedAtUs);
    this.#longestUs = Math.max(this.#longestUs ?? 0, us);
  }

  /** @param nominalUs from frame to frame, as the camera was set */
  figures(nominalUs?: number): FrameFigures {
    const medianUs = this.#intervals.quantile(0.5);
    const usualUs = this.#usual(nominalUs) ?? medianUs ?? 0;
    const [shortestUs, longestUs] = [usualUs * shortFactor, usualUs * holeFactor];
    // As much above as below: a frame that is late makes the time after it short.
    const regular = this.#intervals.spread(shortestUs, longestUs);
    const intervalUs = regular === undefined || regular.meanUs === 0 ? undefined : regular.meanUs;
    return {
      frames: this.#frames,
      firstFrameAtUs: this.#firstUs,
      lastFrameAtUs: this.#lastUs,
      intervalUs,
      deviationUs: this.#intervals.spread(0, longestUs)?.deviationUs,
      medianUs,
      percentile99Us: this.#intervals.quantile(0.99),
      longestUs: this.#longestUs,
      missing: intervalUs === undefined ? 0 : missingOf(this.#intervals.bins(), intervalUs),
      stepsBack: this.#stepsBack,
      curve: this.#curve.spans(),
    };
  }

  /**
   * The nominal interval, when the camera kept it often enough to be able to: one that loses more than half of its frames
   * has a median of two intervals. One that never kept it gives another rate, and lacks nothing by that.
   */
  #usual(nominalUs: number | undefined): number | undefined {
    if (nominalUs === undefined) return undefined;
    const near = this.#intervals
      .bins()
      .filter(({ meanUs }) => Math.abs(meanUs / nominalUs - 1) < nominalWithin);
    const kept = sumOf(near, () => 1);
    return kept >= this.#intervals.count * nominalKept ? nominalUs : undefined;
  }
}

/**
 * Frames that are late and then come in a heap leave a hole, and none is missing: what is too short after it makes up for
 * what was too long.
 */
function missingOf(bins: readonly IntervalBin[], intervalUs: number): number {
  const holes = bins.filter(({ meanUs }) => missingIn(meanUs, intervalUs) > 0);
  const missing = sumOf(holes, ({ meanUs }) => missingIn(meanUs, intervalUs));
  const short = bins.filter(({ meanUs }) => meanUs < intervalUs * shortFactor);
  if (short.length === 0) return missing;
  const over = sumOf(holes, ({ meanUs }) => meanUs / intervalUs - 1);
  const under = sumOf(short, ({ meanUs }) => 1 - meanUs / intervalUs);
  return Math.min(missing, Math.max(0, Math.round(over - under)));
}

function sumOf(bins: readonly IntervalBin[], value: (bin: IntervalBin) => number): number {
  return bins.reduce((sum, bin) => sum + bin.count * value(bin), 0);
}
