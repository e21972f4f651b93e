/** Node's timers behind the `Clock` interface: unreferenced, and right for delays beyond the 2^31 ms that one timer can hold. */

const longestTimerMs = 2 ** 31 - 1;

/** Runs `callback` once after `delayMs`; returns the cancel function. */
export function startTimer(delayMs: number, callback: () => void, keepAlive = false): () => void {
  let left = Math.max(0, Number.isFinite(delayMs) ? delayMs : longestTimerMs);
  let timer: NodeJS.Timeout | undefined;
  const arm = (): void => {
    const part = Math.min(left, longestTimerMs);
    left -= part;
    timer = setTimeout(() => {
      timer = undefined;
      if (left > 0) arm();
      else callback();
    }, part);
    if (!keepAlive) timer.unref();
  };
  arm();
  return () => {
    left = 0;
    clearTimeout(timer);
  };
}

/** Runs `callback` every `intervalMs` (at least 1); returns the cancel function. */
export function startInterval(intervalMs: number, callback: () => void): () => void {
  const timer = setInterval(callback, Math.min(longestTimerMs, Math.max(1, intervalMs)));
  timer.unref();
  return () => clearInterval(timer);
}

/**
 * A wait that ends with a timer, or rejects with the signal's reason.
 * @param after starts the timer; returns the cancel function
 */
export function sleepUntil(
  after: (callback: () => void) => () => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const onAbort = (): void => {
      cancel();
      reject(signal?.reason);
    };
    const cancel = after(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    });
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
