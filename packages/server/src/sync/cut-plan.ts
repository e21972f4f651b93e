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
 * grace at either end, so that a microsecond does not cost a frame.
 */
export function planCut(frames: readonly TimedFrame[], fromUs: number, toUs: number): Cut | undefined {
  const kept = frames.filter((frame) => {
    const grace = frame.durationUs / 2;
    return frame.capturedAtUs >= fromUs - grace && frame.capturedAtUs + frame.durationUs <= toUs + grace;
  });
  const first = kept[0];
  const last = kept.at(-1);
  if (first === undefined || last === undefined) return undefined;
  return {
    fromMediaUs: first.mediaTimeUs,
    durationUs: last.mediaTimeUs + last.durationUs - first.mediaTimeUs,
    frames: kept.length,
    firstFrameAtUs: first.capturedAtUs,
  };
}
