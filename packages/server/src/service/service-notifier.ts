/**
 * Tells the service manager how the hub is doing: starting, ready, stopping, and alive. Does nothing when the hub was
 * not started by one (no NOTIFY_SOCKET). Leaves to the unit file what happens when the signs of life stop.
 *
 * Signs of life come from a timer of the event loop, so that a blocked loop gives none. A loop that still turns but
 * answers nobody in time gives none either: a sign is held back while the timer runs a whole interval late, twice in a row.
 */
import { messageOf } from "@ocelli/protocol";
import type { Clock } from "../clock/clock.ts";
import type { Log } from "../log/log.ts";
import { loadSystemd, type Systemd } from "./systemd.ts";

export interface ServiceNotifierOptions {
  readonly clock: Pick<Clock, "every" | "monoUs">;
  readonly log: Log;
  /** Default `process.env`: only whether NOTIFY_SOCKET is there. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** For tests; default libsystemd. */
  readonly load?: () => Systemd;
}

/** Signs of life in each period the manager waits; it recommends two or more. */
const signsPerPeriod = 4;
const lateTicksInARow = 2;

export class ServiceNotifier {
  readonly #clock: Pick<Clock, "every" | "monoUs">;
  readonly #log: Log;
  readonly #systemd: Systemd | undefined;
  #stopSigns: (() => void) | undefined;
  #lateTicks = 0;

  constructor(options: ServiceNotifierOptions) {
    this.#clock = options.clock;
    this.#log = options.log;
    const socket = (options.env ?? process.env).NOTIFY_SOCKET;
    if (socket === undefined || socket === "") return;
    try {
      this.#systemd = (options.load ?? loadSystemd)();
    } catch (error) {
      this.#log.error(
        `The service manager waits for a sign of this hub, but libsystemd cannot be loaded (${messageOf(error)}). Install it (apt-get install libsystemd0), or set Type=exec and remove WatchdogSec in the unit.`,
      );
    }
  }

  /** Whether a service manager listens. */
  get active(): boolean {
    return this.#systemd !== undefined;
  }

  /** One line for people, shown by `systemctl status`. */
  status(text: string): void {
    this.#send(`STATUS=${oneLine(text)}`);
  }

  /** The hub serves; from now on signs of life are given if the unit asks for them. */
  ready(status: string): void {
    this.#send(`READY=1\nSTATUS=${oneLine(status)}`);
    this.#startSigns();
  }

  /**
   * The hub is ending, and may take up to `withinMs`. Signs of life go on until `close`: finishing recordings must not
   * look like a hang.
   */
  stopping(withinMs: number): void {
    this.#send(
      `STOPPING=1\nSTATUS=Finishing recordings\nEXTEND_TIMEOUT_USEC=${Math.max(0, Math.round(withinMs * 1000))}`,
    );
  }

  /** Idempotent. */
  close(): void {
    this.#stopSigns?.();
    this.#stopSigns = undefined;
  }

  #startSigns(): void {
    const periodUs = this.#systemd?.watchdogUs();
    if (periodUs === undefined || this.#stopSigns !== undefined) return;
    const intervalMs = periodUs / signsPerPeriod / 1000;
    let lastMonoUs = this.#clock.monoUs();
    this.#send("WATCHDOG=1");
    this.#stopSigns = this.#clock.every(intervalMs, () => {
      const nowMonoUs = this.#clock.monoUs();
      this.#sign(nowMonoUs - lastMonoUs, intervalMs);
      lastMonoUs = nowMonoUs;
    });
  }

  #sign(sinceLastUs: number, intervalMs: number): void {
    const lateMs = sinceLastUs / 1000 - intervalMs;
    this.#lateTicks = lateMs > intervalMs ? this.#lateTicks + 1 : 0;
    if (this.#lateTicks < lateTicksInARow) {
      this.#send("WATCHDOG=1");
      return;
    }
    this.#log.error(
      { lateMs: Math.round(lateMs) },
      "the event loop is far too slow; no sign of life is given to the service manager, which will restart the hub if this stays",
    );
  }

  #send(state: string): void {
    const sent = this.#systemd?.notify(state);
    if (sent === undefined || sent >= 0) return;
    this.#log.warn({ errno: -sent }, "the service manager could not be told how the hub is doing");
  }
}

/** A line break would begin another assignment. */
function oneLine(text: string): string {
  return text.replace(/[\r\n]+/g, " ");
}
