/**
 * Pings for all connections on one timer, however many there are: a wheel with a slot for each tick of the interval.
 * A connection is pinged each time the wheel passes its slot, and asked for its pong some slots later.
 */
import type { Clock } from "../../clock/clock.ts";

export interface Beating {
  ping(): void;
  /** Called `pongWithinMs` after each ping, rounded up to a tick. */
  expectPong(): void;
}

export interface HeartbeatOptions {
  readonly clock: Clock;
  readonly pingEveryMs: number;
  readonly pongWithinMs: number;
}

/** A connection is first pinged up to a twentieth of the interval early. */
const slotCount = 20;

export class Heartbeat {
  readonly #slots: readonly Set<Beating>[] = Array.from({ length: slotCount }, () => new Set());
  readonly #slotOf = new Map<Beating, Set<Beating>>();
  readonly #pongAfter: number;
  readonly #cancel: () => void;
  #now = 0;

  constructor({ clock, pingEveryMs, pongWithinMs }: HeartbeatOptions) {
    const tickMs = pingEveryMs / slotCount;
    // A pong that is due later than the next ping could not be told from the answer to that.
    this.#pongAfter = Math.min(slotCount - 1, Math.max(1, Math.ceil(pongWithinMs / tickMs)));
    this.#cancel = clock.every(tickMs, () => this.#tick());
  }

  add(one: Beating): void {
    const slot = this.#slots[this.#now];
    if (slot === undefined) return;
    slot.add(one);
    this.#slotOf.set(one, slot);
  }

  remove(one: Beating): void {
    this.#slotOf.get(one)?.delete(one);
    this.#slotOf.delete(one);
  }

  close(): void {
    this.#cancel();
  }

  #tick(): void {
    this.#now = (this.#now + 1) % slotCount;
    const due = this.#slots[(this.#now - this.#pongAfter + slotCount) % slotCount] ?? [];
    // Those that came into the slot after its pings have none to answer.
    for (const one of due) one.expectPong();
    for (const one of this.#slots[this.#now] ?? []) one.ping();
  }
}
