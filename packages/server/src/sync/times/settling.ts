/**
 * How far the times of a stream were moved after its first frame. Capture times by arrival get better as frames come
 * that were delayed less (`clock/arrival-clock.ts`); after a stall of the machine or the network by much and at once. The
 * frames' media times know nothing of it. Pure.
 */
import type { StampedFrame } from "./one-clock.ts";

/** Smaller moves are those of a camera's clock that is followed. */
const driftUs = 200;
/** Longer times between two frames are holes, after which a new stream has times of its own. */
const holeUs = 500_000;
/** What comes later has another cause: the way to the camera became a shorter one. */
const settlesWithinUs = 60e6;

export class Settling {
  #first: StampedFrame | undefined;
  #before: StampedFrame | undefined;
  #movedUs = 0;
  #over = false;

  /** Takes the next frame of the first file of a recording. */
  add(frame: StampedFrame): void {
    this.#first ??= frame;
    const before = this.#before;
    this.#before = frame;
    if (before === undefined || this.#over) return;
    const mediaUs = frame.mediaTimeUs - before.mediaTimeUs;
    const movedUs = frame.capturedAtUs - before.capturedAtUs - mediaUs;
    this.#over = mediaUs > holeUs || frame.mediaTimeUs - this.#first.mediaTimeUs > settlesWithinUs;
    // A larger one is a step of the clock.
    if (!this.#over && Math.abs(movedUs) > driftUs && Math.abs(movedUs) < holeUs) this.#movedUs += movedUs;
  }

  /** Microseconds; negative where the first frame was captured so much sooner than it says. */
  get movedUs(): number {
    return this.#movedUs;
  }
}
