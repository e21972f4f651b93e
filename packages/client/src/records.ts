/** The data classes of the client, read from what servers of all generations send. */
import { isObject } from "./errors.ts";

export type JsonObject = Record<string, unknown>;

export interface CameraInfo {
  /** The name the server goes by: `/dev/video0` or `camera0`. */
  readonly devicePath: string;
  readonly name: string;
  /** What it can do, or the formats it offers, as the server tells. */
  readonly capabilities: readonly string[];
  readonly status: string;
  readonly streamUrl: string | null;
  readonly cameraId?: string;
  /** `1280x720` */
  readonly resolution?: string | null;
  readonly fps?: number | null;
  readonly streams?: Readonly<Record<string, string>>;
  readonly formats?: readonly string[];
}

export interface RecordingInfo {
  readonly devicePath: string;
  readonly recordingId: string;
  readonly filename: string;
  /** Epoch seconds. */
  readonly startTime: number;
  /** Seconds asked for; `null` until stopped. */
  readonly duration: number | null;
  /** `active`, `completed` or `failed`. */
  readonly status: string;
}

/** A recording or snapshot in a list. */
export interface FileInfo {
  readonly filename: string;
  readonly file_size: number;
  readonly modified_time: string;
  readonly download_url: string;
  /** Seconds; of recordings. */
  readonly duration?: number | null;
  readonly [more: string]: unknown;
}

export interface FileList {
  readonly files: readonly FileInfo[];
  readonly total: number;
  readonly limit: number;
  readonly offset: number;
}

/** What `stopRecording` and `takeSnapshot` answer; servers send more than this. */
export interface SnapshotResult extends JsonObject {
  readonly filename: string;
  readonly file_size: number;
}
export interface StoppedRecording extends JsonObject {
  readonly filename: string;
  /** Seconds. */
  readonly duration: number;
  readonly file_size: number;
}

export function cameraOf(value: unknown): CameraInfo {
  const camera = isObject(value) ? value : {};
  const devicePath = text(camera.device) ?? text(camera.device_path) ?? text(camera.camera_id) ?? "";
  const streams = isObject(camera.streams) ? camera.streams : undefined;
  const id = text(camera.camera_id);
  return {
    devicePath,
    name: text(camera.name) ?? `Camera ${devicePath}`,
    capabilities: texts(
      isObject(camera.capabilities) ? camera.capabilities.formats : (camera.capabilities ?? []),
    ),
    status: text(camera.status) ?? "UNKNOWN",
    streamUrl: text(camera.stream_url) ?? text(streams?.rtsp) ?? null,
    ...(id === undefined ? {} : { cameraId: id }),
    ...("resolution" in camera ? { resolution: text(camera.resolution) ?? null } : {}),
    ...("fps" in camera ? { fps: typeof camera.fps === "number" ? camera.fps : null } : {}),
    ...(streams === undefined
      ? {}
      : {
          streams: Object.fromEntries(Object.entries(streams).map(([key, url]) => [key, String(url)])),
        }),
    ...("formats" in camera ? { formats: texts(camera.formats) } : {}),
  };
}

/** @param device what the caller asked for, for servers that do not say */
export function recordingOf(answer: unknown, device: string, duration?: number): RecordingInfo {
  const flat = isObject(answer) ? answer : {};
  const nested = isObject(flat.recording) ? flat.recording : flat;
  const filename = text(nested.filename) ?? text(flat.filename) ?? "";
  const given = nested.duration ?? flat.duration;
  return {
    devicePath: text(nested.device_path) ?? text(nested.device) ?? text(flat.device) ?? device,
    recordingId: idOf(nested) ?? idOf(flat) ?? filename,
    filename,
    startTime: secondsOf(nested.start_time) ?? secondsOf(flat.start_time ?? flat.started_at) ?? 0,
    duration: typeof given === "number" ? given : (duration ?? null),
    status: recordingStatus(nested.status),
  };
}

export function fileListOf(answer: unknown): FileList {
  const list = isObject(answer) ? answer : {};
  const files = (Array.isArray(list.files) ? list.files : []).filter(isObject) as JsonObject[] as FileInfo[];
  return {
    files,
    total: typeof list.total === "number" ? list.total : files.length,
    limit: typeof list.limit === "number" ? list.limit : files.length,
    offset: typeof list.offset === "number" ? list.offset : 0,
  };
}

/** `params` of a camera's notification, with the object `camera` that older clients read. */
export function withCamera(params: unknown): JsonObject {
  const flat = isObject(params) ? params : {};
  if (isObject(flat.camera)) return flat;
  const device = flat.device ?? flat.device_path;
  return { ...flat, camera: { ...flat, device, device_path: flat.device_path ?? device } };
}

/** `params` of a recording's notification, with the object `recording` that older clients read. */
export function withRecording(params: unknown): JsonObject {
  const flat = isObject(params) ? params : {};
  if (isObject(flat.recording)) return flat;
  const device = flat.device ?? flat.device_path;
  return {
    ...flat,
    recording: {
      ...flat,
      device,
      device_path: flat.device_path ?? device,
      recording_id: idOf(flat) ?? flat.filename,
      start_time: secondsOf(flat.start_time ?? flat.started_at) ?? null,
      status: recordingStatus(flat.status),
    },
  };
}

function recordingStatus(status: unknown): string {
  const word = text(status)?.toUpperCase();
  if (word === "STOPPED" || word === "COMPLETED") return "completed";
  if (word === "ERROR" || word === "FAILED") return "failed";
  return "active";
}

function idOf(value: JsonObject): string | undefined {
  return text(value.recording_id) ?? text(value.session_id);
}

function secondsOf(value: unknown): number | undefined {
  if (typeof value === "number") return value;
  if (typeof value !== "string") return undefined;
  const ms = Date.parse(value);
  return Number.isFinite(ms) ? ms / 1000 : undefined;
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((one) => typeof one === "string") : [];
}
