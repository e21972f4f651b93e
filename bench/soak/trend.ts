/** Whether a measured series grows by more than it wavers. Pure. */

export interface Sample {
  /** Since the start. */
  readonly atS: number;
  readonly value: number;
}

export interface Trend {
  /** Between the highest and the lowest of the first part. */
  readonly noise: number;
  /** What the later part's slope amounts to over its whole time. */
  readonly growth: number;
  readonly perHour: number;
  readonly grows: boolean;
}

/** One sample alone shows no noise. */
const leastFirst = 2;

/**
 * @param untilS the first part, by which the noise is judged; longer where less than two samples are in it
 * @param least noise that is always granted: a collector gives memory back in steps
 */
export function trendOf(samples: readonly Sample[], untilS: number, least: number): Trend {
  const soon = samples.filter(({ atS }) => atS <= untilS).length;
  const first = samples.slice(0, Math.max(leastFirst, soon)).map(({ value }) => value);
  const later = samples.slice(first.length);
  const from = later[0];
  const to = later.at(-1);
  if (from === undefined || to === undefined || later.length < 3)
    throw new Error(`a trend needs more samples than ${first.length} at first and ${later.length} later`);
  const noise = Math.max(least, Math.max(...first) - Math.min(...first));
  const slope = medianSlope(later);
  const growth = slope * (to.atS - from.atS);
  return { noise, growth, perHour: slope * 3600, grows: growth > noise };
}

/** The median of the slopes between all pairs: one sample that stands out does not turn it. */
function medianSlope(samples: readonly Sample[]): number {
  const slopes = samples.flatMap((a, index) =>
    samples.slice(index + 1).map((b) => (b.value - a.value) / (b.atS - a.atS)),
  );
  slopes.sort((a, b) => a - b);
  const middle = Math.floor(slopes.length / 2);
  const upper = slopes[middle] ?? 0;
  return slopes.length % 2 === 1 ? upper : ((slopes[middle - 1] ?? 0) + upper) / 2;
}
