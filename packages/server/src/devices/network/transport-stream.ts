/** What the beginning of a stream tells about it as MPEG-TS (ISO/IEC 13818-1). Pure. */

/**
 * How a picture's end is known: `told` by the length of its packet (PES), or `open`: by the beginning of the next. Muxers may leave
 * the length out for pictures, and must for those of more than 64 KiB.
 */
export type PictureEnds = "told" | "open";

export interface TransportStream {
  /** `undefined` until a length, or a small picture without one, was seen. */
  readonly pictureEnds: PictureEnds | undefined;
}

const packetBytes = 188;
const syncByte = 0x47;
/** In a row, to tell the format by. */
const syncBytes = 3;
/** The greatest length a PES packet can tell, less all that its header may take. */
const smallPictureBytes = 65_535 - 1024;

/** @returns `undefined` for another format, or for too little to know it by */
export function transportStream(head: Buffer): TransportStream | undefined {
  for (let at = 0; at < syncBytes * packetBytes; at += packetBytes)
    if (head[at] !== syncByte) return undefined;
  return { pictureEnds: pictureEnds(head) };
}

/** Whether more of the stream could tell more. */
export function wantsMore(head: Buffer): boolean {
  if (head.length < syncBytes * packetBytes) return head.length === 0 || head[0] === syncByte;
  const found = transportStream(head);
  return found !== undefined && found.pictureEnds === undefined;
}

function pictureEnds(head: Buffer): PictureEnds | undefined {
  /** Bytes of the picture that each stream is at, where its length was left out. */
  const open = new Map<number, number>();
  for (let at = 0; at + packetBytes <= head.length && head[at] === syncByte; at += packetBytes) {
    const pid = head.readUInt16BE(at + 1) & 0x1fff;
    const payload = payloadOf(head.subarray(at, at + packetBytes));
    const starts = ((head[at + 1] ?? 0) & 0x40) !== 0;
    const before = open.get(pid);
    if (!starts) {
      if (before !== undefined) open.set(pid, before + payload.length);
      continue;
    }
    if (before !== undefined && before <= smallPictureBytes) return "open";
    open.delete(pid);
    if (payload.length < 6 || payload.readUInt32BE(0) >>> 4 !== videoStart) continue;
    if (payload.readUInt16BE(4) > 0) return "told";
    open.set(pid, payload.length);
  }
  return undefined;
}

/** The start code of a PES packet of video, but for the number of the stream. */
const videoStart = 0x1e;

function payloadOf(packet: Buffer): Buffer {
  const control = ((packet[3] ?? 0) >> 4) & 3;
  if ((control & 1) === 0) return packet.subarray(packetBytes);
  return packet.subarray(4 + ((control & 2) === 0 ? 0 : 1 + (packet[4] ?? 0)));
}
