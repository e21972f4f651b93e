/** A JSON-RPC client of the tests' own, on Node's WebSocket: independent of the project's client. */
export interface Notification {
  readonly method: string;
  readonly params: Record<string, unknown>;
}

export class RpcError extends Error {
  readonly code: number;
  readonly data: Record<string, unknown>;
  constructor(error: { code: number; message: string; data?: Record<string, unknown> }) {
    super(`${error.message} (${error.code}) ${JSON.stringify(error.data ?? {})}`);
    this.code = error.code;
    this.data = error.data ?? {};
  }
}

type Reply = { result?: unknown; error?: { code: number; message: string; data?: Record<string, unknown> } };

export class Rpc implements AsyncDisposable {
  readonly notifications: Notification[] = [];
  readonly #socket: WebSocket;
  readonly #pending = new Map<
    number,
    { method: string; resolve: (reply: Reply) => void; reject: (error: Error) => void }
  >();
  readonly #watchers = new Set<() => void>();
  #nextId = 1;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener("message", (event) => this.#receive(String(event.data)));
    socket.addEventListener("close", () => {
      for (const { reject, method } of this.#pending.values())
        reject(new Error(`closed while waiting for ${method}`));
      this.#pending.clear();
    });
  }

  /** Connects; with a key also authenticates. */
  static async connect(url: string, key?: string): Promise<Rpc> {
    const socket = new WebSocket(url);
    await new Promise<void>((resolve, reject) => {
      socket.addEventListener("open", () => resolve(), { once: true });
      socket.addEventListener("error", () => reject(new Error(`cannot connect to ${url}`)), { once: true });
    });
    const rpc = new Rpc(socket);
    if (key !== undefined) await rpc.call("authenticate", { auth_token: key });
    return rpc;
  }

  async call<T = Record<string, unknown>>(method: string, params?: unknown): Promise<T> {
    const id = this.#nextId++;
    const reply = await new Promise<Reply>((resolve, reject) => {
      this.#pending.set(id, { method, resolve, reject });
      this.#socket.send(
        JSON.stringify({ jsonrpc: "2.0", id, method, ...(params === undefined ? {} : { params }) }),
      );
    });
    if (reply.error) throw new RpcError(reply.error);
    return reply.result as T;
  }

  /** The first notification, received already or to come, that fits. */
  async waitFor(
    method: string,
    fits: (params: Record<string, unknown>) => boolean = () => true,
    timeoutMs = 30_000,
  ): Promise<Record<string, unknown>> {
    const find = () => this.notifications.find((n) => n.method === method && fits(n.params))?.params;
    const found = find();
    if (found) return found;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#watchers.delete(watch);
        const seen = this.notifications
          .map((n) => `${n.method} ${n.params.event ?? n.params.status ?? ""}`)
          .join(", ");
        reject(new Error(`no ${method} within ${timeoutMs} ms; seen: ${seen}`));
      }, timeoutMs);
      const watch = () => {
        const now = find();
        if (!now) return;
        clearTimeout(timer);
        this.#watchers.delete(watch);
        resolve(now);
      };
      this.#watchers.add(watch);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async close(): Promise<void> {
    if (this.#socket.readyState === WebSocket.CLOSED) return;
    const closed = new Promise<void>((resolve) =>
      this.#socket.addEventListener("close", () => resolve(), { once: true }),
    );
    this.#socket.close();
    await closed;
  }

  #receive(text: string): void {
    const message = JSON.parse(text) as Reply & {
      id?: number;
      method?: string;
      params?: Record<string, unknown>;
    };
    if (message.method !== undefined) {
      this.notifications.push({ method: message.method, params: message.params ?? {} });
      for (const watch of [...this.#watchers]) watch();
      return;
    }
    if (message.id === undefined) return;
    this.#pending.get(message.id)?.resolve(message);
    this.#pending.delete(message.id);
  }
}
