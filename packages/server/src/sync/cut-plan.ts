/** Which part of a member's file is common to all, to the frame. Pure. */

export interface TimedFrame {
  readonly capturedAtUs: number;
  /** On the file's time line. */
  readonly mediaTimeUs: number;
  readonly durationUs: number;
}

export interface Cut {
  /** Where the first kept frame stands in the file, and how much of it is kept. */
  readonly fromMediaUs: number;
  readonly durationUs: number;
  readonly frames: number;
  /** Capture time of the first kept frame, epoch microseconds. */
  readonly firstFrameAtUs: number;
}

/**
 * The frames captured from `fromUs` on that are over by `toUs`; `undefined` when there are none. Half a frame of
 * grace at either end, so that a microsecond does not cost a frame; a frame that stands for long before a hole has no
 * more than its neighbour. Looks at one frame at a time: a day of them is millions.
 */
export async function planCut(
  frames: AsyncIterable<TimedFrame> | Iterable<TimedFrame>,
  fromUs: number,
  toUs: number,
): Promise<Cut | undefined> {
  let first: TimedFrame | undefined;
  let endMediaUs = 0;
  let count = 0;
  let beforeUs = Number.POSITIVE_INFINITY;
  for await (const frame of frames) {
    const { capturedAtUs, mediaTimeUs, durationUs } = frame;
    const graceUs = Math.min(durationUs, beforeUs) / 2;
    beforeUs = durationUs;
    if (capturedAtUs < fromUs - graceUs || capturedAtUs + durationUs > toUs + graceUs) continue;
    first ??= frame;
    endMediaUs = mediaTimeUs + durationUs;
    count++;
  }
  if (first === undefined) return undefined;
  return {
    fromMediaUs: first.mediaTimeUs,
    durationUs: endMediaUs - first.mediaTimeUs,
    frames: count,
    firstFrameAtUs: first.capturedAtUs,
  };
}
