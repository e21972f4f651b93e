/** A WebSocket that sends exactly what it is told, well formed or not. Answers are kept apart from notifications. */
export interface Answer {
  readonly jsonrpc?: unknown;
  readonly id?: unknown;
  readonly result?: unknown;
  readonly error?: {
    readonly code: number;
    readonly message: string;
    readonly data?: Record<string, unknown>;
  };
}

export interface RawNotification {
  readonly method: string;
  readonly params: unknown;
  readonly id?: unknown;
}

export class RawRpc implements AsyncDisposable {
  readonly notifications: RawNotification[] = [];
  /** Code of the close; resolves when the connection has ended. */
  readonly closed: Promise<number>;
  readonly #socket: WebSocket;
  readonly #answers: (Answer | Answer[])[] = [];
  #wake: (() => void) | undefined;
  #nextId = 1;
  #isOpen = true;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    this.closed = new Promise((resolve) =>
      socket.addEventListener("close", (event) => {
        this.#isOpen = false;
        this.#wake?.();
        resolve(event.code);
      }),
    );
    socket.addEventListener("message", (event) => {
      const message = JSON.parse(String(event.data)) as RawNotification | Answer | Answer[];
      if ("method" in message) this.notifications.push(message);
      else this.#answers.push(message);
      this.#wake?.();
    });
  }

  /** @param headers of the upgrade */
  static async connect(url: string, headers: Readonly<Record<string, string>> = {}): Promise<RawRpc> {
    // Node takes headers; the types are those of browsers, which do not.
    const Socket = WebSocket as unknown as new (url: string, init: { headers: object }) => WebSocket;
    const socket = new Socket(url, { headers });
    await new Promise<void>((resolve, reject) => {
      socket.addEventListener("open", () => resolve(), { once: true });
      socket.addEventListener("error", () => reject(new Error(`cannot connect to ${url}`)), { once: true });
    });
    return new RawRpc(socket);
  }

  send(data: string | Uint8Array<ArrayBuffer>): void {
    this.#socket.send(data);
  }

  /** The next answer of whatever kind. */
  async next(timeoutMs = 30_000): Promise<Answer | Answer[]> {
    const late = AbortSignal.timeout(timeoutMs);
    for (;;) {
      const answer = this.#answers.shift();
      if (answer !== undefined) return answer;
      if (!this.#isOpen) throw new Error(`the connection ended (${await this.closed}) without an answer`);
      if (late.aborted) throw new Error(`no answer within ${timeoutMs} ms`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        late.addEventListener("abort", () => resolve(), { once: true });
      });
    }
  }

  /** Waits until a notification of that name has come. */
  async notified(method: string, timeoutMs = 30_000): Promise<RawNotification> {
    const late = AbortSignal.timeout(timeoutMs);
    for (;;) {
      const found = this.notifications.find((one) => one.method === method);
      if (found !== undefined) return found;
      if (!this.#isOpen || late.aborted) throw new Error(`no ${method} within ${timeoutMs} ms`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        late.addEventListener("abort", () => resolve(), { once: true });
      });
    }
  }

  /** Sends `text` and a ping after it; the answers that came before the one to the ping. */
  async answersTo(text: string | Uint8Array<ArrayBuffer>): Promise<(Answer | Answer[])[]> {
    const marker = `marker-${this.#nextId++}`;
    this.send(text);
    this.send(JSON.stringify({ jsonrpc: "2.0", id: marker, method: "ping" }));
    const before: (Answer | Answer[])[] = [];
    for (;;) {
      const answer = await this.next();
      if (!Array.isArray(answer) && answer.id === marker) return before;
      before.push(answer);
    }
  }

  /** The one answer to `text`. */
  async answerTo(text: string | Uint8Array<ArrayBuffer>): Promise<Answer | Answer[]> {
    this.send(text);
    return this.next();
  }

  /** One well-formed call; nothing else may be under way. */
  async call(method: string, params?: unknown): Promise<Answer> {
    const id = this.#nextId++;
    const answer = await this.answerTo(
      JSON.stringify({ jsonrpc: "2.0", id, method, ...(params === undefined ? {} : { params }) }),
    );
    if (Array.isArray(answer) || answer.id !== id)
      throw new Error(`an answer to something else: ${JSON.stringify(answer).slice(0, 200)}`);
    return answer;
  }

  /** The result of a call that must succeed. */
  async result<T = Record<string, unknown>>(method: string, params?: unknown): Promise<T> {
    const { result, error } = await this.call(method, params);
    if (error !== undefined) throw new Error(`${method}: ${JSON.stringify(error)}`);
    return result as T;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
    await this.closed;
  }
}
