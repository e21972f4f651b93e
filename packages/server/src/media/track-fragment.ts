import { type Box, boxBody, boxesIn, malformed, requireBox } from "./box-reader.ts";

/** Reads the samples that a `moof` describes (ISO/IEC 14496-12, 8.8). */

export interface SampleDefaults {
  readonly duration: number;
  readonly size: number;
  readonly flags: number;
}

export interface FoundSample {
  /** Where the sample starts, counted from the first byte of the `moof`. */
  readonly at: number;
  readonly size: number;
  readonly duration: number;
  readonly flags: number;
  readonly compositionOffset: number;
}

export interface SampleRun {
  readonly trackId: number;
  /** Decode time of the first sample in ticks; `undefined` for a value that cannot be one. */
  readonly decodeTime: number | undefined;
  /** Where a 64-bit decode time lies in the `moof`; `undefined` where it is written in 32 bits or missing. */
  readonly decodeTimeAt: number | undefined;
  /** True when the offsets count from this `moof`, so that it can be moved as it is. */
  readonly selfContained: boolean;
  readonly samples: readonly FoundSample[];
}

/** More than any camera puts into one fragment; stops a forged count from filling the memory. */
const maxSamples = 100_000;

/** One entry for each `traf`. @throws OcelliError `media_malformed` */
export function readTrafs(
  moof: Box,
  defaultsOf: (trackId: number) => SampleDefaults | undefined,
): SampleRun[] {
  const lone = readLoneSample(moof, defaultsOf);
  if (lone !== undefined) return [lone];
  const runs: SampleRun[] = [];
  let implicitBase = 0;
  for (const traf of boxesIn(moof)) {
    if (traf.type !== "traf") continue;
    const { run, end } = readTraf(moof, traf, defaultsOf, implicitBase);
    runs.push(run);
    implicitBase = end;
  }
  return runs;
}

const types = { mfhd: 0x6d666864, traf: 0x74726166, tfhd: 0x74666864, tfdt: 0x74666474, trun: 0x7472756e };

/**
 * The same for what ffmpeg writes for a frame: one `traf` of one sample. Nothing is made but the result, for this is
 * done for every frame. `undefined` for any other layout, a malformed one included.
 */
function readLoneSample(
  moof: Box,
  defaultsOf: (trackId: number) => SampleDefaults | undefined,
): SampleRun | undefined {
  const { bytes } = moof;
  let at = moof.headerBytes;
  const child = (type: number, minBytes: number, end: number): number => {
    if (at + minBytes > end || bytes.readUInt32BE(at + 4) !== type) return 0;
    const size = bytes.readUInt32BE(at);
    return size >= minBytes && at + size <= end ? size : 0;
  };
  const mfhd = child(types.mfhd, 16, bytes.length);
  at += mfhd;
  const traf = mfhd === 0 ? 0 : child(types.traf, 8, bytes.length);
  if (traf === 0 || at + traf !== bytes.length) return undefined;
  at += 8;

  const tfhd = child(types.tfhd, 16, bytes.length);
  if (tfhd === 0) return undefined;
  const present = bytes.readUInt32BE(at + 8) & 0xffffff;
  const own = (present & 0x2 ? 4 : 0) + (present & 0x8 ? 4 : 0) + (present & 0x10 ? 4 : 0);
  if ((present & 0x1) !== 0 || tfhd < 16 + own + (present & 0x20 ? 4 : 0)) return undefined;
  const trackId = bytes.readUInt32BE(at + 12);
  const defaults = defaultsOf(trackId);
  let field = at + 16 + (present & 0x2 ? 4 : 0);
  let duration = defaults?.duration ?? 0;
  let size = defaults?.size ?? 0;
  let flags = defaults?.flags ?? 0;
  if (present & 0x8) {
    duration = bytes.readUInt32BE(field);
    field += 4;
  }
  if (present & 0x10) {
    size = bytes.readUInt32BE(field);
    field += 4;
  }
  if (present & 0x20) flags = bytes.readUInt32BE(field);
  at += tfhd;

  const tfdt = child(types.tfdt, 20, bytes.length);
  if (tfdt === 0 || bytes[at + 8] !== 1) return undefined;
  const decodeTimeAt = at + 12;
  const decodeTime = bytes.readInt32BE(decodeTimeAt) * 2 ** 32 + bytes.readUInt32BE(decodeTimeAt + 4);
  at += tfdt;

  const trun = child(types.trun, 16, bytes.length);
  if (trun === 0 || at + trun !== bytes.length) return undefined;
  const fields = bytes.readUInt32BE(at + 8);
  const needed = 16 + 4 * bitCount(fields & 0x5) + 4 * bitCount((fields >> 8) & 0xf);
  if (bytes.readUInt32BE(at + 12) !== 1 || (fields & 0x1) === 0 || trun < needed) return undefined;
  const dataAt = bytes.readInt32BE(at + 16);
  field = at + 20;
  let firstFlags: number | undefined;
  if (fields & 0x4) {
    firstFlags = bytes.readUInt32BE(field);
    field += 4;
  }
  if (fields & 0x100) {
    duration = bytes.readUInt32BE(field);
    field += 4;
  }
  if (fields & 0x200) {
    size = bytes.readUInt32BE(field);
    field += 4;
  }
  if (fields & 0x400) {
    flags = bytes.readUInt32BE(field);
    field += 4;
  }
  let compositionOffset = 0;
  if (fields & 0x800) {
    compositionOffset = fields >>> 24 === 0 ? bytes.readUInt32BE(field) : bytes.readInt32BE(field);
  }
  return {
    trackId,
    decodeTime: Number.isSafeInteger(decodeTime) ? decodeTime : undefined,
    decodeTimeAt,
    selfContained: true,
    samples: [{ at: dataAt, size, duration, flags: firstFlags ?? flags, compositionOffset }],
  };
}

