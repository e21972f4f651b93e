import { EventEmitter } from "node:events";
import type { Log } from "../log/log.ts";
import type { EventCatalogue, EventName, HubEvent } from "./catalogue.ts";

export type Listener<E extends EventName> = (payload: EventCatalogue[E]) => void;

/** Typed events. Listeners run in order; one that throws is logged and never disturbs the others. */
export class EventBus {
  readonly #emitter = new EventEmitter().setMaxListeners(0);
  readonly #witnesses = new Set<(event: HubEvent) => void>();
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  /** Returns the function that unsubscribes. */
  on<E extends EventName>(event: E, listener: Listener<E>): () => void {
    const guarded = (payload: EventCatalogue[E]): void => {
      try {
        listener(payload);
      } catch (error) {
        this.#log.error({ err: error, event }, "an event listener failed");
      }
    };
    this.#emitter.on(event, guarded);
    return () => this.#emitter.off(event, guarded);
  }

  /** Every event, before the listeners of its name: an event that one of those emits comes after it. */
  onAny(listener: (event: HubEvent) => void): () => void {
    this.#witnesses.add(listener);
    return () => this.#witnesses.delete(listener);
  }

  emit<E extends EventName>(event: E, payload: EventCatalogue[E]): void {
    for (const witness of this.#witnesses) {
      try {
        // Name and payload belong together by the signature; the compiler does not follow the type parameter.
        witness({ name: event, payload } as HubEvent);
      } catch (error) {
        this.#log.error({ err: error, event }, "an event listener failed");
      }
    }
    this.#emitter.emit(event, payload);
  }
}
