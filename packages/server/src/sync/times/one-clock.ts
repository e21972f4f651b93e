/**
 * Times of frames by the clock as it was when a recording began, however it was set since. A file has each frame's time
 * by the clock of that moment; the frames' media times know nothing of it, and show where it was set. Pure.
 */

export interface StampedFrame {
  readonly capturedAtUs: number;
  /** On the file's time line. */
  readonly mediaTimeUs: number;
}

interface ClockStep {
  readonly stepUs: number;
}

/**
 * @param frames of one file
 * @param steps of the clock while it was recorded, in order
 * @param earlierUs how far the clock had been set ahead since the recording began, when this file did
 */
export async function* onOneClock<F extends StampedFrame>(
  frames: AsyncIterable<F>,
  steps: readonly ClockStep[],
  earlierUs = 0,
): AsyncGenerator<F, void, undefined> {
  let aheadUs = earlierUs;
  let next = 0;
  let before: F | undefined;
  for await (const frame of frames) {
    if (before !== undefined && next < steps.length) {
      const jumpUs = frame.capturedAtUs - before.capturedAtUs - (frame.mediaTimeUs - before.mediaTimeUs);
      const taken = stepsIn(jumpUs, steps.slice(next));
      aheadUs += totalUs(steps.slice(next, next + taken));
      next += taken;
    }
    before = frame;
    yield aheadUs === 0 ? frame : { ...frame, capturedAtUs: frame.capturedAtUs - aheadUs };
  }
}

export function totalUs(steps: readonly ClockStep[]): number {
  return steps.reduce((sum, { stepUs }) => sum + stepUs, 0);
}

/** How many of the steps make up this jump, the first ones together: none of them is nearest to mere jitter. */
function stepsIn(jumpUs: number, steps: readonly ClockStep[]): number {
  let nearest = { count: 0, missUs: Math.abs(jumpUs) };
  for (let count = 1; count <= steps.length; count++) {
    const missUs = Math.abs(jumpUs - totalUs(steps.slice(0, count)));
    if (missUs < nearest.missUs) nearest = { count, missUs };
  }
  return nearest.count;
}
