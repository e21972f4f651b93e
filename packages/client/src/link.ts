/**
 * Keeps one connection: makes it in several attempts, notices when it is lost, makes it again. What an attempt
 * consists of is its owner's.
 *
 * Invariants: at most one attempt runs; whoever calls `connect()` meanwhile waits for that one. After `close()`
 * nothing runs any more.
 */
import { AuthenticationError, ConnectionError } from "./errors.ts";
import type { RpcConnection } from "./rpc-connection.ts";
import { sleep, unlessAborted } from "./waiting.ts";

export interface LinkOptions {
  /** One attempt, ready for calls when it resolves. */
  readonly open: (attempt: { signal: AbortSignal; reconnect: boolean }) => Promise<RpcConnection>;
  readonly maxRetries: number;
  /** Seconds, as all here. */
  readonly retryDelay: number;
  readonly autoReconnect: boolean;
  readonly reconnectDelay: number;
  readonly maxReconnectDelay: number;
  readonly maxReconnectAttempts: number;
  readonly onConnected: (reconnected: boolean) => void;
  readonly onLost: (how: { code: number; reason: string; willReconnect: boolean }) => void;
  readonly onReconnecting: (next: { attempt: number; delay: number }) => void;
  readonly onReconnectFailed: (error: Error) => void;
  readonly onAttemptFailed: (error: unknown) => void;
}

interface Run {
  readonly stop: AbortController;
  readonly done: Promise<void>;
  readonly reconnect: boolean;
  waiters: number;
}

export class Link {
  readonly #options: LinkOptions;
  #current: RpcConnection | undefined;
  #run: Run | undefined;
  #closing: Promise<void> | undefined;
  #wake = new AbortController();

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  get current(): RpcConnection | undefined {
    return this.#current;
  }

  get reconnecting(): boolean {
    return this.#run?.reconnect === true;
  }

  /**
   * Joins an attempt that runs; one that waits for its time is hurried.
   * @throws AuthenticationError at once
   * @throws ConnectionError when all attempts failed, or `close()` came first
   */
  async connect(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (this.#closing !== undefined) await unlessAborted(this.#closing, signal);
    if (this.#current !== undefined) return;
    const run = this.#run ?? this.#start(false, (stop) => this.#firstAttempts(stop));
    if (run.reconnect) this.#wake.abort();
    run.waiters++;
    try {
      await unlessAborted(run.done, signal);
    } finally {
      run.waiters--;
      // Nobody waits for a first connection any more: it is given up. A reconnect has been asked for by the options.
      if (signal?.aborted && run.waiters === 0 && !run.reconnect) run.stop.abort(signal.reason);
    }
  }

  /** Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close().finally(() => {
      this.#closing = undefined;
    });
    return this.#closing;
  }

  async #close(): Promise<void> {
    const run = this.#run;
    run?.stop.abort(
      new ConnectionError("Disconnected while connecting to the camera service", {
        condition: "connection_lost",
      }),
    );
    await run?.done.catch(() => {});
    const connection = this.#current;
    this.#current = undefined;
    await connection?.close();
  }

  #start(reconnect: boolean, work: (stop: AbortSignal) => Promise<void>): Run {
    const stop = new AbortController();
    // Not before #run is set: what the work calls back may call connect().
    const done = Promise.resolve()
      .then(() => work(stop.signal))
      .finally(() => {
        if (this.#run === run) this.#run = undefined;
      });
    const run: Run = { stop, done, reconnect, waiters: 0 };
    this.#run = run;
    // Whoever waits is told; nobody may be waiting for a reconnect.
    done.catch(() => {});
    return run;
  }

  async #firstAttempts(stop: AbortSignal): Promise<void> {
    const { maxRetries, retryDelay } = this.#options;
    let last: unknown;
    for (let attempt = 1; attempt <= maxRetries; attempt++) {
      if (attempt > 1) await sleep(retryDelay * (attempt - 1), stop);
      try {
        this.#adopt(await this.#options.open({ signal: stop, reconnect: false }), stop, false);
        return;
      } catch (error) {
        if (stop.aborted || error instanceof AuthenticationError) throw error;
        last = error;
        this.#options.onAttemptFailed(error);
      }
    }
    const why = last instanceof Error ? last.message : String(last);
    throw new ConnectionError(
      `Failed to connect after ${maxRetries} ${maxRetries === 1 ? "attempt" : "attempts"}: ${why}`,
      { condition: "connect_failed", cause: last },
    );
  }

  async #reconnect(stop: AbortSignal): Promise<void> {
    const { reconnectDelay, maxReconnectDelay, maxReconnectAttempts } = this.#options;
    let last: unknown;
    try {
      for (let attempt = 1; attempt <= maxReconnectAttempts; attempt++) {
        const full = Math.min(maxReconnectDelay, reconnectDelay * 2 ** Math.min(attempt - 1, 30));
        // Many clients lose a server at the same moment: they must not come back at the same moment.
        const delay = full * (0.5 + Math.random() / 2);
        this.#wake = new AbortController();
        this.#options.onReconnecting({ attempt, delay });
        await sleep(delay, stop, this.#wake.signal).catch((reason: unknown) => {
          if (stop.aborted) throw reason;
        });
        try {
          this.#adopt(await this.#options.open({ signal: stop, reconnect: true }), stop, true);
          return;
        } catch (error) {
          if (stop.aborted || error instanceof AuthenticationError) throw error;
          last = error;
          this.#options.onAttemptFailed(error);
        }
      }
      throw new ConnectionError(
        `Failed to reconnect after ${maxReconnectAttempts} attempts: ${last instanceof Error ? last.message : String(last)}`,
        { condition: "connect_failed", cause: last },
      );
    } catch (error) {
      if (!stop.aborted) {
        this.#options.onReconnectFailed(error instanceof Error ? error : new Error(String(error)));
      }
      throw error;
    }
  }

  #adopt(connection: RpcConnection, stop: AbortSignal, reconnected: boolean): void {
    if (stop.aborted) {
      connection.destroy();
      stop.throwIfAborted();
    }
    this.#current = connection;
    this.#run = undefined;
    void connection.closed.then((how) => this.#lost(connection, how));
    this.#options.onConnected(reconnected);
  }

  #lost(connection: RpcConnection, how: { code: number; reason: string }): void {
    if (this.#current !== connection) return;
    this.#current = undefined;
    const willReconnect = this.#options.autoReconnect;
    // Begun before anyone is told, so that a listener that calls connect() joins.
    if (willReconnect) this.#start(true, (stop) => this.#reconnect(stop));
    this.#options.onLost({ ...how, willReconnect });
  }
}
