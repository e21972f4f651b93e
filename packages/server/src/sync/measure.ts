/** What the capture times of a file's frames say. Pure. */

export interface FrameFigures {
  readonly frames: number;
  readonly firstFrameAtUs: number | undefined;
  /** End of the last frame. */
  readonly endAtUs: number | undefined;
  /** Between two frames: the middle one of all, so that holes do not count. Microseconds. */
  readonly intervalUs: number | undefined;
  readonly meanUs: number | undefined;
  readonly deviationUs: number | undefined;
  readonly longestUs: number | undefined;
  /** Frames that fit into the holes. */
  readonly missing: number;
}

/** Above this many intervals of a frame there is a hole, not jitter. */
const holeFactor = 1.5;

/**
 * @param capturedAtUs of each presented frame, in order
 * @param nominalUs interval the camera promised; found from the frames otherwise
 */
export function measureFrames(capturedAtUs: readonly number[], nominalUs?: number): FrameFigures {
  const intervals = differences(capturedAtUs);
  const sorted = intervals.toSorted((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)];
  const intervalUs = nominalUs ?? median;
  const first = capturedAtUs[0];
  const last = capturedAtUs.at(-1);
  const meanUs = intervals.length === 0 ? undefined : sum(intervals) / intervals.length;
  return {
    frames: capturedAtUs.length,
    firstFrameAtUs: first,
    endAtUs: last === undefined ? undefined : last + (intervalUs ?? 0),
    intervalUs,
    meanUs,
    deviationUs:
      meanUs === undefined
        ? undefined
        : Math.sqrt(sum(intervals.map((one) => (one - meanUs) ** 2)) / intervals.length),
    longestUs: sorted.at(-1),
    missing: intervalUs === undefined ? 0 : sum(intervals.map((one) => missingIn(one, intervalUs))),
  };
}

/** How many frames would have fitted between two. */
function missingIn(us: number, intervalUs: number): number {
  return us > intervalUs * holeFactor ? Math.max(1, Math.round(us / intervalUs) - 1) : 0;
}

function differences(times: readonly number[]): number[] {
  return times.slice(1).map((time, i) => time - (times[i] ?? time));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** At most `most` of the values, evenly picked, the first and the last among them. */
export function thinned(values: readonly number[], most: number): number[] {
  if (values.length <= most) return [...values];
  const step = (values.length - 1) / (most - 1);
  return Array.from({ length: most }, (_, i) => values[Math.round(i * step)] ?? 0);
}
