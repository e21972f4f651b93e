/**
 * The frames of a recording with their capture times, in the order a player shows them. A file is read in a stream:
 * memory does not depend on its length. However many are read, only a few at a time touch the disk: the threads that do
 * so are those that write the recordings.
 */
import { type FileHandle, open } from "node:fs/promises";
import { OcelliError } from "@ocelli/protocol";
import { type RecordedFrameTime, readFrameTimes } from "../media/mp4-recovery.ts";
import { Limiter } from "../store/limiter.ts";
import { frameTimesPath, readFrameTimesFile } from "./frame-times-file.ts";

const readAtOnce = 2;
const turns = new Limiter(readAtOnce);
/** Read in one turn: some seconds of a recording. */
const framesInTurn = 256;

/**
 * Works while the file grows: ends then with the last whole fragment that was there at the beginning. The file is closed
 * when the iteration ends, also early.
 * @param path of an MP4 the hub recorded, or of any recording whose frame times lie beside it
 * @param options.hiddenToo also the frames of an MP4 that no player shows, before its first picture
 * @throws OcelliError `unsupported` when there are no frame times (a file of another maker), `file_not_found`; the
 *   signal's reason
 */
export async function* recordedFrames(
  path: string,
  signal?: AbortSignal,
  options: { readonly hiddenToo?: boolean } = {},
): AsyncGenerator<RecordedFrameTime, void, undefined> {
  const beside = await open(frameTimesPath(path), "r").catch(() => undefined);
  const file = beside ?? (await openFile(path));
  try {
    const read = (offset: number, length: number): Promise<Buffer> => readAt(file, offset, length);
    const frames = beside
      ? readFrameTimesFile(read)
      : readFrameTimes(read, (await file.stat()).size, options.hiddenToo);
    for (let more = true; more; ) {
      const turn = await turns.run(() => nextOf(frames, signal));
      yield* turn;
      more = turn.length === framesInTurn;
    }
  } finally {
    await file.close();
  }
}

async function nextOf(
  frames: AsyncGenerator<RecordedFrameTime>,
  signal: AbortSignal | undefined,
): Promise<RecordedFrameTime[]> {
  const turn: RecordedFrameTime[] = [];
  while (turn.length < framesInTurn) {
    signal?.throwIfAborted();
    const { value, done } = await frames.next();
    if (done) break;
    turn.push(value);
  }
  return turn;
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

/** Fewer bytes only at the end of the file: one read may give less than there is. */
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