function readTraf(
  moof: Box,
  traf: Box,
  defaultsOf: (trackId: number) => SampleDefaults | undefined,
  implicitBase: number,
): { run: SampleRun; end: number } {
  const header = readTfhd(requireBox(traf, "tfhd"), defaultsOf);
  // An explicit base counts from the start of the file; for the first run of a moof without
  // default-base-is-moof the base is the moof too, for later ones the end of the run before.
  const base =
    header.baseDataOffset !== undefined
      ? header.baseDataOffset - moof.offset
      : header.defaultBaseIsMoof
        ? 0
        : implicitBase;
  let decodeTime = 0;
  let decodeTimeAt: number | undefined;
  const samples: FoundSample[] = [];
  let next = base;
  for (const box of boxesIn(traf)) {
    if (box.type === "tfdt") {
      const body = boxBody(box, 8);
      if (body[0] === 1) {
        decodeTime = Number(boxBody(box, 12).readBigInt64BE(4));
        // Offsets of walked boxes count from their parent.
        decodeTimeAt = traf.offset + box.offset + box.headerBytes + 4;
      } else decodeTime = body.readUInt32BE(4);
    } else if (box.type === "trun") next = readTrun(box, header.defaults, base, next, samples);
  }
  const selfContained = header.baseDataOffset === undefined;
  return {
    run: {
      trackId: header.trackId,
      decodeTime: Number.isSafeInteger(decodeTime) ? decodeTime : undefined,
      decodeTimeAt,
      selfContained,
      samples,
    },
    end: next,
  };
}

interface Tfhd {
  readonly trackId: number;
  readonly baseDataOffset: number | undefined;
  readonly defaultBaseIsMoof: boolean;
  readonly defaults: SampleDefaults;
}

function readTfhd(tfhd: Box, defaultsOf: (trackId: number) => SampleDefaults | undefined): Tfhd {
  const fields = new FieldReader(tfhd);
  const flags = fields.u32() & 0xffffff;
  const trackId = fields.u32();
  const trex = defaultsOf(trackId) ?? { duration: 0, size: 0, flags: 0 };
  const baseDataOffset = flags & 0x1 ? fields.u64() : undefined;
  if (flags & 0x2) fields.u32();
  return {
    trackId,
    baseDataOffset,
    defaultBaseIsMoof: (flags & 0x20000) !== 0,
    defaults: {
      duration: flags & 0x8 ? fields.u32() : trex.duration,
      size: flags & 0x10 ? fields.u32() : trex.size,
      flags: flags & 0x20 ? fields.u32() : trex.flags,
    },
  };
}

/** @returns where the run's data ends, counted from the `moof` */
function readTrun(
  trun: Box,
  defaults: SampleDefaults,
  base: number,
  next: number,
  samples: FoundSample[],
): number {
  const fields = new FieldReader(trun);
  const versionAndFlags = fields.u32();
  const flags = versionAndFlags & 0xffffff;
  const count = fields.u32();
  let at = flags & 0x1 ? base + fields.i32() : next;
  const firstFlags = flags & 0x4 ? fields.u32() : undefined;
  const bytesEach = 4 * bitCount((flags >> 8) & 0xf);
  if (count + samples.length > maxSamples || count * bytesEach > fields.left) {
    throw malformed(`a trun box announces ${count} samples, more than it can hold`, { count });
  }
  const signed = versionAndFlags >>> 24 !== 0;
  for (let i = 0; i < count; i++) {
    const duration = flags & 0x100 ? fields.u32() : defaults.duration;
    const size = flags & 0x200 ? fields.u32() : defaults.size;
    const own = flags & 0x400 ? fields.u32() : defaults.flags;
    const compositionOffset = flags & 0x800 ? (signed ? fields.i32() : fields.u32()) : 0;
    samples.push({
      at,
      size,
      duration,
      flags: i === 0 && firstFlags !== undefined ? firstFlags : own,
      compositionOffset,
    });
    at += size;
  }
  return at;
}

function bitCount(bits: number): number {
  let count = 0;
  for (let rest = bits; rest !== 0; rest >>= 1) count += rest & 1;
  return count;
}

/** Reads big-endian fields one after another and refuses to read beyond the box. */
class FieldReader {
  readonly #box: Box;
  #at: number;

  constructor(box: Box) {
    this.#box = box;
    this.#at = box.headerBytes;
  }

  get left(): number {
    return this.#box.bytes.length - this.#at;
  }

  u32(): number {
    return this.#box.bytes.readUInt32BE(this.#advance(4));
  }

  i32(): number {
    return this.#box.bytes.readInt32BE(this.#advance(4));
  }

  u64(): number {
    return Number(this.#box.bytes.readBigUInt64BE(this.#advance(8)));
  }

  #advance(count: number): number {
    const at = this.#at;
    if (at + count > this.#box.bytes.length) throw malformed(`the box "${this.#box.type}" ends too early`);
    this.#at += count;
    return at;
  }
}
