/**
 * Watches how right the wall clock is. Servers the operator named are asked; without any, the kernel's word counts.
 * Never sets a clock: what starts at a common instant takes the offset into account.
 */
import { messageOf } from "@ocelli/protocol";
import type { Clock } from "../clock.ts";
import { readKernelClock } from "./kernel.ts";
import { measureOffset, type NtpMeasurement, type NtpServer, nameOf, type SntpOptions } from "./sntp.ts";
import { type ClockState, type ClockSync, uncertainBeyondUs } from "./state.ts";

export interface ClockSyncOptions {
  readonly clock: Clock;
  readonly servers: readonly NtpServer[];
  /** Between two measurements. Default 300,000. */
  readonly intervalMs?: number;
  /** A measurement is of no use when nothing confirmed it for so long. Default 3,600,000. */
  readonly maxAgeMs?: number;
  readonly sntp?: Omit<SntpOptions, "clock" | "signal">;
  readonly readKernel?: typeof readKernelClock;
  /** Whether the kernel's word counts where no server has answered. Default true. */
  readonly trustKernel?: boolean;
  /** Told once of what keeps happening. */
  readonly onError?: (error: unknown) => void;
}

type Measured = NtpMeasurement & { readonly atMonoUs: number };

/** By so much a clock that nobody steers may drift: more than any quartz of a computer does. */
const driftPpm = 100;
/** While there is no measurement to go by, servers are asked so often: the network may come up after the hub. */
const againMs = 60_000;

export class SystemClockSync implements ClockSync {
  readonly #options: ClockSyncOptions;
  readonly #closing = new AbortController();
  readonly #listeners = new Set<(state: ClockState) => void>();
  readonly #stops: (() => void)[];
  #measured: Measured | undefined;
  #failure: string | undefined;
  #askedAtMonoUs = Number.NEGATIVE_INFINITY;
  /** How often the clock was set. */
  #steps = 0;
  #state: ClockState;
  #running: Promise<ClockState> | undefined;

  constructor(options: ClockSyncOptions) {
    this.#options = options;
    const { clock, intervalMs = 300_000 } = options;
    this.#state = this.#judge();
    this.#stops = [
      clock.every(intervalMs, () => void this.refresh()),
      clock.every(10_000, () => {
        // The uncertainty grows, and a daemon may begin or cease to steer.
        this.#tell();
        if (this.#asksAgain()) void this.refresh();
      }),
      clock.onStep((stepUs) => {
        this.#steps++;
        // True time did not jump: the offset did, by as much.
        if (this.#measured !== undefined) {
          this.#measured = { ...this.#measured, offsetUs: this.#measured.offsetUs - stepUs };
        }
        this.#tell();
        void this.refresh();
      }),
    ];
  }

  get state(): ClockState {
    return this.#state;
  }

