/**
 * Gives every event its `seq`, tells it on, and keeps it for those who come later. Owns the order of events and the
 * bounds of what is kept; who may see what, and in which words, is for others.
 *
 * Invariants: `seq` grows by one from event to event while the hub runs and never comes back: numbers are reserved
 * ahead, so that a crash costs a few numbers and never an order. Events are written together a moment later; until
 * then, and while the disk is full, they are read from memory. What is lost moves `completeAfter`, never silently.
 */
import type { Clock } from "../clock/clock.ts";
import type { EventBus } from "../events/bus.ts";
import type { HubEvent } from "../events/catalogue.ts";
import type { Log } from "../log/log.ts";
import type { Database } from "../store/database.ts";
import { type EventRecord, type Events, type ReadOptions, transientEvents } from "./contract.ts";
import { EventStore } from "./store.ts";

export interface EventLogOptions {
  /** Opened with `eventLogMigrations`; closed with the log. */
  readonly database: Database;
  readonly bus: EventBus;
  readonly clock: Clock;
  readonly log: Log;
  /** Payloads kept, default 64 MiB. */
  readonly maxBytes?: number;
  /** Default 30 days. */
  readonly maxAgeMs?: number;
}

const reservedAhead = 1000;
const writeWithinMs = 50;
/** Kept in memory while they cannot be written. */
const maxUnwritten = 5000;
const trimAtMost = 2000;

export class EventLog implements Events {
  readonly #options: EventLogOptions;
  readonly #store: EventStore;
  readonly #listeners = new Set<(record: EventRecord) => void>();
  readonly #unsubscribe: () => void;
  readonly #cancelTrim: () => void;
  #unwritten: EventRecord[] = [];
  #cancelWrite: (() => void) | undefined;
  #latestSeq: number;
  #reservedThrough: number;
  #completeAfter: number;
  #failing = false;
  /** `completeAfter` has moved and could not be written. */
  #lost = false;
  #closed = false;

  constructor(options: EventLogOptions) {
    this.#options = options;
    this.#store = new EventStore(options.database);
    this.#reservedThrough = this.#store.state("reserved_through");
    this.#latestSeq = Math.max(this.#reservedThrough, this.#store.newestSeq());
    this.#completeAfter = this.#store.state("complete_after");
    this.#trim();
    this.#unsubscribe = options.bus.onAny((event) => this.#take(event));
    this.#cancelTrim = options.clock.every(60_000, () => this.#trim());
  }

  get latestSeq(): number {
    return this.#latestSeq;
  }

  get completeAfter(): number {
    return this.#completeAfter;
  }

  on(listener: (record: EventRecord) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  read({ after, limit, names, untilUs }: ReadOptions): EventRecord[] {
    this.#write();
    const stored = this.#store.forward({ afterSeq: after, limit, names, untilUs });
    if (stored.length >= limit || this.#unwritten.length === 0) return stored;
    const rest = this.#unwritten.filter((one) => one.seq > after && fits(one, names, undefined, untilUs));
    return [...stored, ...rest].slice(0, limit);
  }

  newest({ limit, names, fromUs, untilUs }: Parameters<Events["newest"]>[0]): EventRecord[] {
    this.#write();
    const unwritten = this.#unwritten.filter((one) => fits(one, names, fromUs, untilUs)).slice(-limit);
    const left = limit - unwritten.length;
    if (left <= 0) return unwritten;
    const stored = this.#store.backward({ afterSeq: 0, limit: left, names, fromUs, untilUs });
    return [...stored.reverse(), ...unwritten];
  }

  /** Writes what is left. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#unsubscribe();
    this.#cancelTrim();
    this.#write();
    // A clean end needs no numbers in reserve.
    this.#attempt(() => this.#store.setState("reserved_through", this.#latestSeq));
    this.#store.close();
    this.#listeners.clear();
  }

  #take(event: HubEvent): void {
    const seq = this.#latestSeq + 1;
    this.#latestSeq = seq;
    if (seq > this.#reservedThrough) {
      this.#reservedThrough = seq + reservedAhead;
      this.#attempt(() => this.#store.setState("reserved_through", this.#reservedThrough));
    }
    const record: EventRecord = { ...event, seq, atUs: this.#options.clock.wallUs() };
    if (!transientEvents.has(event.name)) {
      this.#unwritten.push(record);
      this.#cancelWrite ??= this.#options.clock.after(writeWithinMs, () => this.#write());
    }
    for (const listener of this.#listeners) {
      try {
        listener(record);
      } catch (error) {
        this.#options.log.error({ err: error, event: event.name }, "an event listener failed");
      }
    }
  }

  #write(): void {
    this.#cancelWrite?.();
    this.#cancelWrite = undefined;
    if (this.#unwritten.length === 0) return;
    if (this.#attempt(() => this.#store.append(this.#unwritten))) {
      this.#unwritten = [];
      if (this.#lost)
        this.#lost = !this.#attempt(() => this.#store.setState("complete_after", this.#completeAfter));
      return;
    }
    const excess = this.#unwritten.length - maxUnwritten;
    const lost = excess > 0 ? this.#unwritten.splice(0, excess).at(-1) : undefined;
    if (lost === undefined) return;
    this.#completeAfter = lost.seq;
    this.#lost = true;
  }

  #trim(): void {
    const { maxBytes = 64 * 2 ** 20, maxAgeMs = 30 * 86_400_000, clock } = this.#options;
    this.#write();
    this.#attempt(() => {
      const beforeUs = clock.wallUs() - maxAgeMs * 1000;
      for (;;) {
        const through = this.#store.trim(maxBytes, beforeUs, trimAtMost);
        if (through === undefined) break;
        this.#completeAfter = Math.max(this.#completeAfter, through);
      }
    });
  }

  /** A full or broken disk is told of once, and never ends what the event was about. */
  #attempt(work: () => void): boolean {
    try {
      work();
      if (this.#failing) this.#options.log.info("the event log is written again");
      this.#failing = false;
      return true;
    } catch (error) {
      if (!this.#failing) this.#options.log.error({ err: error }, "the event log cannot be written");
      this.#failing = true;
      return false;
    }
  }
}

function fits(
  { name, atUs }: EventRecord,
  names: ReadOptions["names"],
  fromUs = 0,
  untilUs = Number.POSITIVE_INFINITY,
): boolean {
  return atUs >= fromUs && atUs <= untilUs && (names === undefined || names.includes(name));
}
