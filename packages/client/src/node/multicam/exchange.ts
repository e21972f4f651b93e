/**
 * One command and its answer, on a connection of its own: devices read once, never say where a reply ends, and some
 * never close. So the command goes out in one write, the reply ends with its closing brace, and the connection is
 * destroyed then (spec section 2.4).
 */
import {
  COMMAND_TIMEOUT,
  type CommandMessage,
  type Dialect,
  MAX_COMMAND_BYTES,
  MessageDecoder,
  MultiCamFormatError,
} from "@ocelli/protocol/multicam";
import { MultiCamError } from "./errors.ts";
import { type Address, type Link, type LinkOptions, openLink } from "./link.ts";

export interface ExchangeOptions extends Omit<LinkOptions, "pieceBytes"> {
  readonly dialect?: Dialect | undefined;
  /** Seconds from when the connection stands until the whole reply is here. Default 60. */
  readonly replyTimeout?: number | undefined;
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
    const seconds = options.replyTimeout ?? COMMAND_TIMEOUT;
    const deadline = performance.now() + seconds * 1000;
    for (;;) {
      const left = Math.max(0.001, (deadline - performance.now()) / 1000);
      const chunk = await link.read(left, command.command, seconds);
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
