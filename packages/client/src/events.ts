/** Listeners, waiting for an event, and iterating over events. A listener never disturbs the others or the socket. */

export interface ListenOptions {
  /** Aborting it unsubscribes. */
  readonly signal?: AbortSignal | undefined;
}

export interface IterateOptions extends ListenOptions {
  /** Events held for a slow reader; beyond it the oldest are dropped. Default 1000. */
  readonly bufferSize?: number | undefined;
}

type Listener = (value: unknown) => unknown;

export class Emitter {
  readonly #listeners = new Map<string, Set<Listener>>();
  readonly #streams = new Set<EventStream<unknown>>();
  readonly #failed: (name: string, error: unknown) => void;

  /** @param failed is told what a listener threw, or its promise was rejected with */
  constructor(failed: (name: string, error: unknown) => void) {
    this.#failed = failed;
  }

  on(name: string, listener: Listener, { signal }: ListenOptions = {}): () => void {
    if (signal?.aborted) return () => {};
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners);
    // A function of its own, so that the same listener may be there twice.
    const entry: Listener = (value) => listener(value);
    listeners.add(entry);
    const off = (): void => {
      listeners.delete(entry);
      signal?.removeEventListener("abort", off);
    };
    signal?.addEventListener("abort", off);
    return off;
  }

  emit(name: string, value: unknown): void {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) this.run(name, () => listener(value));
  }

  /** Calls back without waiting; what goes wrong is reported. */
  run(name: string, callback: () => unknown): void {
    try {
      const returned = callback();
      if (returned instanceof Promise) returned.catch((error: unknown) => this.#failed(name, error));
    } catch (error) {
      this.#failed(name, error);
    }
  }

  iterate(name: string, options: IterateOptions = {}): AsyncIterableIterator<unknown> {
    const stream = new EventStream<unknown>(options.bufferSize ?? 1000, () => {
      off();
      options.signal?.removeEventListener("abort", end);
      this.#streams.delete(stream);
    });
    const off = this.on(name, (value) => stream.push(value));
    const end = (): void => stream.end();
    this.#streams.add(stream);
    options.signal?.addEventListener("abort", end);
    if (options.signal?.aborted) end();
    return stream;
  }

  /** Ends all iterations once they have been read to the end. */
  endStreams(): void {
    for (const stream of [...this.#streams]) stream.end();
  }
}

class EventStream<T> implements AsyncIterableIterator<T> {
  readonly #bufferSize: number;
  readonly #ended: () => void;
  readonly #buffer: T[] = [];
  readonly #readers: ((result: IteratorResult<T>) => void)[] = [];
  #over = false;

  constructor(bufferSize: number, ended: () => void) {
    this.#bufferSize = bufferSize;
    this.#ended = ended;
  }

  push(value: T): void {
    if (this.#over) return;
    const reader = this.#readers.shift();
    if (reader !== undefined) reader({ value, done: false });
    else if (this.#buffer.push(value) > this.#bufferSize) this.#buffer.shift();
  }

  end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#ended();
    for (const reader of this.#readers.splice(0)) reader({ value: undefined, done: true });
  }

  next(): Promise<IteratorResult<T>> {
    if (this.#buffer.length > 0) {
      const [value] = this.#buffer.splice(0, 1);
      return Promise.resolve({ value: value as T, done: false }); // there is one
    }
    if (this.#over) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve) => this.#readers.push(resolve));
  }

  return(): Promise<IteratorResult<T>> {
    this.#buffer.length = 0;
    this.end();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
