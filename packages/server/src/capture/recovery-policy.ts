/**
 * Restart, wait or give up: a pure decision after a run of a capture ended.
 *
 * A capture that was live is expected back: it is tried for ever, at once the first time, then ever more
 * slowly. A capture that never gave a frame is more likely misconfigured or taken by another program: a few
 * quick tries (a device may still be initialising), then the error goes to whoever asked.
 */

export interface RecoveryState {
  /** Frames came at some time since the capture was asked for. */
  readonly wasLive: boolean;
  /** Runs that ended without a frame since the last live one (or since the start), this one included if it had none. */
  readonly failures: number;
  /** The device is known to be unplugged: its owner will say when it is back. */
  readonly deviceLost: boolean;
  /** Somebody holds or awaits a lease. */
  readonly wanted: boolean;
}

export type RecoveryDecision =
  | { readonly action: "restart"; readonly delayMs: number }
  /** Until the device is back. */
  | { readonly action: "wait" }
  /** Nobody wants it: let it rest. */
  | { readonly action: "rest" }
  | { readonly action: "give-up" };

export interface RecoveryOptions {
  /** Failed runs of a capture that was never live before it gives up, default 3. */
  readonly maxFirstFailures?: number;
  /** First delay, default 250 ms; doubled with each failure. */
  readonly baseMs?: number;
  /** Longest delay once live, default 15 s; before, 2 s. */
  readonly maxMs?: number;
  readonly maxFirstMs?: number;
  /** Share of the delay that is random, default 0.3, so that many cameras do not restart in step. */
  readonly jitter?: number;
}

/** @param random a number in [0, 1) */
export function decideRecovery(
  state: RecoveryState,
  random: number,
  options: RecoveryOptions = {},
): RecoveryDecision {
  if (!state.wanted) return { action: "rest" };
  if (state.deviceLost) return { action: "wait" };
  const base = options.baseMs ?? 250;
  const jitter = options.jitter ?? 0.3;
  if (!state.wasLive) {
    if (state.failures >= (options.maxFirstFailures ?? 3)) return { action: "give-up" };
    return { action: "restart", delayMs: spread(backOff(base, state.failures, options.maxFirstMs ?? 2000)) };
  }
  // The run that was live and ended is no failed start: go on at once, but never in a tight loop.
  if (state.failures === 0) return { action: "restart", delayMs: Math.min(50, base) };
  return { action: "restart", delayMs: spread(backOff(base, state.failures, options.maxMs ?? 15_000)) };

  function spread(delayMs: number): number {
    return Math.round(delayMs * (1 - jitter + 2 * jitter * random));
  }
}

function backOff(baseMs: number, failures: number, maxMs: number): number {
  return Math.min(maxMs, baseMs * 2 ** Math.min(30, Math.max(0, failures - 1)));
}
