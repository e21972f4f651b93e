import { OcelliError } from "@ocelli/protocol";
import { boxBody, childBoxes, malformed, requireBox } from "./box-reader.ts";
import type { InitSegment } from "./fragment.ts";
import type { FrameTime } from "./frame-times-box.ts";
import { parseInitSegment, trackParts } from "./init-segment.ts";
import { createdAtFromMvhd, type MoovTrack } from "./moov-builder.ts";
import { RecordingIndex, reservedBytes } from "./recording-index.ts";
import { FileWindow, type FragmentMark, isIntact, type ReadAt, walkFragments } from "./recording-walk.ts";
import type { TableSample } from "./sample-table.ts";
import { ticksToUs } from "./time-scale.ts";
import type { SampleRun } from "./track-fragment.ts";

/**
 * Finds out what a recording made by `HybridMp4Writer` holds, wherever a crash cut it, and what is needed to
 * finish it; and reads its frame times, finished or not. Never writes.
 *
 * A file is finished when the reserved header spans the fragments *and* a whole `moov` stands behind them:
 * the writer makes them in the other order, so a header without its `moov` means damage and is repaired like a
 * missing one.
 */
export interface RecordingScan {
  /** `unusable`: not one of our recordings, or cut before its first `moov` was whole. */
  readonly state: "fragmented" | "finished" | "unusable";
  /** Why it is unusable, or what was found behind the last whole fragment; empty when there is nothing to say. */
  readonly reason: string;
  readonly init: InitSegment | undefined;
  /** Where the file ends that is worth keeping: behind the last whole fragment, or its size once finished. */
  readonly validLength: number;
  readonly fragments: number;
  /** Video frames that a player shows. */
  readonly presentedFrames: number;
  /** Media microseconds from the first presented frame to the end of the last. */
  readonly durationUs: number;
  /** Epoch microseconds; of presented frames. */
  readonly firstFrameAtUs: number | undefined;
  readonly lastFrameAtUs: number | undefined;
  /** From the file's metadata, in whole seconds. */
  readonly createdAtUs: number | undefined;
  /** For `HybridMp4Writer.resume`. */
  readonly index: RecordingIndex | undefined;
}

/**
 * @param read positioned read of the file
 * @param size of the file when the scan starts; what comes later is not looked at
 * @returns never rejects for damage, only when `read` does
 */
export async function scanRecording(read: ReadAt, size: number): Promise<RecordingScan> {
  const window = new FileWindow(read, size);
  const start = await readStart(window, size);
  if (!start.ok) return unusable(start.reason);
  const finishedAt = start.mdatEnd;
  const tail = finishedAt === undefined ? undefined : await window.header(finishedAt);
  const finished =
    finishedAt !== undefined && tail?.type === "moov" && finishedAt + tail.size <= size && tail.size > 8;
  let scan = await gather(window, start, finished ? (finishedAt ?? size) : size);
  if (!finished) {
    // A header may reach the disk before the media it announces.
    const { marks } = scan;
    let kept = marks.length;
    while (kept > 0 && !(await isIntact(read, marks[kept - 1]))) kept--;
    if (kept < marks.length) scan = await gather(window, start, marks[kept - 1]?.end ?? start.fragmentsAt);
  }
  const validLength = finished ? size : scan.end;
  const { index } = scan;
  return {
    state: finished ? "finished" : "fragmented",
    reason: validLength < size ? `${size - validLength} bytes behind the last whole fragment` : "",
    init: start.init,
    validLength,
    fragments: scan.marks.length,
    presentedFrames: index.presentedFrames,
    durationUs: index.durationUs,
    firstFrameAtUs: scan.firstFrameAtUs,
    lastFrameAtUs: scan.lastFrameAtUs,
    createdAtUs: start.createdAtUs,
    index,
  };
}

export interface RecordedFrameTime {
  /** Presented frames from 0, in presentation order: the order a player and ffprobe give them in. */
  readonly index: number;
  /** Epoch microseconds. */
  readonly capturedAtUs: number;
  /** On the file's time line: 0 for the first presented frame. */
  readonly mediaTimeUs: number;
  /** Until the next frame; for the last one, as the source stated it. */
  readonly durationUs: number;
  readonly keyframe: boolean;
  /** True on the first frame after a gap in the capture. */
  readonly discontinuity: boolean;
}

