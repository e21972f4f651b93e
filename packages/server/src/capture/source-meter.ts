/** Counts of a source's frames: totals, the rates of late, and the median interval. */

const buckets = 4;
const intervals = 31;

export class SourceMeter {
  framesTotal = 0;
  bytesTotal = 0;
  /** Frames of the last few whole seconds, newest last. */
  #seconds: { readonly second: number; frames: number; bytes: number }[] = [];
  #firstMonoUs: number | undefined;
  #lastDecodeUs: number | undefined;
  /** The last intervals as they came, and in order of size: asked for more often than they change. */
  #lateIntervals: number[] = [];
  #bySize: number[] = [];

  /** A video frame, or (without `decodeTimeUs`) another. Presentation times would jump where frames are reordered. */
  add(bytes: number, receivedAtMonoUs: number, decodeTimeUs: number | undefined): void {
    this.bytesTotal += bytes;
    const second = Math.floor(receivedAtMonoUs / 1e6);
    let late = this.#seconds.at(-1);
    if (late?.second !== second) {
      late = { second, frames: 0, bytes: 0 };
      this.#seconds.push(late);
      if (this.#seconds.length > buckets) this.#seconds.shift();
    }
    late.bytes += bytes;
    if (decodeTimeUs === undefined) return;
    this.framesTotal++;
    this.#firstMonoUs ??= receivedAtMonoUs;
    late.frames++;
    if (this.#lastDecodeUs !== undefined && decodeTimeUs > this.#lastDecodeUs) {
      this.#addInterval(decodeTimeUs - this.#lastDecodeUs);
    }
    this.#lastDecodeUs = decodeTimeUs;
  }

  /** A new run: the rate starts anew. */
  restart(): void {
    this.#seconds = [];
    this.#firstMonoUs = undefined;
    this.#lastDecodeUs = undefined;
    this.#lateIntervals = [];
    this.#bySize = [];
  }

  /** Frames a second over the last three seconds, or since the run began. */
  fps(nowMonoUs: number): number {
    return Math.round(this.#rate(nowMonoUs, "frames") * 10) / 10;
  }

  /** Over the same time, of everything the source gives. */
  bitsPerSecond(nowMonoUs: number): number {
    return Math.round(this.#rate(nowMonoUs, "bytes") * 8);
  }

  /** Since the first frame of the run; 0 before it. */
  runningS(nowMonoUs: number): number {
    return this.#firstMonoUs === undefined ? 0 : Math.max(0, nowMonoUs - this.#firstMonoUs) / 1e6;
  }

  #rate(nowMonoUs: number, of: "frames" | "bytes"): number {
    if (this.#firstMonoUs === undefined) return 0;
    const now = Math.floor(nowMonoUs / 1e6);
    const fromUs = Math.max((now - buckets + 1) * 1e6, this.#firstMonoUs);
    let sum = 0;
    for (const bucket of this.#seconds) if (bucket.second > now - buckets) sum += bucket[of];
    const seconds = (nowMonoUs - fromUs) / 1e6;
    return seconds < 0.2 ? 0 : sum / seconds;
  }

  /** Median of the last intervals; `undefined` before eight frames. */
  get medianIntervalUs(): number | undefined {
    if (this.#lateIntervals.length < 8) return undefined;
    return this.#bySize[this.#bySize.length >> 1];
  }

  #addInterval(us: number): void {
    this.#lateIntervals.push(us);
    let at = this.#bySize.length;
    if (at === intervals) {
      const gone = this.#lateIntervals.shift() ?? 0;
      at = this.#bySize.indexOf(gone);
    } else this.#bySize.push(us);
    // The free place moves to where the new one belongs.
    for (; at > 0 && (this.#bySize[at - 1] ?? 0) > us; at--) this.#bySize[at] = this.#bySize[at - 1] ?? 0;
    for (; at < this.#bySize.length - 1 && (this.#bySize[at + 1] ?? 0) < us; at++) {
      this.#bySize[at] = this.#bySize[at + 1] ?? 0;
    }
    this.#bySize[at] = us;
  }
}
