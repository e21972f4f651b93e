/** Recordings, snapshots and files as clients read them, in both vocabularies. Pure: from views to plain objects. */
import { dirname, relative } from "node:path";
import { type FileObject, isoOf, type Names, wordFor } from "@ocelli/protocol/camera-service";
import type { RecordingView } from "../../events/catalogue.ts";
import type { MediaEntry, MediaKind } from "../../library/contract.ts";
import { cameraNames, elapsedS, roundedS } from "./shapes-camera.ts";

/** What a shape must know beyond the view. */
export interface MediaContext {
  readonly names: Names;
  readonly nowUs: number;
  /** The camera as far as it is still known. */
  readonly camera: { readonly id: string; readonly node: string | undefined };
  readonly spelled?: string | undefined;
  /** Adds the signature to a path. */
  readonly sign: (path: string) => string;
}

const folderOf: Readonly<Record<MediaKind, string>> = { recording: "recordings", snapshot: "snapshots" };

/** Clients of the logical vocabulary open links as they are and cannot send headers: their links are signed. */
export function downloadUrl(
  kind: MediaKind,
  filename: string,
  context: Pick<MediaContext, "names" | "sign">,
): string {
  return link(filesPath(kind, filename), context);
}

function filesPath(kind: MediaKind, filename: string): string {
  return `/files/${folderOf[kind]}/${encodeURIComponent(filename)}`;
}

function link(path: string, context: Pick<MediaContext, "names" | "sign">): string {
  return context.names === "logical" ? context.sign(path) : path;
}

/** Relative to the media root, unless the caller is an admin. */
export function filePath(entry: MediaEntry, kindFolder: string, isAdmin: boolean): string {
  return isAdmin ? entry.path : relative(dirname(kindFolder), entry.path);
}

export function snapshotTaken(entry: MediaEntry, id: string, path: string, context: MediaContext) {
  return {
    success: true as const,
    ...cameraNames(context.camera, context.names, context.spelled),
    snapshot_id: id,
    filename: entry.filename,
    format: entry.format,
    status: wordFor(context.names, "snapshotTaken"),
    timestamp: isoOf(entry.firstFrameAtUs ?? entry.createdAtUs),
    file_size: entry.bytes,
    size_bytes: entry.bytes,
    file_path: path,
    download_url: downloadUrl("snapshot", entry.filename, context),
    resolution: entry.resolution,
  };
}

/** The nested `recording` of answers and notifications. */
export function recordingObject<D extends number | null>(
  recording: RecordingView,
  context: MediaContext,
  duration: D,
) {
  return {
    ...cameraNames(context.camera, context.names, context.spelled),
    recording_id: recording.id,
    session_id: recording.id,
    filename: recording.filename,
    start_time: recording.startedAtUs / 1e6,
    duration,
    status: recording.state,
  };
}

export function recordingStarted(recording: RecordingView, resolution: string | null, context: MediaContext) {
  const duration = recording.requestedDurationS ?? null;
  const startedAt = isoOf(recording.startedAtUs);
  return {
    success: true as const,
    ...recordingObject(recording, context, duration),
    status: wordFor(context.names, "recordingStarted"),
    start_time: startedAt,
    started_at: startedAt,
    format: recording.format,
    resolution,
    recording: recordingObject(recording, context, duration),
  };
}

/** Also of a start that was taken back while it waited: nothing was recorded, and there is no file. */
export function recordingStopped(recording: RecordingView, context: MediaContext) {
  const { armedForUs } = recording;
  return armedForUs === undefined ? ended(recording, context) : cancelled(recording, armedForUs, context);
}

function cancelled(recording: RecordingView, armedForUs: number, context: MediaContext) {
  const atUs = recording.endedAtUs ?? context.nowUs;
  const stopped = ended({ ...recording, startedAtUs: atUs, endedAtUs: atUs }, context);
  return {
    ...stopped,
    status: "CANCELLED" as const,
    scheduled_for: isoOf(armedForUs),
    download_url: null,
    recording: { ...stopped.recording, status: "cancelled" as const },
  };
}

