/** Counts of a source's frames: totals, the rate of late, and the median interval. */

const buckets = 4;
const intervals = 31;

export class SourceMeter {
  framesTotal = 0;
  bytesTotal = 0;
  /** Frames of the last few whole seconds, newest last. */
  #seconds: { readonly second: number; frames: number }[] = [];
  #firstMonoUs: number | undefined;
  #lastDecodeUs: number | undefined;
  #lateIntervals: number[] = [];

  /** A video frame, or (without `decodeTimeUs`) another. Presentation times would jump where frames are reordered. */
  add(bytes: number, receivedAtMonoUs: number, decodeTimeUs: number | undefined): void {
    this.bytesTotal += bytes;
    if (decodeTimeUs === undefined) return;
    this.framesTotal++;
    this.#firstMonoUs ??= receivedAtMonoUs;
    const second = Math.floor(receivedAtMonoUs / 1e6);
    const last = this.#seconds.at(-1);
    if (last?.second === second) last.frames++;
    else {
      this.#seconds.push({ second, frames: 1 });
      if (this.#seconds.length > buckets) this.#seconds.shift();
    }
    if (this.#lastDecodeUs !== undefined && decodeTimeUs > this.#lastDecodeUs) {
      this.#lateIntervals.push(decodeTimeUs - this.#lastDecodeUs);
      if (this.#lateIntervals.length > intervals) this.#lateIntervals.shift();
    }
    this.#lastDecodeUs = decodeTimeUs;
  }

  /** A new run: the rate starts anew. */
  restart(): void {
    this.#seconds = [];
    this.#firstMonoUs = undefined;
    this.#lastDecodeUs = undefined;
    this.#lateIntervals = [];
  }

  /** Frames a second over the last three seconds, or since the run began. */
  fps(nowMonoUs: number): number {
    if (this.#firstMonoUs === undefined) return 0;
    const now = Math.floor(nowMonoUs / 1e6);
    const fromUs = Math.max((now - buckets + 1) * 1e6, this.#firstMonoUs);
    let frames = 0;
    for (const { second, frames: count } of this.#seconds) if (second > now - buckets) frames += count;
    const seconds = (nowMonoUs - fromUs) / 1e6;
    return seconds < 0.2 ? 0 : Math.round((frames / seconds) * 10) / 10;
  }

  /** Median of the last intervals; `undefined` before eight frames. */
  get medianIntervalUs(): number | undefined {
    if (this.#lateIntervals.length < 8) return undefined;
    const sorted = [...this.#lateIntervals].sort((a, b) => a - b);
    return sorted[sorted.length >> 1];
  }
}
