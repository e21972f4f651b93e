/** A clock for tests: time moves only by `advance`, and timers run in the order of their due times. */
import type { Clock } from "./clock.ts";
import { sleepUntil } from "./timers.ts";

interface Timer {
  dueMonoUs: number;
  readonly order: number;
  readonly everyUs: number | undefined;
  readonly callback: () => void;
}

export class FakeClock implements Clock {
  #monoUs: number;
  #offsetUs: number;
  #order = 0;
  readonly #timers = new Set<Timer>();
  readonly #listeners = new Set<(stepUs: number) => void>();

  constructor(
    start: { /** Default 2025-01-15T14:30:00Z. */ readonly wallUs?: number; readonly monoUs?: number } = {},
  ) {
    this.#monoUs = start.monoUs ?? 1_000_000_000;
    this.#offsetUs = (start.wallUs ?? 1_736_951_400_000_000) - this.#monoUs;
  }

  wallUs(): number {
    return this.#monoUs + this.#offsetUs;
  }

  monoUs(): number {
    return this.#monoUs;
  }

  monoToWallUs(monoUs: number): number {
    return Math.round(monoUs + this.#offsetUs);
  }

  onStep(listener: (stepUs: number) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  after(delayMs: number, callback: () => void): () => void {
    return this.#add(delayMs, undefined, callback);
  }

  every(intervalMs: number, callback: () => void): () => void {
    const everyMs = Math.max(1, intervalMs);
    return this.#add(everyMs, everyMs * 1000, callback);
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return sleepUntil((callback) => this.after(delayMs, callback), signal);
  }

  close(): void {
    this.#timers.clear();
    this.#listeners.clear();
  }

  /** Timers and sleeps not yet due. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Moves both clocks on, running each timer at its due time. */
  advance(ms: number): void {
    const target = this.#monoUs + ms * 1000;
    for (let timer = this.#nextDue(target); timer !== undefined; timer = this.#nextDue(target))
      this.#run(timer);
    this.#monoUs = target;
  }

  /** As `advance`, letting promises settle after each timer, so that code between two sleeps runs. */
  async advanceAsync(ms: number): Promise<void> {
    const target = this.#monoUs + ms * 1000;
    await settle();
    for (let timer = this.#nextDue(target); timer !== undefined; timer = this.#nextDue(target)) {
      this.#run(timer);
      await settle();
    }
    this.#monoUs = target;
    await settle();
  }

  /** Steps the wall clock; the monotonic clock and the timers do not notice. */
  step(stepUs: number): void {
    this.#offsetUs += stepUs;
    for (const listener of [...this.#listeners]) listener(stepUs);
  }

  /** Sets the wall clock, as a step. */
  setWallUs(wallUs: number): void {
    this.step(wallUs - this.wallUs());
  }

  #add(delayMs: number, everyUs: number | undefined, callback: () => void): () => void {
    const timer: Timer = {
      dueMonoUs: this.#monoUs + Math.max(0, delayMs) * 1000,
      order: this.#order++,
      everyUs,
      callback,
    };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  #nextDue(targetMonoUs: number): Timer | undefined {
    let next: Timer | undefined;
    for (const timer of this.#timers) {
      if (timer.dueMonoUs > targetMonoUs) continue;
      if (
        next === undefined ||
        timer.dueMonoUs < next.dueMonoUs ||
        (timer.dueMonoUs === next.dueMonoUs && timer.order < next.order)
      ) {
        next = timer;
      }
    }
    return next;
  }

  #run(timer: Timer): void {
    this.#monoUs = Math.max(this.#monoUs, timer.dueMonoUs);
    if (timer.everyUs === undefined) this.#timers.delete(timer);
    else timer.dueMonoUs += timer.everyUs;
    timer.callback();
  }
}

/** One turn of the event loop: everything promised so far has run. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
