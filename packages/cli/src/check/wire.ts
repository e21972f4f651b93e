/** A WebSocket as bare as it gets: text out, text in. For looking at a server rather than working with it. */
import { nodeSocket, type Tls } from "@ocelli/client/node";

export interface WireOptions extends Tls {
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

export interface Reply {
  readonly id?: unknown;
  readonly result?: unknown;
  readonly error?: { readonly code?: unknown; readonly message?: unknown };
}

/** Longest wait for anything the server is to send. */
export const patienceMs = 10_000;

export class Wire implements AsyncDisposable {
  readonly #waiting: ((text: string) => void)[] = [];
  readonly #received: string[] = [];
  readonly #closed = Promise.withResolvers<never>();
  readonly #gone = Promise.withResolvers<void>();
  #socket: ReturnType<ReturnType<typeof nodeSocket>> | undefined;

  private constructor() {
    this.#closed.promise.catch(() => {});
  }

  /** @throws Error saying why there is no connection */
  static async open({ url, headers = {}, signal, ...tls }: WireOptions): Promise<Wire> {
    const wire = new Wire();
    const opened = Promise.withResolvers<void>();
    let why: unknown;
    const socket = nodeSocket(tls, headers)(url, {
      opened: opened.resolve,
      received: (text) => wire.#receive(text),
      failed: (error) => {
        why = error;
      },
      closed: (code, reason) => {
        wire.#gone.resolve();
        const text = why instanceof Error ? why.message : reason || `closed with code ${code}`;
        wire.#closed.reject(new Error(`the connection ended: ${text}`));
      },
    });
    wire.#socket = socket;
    signal.addEventListener("abort", () => socket.destroy());
    try {
      await within(Promise.race([opened.promise, wire.#closed.promise]), "no connection");
      return wire;
    } catch (error) {
      socket.destroy();
      throw error;
    }
  }

  send(message: unknown): void {
    this.#socket?.send(typeof message === "string" ? message : JSON.stringify(message));
  }

  /** The next message, whatever it is. */
  async next(): Promise<unknown> {
    const kept = this.#received.shift();
    if (kept !== undefined) return JSON.parse(kept);
    const text = new Promise<string>((resolve) => this.#waiting.push(resolve));
    return JSON.parse(await within(Promise.race([text, this.#closed.promise]), "no answer"));
  }

  /** The next message that is no notification. */
  async reply(): Promise<Reply | Reply[]> {
    for (;;) {
      const message = await this.next();
      if (Array.isArray(message) || !isObject(message) || !("method" in message)) return message as Reply;
    }
  }

  /** @throws Error for an error, with its number */
  async call(method: string, params?: object): Promise<unknown> {
    const reply = await this.ask(method, params);
    if (reply.error !== undefined && reply.error !== null) {
      throw new Error(`${method}: error ${String(reply.error.code)} ${String(reply.error.message)}`);
    }
    return reply.result;
  }

  async ask(method: string, params?: object): Promise<Reply> {
    this.send({ jsonrpc: "2.0", id: 1, method, ...(params === undefined ? {} : { params }) });
    const reply = await this.reply();
    if (Array.isArray(reply)) throw new Error(`${method}: answered with a list`);
    return reply;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket?.close();
    const timer = setTimeout(() => this.#socket?.destroy(), 1000);
    await this.#gone.promise;
    clearTimeout(timer);
  }

  #receive(text: string): void {
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#received.push(text);
    else waiting(text);
  }
}

async function within<T>(promise: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} within ${patienceMs / 1000} s`)), patienceMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
