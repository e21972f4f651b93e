/**
 * The capture times of a recording's frames in a file of their own (`NAME.mkv.frames`), for containers that have no place
 * for them. Owns its form: a line that tells what it is, then a record of fixed length for each frame that the recording
 * shows, in the order a player shows them. Written and read in a stream: memory does not depend on the length.
 */
import { open } from "node:fs/promises";
import { OcelliError } from "@ocelli/protocol";
import type { RecordedFrameTime } from "../media/mp4-recovery.ts";

const head = Buffer.from("ocelli frame times 1\n");
/** Capture time, time in the file, duration (float64, little-endian, microseconds), flags. */
const recordLength = 25;
const keyframeFlag = 1;
const discontinuityFlag = 2;
/** Written or read at once. */
const recordsAtOnce = 2048;

export function frameTimesPath(mediaPath: string): string {
  return `${mediaPath}.frames`;
}

/**
 * Writes the times of a medium beside it; they are on the disk when this resolves. A part is left when it rejects.
 * @returns how many frames there are
 * @throws what the frames throw; errors of the file system
 */
export async function writeFrameTimes(
  mediaPath: string,
  frames: AsyncIterable<RecordedFrameTime>,
): Promise<number> {
  let written = 0;
  async function* content(): AsyncGenerator<Buffer> {
    yield head;
    let records: Buffer[] = [];
    for await (const frame of frames) {
      records.push(toRecord(frame));
      written++;
      if (records.length < recordsAtOnce) continue;
      yield Buffer.concat(records);
      records = [];
    }
    yield Buffer.concat(records);
  }
  const file = await open(frameTimesPath(mediaPath), "w", 0o644);
  try {
    await file.writeFile(content());
    await file.datasync();
  } finally {
    await file.close();
  }
  return written;
}

/**
 * @param readAt fewer bytes only at the end of the file
 * @throws OcelliError `unsupported` when it is no such file
 */
export async function* readFrameTimesFile(
  readAt: (offset: number, length: number) => Promise<Buffer>,
): AsyncGenerator<RecordedFrameTime> {
  if (!head.equals(await readAt(0, head.length))) {
    throw new OcelliError(
      "unsupported",
      "There are no frame times: the file beside the recording that should hold them is of another form.",
    );
  }
  for (let index = 0; ; ) {
    const records = await readAt(head.length + index * recordLength, recordsAtOnce * recordLength);
    if (records.length < recordLength) return;
    for (let at = 0; at + recordLength <= records.length; at += recordLength) {
      yield fromRecord(records, at, index++);
    }
  }
}

function toRecord({ capturedAtUs, mediaTimeUs, durationUs, ...frame }: RecordedFrameTime): Buffer {
  const record = Buffer.allocUnsafe(recordLength);
  record.writeDoubleLE(capturedAtUs, 0);
  record.writeDoubleLE(mediaTimeUs, 8);
  record.writeDoubleLE(durationUs, 16);
  record.writeUInt8((frame.keyframe ? keyframeFlag : 0) | (frame.discontinuity ? discontinuityFlag : 0), 24);
  return record;
}

function fromRecord(records: Buffer, at: number, index: number): RecordedFrameTime {
  const flags = records.readUInt8(at + 24);
  return {
    index,
    capturedAtUs: records.readDoubleLE(at),
    mediaTimeUs: records.readDoubleLE(at + 8),
    durationUs: records.readDoubleLE(at + 16),
    keyframe: (flags & keyframeFlag) !== 0,
    discontinuity: (flags & discontinuityFlag) !== 0,
  };
}
