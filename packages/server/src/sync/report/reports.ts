/**
 * Makes reports when asked. Reading the files of a long session takes minutes: whoever asks while a report of the same is
 * being made gets that one, and only a few are made at a time; the others wait in order.
 */
import type { Clock } from "../../clock/clock.ts";
import type { Library } from "../../library/contract.ts";
import { recordedFrames } from "../../library/recorded-frames.ts";
import { Limiter } from "../../store/limiter.ts";
import type { SyncReport, SyncSession } from "../contract.ts";
import type { StampedFrame } from "../times/one-clock.ts";
import { buildReport } from "./report.ts";

export interface ReportsOptions {
  readonly library: Pick<Library, "get">;
  readonly clock: Pick<Clock, "wallUs">;
  /** Of a file; `recordedFrames` unless a test says otherwise. */
  readonly frames?: (path: string, signal: AbortSignal) => AsyncIterable<StampedFrame>;
}

const madeAtOnce = 2;

export class Reports {
  readonly #options: ReportsOptions;
  readonly #turns = new Limiter(madeAtOnce);
  readonly #underWay = new Map<string, Promise<SyncReport>>();
  readonly #closing = new AbortController();

  constructor(options: ReportsOptions) {
    this.#options = options;
  }

  /** @throws the reason of `close` */
  of(session: SyncSession): Promise<SyncReport> {
    // All that is known of the session: what was begun before its end is no report of the whole.
    const key = JSON.stringify(session);
    const known = this.#underWay.get(key);
    if (known !== undefined) return known;
    const made = this.#turns.run(() => this.#make(session)).finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, made);
    return made;
  }

  /** Gives up what is being made, for this reason. */
  async close(reason: Error): Promise<void> {
    this.#closing.abort(reason);
    await Promise.allSettled(this.#underWay.values());
  }

  #make(session: SyncSession): Promise<SyncReport> {
    const { library, clock, frames = recordedFrames } = this.#options;
    const { signal } = this.#closing;
    return buildReport(session, {
      signal,
      entry: (filename) => library.get("recording", filename),
      frames: (path) => frames(path, signal),
      nowUs: () => clock.wallUs(),
    });
  }
}
