/** Waiting that can be given up. */

/** @throws the reason of `signal` */
export function sleep(seconds: number, ...signals: readonly (AbortSignal | undefined)[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (settle: () => void): void => {
      clearTimeout(timer);
      for (const [signal, listener] of listeners) signal.removeEventListener("abort", listener);
      settle();
    };
    const timer = setTimeout(() => done(resolve), seconds * 1000);
    const listeners = signals.flatMap((signal) =>
      signal === undefined ? [] : [[signal, () => done(() => reject(signal.reason))] as const],
    );
    for (const [signal, listener] of listeners) {
      signal.addEventListener("abort", listener);
      if (signal.aborted) listener();
    }
  });
}

/** `promise`, unless `signal` is aborted first; the work behind it goes on. */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const aborted = (): void => reject(signal.reason);
    if (signal.aborted) aborted();
    signal.addEventListener("abort", aborted);
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", aborted));
  });
}
