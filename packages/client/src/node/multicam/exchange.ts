/**
 * One command and its answer, on a connection of its own: devices read once, never say where a reply ends, and some
 * never close. So the command goes out in one write, the reply ends with its closing brace, and the connection is
 * destroyed then (spec section 2.4).
 */
import { connect, type Socket } from "node:net";
import {
  type CommandMessage,
  type Dialect,
  MAX_COMMAND_BYTES,
  MessageDecoder,
  MultiCamFormatError,
} from "@ocelli/protocol/multicam";
import { MultiCamError } from "./errors.ts";

export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface ExchangeOptions {
  readonly dialect?: Dialect | undefined;
  /** Seconds until the connection stands. Default 5. */
  readonly connectTimeout?: number | undefined;
  /** Seconds from then until the whole reply is here. Default 60. */
  readonly replyTimeout?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface Exchanged {
  /** One JSON object, or prose when the device closed without one. */
  readonly text: string;
  readonly isJson: boolean;
  /** Unix seconds when the command went out, and when the reply was whole. */
  readonly sentAt: number;
  readonly receivedAt: number;
}

/**
 * @throws MultiCamError `unreachable`, `timeout`, `malformed`
 * @throws the signal's reason when it is aborted
 */
export async function exchange(
  address: Address,
  command: CommandMessage,
  options: ExchangeOptions = {},
): Promise<Exchanged> {
  const link = await openLink(address, options);
  try {
    const sentAt = Date.now() / 1000;
    link.send(encode(command, options.dialect));
    const decoder = new MessageDecoder();
    const seconds = options.replyTimeout ?? 60;
    for (let first = true; ; first = false) {
      const chunk = await link.read(first ? seconds : link.left(seconds, sentAt), command.command);
      if (chunk === undefined) {
        const text = decoder.rest();
        if (text === "") throw link.broken("closed the connection without an answer");
        return { text, isJson: false, sentAt, receivedAt: Date.now() / 1000 };
      }
      // A device of the first kind answers in prose, which is no frame of any kind.
      const [message] = readMessage(decoder, chunk, link);
      if (message !== undefined) {
        return { text: message, isJson: message.startsWith("{"), sentAt, receivedAt: Date.now() / 1000 };
      }
    }
  } finally {
    link.close();
  }
}

function readMessage(decoder: MessageDecoder, chunk: Uint8Array, link: Link): string[] {
  try {
    return decoder.push(chunk).map(({ text }) => text);
  } catch (error) {
    if (!(error instanceof MultiCamFormatError)) throw error;
    const prose = new TextDecoder().decode(chunk).trim();
    if (/^[\x20-\x7e\r\n\t]{1,1000}$/.test(prose)) return [prose];
    throw new MultiCamError("malformed", `${link.name} answered with something else: ${error.message}`, {
      cause: error,
    });
  }
}

export function encode(command: CommandMessage, dialect: Dialect = "both"): Uint8Array {
  const bytes = command.toBytes(dialect);
  if (bytes.length > MAX_COMMAND_BYTES) {
    throw new MultiCamError(
      "malformed",
      `The command is ${bytes.length} bytes long; devices read ${MAX_COMMAND_BYTES} at most. Use a shorter upload address or token.`,
    );
  }
  return bytes;
}

/** A connection that is read piece by piece, with a bound on each wait. */
export interface Link {
  /** `host:port`, for messages. */
  readonly name: string;
  send(bytes: Uint8Array): void;
  /**
   * The next bytes; `undefined` when the device has closed.
   * @throws MultiCamError `timeout` after `seconds`, `unreachable`
   */
  read(seconds: number, waitingFor: string): Promise<Uint8Array | undefined>;
  /** What is left of `seconds` since `from`, Unix seconds. */
  left(seconds: number, from: number): number;
  broken(what: string, cause?: unknown): MultiCamError;
  close(): void;
}

/** @throws MultiCamError `unreachable`, `timeout`; the signal's reason */
export async function openLink(address: Address, options: ExchangeOptions = {}): Promise<Link> {
  const { connectTimeout = 5, signal } = options;
  signal?.throwIfAborted();
  const name = `${address.host}:${address.port}`;
  const socket = connect({ host: address.host, port: address.port, noDelay: true });
  const onAbort = (): void => void socket.destroy();
  signal?.addEventListener("abort", onAbort, { once: true });
  // Late errors of a socket nobody waits for.
  socket.on("error", () => undefined);
  const close = (): void => {
    signal?.removeEventListener("abort", onAbort);
    socket.destroy();
  };
  const broken = (what: string, cause?: unknown): MultiCamError =>
    new MultiCamError("unreachable", `The device at ${name} ${what}`, cause === undefined ? {} : { cause });
  try {
    await connected(socket, connectTimeout, name);
  } catch (error) {
    close();
    signal?.throwIfAborted();
    if (error instanceof MultiCamError) throw error;
    throw broken(`cannot be reached (${messageOf(error)}). Check that it is on and in this network`, error);
  }
  socket.pause();
  return {
    name,
    broken,
    close,
    send: (bytes) => void socket.write(bytes),
    left: (seconds, from) => Math.max(0.001, seconds - (Date.now() / 1000 - from)),
    read: async (seconds, waitingFor) => {
      try {
        return await nextChunk(socket, seconds, () => noAnswer(name, waitingFor, seconds));
      } catch (error) {
        signal?.throwIfAborted();
        if (error instanceof MultiCamError) throw error;
        throw broken(`broke the connection (${messageOf(error)})`, error);
      }
    },
  };
}

function noAnswer(name: string, waitingFor: string, seconds: number): MultiCamError {
  return new MultiCamError(
    "timeout",
    `The device at ${name} did not answer ${waitingFor} within ${seconds} s`,
  );
}

function connected(socket: Socket, seconds: number, name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(
        new MultiCamError(
          "unreachable",
          `The device at ${name} did not accept a connection within ${seconds} s`,
        ),
      );
    }, seconds * 1000);
    const settle = (done: () => void): void => {
      clearTimeout(timer);
      done();
    };
    socket.once("connect", () => settle(resolve));
    socket.once("error", (error) => settle(() => reject(error)));
    socket.once("close", () => settle(() => reject(new Error("the connection was closed"))));
  });
}

/** One chunk, so that what is not read stays in the kernel: a device that sends without end fills no memory here. */
function nextChunk(socket: Socket, seconds: number, late: () => Error): Promise<Uint8Array | undefined> {
  return new Promise((resolve, reject) => {
    const settle = (done: () => void): void => {
      clearTimeout(timer);
      socket.off("readable", onReadable).off("end", onEnd).off("error", onError).off("close", onClose);
      done();
    };
    const onReadable = (): void => {
      const chunk: unknown = socket.read();
      if (chunk instanceof Uint8Array) settle(() => resolve(chunk));
    };
    const onEnd = (): void => settle(() => resolve(undefined));
    const onError = (error: Error): void => settle(() => reject(error));
    const onClose = (): void =>
      settle(() => reject(socket.errored ?? new Error("the connection was closed")));
    const timer = setTimeout(() => settle(() => reject(late())), Math.min(seconds * 1000, 2 ** 31 - 1));
    socket.on("readable", onReadable).on("end", onEnd).on("error", onError).on("close", onClose);
    if (socket.errored !== null) onError(socket.errored);
    else if (socket.readableEnded) onEnd();
    else if (socket.destroyed) onClose();
    else onReadable();
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
