/**
 * Capture times for sources without a usable clock of their own (RTSP, HTTP, files): pure arithmetic that maps
 * a stream's media time to the monotonic clock.
 *
 * A frame cannot arrive before it was captured, and the least delayed one comes closest. So the estimate is the
 * smallest (arrival − media time) of the last minute, and follows a change of it by at most 500 ppm: jitter
 * of the network never shows in the times of frames, and the drift of the camera's clock is followed.
 *
 * At the start frames come in a burst (a server's cached GOP, ffmpeg's own probing), all late but the last.
 * Until frames come at their own pace the clock is *settling*: the caller holds the frames back and asks
 * once it has settled. Settling is bounded in time.
 *
 * What it cannot know, and how it degrades:
 * - The least delay itself (network, the camera's encoder) stays in the times: they are late by it.
 * - A delay that grows for good (another route) shows after a minute, at 500 ppm: 50 ms take 100 s.
 * - A delay that shrinks for good is followed at once, at 500 ppm.
 * - If the burst was not recognised as such, the first ten seconds may run up to 5 % fast or slow to catch up. Where
 *   that is not enough by far, since several frames in a row came earlier than they could have, times run at half
 *   their pace until it is.
 * - A source that jumps (`jumpUs`) is re-anchored by the caller with a new `ArrivalClock`.
 */

const bucketUs = 5_000_000;
const buckets = 12;
/** One frame may have a wrong time; so many do not. */
const proofs = 5;
/** Late by more than this is too much to wait for. */
const grossUs = 100_000;
const grossPpm = 500_000;
/** A burst may be read in two parts: so many frames in a row at their own pace are no burst. */
const pacedFrames = 2;

export interface ArrivalClockOptions {
  /** Longest settling, default 1 s. */
  readonly maxSettleUs?: number;
  /** Default 500 parts per million. */
  readonly slewPpm?: number;
  /** For `convergeUs` after settling the estimate may move this fast: default 50 000 ppm for 10 s. */
  readonly convergePpm?: number;
  readonly convergeUs?: number;
}

export class ArrivalClock {
  readonly #maxSettleUs: number;
  readonly #slewPpm: number;
  readonly #convergePpm: number;
  readonly #convergeUs: number;
  /** Smallest difference of each five seconds of the last minute. */
  #minima: { readonly bucket: number; min: number }[] = [];
  #estimate = Number.POSITIVE_INFINITY;
  #firstArrivalUs: number | undefined;
  /** When the estimate could last have changed. */
  #slewedAtUs = 0;
  /** While settling: the frame of the latest time, and how many in a row came at their own pace. */
  #pace = { mediaUs: 0, arrivalUs: 0 };
  #paced = 0;
  #settled = false;
  /** Differences of the newest frames. */
  #recent: number[] = [];
  #catchingUp = false;
  /** The latest frame that was asked for. */
  #toldMediaUs = Number.NEGATIVE_INFINITY;

  constructor(options: ArrivalClockOptions = {}) {
    this.#maxSettleUs = options.maxSettleUs ?? 1_000_000;
    this.#slewPpm = options.slewPpm ?? 500;
    this.#convergePpm = options.convergePpm ?? 50_000;
    this.#convergeUs = options.convergeUs ?? 10_000_000;
  }

  /** True once `toMonoUs` gives times to rely on. */
  get settled(): boolean {
    return this.#settled;
  }

  /** A frame of decode (or presentation) time `mediaUs` arrived at `arrivalMonoUs`; arrivals never go back. */
  arrived(mediaUs: number, arrivalMonoUs: number): void {
    const difference = arrivalMonoUs - mediaUs;
    const first = this.#firstArrivalUs;
    if (first === undefined) {
      this.#firstArrivalUs = arrivalMonoUs;
      this.#estimate = difference;
      this.#pace = { mediaUs, arrivalUs: arrivalMonoUs };
    } else if (!this.#settled) {
      this.#estimate = Math.min(this.#estimate, difference);
      // Frames that are presented before one that was sent earlier tell nothing of the pace.
      if (mediaUs > this.#pace.mediaUs) {
        const inPace = arrivalMonoUs - this.#pace.arrivalUs >= (mediaUs - this.#pace.mediaUs) / 2;
        this.#paced = inPace ? this.#paced + 1 : 0;
        this.#pace = { mediaUs, arrivalUs: arrivalMonoUs };
      }
      this.#settled = this.#paced >= pacedFrames || arrivalMonoUs - first >= this.#maxSettleUs;
    } else {
      const target = this.#windowMinimum(difference, arrivalMonoUs);
      // A frame presented before one that was sent earlier is late by that, and moves nothing.
      const newUs = mediaUs - this.#toldMediaUs;
      if (newUs > 0) {
        const usual = arrivalMonoUs - first < this.#convergeUs ? this.#convergePpm : this.#slewPpm;
        const ppm = this.#isGrosslyLate(difference) ? grossPpm : usual;
        // Not more, where few arrivals are told, than leaves the next frame later than the one before.
        const most = Math.min((Math.max(0, arrivalMonoUs - this.#slewedAtUs) * ppm) / 1e6, newUs / 2);
        this.#estimate += Math.max(-most, Math.min(most, target - this.#estimate));
        this.#slewedAtUs = arrivalMonoUs;
      }
    }
    if (!this.#settled) {
      this.#windowMinimum(difference, arrivalMonoUs);
      this.#slewedAtUs = arrivalMonoUs;
    }
  }

  /** How far a frame of `mediaUs` arriving now is from the estimate: negative is early, positive late. */
  deviationUs(mediaUs: number, arrivalMonoUs: number): number {
    return this.#firstArrivalUs === undefined ? 0 : arrivalMonoUs - mediaUs - this.#estimate;
  }

  /** Monotonic time at which a frame of `mediaUs` was captured, whole microseconds. */
  toMonoUs(mediaUs: number): number {
    this.#toldMediaUs = Math.max(this.#toldMediaUs, mediaUs);
    return Math.round(mediaUs + (Number.isFinite(this.#estimate) ? this.#estimate : 0));
  }

  /** Whether even the most delayed of the newest frames came long before the estimate has it. */
  #isGrosslyLate(difference: number): boolean {
    this.#recent.push(difference);
    if (this.#recent.length > proofs) this.#recent.shift();
    const late = this.#recent.length < proofs ? 0 : this.#estimate - Math.max(...this.#recent);
    this.#catchingUp = late > (this.#catchingUp ? 0 : grossUs);
    return this.#catchingUp;
  }

  #windowMinimum(difference: number, arrivalMonoUs: number): number {
    const bucket = Math.floor(arrivalMonoUs / bucketUs);
    const last = this.#minima.at(-1);
    if (last?.bucket === bucket) last.min = Math.min(last.min, difference);
    else this.#minima.push({ bucket, min: difference });
    if ((this.#minima[0]?.bucket ?? bucket) <= bucket - buckets) {
      this.#minima = this.#minima.filter((entry) => entry.bucket > bucket - buckets);
    }
    let min = difference;
    for (const entry of this.#minima) min = Math.min(min, entry.min);
    return min;
  }
}
