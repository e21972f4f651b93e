/**
 * Time for everything above: code in other floors reads time and sets timers only through a `Clock`, so
 * that watchdogs and hours of drift are tested without sleeping (`FakeClock` in `fake-clock.ts`).
 *
 * Two clocks, never mixed in one name: *wall* is epoch time and may step; *mono* is CLOCK_MONOTONIC, the
 * clock V4L2 stamps buffers with, and never steps. Microseconds as `number` (exact to 2^53).
 */
export interface Clock {
  /** Epoch time now, microseconds (CLOCK_REALTIME). */
  wallUs(): number;
  /** CLOCK_MONOTONIC now, microseconds. */
  monoUs(): number;
  /**
   * Wall time of an instant of the monotonic clock, by the offset last sampled. A step of the wall clock
   * is one marked change of that offset (`onStep`), never noise in the times of frames.
   */
  monoToWallUs(monoUs: number): number;
  /** Called once for each step of the wall clock, with its size; returns the unsubscribe function. */
  onStep(listener: (stepUs: number) => void): () => void;
  /** Runs `callback` once after `delayMs` unless cancelled by the returned function. Never keeps the process alive. */
  after(delayMs: number, callback: () => void): () => void;
  /**
   * Runs `callback` every `intervalMs` until cancelled; the first time within that, together with others of the same
   * interval. Never keeps the process alive.
   */
  every(intervalMs: number, callback: () => void): () => void;
  /** Resolves after `delayMs`; rejects with the signal's reason when aborted. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
  close(): void;
}
