/**
 * What every source has in common: leases, the ring, states, and the two timers of on-demand work (start
 * time-out and linger). The work itself (one process after another) is the subclass's `work`.
 *
 * Invariants:
 * - At most one session of work runs; it is started by the first opener and ended by the linger timer after
 *   the last lease, by nobody wanting it any more, or by `close()`. Two first openers share it and settle together.
 * - A lease counts as a holder from the moment it is asked for, so that modes cannot change under it.
 * - After `close()` nothing is left: no process, timer, waiting reader.
 */
import { OcelliError } from "@ocelli/protocol";
import type { Clock } from "../clock/clock.ts";
import type { Log } from "../log/log.ts";
import type { Fragment, InitSegment, VideoCodec } from "../media/fragment.ts";
import { FramePool } from "../media/frame-pool.ts";
import { RingCursor } from "./cursor.ts";
import { SourceEmitter } from "./emitter.ts";
import { asOcelliError } from "./errors.ts";
import { modeInWords, sameMode } from "./mode.ts";
import { type Opener, OpenLease } from "./open-lease.ts";
import type { RecoveryOptions } from "./recovery-policy.ts";
import { Ring, type RingOptions } from "./ring.ts";
import { RunPublisher } from "./run-publisher.ts";
import { RunSupervisor } from "./run-supervisor.ts";
import type {
  CaptureMode,
  CaptureState,
  FragmentSource,
  Lease,
  OpenOptions,
  SourceEvents,
  SourceStats,
  TimeSource,
} from "./source.ts";
import { SourceMeter } from "./source-meter.ts";

export interface OnDemandOptions {
  readonly id: string;
  readonly clock: Clock;
  readonly log: Log;
  /** From the first opener to the first frame; default 10 000. */
  readonly startTimeoutMs?: number;
  /** How long the work goes on when nobody holds a lease any more; default 10 000. */
  readonly lingerMs?: number;
  readonly ring?: RingOptions;
}

/** A run of work from the first opener to rest. */
interface Session {
  readonly controller: AbortController;
  readonly done: Promise<void>;
}

export abstract class OnDemandSource implements FragmentSource {
  readonly id: string;
  protected readonly clock: Clock;
  protected readonly log: Log;
  protected readonly ring: Ring;
  /** Where the bytes of frames lie. */
  protected readonly frames = new FramePool();
  protected readonly meter = new SourceMeter();
  protected readonly startTimeoutMs: number;
  /** What went wrong last, in words, secrets masked. */
  protected lastError: OcelliError | undefined;

  readonly #lingerMs: number;
  readonly #emitter: SourceEmitter;
  readonly #leases = new Set<OpenLease>();
  readonly #openers = new Set<Opener>();
  #state: CaptureState = "idle";
  #restarts = 0;
  #init: InitSegment | undefined;
  #mode: CaptureMode | undefined;
  #wantedMode: CaptureMode | undefined;
  #session: Session | undefined;
  #cancelLinger: (() => void) | undefined;
  #cancelStart: (() => void) | undefined;
  #closed: Promise<void> | undefined;

  constructor(options: OnDemandOptions) {
    this.id = options.id;
    this.clock = options.clock;
    this.log = options.log;
    this.ring = new Ring({
      ...options.ring,
      recycle: (fragment) => this.frames.give(fragment.bytes),
    });
    this.startTimeoutMs = options.startTimeoutMs ?? 10_000;
    this.#lingerMs = options.lingerMs ?? 10_000;
    this.#emitter = new SourceEmitter(options.log);
  }

  abstract readonly timeSource: TimeSource;
  protected abstract readonly pid: number | undefined;

  /**
   * Does the work until the signal aborts or nobody wants it: opens the input, publishes fragments, recovers. Must
   * leave nothing behind when it settles. A rejection is the failure of everybody who waits.
   *
   * @param mode what the openers insist on, if any
   */
  protected abstract work(signal: AbortSignal, mode: CaptureMode | undefined): Promise<void>;

  /** Whether the work may leave frames for a moment and read several at a time: nobody in a hurry reads. */
  protected readInBatches(_allowed: boolean): void {}

  /** Reads now what the work has left for later. */
  protected poll(): void {}

  /** Why a new lease cannot be had now, if so. */
  protected refusal(): OcelliError | undefined {
    return undefined;
  }

