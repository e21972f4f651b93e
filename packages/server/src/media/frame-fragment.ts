import { box, fullBox, u32, u64 } from "./box-builder.ts";

/** Wraps one frame in a `moof`+`mdat` of its own, for sources that put several frames into a fragment. */

export const syncSampleFlags = 0x02000000;
export const nonSyncSampleFlags = 0x01010000;

export function buildFrameFragment(frame: {
  readonly trackId: number;
  readonly duration: number;
  readonly compositionOffset: number;
  readonly keyframe: boolean;
  readonly sample: Buffer;
}): { bytes: Buffer; sample: Buffer; decodeTimeAt: number } {
  const size = frame.sample.length;
  const flags = frame.keyframe ? syncSampleFlags : nonSyncSampleFlags;
  const mfhd = fullBox("mfhd", 0, 0, u32(1));
  const tfhd = fullBox("tfhd", 0, 0x20038, u32(frame.trackId, frame.duration, size, flags));
  const tfdt = fullBox("tfdt", 1, 0, u64(0));
  const trunBytes = 24;
  const moofBytes = 8 + mfhd.length + 8 + tfhd.length + tfdt.length + trunBytes;
  const trun = fullBox("trun", 1, 0x801, u32(1, moofBytes + 8, frame.compositionOffset));
  const moof = box("moof", mfhd, box("traf", tfhd, tfdt, trun));
  const bytes = Buffer.allocUnsafeSlow(moof.length + 8 + size);
  moof.copy(bytes, 0);
  bytes.writeUInt32BE(8 + size, moof.length);
  bytes.write("mdat", moof.length + 4, "latin1");
  frame.sample.copy(bytes, moof.length + 8);
  return {
    bytes,
    sample: bytes.subarray(moof.length + 8),
    decodeTimeAt: 8 + mfhd.length + 8 + tfhd.length + 12,
  };
}
