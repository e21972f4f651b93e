/** The capture time of every frame of a recording, as CSV text. */
import { type FileHandle, open } from "node:fs/promises";
import { OcelliError } from "@ocelli/protocol";
import { isoOfUs } from "../library/sidecar.ts";
import { readFrameTimes } from "../media/mp4-recovery.ts";

export const frameTimesHeader = "frame,captured_at_us,captured_at,media_time_us,duration_us,keyframe\n";

/** Text handed out at a time, characters. */
const chunkLength = 65_536;

/**
 * CSV in chunks of some tens of KiB: a header, then a line a presented frame: its number from 0, capture time (epoch
 * microseconds and ISO 8601 in UTC), time in the file, duration, and 1 for a keyframe. Works while the file grows:
 * it then ends with the last whole fragment. The file is closed when the iteration ends, also early.
 * @param path of an MP4 the hub recorded
 * @throws OcelliError `unsupported` when the file carries no frame times (other formats, other makers),
 *   `file_not_found`
 */
export async function* frameTimesCsv(path: string, signal?: AbortSignal): AsyncGenerator<string> {
  const file = await openFile(path);
  try {
    const { size } = await file.stat();
    let text = frameTimesHeader;
    for await (const frame of readFrameTimes((offset, length) => readAt(file, offset, length), size)) {
      signal?.throwIfAborted();
      text += `${frame.index},${frame.capturedAtUs},${isoOfUs(frame.capturedAtUs)},${frame.mediaTimeUs},${frame.durationUs},${frame.keyframe ? 1 : 0}\n`;
      if (text.length >= chunkLength) {
        yield text;
        text = "";
      }
    }
    yield text;
  } finally {
    await file.close();
  }
}

async function openFile(path: string): Promise<FileHandle> {
  try {
    return await open(path, "r");
  } catch (cause) {
    throw new OcelliError("file_not_found", `The recording ${path} cannot be opened.`, {
      details: { path },
      cause,
    });
  }
}

async function readAt(file: FileHandle, offset: number, length: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await file.read(buffer, filled, length - filled, offset + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}
