import { OcelliError } from "@ocelli/protocol";
import { type Box, boxBody, malformed } from "./box-reader.ts";
import { findDecoderConfig } from "./esds.ts";
import type { AudioCodec, VideoCodec } from "./fragment.ts";

/** RFC 6381 codec strings from the decoder configuration inside a sample entry. */

/** @throws OcelliError `unsupported` for other codecs, `media_malformed` */
export function videoCodecString(
  entryType: string,
  children: readonly Box[],
): { codec: VideoCodec; codecString: string } {
  switch (entryType) {
    case "avc1":
    case "avc3":
      return { codec: "h264", codecString: `${entryType}.${avc(child(children, "avcC"))}` };
    case "hvc1":
    case "hev1":
      return { codec: "hevc", codecString: `${entryType}.${hevc(child(children, "hvcC"))}` };
    case "av01":
      return { codec: "av1", codecString: `av01.${av1(child(children, "av1C"))}` };
    case "jpeg":
    case "mjpa":
      return { codec: "mjpeg", codecString: "mjpeg" };
    case "mp4v": {
      // ffmpeg puts MJPEG into `mp4v` with this object type.
      const objectType = decoderConfig(child(children, "esds"))[0];
      if (objectType === 0x6c) return { codec: "mjpeg", codecString: "mjpeg" };
      throw unsupported(`mp4v with object type 0x${(objectType ?? 0).toString(16)}`);
    }
    default:
      throw unsupported(entryType);
  }
}

/** @throws OcelliError `unsupported` for other codecs, `media_malformed` */
export function audioCodecString(
  entryType: string,
  children: readonly Box[],
): { codec: AudioCodec; codecString: string } {
  if (entryType === "Opus") return { codec: "opus", codecString: "opus" };
  if (entryType === "mp4a") {
    const config = decoderConfig(child(children, "esds"));
    if (config[0] === 0x40) return { codec: "aac", codecString: `mp4a.40.${audioObjectType(config)}` };
    throw unsupported(`mp4a with object type 0x${(config[0] ?? 0).toString(16)}`);
  }
  throw unsupported(entryType);
}

function child(children: readonly Box[], type: string): Box {
  const found = children.find((box) => box.type === type);
  if (!found) throw malformed(`a sample entry without its ${type} box`);
  return found;
}

/** Profile, constraints and level of AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3). */
function avc(avcC: Box): string {
  return boxBody(avcC, 7).toString("hex", 1, 4);
}

/** ISO/IEC 14496-15, annex E.3: profile, reversed compatibility flags, tier and level, constraints. */
function hevc(hvcC: Box): string {
  const body = boxBody(hvcC, 23);
  const first = body[1] ?? 0;
  const space = ["", "A", "B", "C"][first >> 6] ?? "";
  const tier = first & 0x20 ? "H" : "L";
  const parts = [
    `${space}${first & 0x1f}`,
    reverseBits(body.readUInt32BE(2)).toString(16).toUpperCase(),
    `${tier}${body[12] ?? 0}`,
  ];
  let constraintBytes = 6;
  while (constraintBytes > 0 && body[5 + constraintBytes] === 0) constraintBytes--;
  for (let i = 0; i < constraintBytes; i++) parts.push((body[6 + i] ?? 0).toString(16).toUpperCase());
  return parts.join(".");
}

function reverseBits(value: number): number {
  let reversed = 0;
  for (let i = 0; i < 32; i++) reversed = (reversed << 1) | ((value >>> i) & 1);
  return reversed >>> 0;
}

/** AV1 codec ISO media file format binding, section 5: profile, level and tier, bit depth. */
function av1(av1C: Box): string {
  // ffmpeg leaves the record empty when the encoder gives no header before its first frame; what encoders
  // make by default is then the best guess.
  if (av1C.bytes.length < av1C.headerBytes + 4) return "0.08M.08";
  const body = boxBody(av1C, 4);
  const second = body[1] ?? 0;
  const third = body[2] ?? 0;
  const profile = second >> 5;
  const level = String(second & 0x1f).padStart(2, "0");
  const tier = third & 0x80 ? "H" : "M";
  const highBitDepth = (third & 0x40) !== 0;
  const depth = highBitDepth ? (third & 0x20 && profile === 2 ? "12" : "10") : "08";
  return `${profile}.${level}${tier}.${depth}`;
}

function decoderConfig(esds: Box): Buffer {
  const config = findDecoderConfig(boxBody(esds, 4).subarray(4));
  if (!config || config.length < 13) throw malformed("an esds box without a decoder configuration");
  return config;
}

/** Audio object type of the AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1); 2, AAC-LC, where none is given. */
function audioObjectType(config: Buffer): number {
  // 13 bytes of configuration, then the descriptor (tag 5) with its length in one to four bytes.
  let at = 13;
  if (config[at++] !== 5) return 2;
  while ((config[at] ?? 0) & 0x80) at++;
  at++;
  const first = config[at] ?? 0;
  const type = first >> 3;
  if (type !== 31) return type === 0 ? 2 : type;
  return 32 + (((first & 0x07) << 3) | ((config[at + 1] ?? 0) >> 5));
}

function unsupported(what: string): OcelliError {
  return new OcelliError(
    "unsupported",
    `The stream has the codec "${what}", which Ocelli does not carry. Use MJPEG, H.264, HEVC or AV1 video, AAC or Opus audio.`,
    { details: { codec: what } },
  );
}
