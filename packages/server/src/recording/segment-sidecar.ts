/** What the sidecar of a recording's file says. Pure; `library/` writes it. */

import { basename } from "node:path";
import { rateOf } from "../capture/rate.ts";
import type { ClockStamp } from "../clock/sync/state.ts";
import type { MediaGap, Sidecar } from "../library/contract.ts";
import { inFormat } from "../library/names.ts";
import { isoOfUs } from "../library/sidecar.ts";
import type { CameraFacts } from "./camera-facts.ts";
import type { JournalEntry } from "./journal.ts";
import type { ClockStep, Segment } from "./recorder.ts";

/** What is known of a file's content, from the recorder or read back from the file. */
export interface SegmentContent {
  readonly filename: string;
  readonly index: number;
  readonly bytes: number;
  readonly frames: number;
  readonly durationUs: number;
  readonly firstFrameAtUs: number | undefined;
  readonly lastFrameAtUs: number | undefined;
  readonly droppedFrames: number;
  readonly gaps: readonly MediaGap[];
  readonly clockSteps: readonly ClockStep[];
  /** Unknown where the hub that wrote it is gone. */
  readonly clock?: ClockStamp | undefined;
}

export function contentOf(segment: Segment): SegmentContent {
  return {
    filename: basename(segment.path),
    index: segment.index,
    bytes: segment.bytes,
    frames: segment.frames,
    durationUs: segment.durationUs,
    firstFrameAtUs: segment.first.capturedAtUs,
    lastFrameAtUs: segment.lastFrameAtUs,
    droppedFrames: segment.droppedFrames,
    gaps: segment.gaps,
    clockSteps: segment.clockSteps,
  };
}

/** The format the finished files are made into, by a copy that takes their place. */
export function copyFormatOf({ format }: Pick<JournalEntry, "format">): "mkv" | "ts" | undefined {
  return format === "mkv" || format === "ts" ? format : undefined;
}

/** Name of the copy that is to take the place of a file. */
export function becomes(entry: Pick<JournalEntry, "format">, filename: string): string | undefined {
  const format = copyFormatOf(entry);
  return format === undefined ? undefined : inFormat("recording", filename, format);
}

export function buildSidecar(
  entry: JournalEntry,
  facts: CameraFacts,
  content: SegmentContent,
  end: { readonly state: Sidecar["state"]; readonly reason?: string; readonly nowUs: number },
): Sidecar {
  const { firstFrameAtUs, lastFrameAtUs } = content;
  const startedAtUs = firstFrameAtUs ?? end.nowUs;
  const growing = end.state === "recording";
  const { node, serial, busPath } = facts.device;
  const copy = becomes(entry, content.filename);
  return {
    version: 1,
    kind: "recording",
    filename: content.filename,
    cameraId: entry.cameraId,
    cameraName: facts.cameraName,
    device: { busPath, ...(node === undefined ? {} : { node }), ...(serial === undefined ? {} : { serial }) },
    state: end.state,
    format: "mp4",
    codec: facts.codec,
    resolution: facts.resolution,
    // A network camera's rate may not have been known yet when the file began.
    fps: facts.fps > 0 ? facts.fps : (rateOf(content.durationUs / (content.frames || 1)) ?? 0),
    bytes: content.bytes,
    createdAtUs: startedAtUs,
    timeSource: facts.timeSource,
    firstFrameAtUs,
    lastFrameAtUs,
    durationS: content.durationUs / 1e6,
    frames: content.frames,
    droppedFrames: content.droppedFrames,
    gaps: content.gaps,
    clockSteps: content.clockSteps,
    recordingId: entry.id,
    segment: content.index,
    requestedDurationS: entry.durationS,
    scheduledStart:
      entry.startAtUs === undefined || content.index > 0 || firstFrameAtUs === undefined
        ? undefined
        : { atUs: entry.startAtUs, errorUs: firstFrameAtUs - entry.startAtUs },
    ...(entry.sync === undefined ? {} : { sync: entry.sync }),
    ...(content.clock === undefined ? {} : { clock: content.clock }),
    ...(copy === undefined ? {} : { becomes: copy }),
    endReason: end.reason,
    started_at: isoOfUs(startedAtUs),
    stopped_at:
      growing || lastFrameAtUs === undefined ? null : isoOfUs(Math.max(0, startedAtUs + content.durationUs)),
    sha256: undefined,
  };
}
