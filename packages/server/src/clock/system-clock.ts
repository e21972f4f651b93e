/**
 * The machine's clocks and timers. Owns the sampled offset between monotonic and wall time; the rule of what
 * is a step lives in `wall-offset.ts`.
 */
import type { Clock } from "./clock.ts";
import { realtimeReader } from "./realtime.ts";
import { sleepUntil, startInterval, startTimer } from "./timers.ts";
import { sampleOffset, WallOffset } from "./wall-offset.ts";

/** So often when nobody asks; while frames come, a step is noticed within `staleAfterUs`. A sample costs microseconds. */
const sampleEveryMs = 1000;
const staleAfterUs = 100_000;

/** Intervals shorter than this have timers of their own. */
const shortestBeatMs = 100;

/** CLOCK_MONOTONIC in whole microseconds: the clock behind `process.hrtime` on Linux. */
function systemMonoUs(): number {
  return Math.floor(Number(process.hrtime.bigint()) / 1000);
}

export class SystemClock implements Clock {
  readonly #readWallUs: () => number;
  readonly #offset: WallOffset;
  readonly #listeners = new Set<(stepUs: number) => void>();
  readonly #cancels = new Set<() => void>();
  /** By their length: all intervals of one length share a timer, since each wakes the machine. */
  readonly #beats = new Map<number, { readonly callbacks: Set<() => void>; readonly stop: () => void }>();
  #sampledAtMonoUs: number;
  #closed = false;

  constructor() {
    const { readUs, resolutionUs } = realtimeReader();
    this.#readWallUs = readUs;
    this.#offset = new WallOffset(sampleOffset(systemMonoUs, readUs), {
      stepThresholdUs: resolutionUs > 1 ? 10_000 : 3000,
    });
    this.#sampledAtMonoUs = systemMonoUs();
    this.every(sampleEveryMs, () => this.#sample());
  }

  wallUs(): number {
    return this.#readWallUs();
  }

  monoUs(): number {
    return systemMonoUs();
  }

  monoToWallUs(monoUs: number): number {
    if (systemMonoUs() - this.#sampledAtMonoUs > staleAfterUs) this.#sample();
    return Math.round(monoUs + this.#offset.offsetUs);
  }

  onStep(listener: (stepUs: number) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  after(delayMs: number, callback: () => void): () => void {
    return this.#after(delayMs, callback, false);
  }

  every(intervalMs: number, callback: () => void): () => void {
    if (this.#closed) return () => {};
    const stop =
      intervalMs < shortestBeatMs ? startInterval(intervalMs, callback) : this.#join(intervalMs, callback);
    const cancel = (): void => {
      stop();
      this.#cancels.delete(cancel);
    };
    this.#cancels.add(cancel);
    return cancel;
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    // Somebody waits for this one, so it does keep the process alive.
    return sleepUntil((callback) => this.#after(delayMs, callback, true), signal);
  }

  /** Cancels every timer. The readings go on working. */
  close(): void {
    this.#closed = true;
    for (const cancel of [...this.#cancels]) cancel();
    this.#listeners.clear();
  }

  /** The first call comes with the next beat, which may be sooner than an interval from now. */
  #join(intervalMs: number, callback: () => void): () => void {
    // The same function may be given twice.
    const one = (): void => callback();
    let beat = this.#beats.get(intervalMs);
    if (beat === undefined) {
      const callbacks = new Set<() => void>();
      const stop = startInterval(intervalMs, () => {
        for (const each of [...callbacks]) if (callbacks.has(each)) each();
      });
      beat = { callbacks, stop };
      this.#beats.set(intervalMs, beat);
    }
    const { callbacks, stop } = beat;
    callbacks.add(one);
    return () => {
      if (!callbacks.delete(one) || callbacks.size > 0) return;
      stop();
      this.#beats.delete(intervalMs);
    };
  }

  #after(delayMs: number, callback: () => void, keepAlive: boolean): () => void {
    if (this.#closed) return () => {};
    const stop = startTimer(
      delayMs,
      () => {
        this.#cancels.delete(cancel);
        callback();
      },
      keepAlive,
    );
    const cancel = (): void => {
      stop();
      this.#cancels.delete(cancel);
    };
    this.#cancels.add(cancel);
    return cancel;
  }

  #sample(): void {
    this.#sampledAtMonoUs = systemMonoUs();
    const stepUs = this.#offset.update(sampleOffset(systemMonoUs, this.#readWallUs));
    if (stepUs !== 0) for (const listener of [...this.#listeners]) listener(stepUs);
  }
}
