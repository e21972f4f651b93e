/**
 * The hub's JSON-RPC over one WebSocket: calls, notifications, and reconnecting for as long as the page lives.
 */

/** An error the hub answered with. */
export class RpcError extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.name = "RpcError";
    this.code = code;
  }

  /** No credential, or one that is not valid any more. */
  get isAuthentication(): boolean {
    return this.code === -32001;
  }
}

export type Params = Readonly<Record<string, unknown>>;

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (reason: Error) => void;
  readonly timer: number;
}

export interface RpcOptions {
  readonly url: string;
  /** Each time the connection is there (again). */
  readonly onOpen: () => void;
  readonly onDown: () => void;
  readonly onNotification: (method: string, params: Params) => void;
}

const callTimeoutMs = 30_000;
const longestRetryMs = 5000;

export class Rpc {
  readonly #options: RpcOptions;
  readonly #waiting = new Map<number, Waiting>();
  #socket: WebSocket | undefined;
  #nextId = 1;
  #retryMs = 250;

  constructor(options: RpcOptions) {
    this.#options = options;
    this.#connect();
  }

  /** @throws RpcError what the hub answers; Error when it cannot be reached */
  call(method: string, params: Params = {}): Promise<unknown> {
    const socket = this.#socket;
    if (socket?.readyState !== WebSocket.OPEN) {
      return Promise.reject(new Error("The hub cannot be reached. Is it running?"));
    }
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const timer = window.setTimeout(() => {
        this.#waiting.delete(id);
        reject(new Error(`The hub did not answer ${method} within ${callTimeoutMs / 1000} seconds`));
      }, callTimeoutMs);
      this.#waiting.set(id, { resolve, reject, timer });
      socket.send(JSON.stringify({ jsonrpc: "2.0", id, method, params }));
    });
  }

  /** Connects anew, for instance to drop the identity of this connection. */
  reconnect(): void {
    this.#socket?.close();
  }

  #connect(): void {
    const socket = new WebSocket(this.#options.url);
    this.#socket = socket;
    socket.addEventListener("open", () => {
      this.#retryMs = 250;
      this.#options.onOpen();
    });
    socket.addEventListener("message", (event) => this.#take(String(event.data)));
    socket.addEventListener("close", () => {
      for (const { reject, timer } of this.#waiting.values()) {
        clearTimeout(timer);
        reject(new Error("The connection to the hub was lost"));
      }
      this.#waiting.clear();
      this.#options.onDown();
      window.setTimeout(() => this.#connect(), this.#retryMs);
      this.#retryMs = Math.min(this.#retryMs * 2, longestRetryMs);
    });
  }

  #take(text: string): void {
    const message: unknown = JSON.parse(text);
    if (!isRecord(message)) return;
    const { id, method, params, error, result } = message;
    if (typeof method === "string") {
      this.#options.onNotification(method, isRecord(params) ? params : {});
      return;
    }
    const waiting = typeof id === "number" ? this.#waiting.get(id) : undefined;
    if (waiting === undefined || typeof id !== "number") return;
    this.#waiting.delete(id);
    clearTimeout(waiting.timer);
    if (isRecord(error)) waiting.reject(new RpcError(Number(error.code), reasonIn(error)));
    else waiting.resolve(result);
  }
}

/** The most telling words of an error: `data` explains what the standard message only names. */
function reasonIn(error: Params): string {
  const { data, message } = error;
  if (isRecord(data)) {
    for (const key of ["detail", "details", "reason", "message"]) {
      const text = data[key];
      if (typeof text === "string" && text.includes(" ")) return text;
    }
  }
  return typeof data === "string" ? data : String(message);
}

export function isRecord(value: unknown): value is Params {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
