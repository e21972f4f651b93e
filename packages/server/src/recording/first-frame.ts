/**
 * Finds the frame a recording begins with: the first *presented* frame captured at or after an instant, and the
 * frames before it that decoding it needs. Pure state machine over fragments in the order the source gives them.
 */
import type { Fragment } from "../media/fragment.ts";

export interface FirstFrame {
  /** The frame itself. */
  readonly frame: Fragment;
  /** What the file starts with, in decode order, beginning with a keyframe; audio since that keyframe included. */
  readonly frames: readonly Fragment[];
}

export interface FirstFrameOptions {
  /** Epoch microseconds. */
  readonly notBeforeUs: number;
  /** Bound of what is kept since the last keyframe; beyond it the next keyframe is waited for. Default 128 MiB. */
  readonly maxBytes?: number;
}

export class FirstFrameFinder {
  readonly #maxBytes: number;
  #notBeforeUs: number;
  #fromMonoUs = Number.NEGATIVE_INFINITY;
  #frames: Fragment[] = [];
  #bytes = 0;
  #candidate: Fragment | undefined;

  constructor(options: FirstFrameOptions) {
    this.#notBeforeUs = options.notBeforeUs;
    this.#maxBytes = options.maxBytes ?? 128 * 2 ** 20;
  }

  get isEmpty(): boolean {
    return this.#frames.length === 0;
  }

  /**
   * Another instant. Frames received by now do not count: their capture times may be of the clock as it was before a
   * step, and with that after the new instant although they are not.
   */
  rearm(notBeforeUs: number, nowMonoUs: number): void {
    this.#notBeforeUs = notBeforeUs;
    this.#fromMonoUs = nowMonoUs;
    this.#candidate = undefined;
  }

  /** Takes the next fragment; returns the beginning once it is certain. */
  take(fragment: Fragment): FirstFrame | undefined {
    if (this.#beginsAnew(fragment)) this.#clear();
    if (this.#frames.length === 0 && !(fragment.track.kind === "video" && fragment.keyframe))
      return undefined;
    this.#frames.push(fragment);
    this.#bytes += fragment.sample.length;
    if (fragment.track.kind !== "video") return undefined;
    if (
      fragment.capturedAtUs >= this.#notBeforeUs &&
      fragment.receivedAtMonoUs > this.#fromMonoUs &&
      fragment.mediaTimeUs < (this.#candidate?.mediaTimeUs ?? Number.POSITIVE_INFINITY)
    ) {
      this.#candidate = fragment;
    }
    const frame = this.#candidate;
    // Whatever follows is presented no earlier than this fragment is decoded.
    if (frame !== undefined && fragment.decodeTimeUs >= frame.mediaTimeUs) {
      const frames = this.#frames;
      this.#clear();
      return { frame, frames };
    }
    if (this.#bytes > this.#maxBytes) this.#clear();
    return undefined;
  }

  #beginsAnew(fragment: Fragment): boolean {
    const oldest = this.#frames[0];
    if (oldest !== undefined && oldest.init.fingerprint !== fragment.init.fingerprint) return true;
    if (fragment.track.kind !== "video" || !fragment.keyframe || this.#candidate !== undefined) return false;
    // A keyframe that is presented later than it is decoded may be followed by frames that are presented
    // before it and need the keyframe before.
    return fragment.capturedAtUs <= this.#notBeforeUs || fragment.decodeTimeUs >= fragment.mediaTimeUs;
  }

  #clear(): void {
    this.#frames = [];
    this.#bytes = 0;
    this.#candidate = undefined;
  }
}
