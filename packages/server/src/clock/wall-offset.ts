/**
 * The offset between the monotonic and the wall clock, from samples. NTP slews both clocks alike, so the
 * offset changes only when somebody sets the wall clock, at a leap second, or over a suspend: such a change
 * is one *step*. Differences below the threshold are noise of the sampling, or steps too small to matter:
 * they are averaged in, so that the times of frames stay smooth.
 */

export interface OffsetSample {
  readonly offsetUs: number;
  /** Half the time the reading took: how far the offset may be off. */
  readonly uncertaintyUs: number;
}

/** Reads mono, wall, mono; of a few tries the one that took least time. */
export function sampleOffset(readMonoUs: () => number, readWallUs: () => number, tries = 5): OffsetSample {
  let best: OffsetSample | undefined;
  for (let i = 0; i < tries; i++) {
    const before = readMonoUs();
    const wall = readWallUs();
    const after = readMonoUs();
    const uncertaintyUs = (after - before) / 2;
    if (best === undefined || uncertaintyUs < best.uncertaintyUs) {
      best = { offsetUs: Math.round(wall - (before + after) / 2), uncertaintyUs };
    }
    if (best.uncertaintyUs <= 5) break;
  }
  return best ?? { offsetUs: Math.round(readWallUs() - readMonoUs()), uncertaintyUs: 0 };
}

export class WallOffset {
  readonly #stepThresholdUs: number;
  #offsetUs: number;
  #exact: number;

  constructor(first: OffsetSample, options: { /** Default 3000. */ readonly stepThresholdUs?: number } = {}) {
    this.#stepThresholdUs = options.stepThresholdUs ?? 3000;
    this.#offsetUs = first.offsetUs;
    this.#exact = first.offsetUs;
  }

  /** Wall minus monotonic, whole microseconds. */
  get offsetUs(): number {
    return this.#offsetUs;
  }

  /** Takes a sample; returns the size of the step it shows, or 0. */
  update(sample: OffsetSample): number {
    const change = sample.offsetUs - this.#offsetUs;
    if (Math.abs(change) > this.#stepThresholdUs + sample.uncertaintyUs) {
      this.#exact = sample.offsetUs;
      this.#offsetUs = sample.offsetUs;
      return change;
    }
    this.#exact += (sample.offsetUs - this.#exact) / 16;
    this.#offsetUs = Math.round(this.#exact);
    return 0;
  }
}
