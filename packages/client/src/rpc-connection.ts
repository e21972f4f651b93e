/**
 * One JSON-RPC connection to a camera service, over the platform's WebSocket or another one given. Owns the
 * socket, the requests under way and the listeners; reconnecting is left to who uses it.
 *
 * Invariant: every call settles: with its answer, an error, or the end of the connection.
 */
import type {
  MethodName,
  NotificationName,
  NotificationParams,
  ParamsInput,
  ResultOf,
} from "@ocelli/protocol/camera-service";
import { AuthenticationError, ConnectionError, failureIn, isObject, TimeoutError } from "./errors.ts";
import { type OpenSocket, openPlatformSocket, type Socket } from "./socket.ts";

export interface RpcConnectionOptions {
  /** `ws://host:8002/ws`; the query may fix the dialect (`?names=logical`). */
  readonly url: string;
  /** Default 10,000. */
  readonly connectTimeoutMs?: number;
  /** Default of each call: 30,000. */
  readonly requestTimeoutMs?: number;
  /** Default: the platform's WebSocket. */
  readonly openSocket?: OpenSocket;
  /** Every notification, before the listeners of its name. Must not throw. */
  readonly onNotification?: (method: string, params: unknown) => void;
  /** What a listener threw. Default: the console. */
  readonly onListenerError?: (method: string, error: unknown) => void;
  /** Gives up connecting. */
  readonly signal?: AbortSignal | undefined;
}

export interface CallOptions {
  /** 0 waits without end. */
  readonly timeoutMs?: number | undefined;
  /** Gives up waiting: the call rejects with the signal's reason. The server may still do what was asked. */
  readonly signal?: AbortSignal | undefined;
}

/** The result of a call that worked: failures told inside `result` are thrown instead. */
export type Success<T> = Exclude<T, { success: false } | { authenticated: false }>;

interface Waiting {
  readonly method: string;
  readonly settle: (answer: Record<string, unknown> | Error) => void;
}

type Listener = (params: unknown) => void;

const closeTimeoutMs = 2000;

export class RpcConnection {
  readonly #socket: Socket;
  readonly #options: RpcConnectionOptions;
  readonly #waiting = new Map<number, Waiting>();
  readonly #listeners = new Map<string, Set<Listener>>();
  readonly #closed = Promise.withResolvers<{ code: number; reason: string }>();
  #open = true;
  #nextId = 1;
  #lastReceivedMono = performance.now();

  private constructor(socket: Socket, options: RpcConnectionOptions) {
    this.#socket = socket;
    this.#options = options;
  }

  /**
   * @throws ConnectionError `connect_failed`
   * @throws AuthenticationError when the upgrade itself is answered with 401
   */
  static async connect(options: RpcConnectionOptions): Promise<RpcConnection> {
    const { url, connectTimeoutMs = 10_000, openSocket = openPlatformSocket, signal } = options;
    signal?.throwIfAborted();
    const opened = Promise.withResolvers<void>();
    let connection: RpcConnection | undefined;
    let why: unknown;
    const fail = (what: string): void => {
      const message = `Cannot connect to ${url}: ${what}.`;
      const unauthorized = /server response: 401/.test(what);
      opened.reject(
        unauthorized
          ? new AuthenticationError(message, { condition: "auth_failed", cause: why })
          : new ConnectionError(message, { condition: "connect_failed", cause: why }),
      );
    };
    const socket = openSocket(url, {
      opened: () => opened.resolve(),
      received: (text) => {
        if (connection !== undefined) connection.#receive(text);
      },
      failed: (cause) => {
        why = cause;
      },
      closed: (code, reason) => {
        if (connection !== undefined) connection.#end(code, reason);
        fail(
          textOf(why) ?? (reason || (code === 1006 ? "nothing answers there" : `closed with code ${code}`)),
        );
      },
    });
    connection = new RpcConnection(socket, options);
    const timer = setTimeout(() => fail(`no answer within ${connectTimeoutMs / 1000} s`), connectTimeoutMs);
    const aborted = (): void => opened.reject(signal?.reason);
    signal?.addEventListener("abort", aborted);
    try {
      await opened.promise;
      return connection;
    } catch (error) {
      socket.destroy();
      throw error;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", aborted);
    }
  }

  /** Settles when the connection has ended, for whatever reason. */
  get closed(): Promise<{ code: number; reason: string }> {
    return this.#closed.promise;
  }

  /** Milliseconds since the server last sent anything. */
  get silentMs(): number {
    return performance.now() - this.#lastReceivedMono;
  }

  /** @throws AuthenticationError */
  authenticate(credential: string): Promise<Success<ResultOf<"authenticate">>> {
    // Said so that a refusal is about what was given; three parts with dots between them are a JWT.
    const auth_type = credential.split(".").length === 3 ? "jwt" : "api_key";
    return this.call("authenticate", { auth_token: credential, auth_type });
  }

