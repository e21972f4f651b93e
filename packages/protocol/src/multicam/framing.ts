/**
 * Where one message ends and the next begins: MultiCam has no delimiter. State machines over bytes in any chunking, that
 * look at each byte once and keep at most one message. Sources: spec sections 2 and 7.
 */
import { MAX_MESSAGE_BYTES } from "./constants.ts";
import { MultiCamFormatError } from "./errors.ts";
import { decodeUtf8, encodeUtf8 } from "./utf8.ts";

/** `raw` is a bare JSON object; `prefixed` has its length before it, four bytes, big-endian. */
export type FramingMode = "raw" | "prefixed";

export interface FramedMessage {
  readonly mode: FramingMode;
  readonly text: string;
}

const open = 0x7b;
const close = 0x7d;
const quote = 0x22;
const backslash = 0x5c;
const empty: Uint8Array = new Uint8Array(0);

/** Finds the end of one JSON object: knows braces, strings and escapes, nothing else of JSON. */
class ObjectScanner {
  #depth = 0;
  #inString = false;
  #escaped = false;

  /** @returns index behind the closing brace; -1 when it is not among these bytes */
  scan(bytes: Uint8Array, from: number): number {
    for (let at = from; at < bytes.length; at++) {
      const byte = bytes[at];
      if (this.#escaped) this.#escaped = false;
      else if (this.#inString) {
        if (byte === backslash) this.#escaped = true;
        else if (byte === quote) this.#inString = false;
      } else if (byte === quote) this.#inString = true;
      else if (byte === open) this.#depth++;
      else if (byte === close && --this.#depth === 0) return at + 1;
    }
    return -1;
  }
}

/** Bytes that wait for the rest of their message. Doubles its room, so that single bytes cost no copy of all before. */
class Waiting {
  #room: Uint8Array = empty;
  #start = 0;
  #end = 0;

  get bytes(): Uint8Array {
    return this.#room.subarray(this.#start, this.#end);
  }

  append(chunk: Uint8Array): void {
    if (this.#end + chunk.length > this.#room.length) {
      const kept = this.bytes;
      const larger = new Uint8Array(Math.max(kept.length + chunk.length, 2 * kept.length));
      larger.set(kept);
      this.#room = larger;
      this.#start = 0;
      this.#end = kept.length;
    }
    this.#room.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  drop(count: number): void {
    this.#start += count;
    if (this.#start < this.#end) return;
    this.clear();
  }

  clear(): void {
    this.#room = empty;
    this.#start = 0;
    this.#end = 0;
  }
}

/** Splits what a peer sends into JSON messages. After an error it takes nothing more. */
export class MessageDecoder {
  readonly #maxBytes: number;
  readonly #waiting = new Waiting();
  #scanner: ObjectScanner | undefined;
  #scanned = 0;
  #failed = false;

  constructor(options: { /** Default 1 MiB. */ readonly maxBytes?: number } = {}) {
    this.#maxBytes = options.maxBytes ?? MAX_MESSAGE_BYTES;
  }

  /** Bytes of a message that is not complete yet. */
  get pending(): number {
    return this.#waiting.bytes.length;
  }

  /**
   * @returns the messages completed by this chunk, in order
   * @throws MultiCamFormatError too large a message, or bytes that begin none
   */
  push(chunk: Uint8Array): FramedMessage[] {
    const messages: FramedMessage[] = [];
    for (const message of this.read(chunk)) messages.push(message);
    return messages;
  }

  /** As `push`, one at a time: what was complete before an error is given first. */
  *read(chunk: Uint8Array): Generator<FramedMessage, void, void> {
    if (this.#failed) return;
    this.#waiting.append(chunk);
    for (;;) {
      let message: FramedMessage | undefined;
      try {
        message = this.#next();
      } catch (error) {
        this.#failed = true;
        this.#waiting.clear();
        throw error;
      }
      if (message === undefined) return;
      yield message;
    }
  }

  /** What is left when the peer has closed: the beginning of a message, or prose. */
  rest(): string {
    return decodeUtf8(this.#waiting.bytes).trim();
  }

  #next(): FramedMessage | undefined {
    if (this.#scanner !== undefined) return this.#nextRaw(this.#scanner);
    this.#waiting.drop(blanksAt(this.#waiting.bytes));
    const first = this.#waiting.bytes[0];
    if (first === undefined) return undefined;
    if (first === open) {
      this.#scanner = new ObjectScanner();
      this.#scanned = 0;
      return this.#nextRaw(this.#scanner);
    }
    return this.#nextPrefixed();
  }

  #nextRaw(scanner: ObjectScanner): FramedMessage | undefined {
    const { bytes } = this.#waiting;
    const end = scanner.scan(bytes, this.#scanned);
    this.#scanned = bytes.length;
    if ((end < 0 ? bytes.length : end) > this.#maxBytes) throw tooLarge(this.#maxBytes);
    if (end < 0) return undefined;
    this.#scanner = undefined;
    return { mode: "raw", text: this.#cut(0, end) };
  }

  #nextPrefixed(): FramedMessage | undefined {
    // A length of 1 MiB at most begins with a zero byte.
    const { bytes } = this.#waiting;
    if (bytes[0] !== 0) throw garbage(bytes);
    const length = lengthAt(bytes);
    // The fifth byte shows whether the zeros were padding.
    if (length === undefined || bytes.length < 5) return undefined;
    if (length > this.#maxBytes) throw tooLarge(this.#maxBytes);
    if (bytes.length < 4 + length) return undefined;
    return { mode: "prefixed", text: this.#cut(4, 4 + length) };
  }

  #cut(from: number, to: number): string {
    const text = decodeUtf8(this.#waiting.bytes.subarray(from, to));
    this.#waiting.drop(to);
    return text;
  }
}

export type TransferItem =
  /** The peer answered with JSON instead of a file. */
  | { readonly kind: "reply"; readonly text: string }
  | { readonly kind: "header"; readonly text: string }
  | { readonly kind: "data"; readonly bytes: Uint8Array };

/**
 * The answer to GET_VIDEO: length of the header, header, then the file up to its end, which the caller knows from the
 * header. Keeps at most the header.
 */
export class TransferDecoder {
  readonly #maxHeaderBytes: number;
  readonly #json: MessageDecoder;
  readonly #waiting = new Waiting();
  #state: "begin" | "reply" | "header" | "data" = "begin";

  constructor(options: { /** Default 1 MiB. */ readonly maxHeaderBytes?: number } = {}) {
    this.#maxHeaderBytes = options.maxHeaderBytes ?? MAX_MESSAGE_BYTES;
    this.#json = new MessageDecoder({ maxBytes: this.#maxHeaderBytes });
  }

  /** @throws MultiCamFormatError a header that is empty or too large */
  push(chunk: Uint8Array): TransferItem[] {
    if (chunk.length === 0) return [];
    if (this.#state === "data") return [{ kind: "data", bytes: chunk }];
    if (this.#state === "begin") this.#state = chunk[0] === open ? "reply" : "header";
    if (this.#state === "reply") {
      return this.#json.push(chunk).map(({ text }) => ({ kind: "reply", text }));
    }
    this.#waiting.append(chunk);
    const { bytes } = this.#waiting;
    const length = lengthAt(bytes);
    if (length === undefined) return [];
    if (length === 0) throw new MultiCamFormatError("The file's header is empty");
    if (length > this.#maxHeaderBytes) throw tooLarge(this.#maxHeaderBytes);
    if (bytes.length < 4 + length) return [];
    const text = decodeUtf8(bytes.subarray(4, 4 + length));
    const rest = bytes.subarray(4 + length);
    this.#waiting.clear();
    this.#state = "data";
    return [{ kind: "header", text }, ...(rest.length > 0 ? [{ kind: "data" as const, bytes: rest }] : [])];
  }
}

/** A message with its length before it. */
export function withLength(text: string): Uint8Array {
  const body = encodeUtf8(text);
  const framed = new Uint8Array(4 + body.length);
  new DataView(framed.buffer).setUint32(0, body.length);
  framed.set(body, 4);
  return framed;
}

function lengthAt(bytes: Uint8Array): number | undefined {
  if (bytes.length < 4) return undefined;
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0);
}

/**
 * How many bytes stand between messages: white space and NULs. A zero byte may also begin a length, which it does when
 * JSON follows that.
 */
function blanksAt(bytes: Uint8Array): number {
  let at = 0;
  for (; at < bytes.length; at++) {
    const byte = bytes[at];
    if (byte === 0) {
      const rest = bytes.subarray(at);
      if (rest.length < 5 || beginsPrefixed(rest)) break;
    } else if (!isSpace(byte)) break;
  }
  return at;
}

function beginsPrefixed(bytes: Uint8Array): boolean {
  const length = lengthAt(bytes) ?? 0;
  return length > 0 && (bytes[4] === open || isSpace(bytes[4]));
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d;
}

function tooLarge(maxBytes: number): MultiCamFormatError {
  return new MultiCamFormatError(`A message of more than ${maxBytes} bytes was refused`);
}

function garbage(bytes: Uint8Array): MultiCamFormatError {
  const hex = [...bytes.subarray(0, 8)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
  return new MultiCamFormatError(`These bytes begin neither a JSON object nor a length: ${hex}`);
}
