import { OcelliError } from "@ocelli/protocol";

/**
 * Splits a byte stream into the top-level boxes of an ISO base media file (ISO/IEC 14496-12, clause 4.2), and
 * walks the boxes inside a box. Knows sizes and types only; what a box means is for others.
 *
 * Bytes are copied at most once: a box that lies whole in one chunk is a view of that chunk, one that spans
 * chunks is gathered into a buffer allocated at its final size. The caller hands chunks over for good.
 */

export interface Box {
  readonly type: string;
  /** Where the box starts in the stream (or in the buffer it was walked from). */
  readonly offset: number;
  /** 8, or 16 where the size is written in 64 bits. */
  readonly headerBytes: number;
  /** The whole box, header included. */
  readonly bytes: Buffer;
}

export interface BoxReaderOptions {
  /** Largest box accepted, header included. Default 64 MiB. */
  readonly maxBoxBytes?: number;
  /**
   * A box of this type is held back until the one after it is complete, and both are then given with their
   * bytes adjacent in one buffer, as a viewer needs `moof`+`mdat`. Default: none.
   */
  readonly joinNext?: string;
  /**
   * Chunks are only lent until `push` returns, so every box is copied: joined ones into memory from here, of exactly
   * so many bytes. Default: chunks are handed over.
   */
  readonly allocate?: (bytes: number) => Buffer;
}

const defaultMaxBoxBytes = 64 * 1024 * 1024;

export class BoxReader {
  readonly #maxBoxBytes: number;
  readonly #joinNext: string | undefined;
  readonly #allocate: ((bytes: number) => Buffer) | undefined;
  /** Header bytes of the box being read, while there are too few to know its size. */
  readonly #header = Buffer.allocUnsafeSlow(16);
  #headerFilled = 0;
  #target: { bytes: Buffer; filled: number; lead: number; header: BoxHeader } | undefined;
  /** Box of type `joinNext` waiting for the next one. */
  #held: Box | undefined;
  /** Stream offset of the box being read. */
  #offset = 0;
  #failure: OcelliError | undefined;

  constructor(options: BoxReaderOptions = {}) {
    this.#maxBoxBytes = options.maxBoxBytes ?? defaultMaxBoxBytes;
    this.#joinNext = options.joinNext;
    this.#allocate = options.allocate;
  }

  /** Bytes of boxes that are not complete yet; 0 at a clean end of the stream. */
  get pendingBytes(): number {
    const target = this.#target;
    return this.#headerFilled + (target ? target.filled - target.lead : 0) + (this.#held?.bytes.length ?? 0);
  }

  /**
   * Takes the next bytes of the stream and gives the boxes they complete.
   * @throws OcelliError `media_malformed` when no box can start here; every later call throws it again
   */
  push(chunk: Buffer): Box[] {
    if (this.#failure) throw this.#failure;
    const done: Box[] = [];
    let at = 0;
    while (at < chunk.length) {
      const target = this.#target;
      if (target) {
        const count = Math.min(chunk.length - at, target.bytes.length - target.filled);
        chunk.copy(target.bytes, target.filled, at, at + count);
        target.filled += count;
        at += count;
        if (target.filled === target.bytes.length) this.#finishTarget(done);
        continue;
      }
      if (this.#headerFilled === 0) {
        const header = this.#readHeader(chunk, at, chunk.length);
        if (header && this.#allocate === undefined && at + header.size <= chunk.length) {
          this.#emit(header, chunk.subarray(at, at + header.size), done);
          at += header.size;
          continue;
        }
        if (header) {
          this.#begin(header);
          continue;
        }
      }
      this.#header[this.#headerFilled++] = chunk[at++] ?? 0;
      const header = this.#readHeader(this.#header, 0, this.#headerFilled);
      if (!header) continue;
      const filled = this.#headerFilled;
      this.#headerFilled = 0;
      const begun = this.#begin(header);
      this.#header.copy(begun.bytes, begun.filled, 0, filled);
      begun.filled += filled;
      if (begun.filled === begun.bytes.length) this.#finishTarget(done);
    }
    return done;
  }

  #readHeader(from: Buffer, at: number, end: number): BoxHeader | undefined {
    try {
      return readBoxHeader(from, at, end, this.#offset, this.#maxBoxBytes);
    } catch (error) {
      if (error instanceof OcelliError) this.#failure = error;
      this.#target = undefined;
      this.#held = undefined;
      throw error;
    }
  }

  #begin(header: BoxHeader): { bytes: Buffer; filled: number; lead: number; header: BoxHeader } {
    const held = this.#held?.bytes;
    const lead = held?.length ?? 0;
    const size = lead + header.size;
    const bytes =
      this.#allocate === undefined
        ? Buffer.allocUnsafeSlow(size)
        : held === undefined
          ? Buffer.allocUnsafe(size)
          : this.#allocate(size);
    held?.copy(bytes, 0);
    const target = { bytes, filled: lead, lead, header };
    this.#target = target;
    return target;
  }

  #finishTarget(done: Box[]): void {
    const target = this.#target;
    if (!target) return;
    this.#target = undefined;
    if (this.#held) this.#held = { ...this.#held, bytes: target.bytes.subarray(0, target.lead) };
    this.#emit(target.header, target.bytes.subarray(target.lead), done);
  }

