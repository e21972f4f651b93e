import { crc32 } from "node:zlib";
import { OcelliError } from "@ocelli/protocol";
import { type Box, type BoxHeader, readBoxHeader } from "./box-reader.ts";
import { type FrameTime, readFrameTimesBox } from "./frame-times-box.ts";
import { readTrafs, type SampleRun } from "./track-fragment.ts";

/** Steps through the fragments of a recording by their box headers, without reading the pictures. */

/** Reads up to `length` bytes at `offset`; fewer only at the end of the file. */
export type ReadAt = (offset: number, length: number) => Promise<Buffer>;

export interface FragmentMark {
  readonly moofAt: number;
  /** One past the last byte of its `mdat`. */
  readonly end: number;
  /** Over `moof` and `mdat`. */
  readonly crc: number | undefined;
}

export interface FileFragment extends FragmentMark {
  /** `at` of the samples counts from `moofAt`. */
  readonly runs: readonly SampleRun[];
  /** Of the video samples. */
  readonly times: readonly FrameTime[];
}

/** Boxes larger than this, other than `mdat`, are damage: a fragment's `moof` takes some kilobytes. */
const maxMetaBytes = 16 * 1024 * 1024;
const windowBytes = 8192;

/** Keeps the last piece read, so that the few small boxes before an `mdat` cost one read. */
export class FileWindow {
  readonly #read: ReadAt;
  readonly #size: number;
  #start = 0;
  #bytes: Buffer = Buffer.alloc(0);

  constructor(read: ReadAt, size: number) {
    this.#read = read;
    this.#size = size;
  }

  /** Exactly `length` bytes, or `undefined` where the file ends before. */
  async take(offset: number, length: number): Promise<Buffer | undefined> {
    if (offset + length > this.#size) return undefined;
    const from = offset - this.#start;
    if (from >= 0 && from + length <= this.#bytes.length) return this.#bytes.subarray(from, from + length);
    const wanted = Math.min(Math.max(length, windowBytes), this.#size - offset);
    this.#bytes = await this.#read(offset, wanted);
    this.#start = offset;
    return this.#bytes.length < length ? undefined : this.#bytes.subarray(0, length);
  }

  /** Header of the box at `offset`; `undefined` where none that makes sense starts. */
  async header(offset: number): Promise<BoxHeader | undefined> {
    const bytes = (await this.take(offset, 16)) ?? (await this.take(offset, 8));
    if (!bytes) return undefined;
    try {
      return readBoxHeader(bytes, 0, bytes.length, offset);
    } catch (error) {
      return ignoreMalformed(error);
    }
  }

  /** A whole small box; `undefined` where it is cut off or is no box. */
  async box(offset: number): Promise<Box | undefined> {
    const header = await this.header(offset);
    if (!header || header.size > maxMetaBytes) return undefined;
    const bytes = await this.take(offset, header.size);
    return bytes && { type: header.type, offset, headerBytes: header.headerBytes, bytes };
  }
}

/** The whole fragments between `from` and `end`, up to the first place where something else or nothing is. */
export async function* walkFragments(
  window: FileWindow,
  from: number,
  end: number,
): AsyncGenerator<FileFragment> {
  let at = from;
  let notes: { crc: number; frames: FrameTime[] } | undefined;
  while (at < end) {
    const header = await window.header(at);
    if (!header || at + header.size > end) return;
    if (header.type === "prft" || header.type === "uuid") {
      if (header.type === "uuid") notes = await readNotes(window, at);
      at += header.size;
      continue;
    }
    if (header.type !== "moof") return;
    const fragment = await readFragment(window, at, end, notes);
    if (!fragment) return;
    yield fragment;
    notes = undefined;
    at = fragment.end;
  }
}

async function readNotes(
  window: FileWindow,
  at: number,
): Promise<{ crc: number; frames: FrameTime[] } | undefined> {
  const box = await window.box(at);
  try {
    return box && readFrameTimesBox(box);
  } catch (error) {
    return ignoreMalformed(error);
  }
}

async function readFragment(
  window: FileWindow,
  moofAt: number,
  end: number,
  notes: { crc: number; frames: FrameTime[] } | undefined,
): Promise<FileFragment | undefined> {
  const moof = await window.box(moofAt);
  if (!moof) return undefined;
  let runs: SampleRun[];
  try {
    runs = readTrafs(moof, () => undefined);
  } catch (error) {
    return ignoreMalformed(error);
  }
  const mdatAt = moofAt + moof.bytes.length;
  const mdat = await window.header(mdatAt);
  if (mdat?.type !== "mdat" || mdatAt + mdat.size > end) return undefined;
  const dataFrom = moof.bytes.length + mdat.headerBytes;
  const dataEnd = moof.bytes.length + mdat.size;
  const inside = runs.every((run) =>
    run.samples.every((sample) => sample.at >= dataFrom && sample.at + sample.size <= dataEnd),
  );
  if (!inside || runs.some((run) => run.decodeTime === undefined)) return undefined;
  return { moofAt, end: mdatAt + mdat.size, runs, times: notes?.frames ?? [], crc: notes?.crc };
}

/** Reads a fragment's media to see whether all of it reached the disk. True where no checksum was kept. */
export async function isIntact(read: ReadAt, fragment: FragmentMark | undefined): Promise<boolean> {
  if (fragment?.crc === undefined) return true;
  let crc = 0;
  for (let at = fragment.moofAt; at < fragment.end; ) {
    const bytes = await read(at, Math.min(1024 * 1024, fragment.end - at));
    if (bytes.length === 0) return false;
    crc = crc32(bytes, crc);
    at += bytes.length;
  }
  return crc === fragment.crc;
}

/** Damage ends the walk; anything else, such as a read error, is passed on. */
function ignoreMalformed(error: unknown): undefined {
  if (error instanceof OcelliError && error.code === "media_malformed") return undefined;
  throw error;
}
