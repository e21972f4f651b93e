/**
 * Ends what an MP4 file shows: its edit list lasts so long, whatever lies in the file behind that. Pictures that depend
 * on each other cannot be cut off just anywhere, but they can be hidden.
 */
import { type FileHandle, open } from "node:fs/promises";
import { FileWindow } from "./recording-walk.ts";

interface Body {
  readonly start: number;
  readonly end: number;
}

/**
 * Writes the length of the one edit of the video track.
 * @returns false, and the file is as it was, when it is not one edit that begins the presentation
 */
export async function endVideoAt(path: string, durationUs: number): Promise<boolean> {
  const file = await open(path, "r+");
  try {
    const { size } = await file.stat();
    const window = new FileWindow(async (offset, length) => {
      const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(length), 0, length, offset);
      return buffer.subarray(0, bytesRead);
    }, size);
    const [moov] = await bodies(window, { start: 0, end: size }, "moov");
    const [mvhd] = moov === undefined ? [] : await bodies(window, moov, "mvhd");
    if (moov === undefined || mvhd === undefined) return false;
    const timescale = await timescaleOf(window, mvhd);
    for (const trak of await bodies(window, moov, "trak")) {
      if (!(await isVideo(window, trak))) continue;
      const [elst] = await bodies(window, trak, "edts", "elst");
      return elst !== undefined && (await writeDuration(file, window, elst, (durationUs * timescale) / 1e6));
    }
    return false;
  } finally {
    await file.close();
  }
}

async function writeDuration(
  file: FileHandle,
  window: FileWindow,
  { start }: Body,
  ticks: number,
): Promise<boolean> {
  const head = await window.take(start, 8);
  if (head?.readUInt32BE(4) !== 1) return false;
  const wide = head[0] === 1;
  const bytes = Buffer.alloc(wide ? 8 : 4);
  if (wide) bytes.writeBigUInt64BE(BigInt(Math.round(ticks)));
  else if (ticks < 2 ** 32 - 1) bytes.writeUInt32BE(Math.round(ticks));
  else return false;
  await file.write(bytes, 0, bytes.length, start + 8);
  return true;
}

async function timescaleOf(window: FileWindow, { start }: Body): Promise<number> {
  const head = await window.take(start, 24);
  return head === undefined ? 0 : head.readUInt32BE(head[0] === 1 ? 20 : 12);
}

async function isVideo(window: FileWindow, trak: Body): Promise<boolean> {
  const [hdlr] = await bodies(window, trak, "mdia", "hdlr");
  const head = hdlr === undefined ? undefined : await window.take(hdlr.start, 12);
  return head?.toString("latin1", 8, 12) === "vide";
}

/** What is inside the boxes of this type, or at the end of this path of types. */
async function bodies(window: FileWindow, parent: Body, ...types: readonly string[]): Promise<Body[]> {
  const [type, ...inner] = types;
  const found: Body[] = [];
  for (let at = parent.start; at < parent.end; ) {
    const header = await window.header(at);
    if (header === undefined || header.size < header.headerBytes || at + header.size > parent.end) break;
    if (header.type === type) found.push({ start: at + header.headerBytes, end: at + header.size });
    at += header.size;
  }
  if (inner.length === 0) return found;
  return (await Promise.all(found.map((one) => bodies(window, one, ...inner)))).flat();
}
