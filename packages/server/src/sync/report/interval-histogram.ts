/**
 * How often which time lay between two frames. Memory is bounded by the width of a bin, not by the number of intervals:
 * a bin is one microsecond wide below 4096 µs and no wider than 1/2048 of its intervals above. Counts, sums and
 * deviations are exact for any set of whole bins; a quantile is as exact as a bin is wide.
 */
export interface IntervalBin {
  readonly count: number;
  readonly meanUs: number;
}

export class IntervalHistogram {
  /** By the lowest interval of a bin; sums count from there, so that no digit gets lost. */
  readonly #bins = new Map<number, { count: number; sum: number; squares: number }>();
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** @param us 0 or more */
  add(us: number): void {
    const lowUs = lowestOf(us);
    let bin = this.#bins.get(lowUs);
    if (bin === undefined) {
      bin = { count: 0, sum: 0, squares: 0 };
      this.#bins.set(lowUs, bin);
    }
    const above = us - lowUs;
    bin.count++;
    bin.sum += above;
    bin.squares += above * above;
    this.#count++;
  }

  /** The shortest first. */
  bins(): IntervalBin[] {
    return this.#sorted().map(([lowUs, { count, sum }]) => ({ count, meanUs: lowUs + sum / count }));
  }

  /** The interval that `share` of all are shorter than; `undefined` while there is none. */
  quantile(share: number): number | undefined {
    let rank = Math.min(this.#count - 1, Math.floor(this.#count * share));
    return this.bins().find(({ count }) => {
      rank -= count;
      return rank < 0;
    })?.meanUs;
  }

  /** Mean and standard deviation of the intervals between these two; `undefined` where there is none. */
  spread(
    shortestUs: number,
    longestUs: number,
  ): { readonly meanUs: number; readonly deviationUs: number } | undefined {
    const bins = this.#sorted().filter(([lowUs, { count, sum }]) => {
      const us = lowUs + sum / count;
      return shortestUs <= us && us <= longestUs;
    });
    const total = bins.reduce((all, [, { count }]) => all + count, 0);
    if (total === 0) return undefined;
    const meanUs = bins.reduce((all, [lowUs, { count, sum }]) => all + (lowUs * count + sum) / total, 0);
    const variance = bins.reduce((all, [lowUs, { count, sum, squares }]) => {
      const off = lowUs - meanUs;
      return all + (squares + 2 * off * sum + off * off * count) / total;
    }, 0);
    return { meanUs, deviationUs: Math.sqrt(Math.max(0, variance)) };
  }

  #sorted(): [number, { readonly count: number; readonly sum: number; readonly squares: number }][] {
    return [...this.#bins].sort(([a], [b]) => a - b);
  }
}

const widthBits = 11;

function lowestOf(us: number): number {
  if (us < 2 ** (widthBits + 1)) return Math.floor(us);
  const width = 2 ** (Math.floor(Math.log2(us)) - widthBits);
  return Math.floor(us / width) * width;
}
