/** Which part of a member's files is common to all, to the frame. Pure. */

export interface TimedFrame {
  readonly capturedAtUs: number;
  /** On the file's time line. */
  readonly mediaTimeUs: number;
  readonly durationUs: number;
}

/** A file on the time line that all files of a member share. */
export interface PlacedFile {
  readonly index: number;
  readonly startUs: number;
}

export interface Cut {
  /** Those with frames of it, in order, never none. */
  readonly files: readonly [PlacedFile, ...PlacedFile[]];
  /** Where the first kept frame stands in the first of these files. */
  readonly fromMediaUs: number;
  /** From there to the end of the last kept frame. */
  readonly durationUs: number;
  readonly frames: number;
  /** Capture time of the first kept frame, epoch microseconds. */
  readonly firstFrameAtUs: number;
}

type Frames = AsyncIterable<TimedFrame> | Iterable<TimedFrame>;

/**
 * The frames captured from `fromUs` on that are over by `toUs`; `undefined` when there are none. Half a frame of
 * grace at either end, so that a microsecond does not cost a frame; a frame that stands for long before a hole has no
 * more than its neighbour. Looks at one frame at a time: a day of them is millions.
 * @param files of one member, in the order they were recorded
 */
export async function planCut(
  files: Iterable<Frames>,
  fromUs: number,
  toUs: number,
): Promise<Cut | undefined> {
  let first: TimedFrame | undefined;
  let endUs = 0;
  let count = 0;
  const kept: PlacedFile[] = [];
  let beforeUs = Number.POSITIVE_INFINITY;
  for await (const { frame, file } of joined(files)) {
    const { capturedAtUs, mediaTimeUs, durationUs } = frame;
    const graceUs = Math.min(durationUs, beforeUs) / 2;
    beforeUs = durationUs;
    if (capturedAtUs < fromUs - graceUs || capturedAtUs + durationUs > toUs + graceUs) continue;
    first ??= frame;
    if (file !== kept.at(-1)) kept.push(file);
    endUs = file.startUs + mediaTimeUs + durationUs;
    count++;
  }
  const [firstFile, ...otherFiles] = kept;
  if (first === undefined || firstFile === undefined) return undefined;
  return {
    files: [firstFile, ...otherFiles],
    fromMediaUs: first.mediaTimeUs,
    durationUs: endUs - firstFile.startUs - first.mediaTimeUs,
    frames: count,
    firstFrameAtUs: first.capturedAtUs,
  };
}

/** The frames of several files, each file placed where the capture time of its first frame puts it. */
async function* joined(
  files: Iterable<Frames>,
): AsyncGenerator<{ readonly frame: TimedFrame; readonly file: PlacedFile }> {
  let zeroAtUs: number | undefined;
  let previous: { readonly endUs: number; readonly frameUs: number } | undefined;
  let index = 0;
  for (const frames of files) {
    let file: PlacedFile | undefined;
    for await (const frame of frames) {
      const { capturedAtUs, mediaTimeUs, durationUs } = frame;
      zeroAtUs ??= capturedAtUs - mediaTimeUs;
      file ??= { index, startUs: placed(capturedAtUs - mediaTimeUs - zeroAtUs, previous) };
      yield { frame, file };
      previous = { endUs: file.startUs + mediaTimeUs + durationUs, frameUs: durationUs };
    }
    index++;
  }
}

/**
 * A segment goes on where the one before it ended, unless its frames say otherwise: after a hole, or where the camera's
 * clock has run away from the hub's by more than a quarter of a frame. Never so early that frames would change places.
 */
function placed(
  wantedUs: number,
  previous: { readonly endUs: number; readonly frameUs: number } | undefined,
): number {
  if (previous === undefined) return wantedUs;
  const { endUs, frameUs } = previous;
  if (Math.abs(wantedUs - endUs) <= frameUs / 4) return endUs;
  return Math.max(wantedUs, endUs - frameUs / 2);
}
