/**
 * One JSON-RPC connection to a camera service, over the platform's WebSocket (browsers, Node 22 and newer). Owns
 * the socket, the requests under way and the listeners; reconnecting is left to who uses it.
 *
 * Invariant: every call settles: with its answer, an error, or the end of the connection.
 */
import { OcelliError } from "@ocelli/protocol";
import {
  errorFromWire,
  type MethodName,
  type NotificationName,
  type NotificationParams,
  type ParamsInput,
  type ResultOf,
} from "@ocelli/protocol/camera-service";
import { ConnectionError } from "./connection-error.ts";

export interface RpcConnectionOptions {
  /** `ws://host:8002/ws`; the query may fix the dialect (`?names=logical`). */
  readonly url: string;
  /** Default 10,000. */
  readonly connectTimeoutMs?: number;
  /** Default of each call: 30,000. */
  readonly requestTimeoutMs?: number;
}

export interface CallOptions {
  /** 0 waits without end. */
  readonly timeoutMs?: number;
}

/** The result of a call that worked: failures told inside `result` are thrown instead. */
export type Success<T> = Exclude<T, { success: false } | { authenticated: false }>;

interface Waiting {
  readonly method: string;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly timer: ReturnType<typeof setTimeout> | undefined;
}

type Listener = (params: unknown) => void;

export class RpcConnection {
  readonly #socket: WebSocket;
  readonly #requestTimeoutMs: number;
  readonly #waiting = new Map<number, Waiting>();
  readonly #listeners = new Map<string, Set<Listener>>();
  readonly #closed = Promise.withResolvers<{ code: number; reason: string }>();
  #nextId = 1;

  private constructor(socket: WebSocket, requestTimeoutMs: number) {
    this.#socket = socket;
    this.#requestTimeoutMs = requestTimeoutMs;
    socket.addEventListener("message", ({ data }) => this.#receive(String(data)));
    socket.addEventListener("close", ({ code, reason }) => this.#end(code, reason));
  }

  /** @throws ConnectionError `connect_failed` */
  static connect(options: RpcConnectionOptions): Promise<RpcConnection> {
    const { url, connectTimeoutMs = 10_000, requestTimeoutMs = 30_000 } = options;
    return new Promise((resolve, reject) => {
      const failed = (why: string, cause?: unknown): void => {
        clearTimeout(timer);
        socket.close();
        reject(new ConnectionError("connect_failed", `Cannot connect to ${url}: ${why}.`, cause));
      };
      const socket = new WebSocket(url);
      const timer = setTimeout(
        () => failed(`no answer within ${connectTimeoutMs / 1000} s`),
        connectTimeoutMs,
      );
      socket.addEventListener("error", (event) => failed("nothing answers there", event));
      socket.addEventListener("close", ({ code, reason }) => failed(reason || `closed with code ${code}`));
      socket.addEventListener("open", () => {
        clearTimeout(timer);
        resolve(new RpcConnection(socket, requestTimeoutMs));
      });
    });
  }

  /** Settles when the connection has ended, for whatever reason. */
  get closed(): Promise<{ code: number; reason: string }> {
    return this.#closed.promise;
  }

  /** @throws OcelliError `auth_failed` */
  authenticate(credential: string): Promise<Success<ResultOf<"authenticate">>> {
    return this.call("authenticate", { auth_token: credential });
  }

  /**
   * @throws OcelliError what the hub says, with its stable code
   * @throws ConnectionError `connection_lost`, `request_timeout`
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
  request(method: string, params: object = {}, options: CallOptions = {}): Promise<unknown> {
    if (this.#socket.readyState !== WebSocket.OPEN) {
      return Promise.reject(new ConnectionError("connection_lost", "Not connected to the camera service."));
    }
    const id = this.#nextId++;
    const timeoutMs = options.timeoutMs ?? this.#requestTimeoutMs;
    return new Promise((resolve, reject) => {
      const late = (): void => {
        this.#waiting.delete(id);
        reject(
          new ConnectionError("request_timeout", `No answer to ${method} within ${timeoutMs / 1000} s.`),
        );
      };
      const timer = timeoutMs > 0 ? setTimeout(late, timeoutMs) : undefined;
      this.#waiting.set(id, { method, resolve, reject, timer });
      this.#socket.send(JSON.stringify({ jsonrpc: "2.0", id, method, params }));
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

  /** Idempotent. */
  async close(): Promise<void> {
    this.#socket.close(1000);
    await this.#closed.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #receive(text: string): void {
    const message = parsed(text);
    if (message === undefined) return;
    if (typeof message.method === "string") {
      for (const listener of this.#listeners.get(message.method) ?? []) {
        try {
          listener(message.params);
        } catch (error) {
          console.error(`a listener of ${message.method} failed:`, error);
        }
      }
      return;
    }
    if (typeof message.id !== "number") return;
    const waiting = this.#waiting.get(message.id);
    if (waiting === undefined) return;
    this.#waiting.delete(message.id);
    clearTimeout(waiting.timer);
    const failure = failureIn(message);
    if (failure === undefined) waiting.resolve(message.result);
    else waiting.reject(failure);
  }

  #end(code: number, reason: string): void {
    for (const { method, timer, reject } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(new ConnectionError("connection_lost", `The connection ended before ${method} was answered.`));
    }
    this.#waiting.clear();
    this.#closed.resolve({ code, reason });
  }
}

/** An error, in any of the forms servers of this service use. */
function failureIn({ error, result }: Record<string, unknown>): OcelliError | undefined {
  if (error !== undefined && error !== null) return errorFromWire(error);
  if (!isObject(result)) return undefined;
  const text = typeof result.error === "string" ? result.error : "The hub refused without saying why.";
  if (result.authenticated === false) return new OcelliError("auth_failed", text);
  if (result.success === false) {
    return errorFromWire({ code: result.error_code, message: text, data: result.error_data });
  }
  return undefined;
}

function parsed(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