  onChange(listener: (state: ClockState) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  refresh(): Promise<ClockState> {
    this.#running ??= this.#measure().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  close(): void {
    this.#closing.abort(new Error("the clock is not watched any more"));
    for (const stop of this.#stops.splice(0)) stop();
    this.#listeners.clear();
  }

  async #measure(): Promise<ClockState> {
    const { servers, onError } = this.#options;
    if (servers.length > 0 && !this.#closing.signal.aborted) {
      this.#askedAtMonoUs = this.#options.clock.monoUs();
      try {
        this.#measured = await this.#measureBetweenSteps();
        this.#failure = undefined;
      } catch (error) {
        if (this.#closing.signal.aborted) return this.#state;
        const known = this.#failure;
        this.#failure = messageOf(error);
        if (this.#failure !== known) onError?.(error);
      }
    }
    return this.#tell();
  }

  #asksAgain(): boolean {
    const waitedUs = this.#options.clock.monoUs() - this.#askedAtMonoUs;
    return this.#failure !== undefined && this.#bySntp() === undefined && waitedUs >= againMs * 1000;
  }

  /** Answers from before and after a step of the clock do not go together. */
  async #measureBetweenSteps(): Promise<Measured> {
    const { clock, servers, sntp } = this.#options;
    for (;;) {
      const steps = this.#stepsByNow();
      const measured = await measureOffset(servers, { ...sntp, clock, signal: this.#closing.signal });
      if (this.#stepsByNow() === steps) return { ...measured, atMonoUs: clock.monoUs() };
    }
  }

  #stepsByNow(): number {
    const { clock } = this.#options;
    // Looks whether there was a step that nobody has noticed yet.
    clock.monoToWallUs(clock.monoUs());
    return this.#steps;
  }

  #tell(): ClockState {
    const before = this.#state;
    this.#state = this.#judge();
    if (differs(before, this.#state)) for (const listener of [...this.#listeners]) listener(this.#state);
    return this.#state;
  }

  #judge(): ClockState {
    const { servers } = this.#options;
    return (servers.length > 0 ? this.#bySntp() : undefined) ?? this.#byKernel();
  }

  #bySntp(): ClockState | undefined {
    const measured = this.#measured;
    if (measured === undefined) return undefined;
    const { clock, servers, maxAgeMs = 3_600_000 } = this.#options;
    const ageUs = Math.max(0, clock.monoUs() - measured.atMonoUs);
    if (ageUs > maxAgeMs * 1000) return undefined;
    return {
      synchronised: true,
      source: "sntp",
      offsetUs: measured.offsetUs,
      uncertaintyUs: Math.ceil(measured.uncertaintyUs + (ageUs * driftPpm) / 1e6),
      servers: servers.map(nameOf),
      measuredAtUs: clock.wallUs() - ageUs,
      reason: undefined,
    };
  }

  #byKernel(): ClockState {
    const { clock, servers, trustKernel = true, readKernel = readKernelClock } = this.#options;
    const kernel = trustKernel ? readKernel() : undefined;
    const common = { offsetUs: 0, servers: servers.map(nameOf), measuredAtUs: clock.wallUs() };
    if (kernel?.synchronised === true) {
      return {
        ...common,
        synchronised: true,
        source: kernel.daemon,
        uncertaintyUs: kernel.maxErrorUs,
        reason: undefined,
      };
    }
    return {
      ...common,
      synchronised: false,
      source: "none",
      uncertaintyUs: undefined,
      reason: this.#why(kernel?.daemon),
    };
  }

  #why(daemon: ClockState["source"] | undefined): string {
    if (this.#failure !== undefined) return this.#failure;
    const { servers, trustKernel = true } = this.#options;
    if (servers.length > 0) return "The time servers have not answered yet. Wait some seconds.";
    if (!trustKernel) return "No time server is named. Name some in clock.ntpServers.";
    if (daemon === undefined) {
      return "The kernel cannot be asked about its clock here: a sandbox may forbid adjtimex. Name time servers in clock.ntpServers.";
    }
    if (daemon !== undefined && daemon !== "kernel") {
      return `${daemon} runs, but has not synchronised the clock yet. Wait, or look at its own status.`;
    }
    return "Nothing synchronises this machine's clock. Install chrony, or name time servers in clock.ntpServers.";
  }
}

function isUncertain({ uncertaintyUs = 0 }: ClockState): boolean {
  return uncertaintyUs > uncertainBeyondUs;
}

/** Whether it is news: small changes of the figures are not. */
function differs(a: ClockState, b: ClockState): boolean {
  const doubled = (x: number | undefined, y: number | undefined): boolean =>
    (x === undefined) !== (y === undefined) || Math.abs((x ?? 0) - (y ?? 0)) > Math.max(1000, x ?? 0);
  return (
    a.synchronised !== b.synchronised ||
    a.source !== b.source ||
    a.reason !== b.reason ||
    Math.abs(a.offsetUs - b.offsetUs) > 1000 ||
    isUncertain(a) !== isUncertain(b) ||
    doubled(a.uncertaintyUs, b.uncertaintyUs)
  );
}
