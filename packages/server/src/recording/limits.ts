/** Where a file, and where a recording, ends. Pure rules over video frames in decode order. */
import type { Fragment } from "../media/fragment.ts";

export interface SegmentLimits {
  /** A new file begins after this much media; 0 never. */
  readonly segmentSeconds: number;
  /** A new file begins after this many bytes; 0 never. */
  readonly segmentBytes: number;
}

/** True when `frame` should be the first of a new file. Only keyframes are. */
export function beginsSegment(
  frame: Fragment,
  file: { readonly firstMediaTimeUs: number; readonly bytes: number },
  limits: SegmentLimits,
  intervalUs: number | undefined,
): boolean {
  if (!frame.keyframe) return false;
  if (limits.segmentBytes > 0 && file.bytes >= limits.segmentBytes) return true;
  // Rounded to whole frames: stamps jitter around the second.
  const elapsedUs = frame.mediaTimeUs - file.firstMediaTimeUs + (intervalUs ?? 0) / 2;
  return limits.segmentSeconds > 0 && elapsedUs >= limits.segmentSeconds * 1e6;
}

/** Ends a recording at an instant of the media clock, without a hole among the last frames presented. */
export class EndRule {
  readonly #endUs: number;
  #newestUs = Number.NEGATIVE_INFINITY;
  /** Reordered frames: presentation time of a frame after the end that was taken because earlier ones still follow it. */
  #beyondUs: number | undefined;

  constructor(endUs: number) {
    this.#endUs = endUs;
  }

  get endUs(): number {
    return this.#endUs;
  }

  /** True when the recording ends before this frame. */
  endsBefore(frame: Fragment, intervalUs: number | undefined): boolean {
    const halfUs = (intervalUs ?? 0) / 2;
    if (this.#beyondUs !== undefined) return frame.mediaTimeUs > this.#beyondUs;
    if (frame.mediaTimeUs < this.#endUs - halfUs) {
      this.#newestUs = Math.max(this.#newestUs, frame.mediaTimeUs);
      return false;
    }
    const reordered = frame.decodeTimeUs < frame.mediaTimeUs;
    const follows = frame.mediaTimeUs - this.#newestUs <= 3 * halfUs;
    if (!reordered || follows || frame.decodeTimeUs >= this.#endUs) return true;
    this.#beyondUs = frame.mediaTimeUs;
    return false;
  }
}