  get state(): CaptureState {
    return this.#state;
  }

  get init(): InitSegment | undefined {
    return this.#init;
  }

  get codec(): VideoCodec | undefined {
    return this.#init?.tracks.find((track) => track.kind === "video")?.codec;
  }

  get frameIntervalUs(): number | undefined {
    const nominal =
      this.#mode !== undefined && this.#mode.fps > 0 ? Math.round(1e6 / this.#mode.fps) : undefined;
    // A network camera's rate is only what somebody wrote down.
    return this.timeSource === "arrival"
      ? (this.meter.medianIntervalUs ?? nominal)
      : (nominal ?? this.meter.medianIntervalUs);
  }

  /** The mode in use. */
  protected get mode(): CaptureMode | undefined {
    return this.#mode;
  }

  /** Somebody holds or awaits a lease. */
  protected get wanted(): boolean {
    return this.#leases.size > 0;
  }

  async open(options: OpenOptions): Promise<Lease> {
    if (this.#closed !== undefined) throw this.#closedError();
    options.signal?.throwIfAborted();
    const refusal = this.refusal();
    if (refusal !== undefined) throw refusal;
    this.poll();
    const live = this.#state === "live";
    this.#checkMode(options.mode);
    const restart = live && options.mode !== undefined && !this.#runsIn(options.mode);
    if (!this.wanted) this.#wantedMode = options.mode;
    else this.#wantedMode ??= options.mode;

    this.#cancelLinger?.();
    this.#cancelLinger = undefined;
    // Else what the ring holds is about to be forgotten.
    const goesOn = !restart && (live || this.#state === "stalled" || this.#state === "recovering");
    const cursor = new RingCursor(this.ring, {
      from: !goesOn && typeof options.from === "object" ? "keyframe" : options.from,
      overflow: options.overflow,
      holder: `${this.id}: ${options.holder}`,
      stale: !live || restart,
      borrow: options.borrow ?? false,
      ...(options.budgetBytes === undefined ? {} : { budgetBytes: options.budgetBytes }),
    });
    const pace = options.pace ?? (options.overflow === "fail" ? "batches" : "promptly");
    const lease = new OpenLease(options.holder, options.mode, pace === "batches", cursor, (closed) =>
      this.#released(closed),
    );
    this.#leases.add(lease);
    this.#setPace();
    if (live && !restart) {
      lease.granted = this.#mode;
      return lease;
    }
    const opened = this.#firstFrame(lease, options.signal);
    if (restart) this.#endSession();
    else this.#startSession();
    return opened;
  }

  refresh(): void {
    this.poll();
  }

  newestGop(): readonly Fragment[] {
    this.poll();
    return this.ring.newestGop();
  }

  on<E extends keyof SourceEvents>(event: E, listener: SourceEvents[E]): () => void {
    return this.#emitter.on(event, listener);
  }

  stats(): SourceStats {
    const live = this.#state === "live";
    const nowMonoUs = this.clock.monoUs();
    return {
      state: this.#state,
      mode: this.#mode,
      leases: [...this.#leases].map((lease) => lease.holder),
      pid: this.pid,
      framesTotal: this.meter.framesTotal,
      bytesTotal: this.meter.bytesTotal,
      restarts: this.#restarts,
      fps: live ? this.meter.fps(nowMonoUs) : 0,
      bitsPerSecond: live ? this.meter.bitsPerSecond(nowMonoUs) : 0,
      runningS: live ? this.meter.runningS(nowMonoUs) : 0,
      ring: { fragments: this.ring.fragments, bytes: this.ring.bytes, seconds: this.ring.seconds },
      lastError: this.lastError?.message,
      lastErrorLines: stderrOf(this.lastError),
    };
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  /** What makes fragments of this source of the frames of a subclass's runs. */
  protected publisher(): RunPublisher {
    return new RunPublisher({
      clock: this.clock,
      publish: (fragment) => this.publish(fragment),
      onGap: (fromUs, toUs, reason) => this.reportGap(fromUs, toUs, reason),
    });
  }

  /** The supervisor of a subclass's runs, tied to this source's leases and states. */
  protected supervisor(options: {
    readonly recovery?: RecoveryOptions;
    readonly random?: () => number;
  }): RunSupervisor {
    return new RunSupervisor({
      id: this.id,
      clock: this.clock,
      log: this.log,
      ...(options.recovery === undefined ? {} : { recovery: options.recovery }),
      ...(options.random === undefined ? {} : { random: options.random }),
      wanted: () => this.wanted,
      frames: () => this.meter.framesTotal,
      onError: (error) => {
        this.lastError = error;
      },
      onRecovering: (error) => this.setState("recovering", error.message),
      onRestart: () => {
        this.#restarts++;
      },
    });
  }

  /** A run begins that is to give `mode`. */
  protected beginRun(mode: CaptureMode): void {
    this.#mode = mode;
    this.meter.restart();
  }

  /** The mode turned out to be another. */
  protected setMode(mode: CaptureMode): void {
    this.#mode = mode;
  }

  protected setState(to: CaptureState, reason?: string): void {
    const from = this.#state;
    if (from === to || from === "closed") return;
    this.#state = to;
    this.log.debug({ from, to, reason }, "capture state");
    this.#emitter.state({ from, to, ...(reason === undefined ? {} : { reason }) });
  }

  protected reportGap(fromUs: number, toUs: number, reason: string): void {
    this.log.warn(
      { fromUs, toUs, reason },
      `${this.id}: ${((toUs - fromUs) / 1e6).toFixed(2)} s without frames`,
    );
    this.#emitter.gap({ fromUs, toUs, reason });
  }

  /** Hands a fragment to everybody. The first one of a run makes the source live; what comes from one that is ending is ignored. */
  protected publish(fragment: Fragment): void {
    if (this.#session === undefined || this.#session.controller.signal.aborted) return;
    this.#init = fragment.init;
    const video = fragment.track.kind === "video";
    this.meter.add(
      fragment.bytes.length,
      fragment.receivedAtMonoUs,
      video ? fragment.decodeTimeUs : undefined,
    );
    this.ring.push(fragment);
    if (this.#state === "live" || !video) return;
    this.setState("live");
    this.#settleOpeners((opener, mode) => {
      const { lease } = opener;
      lease.granted = mode;
      // It joined others before the mode was known.
      if (lease.wanted !== undefined && !sameMode(lease.wanted, mode)) opener.reject(this.#busy(mode, lease));
      else opener.resolve(lease);
    });
  }

  /** Fails all who wait for the first frame; those who had frames keep their leases. */
  protected failOpeners(error: unknown): void {
    this.#settleOpeners((opener) => opener.reject(error));
  }

  #checkMode(mode: CaptureMode | undefined): void {
    if (mode === undefined || !this.wanted) return;
    const current = this.#wantedMode ?? this.#mode;
    // Started without a wish and the mode not known yet: the first frame is a moment away.
    if (current === undefined || sameMode(current, mode) || (this.#mode !== undefined && this.#runsIn(mode)))
      return;
    throw this.#busy(current, { wanted: mode });
  }

  #busy(mode: CaptureMode, asking: { readonly wanted: CaptureMode | undefined }): OcelliError {
    const holders = [...this.#leases].filter((lease) => lease !== asking).map((lease) => lease.holder);
    const wanted = asking.wanted === undefined ? "another mode" : modeInWords(asking.wanted);
    return new OcelliError(
      "camera_busy",
      `${this.id} is in use by ${holders.join(", ") || "another reader"} in ${modeInWords(mode)}; ` +
        `${wanted} can be had when it is released`,
      { details: { source: this.id, holders, mode, wanted: asking.wanted } },
    );
  }

  #runsIn(mode: CaptureMode): boolean {
    return this.#mode !== undefined && sameMode(this.#mode, mode);
  }

  #firstFrame(lease: OpenLease, signal: AbortSignal | undefined): Promise<Lease> {
    return new Promise((resolve, reject) => {
      const opener: Opener = {
        lease,
        resolve: (granted) => {
          signal?.removeEventListener("abort", onAbort);
          resolve(granted);
        },
        reject: (error) => {
          signal?.removeEventListener("abort", onAbort);
          reject(error);
          lease.close();
        },
      };
      const onAbort = (): void => {
        if (this.#openers.delete(opener)) opener.reject(signal?.reason);
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#openers.add(opener);
      this.#cancelStart ??= this.clock.after(this.startTimeoutMs, () => {
        this.#cancelStart = undefined;
        const error = this.#startTimeout();
        // Nobody has had a frame of it: the owner is to know that it does not work, also after it went idle.
        if (this.#state === "starting") this.setState("failed", error.message);
        this.failOpeners(error);
      });
    });
  }

  #settleOpeners(settle: (opener: Opener, mode: CaptureMode) => void): void {
    this.#cancelStart?.();
    this.#cancelStart = undefined;
    const mode = this.#mode ?? { format: "unknown", width: 0, height: 0, fps: 0 };
    const openers = [...this.#openers];
    this.#openers.clear();
    for (const opener of openers) settle(opener, mode);
  }

  #startTimeout(): OcelliError {
    const cause = this.lastError;
    const error = new OcelliError(
      "start_timeout",
      `${this.id} gave no frame within ${this.startTimeoutMs / 1000} s${cause === undefined ? "" : ` (${cause.message})`}`,
      { details: { source: this.id, startTimeoutMs: this.startTimeoutMs, ...cause?.details }, cause },
    );
    this.lastError = error;
    return error;
  }

  #released(lease: OpenLease): void {
    if (!this.#leases.delete(lease)) return;
    this.#setPace();
    // Closed while it was still waiting.
    for (const opener of this.#openers) {
      if (opener.lease !== lease) continue;
      this.#openers.delete(opener);
      opener.reject(
        new OcelliError("capture_failed", `${this.id}: the lease was closed before the first frame`),
      );
    }
    if (this.#openers.size === 0) {
      this.#cancelStart?.();
      this.#cancelStart = undefined;
    }
    if (this.wanted || this.#session === undefined || this.#closed !== undefined) return;
    this.#wantedMode = undefined;
    // Only a capture that works is worth keeping for the next one.
    if (this.#state !== "live" || this.#lingerMs <= 0) this.#endSession();
    else this.#cancelLinger = this.clock.after(this.#lingerMs, () => this.#endSession());
  }

  #setPace(): void {
    this.readInBatches([...this.#leases].every((lease) => lease.inBatches));
  }

  #startSession(): void {
    // One that is ending starts the next when it is done.
    if (this.#session !== undefined) return;
    const controller = new AbortController();
    this.setState("starting");
    this.lastError = undefined;
    this.#mode = undefined;
    const done = this.#runSession(controller.signal, this.#wantedMode);
    this.#session = { controller, done };
  }

  async #runSession(signal: AbortSignal, mode: CaptureMode | undefined): Promise<void> {
    let failure: OcelliError | undefined;
    try {
      await this.work(signal, mode);
    } catch (error) {
      if (!signal.aborted) failure = asOcelliError(this.id, error);
    }
    this.#cancelLinger?.();
    this.#cancelLinger = undefined;
    this.#session = undefined;
    this.ring.clear();
    this.frames.clear();
    this.meter.restart();
    this.#mode = undefined;
    if (failure !== undefined) {
      this.lastError = failure;
      this.log.warn({ err: failure }, `${this.id}: ${failure.message}`);
      this.setState("failed", failure.message);
      this.failOpeners(failure);
      for (const lease of [...this.#leases]) lease.close();
    }
    if (this.#closed !== undefined) return;
    // Somebody came while it was ending.
    if (this.wanted) this.#startSession();
    else if (failure === undefined) this.setState("idle");
  }

  #endSession(): void {
    this.#cancelLinger?.();
    this.#cancelLinger = undefined;
    if (this.#session === undefined || this.#session.controller.signal.aborted) return;
    this.setState("closing");
    this.#session.controller.abort();
  }

  async #close(): Promise<void> {
    const session = this.#session;
    if (this.#state !== "closing") this.setState("closing");
    this.#cancelLinger?.();
    this.failOpeners(this.#closedError());
    session?.controller.abort();
    await session?.done;
    this.ring.close();
    this.setState("closed");
  }

  #closedError(): OcelliError {
    return new OcelliError("capture_failed", `${this.id} is closed`, { details: { source: this.id } });
  }
}

function stderrOf(error: OcelliError | undefined): readonly string[] {
  const lines = error?.details.stderr;
  return Array.isArray(lines) ? lines.filter((line) => typeof line === "string") : [];
}
