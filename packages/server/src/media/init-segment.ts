import { createHash } from "node:crypto";
import { type Box, boxBody, boxesIn, childBoxes, findBox, malformed, requireBox } from "./box-reader.ts";
import { audioCodecString, videoCodecString } from "./codec-string.ts";
import { findDecoderConfig } from "./esds.ts";
import type { AudioTrack, InitSegment, Track, VideoTrack } from "./fragment.ts";

/** Reads what an init segment (`ftyp`+`moov`) says of its tracks. Tracks of other kinds are an error: nobody asked for them. */

/** One `trak` in parts, as the recording writer needs them to build another. */
export interface TrackParts {
  readonly track: Track;
  readonly tkhd: Box;
  readonly mdhd: Box;
  readonly hdlr: Box;
  /** Children of `minf` other than `stbl`. */
  readonly minf: readonly Box[];
  readonly stsd: Box;
  readonly edts: Box | undefined;
}

/** @param bytes `ftyp` (optional) and `moov` @throws OcelliError `media_malformed`, `unsupported` codec */
export function parseInitSegment(bytes: Buffer): InitSegment {
  const parts = trackParts(bytes);
  const hash = createHash("sha256");
  for (const { track, stsd } of parts) {
    hash.update(`${track.kind}/${track.id}/${track.timescale}/`);
    hash.update(withoutBitrates(stsd.bytes));
  }
  return {
    bytes,
    tracks: parts.map((part) => part.track),
    fingerprint: hash.digest("hex").slice(0, 32),
  };
}

/** The tracks of a `moov`, in file order. @throws OcelliError `media_malformed` */
export function trackParts(init: Buffer): TrackParts[] {
  const moov = childBoxes(init, 0).find((box) => box.type === "moov");
  if (!moov) throw malformed("an init segment without a moov box");
  const parts = boxesIn(moov)
    .filter((box) => box.type === "trak")
    .map(readTrak);
  if (parts.length === 0) throw malformed("a moov box without tracks");
  return parts;
}

function readTrak(trak: Box): TrackParts {
  const tkhd = requireBox(trak, "tkhd");
  const mdia = requireBox(trak, "mdia");
  const mdhd = requireBox(mdia, "mdhd");
  const hdlr = requireBox(mdia, "hdlr");
  const minf = requireBox(mdia, "minf");
  const stsd = requireBox(minf, "stbl", "stsd");
  const id = readTrackId(tkhd);
  const timescale = readTimescale(mdhd);
  const handler = boxBody(hdlr, 12).toString("latin1", 8, 12);
  const entry = childBoxes(boxBody(stsd, 8), 8)[0];
  if (!entry) throw malformed(`track ${id} has an empty stsd`);
  const track = readTrack(handler, id, timescale, entry);
  return {
    track,
    tkhd,
    mdhd,
    hdlr,
    minf: boxesIn(minf).filter((box) => box.type !== "stbl"),
    stsd,
    edts: findBox(trak, "edts"),
  };
}

function readTrack(handler: string, id: number, timescale: number, entry: Box): Track {
  if (handler === "vide") return readVideo(id, timescale, entry);
  if (handler === "soun") return readAudio(id, timescale, entry);
  throw malformed(`track ${id} is neither video nor audio but "${handler}"`, { handler });
}

/** VisualSampleEntry: 78 bytes of fixed fields before the codec's own boxes. */
function readVideo(id: number, timescale: number, entry: Box): VideoTrack {
  const body = boxBody(entry, 78);
  const children = childBoxes(body, 78);
  const { codec, codecString } = videoCodecString(entry.type, children);
  return {
    kind: "video",
    id,
    codec,
    codecString,
    width: body.readUInt16BE(24),
    height: body.readUInt16BE(26),
    timescale,
  };
}

/** AudioSampleEntry: 28 bytes of fixed fields. */
function readAudio(id: number, timescale: number, entry: Box): AudioTrack {
  const body = boxBody(entry, 28);
  const children = childBoxes(body, 28);
  const { codec, codecString } = audioCodecString(entry.type, children);
  const rate = body.readUInt16BE(24);
  return {
    kind: "audio",
    id,
    codec,
    codecString,
    channels: body.readUInt16BE(16),
    // Rates above 65535 do not fit into the 16.16 field; the timescale is then the rate.
    sampleRate: rate === 0 ? timescale : rate,
    timescale,
  };
}

function readTrackId(tkhd: Box): number {
  const body = boxBody(tkhd, 84);
  return body.readUInt32BE(body[0] === 1 ? 20 : 12);
}

function readTimescale(mdhd: Box): number {
  const body = boxBody(mdhd, 24);
  const timescale = body.readUInt32BE(body[0] === 1 ? 20 : 12);
  if (timescale === 0) throw malformed("a track with the timescale 0");
  return timescale;
}

/**
 * Sample descriptions with the bit rates blanked: `btrt`, and the two rates inside `esds`, are an encoder's
 * forecast and say nothing of whether samples may share a file.
 */
function withoutBitrates(stsd: Buffer): Buffer {
  const copy = Buffer.from(stsd);
  for (let at = copy.indexOf("btrt"); at >= 4; at = copy.indexOf("btrt", at + 4)) {
    if (copy.readUInt32BE(at - 4) === 20 && at + 16 <= copy.length) copy.fill(0, at + 4, at + 16);
  }
  const esds = copy.indexOf("esds");
  if (esds > 0) {
    const config = findDecoderConfig(copy.subarray(esds + 8));
    if (config && config.length >= 13) config.fill(0, 5, 13);
  }
  return copy;
}
