/**
 * A connection to a device, read piece by piece with a bound on each wait. What is not read stays in the kernel: a device
 * that sends without end fills no memory here.
 *
 * Two buffers take turns: the socket reads into one while the reader works with the other, and no byte is copied on its
 * way. With both full the socket is paused.
 */
import { connect, type Socket } from "node:net";
import { MultiCamError } from "./errors.ts";

export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface LinkOptions {
  /** Seconds until the connection stands. Default 5. */
  readonly connectTimeout?: number | undefined;
  /** How much one `read` gives at most; twice as much is kept. Default 16 KiB. */
  readonly pieceBytes?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** @throws MultiCamError `unreachable`; the signal's reason */
export async function openLink(address: Address, options: LinkOptions = {}): Promise<Link> {
  const { connectTimeout = 5, signal } = options;
  signal?.throwIfAborted();
  const link = new Link(address, options);
  try {
    await link.connected(connectTimeout);
    return link;
  } catch (error) {
    link.close();
    signal?.throwIfAborted();
    if (error instanceof MultiCamError) throw error;
    throw link.broken(
      `cannot be reached (${messageOf(error)}). Check that it is on and in this network`,
      error,
    );
  }
}

export class Link {
  /** `host:port`, for messages. */
  readonly name: string;
  readonly #signal: AbortSignal | undefined;
  readonly #pieceBytes: number;
  readonly #buffers: Buffer[] = [];
  readonly #socket: Socket;
  /** The buffer the socket reads into. */
  #turn = 0;
  #filled: Uint8Array | undefined;
  #waiter: PromiseWithResolvers<Uint8Array | undefined> | undefined;
  #ended = false;
  #failed: Error | undefined;

  /** For `openLink`. */
  constructor({ host, port }: Address, { signal, pieceBytes = 2 ** 14 }: LinkOptions) {
    this.name = `${host}:${port}`;
    this.#signal = signal;
    this.#pieceBytes = pieceBytes;
    const onread = { buffer: () => this.#buffer(), callback: (count: number) => this.#received(count) };
    this.#socket = connect({ host, port, noDelay: true, onread });
    this.#socket
      .on("connect", () => this.#tell(undefined))
      .on("end", () => {
        this.#ended = true;
        this.#tell(undefined);
      })
      .on("error", (error) => this.#fail(error))
      .on("close", () => this.#fail(new Error("the connection was closed")));
    signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  /** @throws MultiCamError `unreachable` after `seconds`; the socket's own error */
  async connected(seconds: number): Promise<void> {
    await this.#wait(seconds, () => this.broken(`did not accept a connection within ${seconds} s`));
  }

  send(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  /**
   * The next bytes, good until the next `read`; `undefined` when the device has closed.
   * @param inAll what this wait is the rest of, for the message
   * @throws MultiCamError `timeout` after `seconds`, `unreachable`; the signal's reason
   */
  async read(seconds: number, waitingFor: string, inAll = seconds): Promise<Uint8Array | undefined> {
    const filled = this.#filled;
    if (filled !== undefined) {
      this.#filled = undefined;
      this.#socket.resume();
      return filled;
    }
    if (this.#ended) return undefined;
    try {
      return await this.#wait(seconds, () => noAnswer(this.name, waitingFor, inAll));
    } catch (error) {
      this.#signal?.throwIfAborted();
      if (error instanceof MultiCamError) throw error;
      throw this.broken(`broke the connection (${messageOf(error)})`, error);
    }
  }

  broken(what: string, cause?: unknown): MultiCamError {
    return new MultiCamError(
      "unreachable",
      `The device at ${this.name} ${what}`,
      cause === undefined ? {} : { cause },
    );
  }

  close(): void {
    this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#socket.destroy();
  }

  readonly #onAbort = (): void => void this.#socket.destroy();

  #buffer(): Buffer {
    const buffer = this.#buffers[this.#turn] ?? Buffer.allocUnsafeSlow(this.#pieceBytes);
    this.#buffers[this.#turn] = buffer;
    return buffer;
  }

  /** @returns whether the socket may go on: the buffer it takes right after this is lent otherwise */
  #received(count: number): boolean {
    const filled = this.#buffer().subarray(0, count);
    this.#turn = 1 - this.#turn;
    if (this.#tell(filled)) return true;
    this.#filled = filled;
    return false;
  }

  async #wait(seconds: number, late: () => Error): Promise<Uint8Array | undefined> {
    if (this.#failed !== undefined) throw this.#failed;
    const waiter = Promise.withResolvers<Uint8Array | undefined>();
    this.#waiter = waiter;
    const timer = setTimeout(() => this.#fail(late()), Math.min(seconds * 1000, 2 ** 31 - 1));
    try {
      return await waiter.promise;
    } finally {
      clearTimeout(timer);
    }
  }

  /** @returns whether anybody waited */
  #tell(bytes: Uint8Array | undefined): boolean {
    const waiter = this.#waiter;
    this.#waiter = undefined;
    waiter?.resolve(bytes);
    return waiter !== undefined;
  }

  #fail(error: Error): void {
    this.#failed ??= error;
    this.#waiter?.reject(this.#failed);
    this.#waiter = undefined;
  }
}

function noAnswer(name: string, waitingFor: string, seconds: number): MultiCamError {
  return new MultiCamError(
    "timeout",
    `The device at ${name} did not answer ${waitingFor} within ${Number(seconds.toPrecision(3))} s`,
  );
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
