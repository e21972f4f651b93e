/**
 * Accounts for frames that should have been there: one account a file. Pure: it judges intervals on the media
 * clock, so that steps of the wall clock and late delivery do not count, and in decode order, so that reordered
 * frames (B-frames) do not. The sum is exact; the list is bounded.
 */
import type { MediaGap } from "../library/contract.ts";

/** What the account needs of a video frame, hidden ones left out. */
export interface FrameInstant {
  readonly mediaTimeUs: number;
  readonly decodeTimeUs: number;
  readonly capturedAtUs: number;
}

export interface DropOptions {
  /** The last frame of the file before, if this one goes on where it ended. */
  readonly previous?: FrameInstant;
  /** Entries of the list; default 1000. */
  readonly maxGaps?: number;
  /** Drops that are shorter and closer together than this are one entry; default 1,000,000. */
  readonly mergeWithinUs?: number;
}

export const framesDropped = "frames_dropped";
/** Reason of the last entry of a full list: everything after is summed up in it. */
export const notListed = "more_not_listed";

/** Frames missing in an interval: longer than 1.5 × nominal means at least one. */
export function missingIn(intervalUs: number, nominalUs: number | undefined): number {
  if (nominalUs === undefined || nominalUs <= 0 || intervalUs <= 1.5 * nominalUs) return 0;
  return Math.max(1, Math.round(intervalUs / nominalUs) - 1);
}

export class DropAccount {
  readonly #maxGaps: number;
  readonly #mergeWithinUs: number;
  readonly #gaps: MediaGap[] = [];
  #previous: FrameInstant | undefined;
  #missing = 0;

  constructor(options: DropOptions = {}) {
    this.#maxGaps = options.maxGaps ?? 1000;
    this.#mergeWithinUs = options.mergeWithinUs ?? 1_000_000;
    this.#previous = options.previous;
  }

  /** Frames missing in all, listed or not. */
  get missing(): number {
    return this.#missing;
  }

  get gaps(): readonly MediaGap[] {
    return this.#gaps;
  }

  /**
   * Takes the next video frame in decode order.
   * @param nominalUs interval to expect; `undefined` while unknown: then only outages are noted
   * @param outage why there was a hole before this frame, when that is known
   */
  frame(frame: FrameInstant, nominalUs: number | undefined, outage?: string): void {
    const previous = this.#previous;
    this.#previous = frame;
    if (previous === undefined) return;
    const intervalUs = frame.decodeTimeUs - previous.decodeTimeUs;
    const missing = missingIn(intervalUs, nominalUs);
    if (missing === 0 && outage === undefined) return;
    // The wall clock may have been stepped in between: the interval of the media clock is the true one.
    const toUs = frame.capturedAtUs - (frame.mediaTimeUs - frame.decodeTimeUs);
    this.#add({
      fromUs: toUs - Math.max(0, intervalUs),
      toUs,
      reason: outage ?? framesDropped,
      missingFrames: missing,
    });
  }

  /** A hole whose ends are known by capture time only, such as the time the hub was down. */
  outageBetween(fromUs: number, toUs: number, reason: string, nominalUs: number | undefined): void {
    this.#add({ fromUs, toUs, reason, missingFrames: missingIn(toUs - fromUs, nominalUs) });
  }

  #add(gap: MediaGap): void {
    this.#missing += gap.missingFrames;
    const last = this.#gaps.at(-1);
    if (last !== undefined) {
      const near =
        gap.reason === framesDropped &&
        last.reason === framesDropped &&
        gap.toUs - gap.fromUs < this.#mergeWithinUs &&
        gap.fromUs - last.toUs < this.#mergeWithinUs;
      const full = this.#gaps.length >= this.#maxGaps;
      if (near || full) {
        this.#gaps[this.#gaps.length - 1] = {
          fromUs: last.fromUs,
          toUs: Math.max(last.toUs, gap.toUs),
          reason: near ? framesDropped : notListed,
          missingFrames: last.missingFrames + gap.missingFrames,
        };
        return;
      }
    }
    this.#gaps.push(gap);
  }
}
