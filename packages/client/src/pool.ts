/** Several connections to one service, lent one at a time. One connection already carries parallel calls; a pool helps when calls are so large or so many that they wait for each other. */
import { ConnectionError } from "./errors.ts";

export interface Pooled {
  connect(): Promise<void>;
  disconnect(): Promise<void>;
}

export interface PoolOptions<C extends Pooled> {
  /** Makes a client that is not yet connected. */
  readonly create: () => C;
  /** Default 5. */
  readonly size?: number;
}

interface Waiter<C> {
  readonly resolve: (client: C) => void;
  readonly reject: (error: Error) => void;
}

export class ConnectionPool<C extends Pooled> implements AsyncDisposable {
  readonly #clients: C[];
  readonly #idle: C[];
  readonly #lent = new Set<C>();
  readonly #waiters: Waiter<C>[] = [];
  #closed: Promise<void> | undefined;

  constructor({ create, size = 5 }: PoolOptions<C>) {
    this.#clients = Array.from({ length: Math.max(1, size) }, create);
    this.#idle = [...this.#clients];
  }

  /** Connects all clients now rather than when each is first used. */
  async initialize(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.connect()));
  }

  /**
   * A connected client that nobody else has until it is returned.
   * @throws ConnectionError after `close()`, or when it cannot be connected
   */
  async getClient(signal?: AbortSignal): Promise<C> {
    signal?.throwIfAborted();
    if (this.#closed !== undefined) throw closed();
    const client = this.#idle.shift() ?? (await this.#wait(signal));
    this.#lent.add(client);
    try {
      await client.connect();
      return client;
    } catch (error) {
      this.returnClient(client);
      throw error;
    }
  }

  /** Does nothing for a client that is not lent. */
  returnClient(client: C): void {
    if (!this.#lent.delete(client)) return;
    const waiter = this.#waiters.shift();
    if (waiter !== undefined) waiter.resolve(client);
    else this.#idle.push(client);
  }

  /** Lends a client for the time of `work`. */
  async use<T>(work: (client: C) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const client = await this.getClient(signal);
    try {
      return await work(client);
    } finally {
      this.returnClient(client);
    }
  }

  /** Disconnects all, lent ones included. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= (async () => {
      for (const waiter of this.#waiters.splice(0)) waiter.reject(closed());
      await Promise.all(this.#clients.map((client) => client.disconnect()));
    })();
    return this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #wait(signal: AbortSignal | undefined): Promise<C> {
    return new Promise((resolve, reject) => {
      const aborted = (): void => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
        reject(signal?.reason);
      };
      const settled = (): void => signal?.removeEventListener("abort", aborted);
      const waiter: Waiter<C> = {
        resolve: (client) => {
          settled();
          resolve(client);
        },
        reject: (error) => {
          settled();
          reject(error);
        },
      };
      signal?.addEventListener("abort", aborted);
      this.#waiters.push(waiter);
    });
  }
}

function closed(): ConnectionError {
  return new ConnectionError("The connection pool is closed", { condition: "connection_lost" });
}