  /**
   * @throws CameraServiceError what the hub says, as the class for it
   * @throws ConnectionError `connection_lost`
   * @throws TimeoutError
   */
  async call<M extends MethodName>(
    method: M,
    params?: ParamsInput<M>,
    options: CallOptions = {},
  ): Promise<Success<ResultOf<M>>> {
    // The shape is the server's promise; a superset client reads what it needs of it.
    return (await this.request(method, params ?? {}, options)) as Success<ResultOf<M>>;
  }

  /** As `call`, for methods this package does not know. */
  async request(method: string, params: object = {}, options: CallOptions = {}): Promise<unknown> {
    const answer = await this.#exchange(method, params, options);
    const failure = failureIn(method, params, answer);
    if (failure !== undefined) throw failure;
    return answer.result;
  }

  #exchange(method: string, params: object, options: CallOptions): Promise<Record<string, unknown>> {
    const { signal, timeoutMs = this.#options.requestTimeoutMs ?? 30_000 } = options;
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (!this.#open) return Promise.reject(notConnected());
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const settle = (answer: Record<string, unknown> | Error): void => {
        this.#waiting.delete(id);
        clearTimeout(timer);
        signal?.removeEventListener("abort", aborted);
        if (answer instanceof Error) reject(answer);
        else resolve(answer);
      };
      const late = (): void =>
        settle(new TimeoutError(`Request timeout: ${method}`, { condition: "request_timeout" }));
      const aborted = (): void => settle(reasonOf(signal));
      const timer = timeoutMs > 0 ? setTimeout(late, timeoutMs) : undefined;
      signal?.addEventListener("abort", aborted);
      this.#waiting.set(id, { method, settle });
      try {
        this.#socket.send(JSON.stringify({ jsonrpc: "2.0", id, method, params }));
      } catch (cause) {
        settle(notConnected(cause));
      }
    });
  }

  /** Returns the function that unsubscribes. A listener that throws does not disturb the others. */
  on<N extends NotificationName>(name: N, listener: (params: NotificationParams<N>) => void): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners);
    const typed = listener as Listener; // each name has only listeners of its own parameters
    listeners.add(typed);
    return () => listeners.delete(typed);
  }

  /** Idempotent; waits at most 2 s for the server's side of it. */
  async close(): Promise<void> {
    if (this.#open) this.#socket.close();
    const timer = setTimeout(() => this.destroy(), closeTimeoutMs);
    await this.#closed.promise;
    clearTimeout(timer);
  }

  /** Ends the connection at once; for one that no longer answers. */
  destroy(): void {
    this.#socket.destroy();
    this.#end(1006, "");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #receive(text: string): void {
    this.#lastReceivedMono = performance.now();
    const message = parsed(text);
    if (Array.isArray(message)) for (const one of message) this.#handle(one);
    else this.#handle(message);
  }

  #handle(message: unknown): void {
    if (!isObject(message)) return;
    if (typeof message.method === "string") {
      this.#notify(message.method, message.params);
      return;
    }
    // A server that keeps ids as text is understood, too.
    if (typeof message.id === "number" || typeof message.id === "string") {
      this.#waiting.get(Number(message.id))?.settle(message);
    }
  }

  #notify(method: string, params: unknown): void {
    this.#options.onNotification?.(method, params);
    for (const listener of this.#listeners.get(method) ?? []) {
      try {
        listener(params);
      } catch (error) {
        if (this.#options.onListenerError) this.#options.onListenerError(method, error);
        else console.error(`a listener of ${method} failed:`, error);
      }
    }
  }

  #end(code: number, reason: string): void {
    if (!this.#open) return;
    this.#open = false;
    for (const { method, settle } of [...this.#waiting.values()]) {
      settle(
        new ConnectionError(`The connection ended before ${method} was answered.`, {
          condition: "connection_lost",
        }),
      );
    }
    this.#closed.resolve({ code, reason });
  }
}

export function notConnected(cause?: unknown): ConnectionError {
  return new ConnectionError("Not connected to camera service", { condition: "connection_lost", cause });
}

/** Some older servers encode their errors twice: a text that holds JSON is read once more. */
function parsed(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "string" ? JSON.parse(value) : value;
  } catch {
    return undefined;
  }
}

function reasonOf(signal: AbortSignal | undefined): Error {
  return signal?.reason instanceof Error ? signal.reason : new Error("aborted", { cause: signal?.reason });
}

function textOf(cause: unknown): string | undefined {
  if (!isObject(cause)) return undefined;
  if (typeof cause.message === "string" && cause.message !== "") return cause.message;
  return typeof cause.code === "string" ? cause.code : undefined;
}
