/**
 * One run after another, with the waits between them that `recovery-policy.ts` decides. Owns the count of
 * failures; what a run is, is the caller's.
 */
import type { OcelliError } from "@ocelli/protocol";
import type { Clock } from "../clock/clock.ts";
import type { Log } from "../log/log.ts";
import { asOcelliError } from "./errors.ts";
import { decideRecovery, type RecoveryOptions } from "./recovery-policy.ts";

export interface SupervisorOptions {
  readonly id: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly recovery?: RecoveryOptions;
  /** For jitter; default `Math.random`. */
  readonly random?: () => number;
  /** Somebody holds or awaits a lease. */
  readonly wanted: () => boolean;
  /** Video frames published so far. */
  readonly frames: () => number;
  /** A run ended in this error, whatever comes next. */
  readonly onError: (error: OcelliError) => void;
  /** A run of a source that was live ended. */
  readonly onRecovering: (error: OcelliError) => void;
  readonly onRestart: () => void;
}

/** Why a run ended; `undefined` error when it ended as it should and the next may begin at once. */
export interface RunOutcome {
  readonly error: OcelliError | undefined;
  /** Nothing to be gained by another run: the error is everybody's. */
  readonly final?: boolean;
}

/** A run that gave frames for this long (or was the first) had recovered: its failure counts as none. */
const stableUs = 5_000_000;

export class RunSupervisor {
  readonly #options: SupervisorOptions;
  #deviceLost = false;
  #endPause: (() => void) | undefined;

  constructor(options: SupervisorOptions) {
    this.#options = options;
  }

  /** While the device is lost no run is begun; its return ends any wait and the count of failures. */
  setDeviceLost(lost: boolean): void {
    this.#deviceLost = lost;
    if (!lost) this.#endPause?.();
  }

  /**
   * Runs until the signal aborts or nobody wants it.
   * @param oneRun gets why the run before ended
   * @throws OcelliError of the last run, when the policy gives up
   */
  async run(
    signal: AbortSignal,
    oneRun: (gapReason: string | undefined) => Promise<RunOutcome>,
  ): Promise<void> {
    const { clock, log, id } = this.#options;
    let wasLive = false;
    let failures = 0;
    /** A run that gave frames has ended in an error before. */
    let crashed = false;
    let gapReason: string | undefined;
    while (!signal.aborted) {
      const startedAtMonoUs = clock.monoUs();
      const framesBefore = this.#options.frames();
      const { error, final } = await this.#outcome(oneRun, gapReason);
      if (signal.aborted) return;
      const gaveFrames = this.#options.frames() > framesBefore;
      wasLive ||= gaveFrames;
      if (error === undefined) {
        gapReason = undefined;
        continue;
      }
      const recovered = clock.monoUs() - startedAtMonoUs >= stableUs || !crashed;
      failures = gaveFrames && recovered ? 0 : failures + 1;
      crashed ||= gaveFrames;
      gapReason = error.message;
      this.#options.onError(error);
      if (final) throw error;
      // Nothing becomes right by trying again.
      if (!wasLive && (error.code === "ffmpeg_missing" || error.code === "unsupported")) throw error;
      const decision = decideRecovery(
        { wasLive, failures, deviceLost: this.#deviceLost, wanted: this.#options.wanted() },
        (this.#options.random ?? Math.random)(),
        this.#options.recovery,
      );
      log.info({ decision, failures, details: error.details }, `${id}: the run ended: ${error.message}`);
      if (decision.action === "rest") return;
      if (decision.action === "give-up") throw error;
      if (wasLive) this.#options.onRecovering(error);
      const kicked = await this.#pause(decision.action === "wait" ? undefined : decision.delayMs, signal);
      if (kicked) failures = 0;
      if (signal.aborted || !this.#options.wanted()) return;
      this.#options.onRestart();
    }
  }

  async #outcome(
    oneRun: (gapReason: string | undefined) => Promise<RunOutcome>,
    gapReason: string | undefined,
  ): Promise<RunOutcome> {
    try {
      return await oneRun(gapReason);
    } catch (error) {
      return { error: asOcelliError(this.#options.id, error) };
    }
  }

  /** Waits, in any case until the device is there. True when its return ended the wait. */
  async #pause(delayMs: number | undefined, signal: AbortSignal): Promise<boolean> {
    let kicked = delayMs !== undefined && (await this.#waitOnce(delayMs, signal));
    while (this.#deviceLost && !signal.aborted) kicked = (await this.#waitOnce(undefined, signal)) || kicked;
    return kicked;
  }

  #waitOnce(delayMs: number | undefined, signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const done = (kicked: boolean): void => {
        cancel?.();
        signal.removeEventListener("abort", onAbort);
        this.#endPause = undefined;
        resolve(kicked);
      };
      const onAbort = (): void => done(false);
      const cancel =
        delayMs === undefined ? undefined : this.#options.clock.after(delayMs, () => done(false));
      this.#endPause = () => done(true);
      signal.addEventListener("abort", onAbort, { once: true });
      if (signal.aborted) done(false);
    });
  }
}