  #emit(header: BoxHeader, bytes: Buffer, done: Box[]): void {
    const box: Box = { type: header.type, offset: this.#offset, headerBytes: header.headerBytes, bytes };
    this.#offset += header.size;
    const held = this.#held;
    if (held) {
      this.#held = undefined;
      if (areAdjacent(held.bytes, bytes)) {
        done.push(held, box);
        return;
      }
      const joined = Buffer.allocUnsafeSlow(held.bytes.length + bytes.length);
      held.bytes.copy(joined, 0);
      bytes.copy(joined, held.bytes.length);
      done.push(
        { ...held, bytes: joined.subarray(0, held.bytes.length) },
        { ...box, bytes: joined.subarray(held.bytes.length) },
      );
      return;
    }
    if (box.type === this.#joinNext) this.#held = box;
    else done.push(box);
  }
}

/** One view over two buffers that lie next to each other in memory, as `joinNext` gives them. */
export function joinAdjacent(first: Buffer, second: Buffer): Buffer {
  if (!areAdjacent(first, second)) return Buffer.concat([first, second]);
  return Buffer.from(first.buffer, first.byteOffset, first.length + second.length);
}

function areAdjacent(first: Buffer, second: Buffer): boolean {
  return first.buffer === second.buffer && first.byteOffset + first.length === second.byteOffset;
}

export interface BoxHeader {
  readonly type: string;
  readonly headerBytes: number;
  /** Of the whole box. */
  readonly size: number;
}

/**
 * Reads the header of a box at `at`; `undefined` when the bytes up to `end` are too few to tell.
 * @param offset where this is in the stream, for the message
 * @throws OcelliError `media_malformed`
 */
export function readBoxHeader(
  from: Buffer,
  at: number,
  end: number,
  offset: number,
  maxBoxBytes = Number.MAX_SAFE_INTEGER,
): BoxHeader | undefined {
  if (end - at < 8) return undefined;
  const type = boxType(from, at + 4);
  const short = from.readUInt32BE(at);
  if (type === undefined) {
    const came = from.toString("hex", at, at + 8);
    throw malformed(`no box starts at byte ${offset}: ${came} is not a size and a type`, { offset, came });
  }
  let size = short;
  let headerBytes = 8;
  if (short === 1) {
    if (end - at < 16) return undefined;
    headerBytes = 16;
    size = Number(from.readBigUInt64BE(at + 8));
  }
  if (size < headerBytes || size > maxBoxBytes || !Number.isSafeInteger(size)) {
    const why = size > maxBoxBytes ? `more than the ${maxBoxBytes} allowed` : "less than its own header";
    throw malformed(`the box "${type}" at byte ${offset} says it has ${size} bytes, ${why}`, {
      offset,
      type,
      size,
    });
  }
  return { type, headerBytes, size };
}

/** Types seen, by their four bytes: a string for each box of each frame would be garbage at once. */
const knownTypes = new Map<number, string>();
/** Foreign input may hold any type. */
const maxKnownTypes = 256;

function boxType(from: Buffer, at: number): string | undefined {
  const code = from.readUInt32BE(at);
  const known = knownTypes.get(code);
  if (known !== undefined) return known;
  for (let i = at; i < at + 4; i++) {
    const byte = from[i] ?? 0;
    // Printable ASCII, and the © of QuickTime's user data.
    if ((byte < 0x20 || byte > 0x7e) && byte !== 0xa9) return undefined;
  }
  const type = from.toString("latin1", at, at + 4);
  if (knownTypes.size < maxKnownTypes) knownTypes.set(code, type);
  return type;
}

/** The boxes that fill `parent` from `start`. @throws OcelliError `media_malformed` when they do not fit */
export function childBoxes(parent: Buffer, start: number): Box[] {
  const boxes: Box[] = [];
  let at = start;
  while (at < parent.length) {
    const header = readBoxHeader(parent, at, parent.length, at);
    if (!header || at + header.size > parent.length) {
      throw malformed(`a box at byte ${at} reaches beyond its parent's ${parent.length} bytes`, {
        offset: at,
      });
    }
    boxes.push({
      type: header.type,
      offset: at,
      headerBytes: header.headerBytes,
      bytes: parent.subarray(at, at + header.size),
    });
    at += header.size;
  }
  return boxes;
}

/** The boxes inside a plain container box such as `moov` or `traf`. @throws OcelliError `media_malformed` */
export function boxesIn(box: Box): Box[] {
  return childBoxes(box.bytes, box.headerBytes);
}

/** The first box inside `box` along a path of container types. @throws OcelliError `media_malformed` */
export function findBox(box: Box, ...path: readonly string[]): Box | undefined {
  let found: Box | undefined = box;
  for (const type of path) found = found && boxesIn(found).find((child) => child.type === type);
  return found;
}

/** As `findBox`, but its absence is an error. @throws OcelliError `media_malformed` */
export function requireBox(box: Box, ...path: readonly string[]): Box {
  const found = findBox(box, ...path);
  if (!found) throw malformed(`the box "${box.type}" has no ${path.join("/")} inside`, { path });
  return found;
}

/** Content of a box without its header, checked to have at least `minBytes`. @throws OcelliError `media_malformed` */
export function boxBody(box: Box, minBytes: number): Buffer {
  const body = box.bytes.subarray(box.headerBytes);
  if (body.length < minBytes) {
    throw malformed(
      `the box "${box.type}" has ${body.length} bytes of content, at least ${minBytes} are needed`,
      {
        type: box.type,
      },
    );
  }
  return body;
}

export function malformed(what: string, details: Record<string, unknown> = {}): OcelliError {
  return new OcelliError("media_malformed", `Malformed media: ${what}.`, { details });
}
