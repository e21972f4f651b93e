import { fullBox, u32, u64 } from "./box-builder.ts";
import { type Box, boxBody, malformed } from "./box-reader.ts";

/**
 * The two boxes before each `moof` of a recording that tell when its frames were captured.
 *
 * `prft` (ISO/IEC 14496-12, 8.16.5) is the standard one and speaks of the fragment's first frame. The frame
 * times box is ours: a `uuid` box with version and flags 0, then
 *
 *     uint32 crc32   of the `moof` and `mdat` boxes that follow, headers included (the CRC of zlib)
 *     uint32 count   of video samples, in file order
 *     count times: uint64 capturedAtUs (epoch microseconds), uint8 flags (1 keyframe, 2 first after a gap)
 */

/** 3f1e6c52-6f63-656c-6c69-66740000e701: "ocelli" and "ft" inside, otherwise chosen at random. */
const frameTimesUuid = Buffer.from("3f1e6c526f63656c6c6966740000e701", "hex");

const headerBytes = 8 + 16 + 4 + 8;
const entryBytes = 9;

export interface FrameTime {
  readonly capturedAtUs: number;
  readonly keyframe: boolean;
  readonly discontinuity: boolean;
}

export function buildFrameTimes(crc: number, frames: readonly FrameTime[]): Buffer {
  const bytes = Buffer.allocUnsafe(headerBytes + frames.length * entryBytes);
  bytes.writeUInt32BE(bytes.length, 0);
  bytes.write("uuid", 4, "latin1");
  frameTimesUuid.copy(bytes, 8);
  bytes.writeUInt32BE(0, 24);
  bytes.writeUInt32BE(crc, 28);
  bytes.writeUInt32BE(frames.length, 32);
  let at = headerBytes;
  for (const frame of frames) {
    bytes.writeBigUInt64BE(BigInt(frame.capturedAtUs), at);
    bytes[at + 8] = (frame.keyframe ? 1 : 0) | (frame.discontinuity ? 2 : 0);
    at += entryBytes;
  }
  return bytes;
}

/** `undefined` for a `uuid` box of someone else. @throws OcelliError `media_malformed` */
export function readFrameTimesBox(box: Box): { crc: number; frames: FrameTime[] } | undefined {
  const body = boxBody(box, 0);
  if (body.length < 28 || !body.subarray(0, 16).equals(frameTimesUuid)) return undefined;
  const count = body.readUInt32BE(24);
  if (body[16] !== 0 || body.length < 28 + count * entryBytes) {
    throw malformed("a frame times box of another version or length", { count });
  }
  const frames: FrameTime[] = [];
  for (let at = 28; frames.length < count; at += entryBytes) {
    const flags = body[at + 8] ?? 0;
    const capturedAtUs = Number(body.readBigUInt64BE(at));
    // Of the year 2255: what lies behind it is no date.
    if (capturedAtUs > Number.MAX_SAFE_INTEGER) throw malformed("a capture time beyond all dates", { at });
    frames.push({
      capturedAtUs,
      keyframe: (flags & 1) !== 0,
      discontinuity: (flags & 2) !== 0,
    });
  }
  return { crc: body.readUInt32BE(20), frames };
}

const ntpEpochS = 2_208_988_800;
/** "The time at which the frame was captured." */
const capturedFlags = 24;

/** @param mediaTicks presentation time of the frame on the file's time line, in ticks of its track */
export function buildPrft(trackId: number, capturedAtUs: number, mediaTicks: number): Buffer {
  const seconds = Math.floor(capturedAtUs / 1_000_000);
  const fraction = Math.floor(((capturedAtUs - seconds * 1_000_000) * 2 ** 32) / 1_000_000);
  return fullBox("prft", 1, capturedFlags, u32(trackId, seconds + ntpEpochS, fraction), u64(mediaTicks));
}
