/** The events of a source. A listener that throws does not keep others, or the capture, from going on. */
import type { Log } from "../log/log.ts";
import type { SourceEvents } from "./source.ts";

export class SourceEmitter {
  readonly #log: Log;
  readonly #state = new Set<SourceEvents["state"]>();
  readonly #gap = new Set<SourceEvents["gap"]>();

  constructor(log: Log) {
    this.#log = log;
  }

  on<E extends keyof SourceEvents>(event: E, listener: SourceEvents[E]): () => void {
    const set: Set<unknown> = event === "state" ? this.#state : this.#gap;
    set.add(listener);
    return () => set.delete(listener);
  }

  state(...args: Parameters<SourceEvents["state"]>): void {
    for (const listener of [...this.#state]) this.#guard(() => listener(...args));
  }

  gap(...args: Parameters<SourceEvents["gap"]>): void {
    for (const listener of [...this.#gap]) this.#guard(() => listener(...args));
  }

  #guard(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#log.error({ err: error }, "a listener of a capture failed");
    }
  }
}