/**
 * The frame times of a recording: growing, cut or finished.
 * @param hiddenToo also of the frames before the first presented one, for containers that cannot hide them
 * @throws OcelliError `unsupported` when the file is not one of our recordings
 */
export async function* readFrameTimes(
  read: ReadAt,
  size: number,
  hiddenToo = false,
): AsyncGenerator<RecordedFrameTime> {
  const window = new FileWindow(read, size);
  const start = await readStart(window, size);
  const video = start.ok ? start.tracks.find(({ parts }) => parts.track.kind === "video") : undefined;
  if (!start.ok || !video) {
    const why = start.ok ? "it has no video" : start.reason;
    throw new OcelliError("unsupported", `There are no frame times in this file: ${why}.`);
  }
  const { timescale } = video.parts.track;
  let index = 0;
  let fromTicks = hiddenToo ? undefined : video.presentTicks;
  let held: PresentedSample | undefined;
  for await (const sample of inPresentationOrder(window, start, video)) {
    fromTicks ??= sample.pts;
    if (sample.pts < fromTicks) continue;
    if (held) yield toFrameTime(held, index++, sample.pts - held.pts, fromTicks, timescale);
    held = sample;
  }
  if (held) yield toFrameTime(held, index, held.duration, fromTicks ?? held.pts, timescale);
}

function toFrameTime(
  sample: PresentedSample,
  index: number,
  durationTicks: number,
  fromTicks: number,
  timescale: number,
): RecordedFrameTime {
  return {
    index,
    capturedAtUs: sample.time.capturedAtUs,
    mediaTimeUs: ticksToUs(sample.pts - fromTicks, timescale),
    durationUs: ticksToUs(durationTicks, timescale),
    keyframe: sample.time.keyframe,
    discontinuity: sample.time.discontinuity,
  };
}

interface PresentedSample {
  readonly pts: number;
  readonly duration: number;
  readonly time: FrameTime;
}

/** A frame may go out once decoding has reached its time: whatever comes later is presented later. */
async function* inPresentationOrder(
  window: FileWindow,
  start: RecordingStart,
  video: MoovTrack,
): AsyncGenerator<PresentedSample> {
  const waiting: PresentedSample[] = [];
  for await (const fragment of walkFragments(window, start.fragmentsAt, start.mdatEnd ?? start.size)) {
    const run = fragment.runs.find((candidate) => candidate.trackId === video.parts.track.id);
    for (const [i, sample] of (run ? samplesOf(run) : []).entries()) {
      const time = fragment.times[i];
      if (!time) continue;
      while (waiting[0] && waiting[0].pts <= sample.dts) {
        yield waiting[0];
        waiting.shift();
      }
      let at = waiting.length;
      while (at > 0 && (waiting[at - 1]?.pts ?? 0) > sample.pts) at--;
      waiting.splice(at, 0, { pts: sample.pts, duration: sample.duration, time });
    }
  }
  yield* waiting;
}

interface RecordingStart {
  readonly ok: true;
  readonly size: number;
  readonly init: InitSegment;
  readonly tracks: readonly MoovTrack[];
  readonly createdAtUs: number;
  readonly reservedAt: number;
  /** Where the first fragment starts. */
  readonly fragmentsAt: number;
  /** End of the big `mdat` once the reserved header is patched, if that lies in the file. */
  readonly mdatEnd: number | undefined;
}

