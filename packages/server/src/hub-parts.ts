import type { Clock } from "./clock/clock.ts";
import { SystemClock } from "./clock/system-clock.ts";
import type { Config } from "./config/schema.ts";
import type { EventBus } from "./events/bus.ts";
import type { Log } from "./log/log.ts";

/** What every part of the hub may be built from. Only `hub.ts` and its `hub-*.ts` know the configuration. */
export interface HubContext {
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
  readonly bus: EventBus;
  readonly parts: Parts;
}

export const mebibyte = 2 ** 20;

interface Part {
  readonly name: string;
  readonly close: () => unknown;
}

/** What has been started, in that order; it is closed backwards. */
export class Parts {
  readonly #log: Log;
  readonly #parts: Part[] = [];

  constructor(log: Log) {
    this.#log = log;
  }

  started(name: string, close: Part["close"]): void {
    this.#parts.push({ name, close });
  }

  /**
   * Closes everything, last first, within `boundMs`. A part that fails or hangs is named in the log and does not
   * keep the others from being closed.
   */
  async close(boundMs: number): Promise<"closed" | "timeout"> {
    // A clock of its own: the hub's is one of the parts.
    const clock = new SystemClock();
    const inTime = new AbortController();
    const late = clock.sleep(boundMs, inTime.signal).then(
      () => "timeout" as const,
      () => "closed" as const,
    );
    const open = new Set(this.#parts.map((part) => part.name));
    const outcome = await Promise.race([this.#closeEach(open), late]);
    inTime.abort();
    clock.close();
    if (outcome === "timeout") this.#log.error({ parts: [...open] }, "these parts did not stop in time");
    return outcome;
  }

  async #closeEach(open: Set<string>): Promise<"closed"> {
    for (const part of this.#parts.toReversed()) {
      try {
        await part.close();
      } catch (error) {
        this.#log.error({ err: error, part: part.name }, "a part could not be closed");
      }
      open.delete(part.name);
    }
    return "closed";
  }
}
