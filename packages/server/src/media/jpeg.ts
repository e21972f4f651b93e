import { malformed } from "./box-reader.ts";
import { standardHuffmanTables } from "./jpeg-tables.ts";

/**
 * Makes the JPEGs of cameras fit to leave the hub: many UVC cameras omit the Huffman tables (the habit of
 * Motion-JPEG in AVI) and pad the buffer after the picture. Works on markers (ISO/IEC 10918-1, annex B) and
 * never decodes.
 */

const marker = { soi: 0xd8, eoi: 0xd9, sos: 0xda, dht: 0xc4, tem: 0x01, rst0: 0xd0, rst7: 0xd7 } as const;
const endOfImage = Buffer.from([0xff, marker.eoi]);

/**
 * A JPEG that any decoder takes: Huffman tables present, nothing after the end marker, end marker present.
 * Gives back the very same buffer when there is nothing to do.
 * @throws OcelliError `media_malformed` when this is no JPEG at all
 */
export function completeJpeg(sample: Buffer): Buffer {
  const { tables, firstScanAt, end, hasEnd } = scanJpeg(sample);
  if (tables && hasEnd) return end === sample.length ? sample : sample.subarray(0, end);
  const parts = [];
  if (tables) parts.push(sample.subarray(0, end));
  else parts.push(sample.subarray(0, firstScanAt), standardHuffmanTables, sample.subarray(firstScanAt, end));
  if (!hasEnd) parts.push(endOfImage);
  return Buffer.concat(parts);
}

/** Picture size from the frame header. @throws OcelliError `media_malformed` */
export function jpegSize(jpeg: Buffer): { width: number; height: number } {
  for (const segment of headerSegments(jpeg)) {
    if (!isFrameHeader(segment.marker)) continue;
    if (segment.end - segment.at < 7) break;
    const height = jpeg.readUInt16BE(segment.at + 3);
    const width = jpeg.readUInt16BE(segment.at + 5);
    if (width === 0 || height === 0) break;
    return { width, height };
  }
  throw malformed("a JPEG whose frame header gives no picture size");
}

/** SOF0 to SOF15; C4, C8 and CC in that range are other markers. */
function isFrameHeader(code: number): boolean {
  return code >= 0xc0 && code <= 0xcf && code !== 0xc4 && code !== 0xc8 && code !== 0xcc;
}

interface Segment {
  readonly marker: number;
  /** Where the marker's 0xFF is. */
  readonly from: number;
  /** Where the content starts, its two length bytes included. */
  readonly at: number;
  readonly end: number;
}

/** The segments before the first scan, that scan's header last. Thumbnails inside APP segments are stepped over. */
function* headerSegments(jpeg: Buffer): Generator<Segment> {
  if (jpeg.length < 4 || jpeg[0] !== 0xff || jpeg[1] !== marker.soi) {
    throw malformed(`not a JPEG: it starts with ${jpeg.toString("hex", 0, 4) || "nothing"} instead of ffd8`);
  }
  let at = 2;
  for (;;) {
    const segment = segmentAt(jpeg, at);
    if (!segment) throw malformed("a JPEG that ends before its picture data", { bytes: jpeg.length });
    yield segment;
    if (segment.marker === marker.sos) return;
    at = segment.end;
  }
}

/** The segment whose marker is at `at`, fill bytes allowed; `undefined` where there is none or it is cut off. */
function segmentAt(jpeg: Buffer, at: number): Segment | undefined {
  let next = at;
  if (jpeg[next] !== 0xff) return undefined;
  while (jpeg[next] === 0xff) next++;
  const code = jpeg[next];
  if (code === undefined || code === 0) return undefined;
  next++;
  if (code === marker.tem || (code >= marker.rst0 && code <= marker.rst7)) {
    return { marker: code, from: at, at: next, end: next };
  }
  if (code === marker.soi || code === marker.eoi || next + 2 > jpeg.length) return undefined;
  const end = next + jpeg.readUInt16BE(next);
  return end < next + 2 || end > jpeg.length ? undefined : { marker: code, from: at, at: next, end };
}

interface JpegScan {
  readonly tables: boolean;
  /** Where the first SOS marker is. */
  readonly firstScanAt: number;
  /** Where the picture ends: after EOI, or after the last byte that belongs to it. */
  readonly end: number;
  readonly hasEnd: boolean;
}

function scanJpeg(jpeg: Buffer): JpegScan {
  let tables = false;
  let scan: Segment | undefined;
  for (const segment of headerSegments(jpeg)) {
    if (segment.marker === marker.dht) tables = true;
    scan = segment;
  }
  if (!scan) throw malformed("a JPEG without picture data");
  const firstScanAt = scan.from;
  // Entropy-coded data: a 0xFF in it is followed by 0x00 or a restart marker. What else follows is a segment
  // (a progressive picture has several scans), or the end.
  let at = scan.end;
  for (;;) {
    const found = jpeg.indexOf(0xff, at);
    if (found < 0 || found + 1 >= jpeg.length) break;
    const code = jpeg[found + 1] ?? 0;
    if (code === marker.eoi) return { tables, firstScanAt, end: found + 2, hasEnd: true };
    if (code === 0xff) at = found + 1;
    else if (code === 0 || (code >= marker.rst0 && code <= marker.rst7)) at = found + 2;
    else {
      // A torn picture: keep what came before the bytes that make no sense.
      const segment = segmentAt(jpeg, found);
      if (!segment) return { tables, firstScanAt, end: found, hasEnd: false };
      at = segment.end;
    }
  }
  return { tables, firstScanAt, end: endWithoutPadding(jpeg, scan.end), hasEnd: false };
}

/** Without EOI, trailing zeros are padding, and so is half a marker. */
function endWithoutPadding(jpeg: Buffer, from: number): number {
  let end = jpeg.length;
  while (end > from && jpeg[end - 1] === 0) end--;
  // The zero after 0xFF is a stuffed byte of the picture; a lone 0xFF is half a marker.
  if (jpeg[end - 1] === 0xff) return end < jpeg.length ? end + 1 : end - 1;
  return end;
}