async function readStart(
  window: FileWindow,
  size: number,
): Promise<RecordingStart | { ok: false; reason: string }> {
  const ftyp = await window.box(0);
  if (ftyp?.type !== "ftyp") return { ok: false, reason: "it does not start like an MP4 file" };
  const reservedAt = ftyp.bytes.length;
  const reserved = await window.header(reservedAt);
  const patched = reserved?.type === "mdat" && reserved.headerBytes === reservedBytes;
  if (!patched && !(reserved?.type === "free" && reserved.size === reservedBytes)) {
    return { ok: false, reason: "it is not a recording of this hub" };
  }
  const moovAt = reservedAt + reservedBytes;
  const moov = await window.box(moovAt);
  if (moov?.type !== "moov") return { ok: false, reason: "it was cut before its header was whole" };
  try {
    const bytes = Buffer.concat([ftyp.bytes, moov.bytes]);
    const tracks = trackParts(bytes).map((parts) => ({
      parts,
      presentTicks: presentTicksOf(parts.edts?.bytes),
    }));
    const end = patched ? reservedAt + reserved.size : undefined;
    return {
      ok: true,
      size,
      init: parseInitSegment(bytes),
      tracks,
      createdAtUs: createdAtFromMvhd(boxBody(requireBox(moov, "mvhd"), 20)),
      reservedAt,
      fragmentsAt: moovAt + moov.bytes.length,
      mdatEnd: end !== undefined && end <= size ? end : undefined,
    };
  } catch (error) {
    if (!(error instanceof OcelliError)) throw error;
    return { ok: false, reason: `its header is damaged: ${error.message}` };
  }
}

/** The edit in the first `moov`, as `buildInitialMoov` writes it: one entry or none. */
function presentTicksOf(edts: Buffer | undefined): number {
  if (!edts) return 0;
  const elst = childBoxes(edts, 8).find((box) => box.type === "elst");
  if (!elst) return 0;
  const wide = elst.bytes[elst.headerBytes] === 1;
  const body = boxBody(elst, wide ? 28 : 20);
  return wide ? Number(body.readBigInt64BE(16)) : body.readInt32BE(12);
}

interface Gathered {
  readonly index: RecordingIndex;
  readonly marks: readonly FragmentMark[];
  /** Behind the last whole fragment. */
  readonly end: number;
  readonly firstFrameAtUs: number | undefined;
  readonly lastFrameAtUs: number | undefined;
}

async function gather(window: FileWindow, start: RecordingStart, end: number): Promise<Gathered> {
  const { tracks, createdAtUs, reservedAt } = start;
  const index = new RecordingIndex({ tracks, createdAtUs, reservedAt });
  const { video } = index;
  const marks: FragmentMark[] = [];
  let first: { pts: number; atUs: number } | undefined;
  let last: { pts: number; atUs: number } | undefined;
  for await (const fragment of walkFragments(window, start.fragmentsAt, end)) {
    for (const run of fragment.runs) {
      const samples = samplesOf(run);
      index.addChunk(run.trackId, fragment.moofAt + (run.samples[0]?.at ?? 0), samples);
      if (run.trackId !== video?.parts.track.id) continue;
      for (const [i, { pts }] of samples.entries()) {
        const atUs = fragment.times[i]?.capturedAtUs;
        if (atUs === undefined || pts < video.presentTicks) continue;
        if (!first || pts < first.pts) first = { pts, atUs };
        if (!last || pts > last.pts) last = { pts, atUs };
      }
    }
    marks.push({ moofAt: fragment.moofAt, end: fragment.end, crc: fragment.crc });
  }
  return {
    index,
    marks,
    end: marks.at(-1)?.end ?? start.fragmentsAt,
    firstFrameAtUs: first?.atUs,
    lastFrameAtUs: last?.atUs,
  };
}

function samplesOf(run: SampleRun): TableSample[] {
  if (run.decodeTime === undefined) throw malformed(`a fragment of track ${run.trackId} has no decode time`);
  let dts = run.decodeTime;
  return run.samples.map(({ size, duration, flags, compositionOffset }) => {
    const sample = { dts, pts: dts + compositionOffset, duration, size, keyframe: (flags & 0x10000) === 0 };
    dts += duration;
    return sample;
  });
}

function unusable(reason: string): RecordingScan {
  return {
    state: "unusable",
    reason,
    init: undefined,
    validLength: 0,
    fragments: 0,
    presentedFrames: 0,
    durationUs: 0,
    firstFrameAtUs: undefined,
    lastFrameAtUs: undefined,
    createdAtUs: undefined,
    index: undefined,
  };
}