function ended(recording: RecordingView, context: MediaContext) {
  const duration = roundedS(Math.max(0, recording.durationS));
  const startedAt = isoOf(recording.startedAtUs);
  const endedAt = isoOf(recording.endedAtUs ?? context.nowUs);
  return {
    success: true as const,
    ...recordingObject(recording, context, duration),
    status: "STOPPED" as const,
    start_time: startedAt,
    started_at: startedAt,
    end_time: endedAt,
    stopped_at: endedAt,
    file_size: recording.bytes,
    format: recording.format,
    download_url: downloadUrl("recording", recording.filename, context),
    files: [...recording.segments],
    recording: recordingObject(recording, context, duration),
  };
}

/** The parameters of `recording_status_update`. */
export function recordingAnnounced(
  recording: RecordingView,
  event: "recordingStarted" | "recordingStopped" | "recordingFailed",
  context: MediaContext,
  more: { readonly reason?: string; readonly error?: string },
) {
  const duration = event === "recordingStarted" ? 0 : elapsedS(recording, context.nowUs);
  const error = more.error === undefined ? {} : { error: more.error };
  const nested = recordingObject(recording, context, duration);
  const state = (
    { recordingStarted: "active", recordingStopped: "completed", recordingFailed: "failed" } as const
  )[event];
  return {
    ...nested,
    status: wordFor(context.names, event),
    started_at: isoOf(recording.startedAtUs),
    format: recording.format,
    ...(event === "recordingStarted" ? {} : { file_size: recording.bytes }),
    ...(more.reason === undefined ? {} : { reason: more.reason }),
    ...error,
    timestamp: isoOf(context.nowUs),
    recording: { ...nested, status: state, ...error },
  };
}

/** While a file is written it goes by the name that clients are told from its start. */
function nameOf({ state, filename, becomes }: MediaEntry): string {
  return state === "recording" ? (becomes ?? filename) : filename;
}

/** An item of a list, and the base of what is told about one file. */
export function fileObject(entry: MediaEntry, context: MediaContext): FileObject {
  return {
    filename: nameOf(entry),
    file_size: entry.bytes,
    modified_time: isoOf(entry.modifiedAtUs),
    created_time: isoOf(entry.createdAtUs),
    download_url: downloadUrl(entry.kind, nameOf(entry), context),
    duration: entry.durationS === undefined ? null : roundedS(entry.durationS),
    format: entry.format,
    device: cameraNames(context.camera, context.names).device,
    camera_id: entry.cameraId,
    codec: entry.codec,
    resolution: entry.resolution === "" ? null : entry.resolution,
  };
}

export function recordingInfo(entry: MediaEntry, context: MediaContext) {
  return {
    ...fileObject(entry, context),
    duration: roundedS(entry.durationS ?? 0),
    fps: entry.fps,
    frames: entry.frames ?? null,
    dropped_frames: entry.droppedFrames ?? null,
    gaps: entry.gaps.map((gap) => ({
      from: isoOf(gap.fromUs),
      to: isoOf(gap.toUs),
      reason: gap.reason,
      missing_frames: gap.missingFrames,
    })),
    first_frame_at: entry.firstFrameAtUs === undefined ? null : isoOf(entry.firstFrameAtUs),
    last_frame_at: entry.lastFrameAtUs === undefined ? null : isoOf(entry.lastFrameAtUs),
    first_frame_at_us: entry.firstFrameAtUs ?? null,
    last_frame_at_us: entry.lastFrameAtUs ?? null,
    time_source: entry.timeSource,
    frame_times_url: link(`${filesPath("recording", nameOf(entry))}/frames.csv`, context),
    recording_id: entry.recordingId ?? null,
    segment: entry.segment ?? null,
    state: entry.state,
    browser_playable: isBrowserPlayable(entry),
  };
}

export function snapshotInfo(entry: MediaEntry, context: MediaContext) {
  const { duration: _none, ...file } = fileObject(entry, context);
  const at = entry.firstFrameAtUs ?? entry.createdAtUs;
  return { ...file, captured_at: isoOf(at) };
}

/** What every current browser plays in a `<video>`: H.264 or AV1 in MP4. */
function isBrowserPlayable(entry: MediaEntry): boolean {
  return /^(mp4|fmp4)$/.test(entry.format) && /^(h264|avc[13]|av1|av01)/i.test(entry.codec);
}
