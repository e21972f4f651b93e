/**
 * What a device answers. Reading takes every dialect; writing gives the superset that the published controllers of all
 * dialects accept (spec sections 5.2 and 5.3: which keys are present is how they tell the replies apart).
 */
import { z } from "zod";
import { fileIdOf } from "./constants.ts";
import { MultiCamFormatError } from "./errors.ts";
import { byteCount, optional, readAs, readObject } from "./json.ts";
import { DeviceStatus, isError, normaliseStatus } from "./vocabulary.ts";

export interface UploadItem {
  readonly fileId: string;
  readonly fileName: string;
  /** Bytes. */
  readonly fileSize: number;
  readonly bytesUploaded: number;
  /** 0 to 100. */
  readonly uploadProgress: number;
  /** Bytes a second. */
  readonly uploadSpeed: number;
  readonly status: string;
  readonly uploadUrl: string | undefined;
  readonly error: string | undefined;
}

/** Any JSON reply of a device but a list of files, with everything it may say; what it did not say is `undefined`. */
export interface StatusResponse {
  readonly deviceId: string;
  readonly status: DeviceStatus;
  /** Unix seconds, by the device's clock. */
  readonly timestamp: number;
  readonly isRecording: boolean;
  /** Present in errors; the device's own words. */
  readonly message: string | undefined;
  readonly fileId: string | undefined;
  readonly fileName: string | undefined;
  /** Some devices say 0 until the file is asked for: never a length to rely on. */
  readonly fileSize: number | undefined;
  /** 0 to 100. */
  readonly batteryLevel: number | undefined;
  readonly deviceType: string | undefined;
  readonly currentUpload: UploadItem | undefined;
  readonly uploadQueue: readonly UploadItem[];
  readonly failedUploadQueue: readonly UploadItem[];
}

export interface FileMetadata {
  readonly fileId: string;
  readonly fileName: string;
  readonly fileSize: number;
  /** Unix seconds. */
  readonly creationDate: number;
  readonly modificationDate: number;
}

export interface ListFilesResponse {
  readonly deviceId: string;
  readonly status: DeviceStatus;
  readonly timestamp: number;
  readonly files: readonly FileMetadata[];
}

/** The header before a file. */
export interface FileResponse {
  readonly deviceId: string;
  readonly fileId: string;
  readonly fileName: string;
  readonly fileSize: number;
  readonly status: string;
}

/** What the reader knows where the device says nothing. */
export interface ReplyDefaults {
  readonly deviceId?: string;
  /** Unix seconds. */
  readonly receivedAt?: number;
}

const word = optional(z.string().max(4096));
const seconds = optional(z.number());

const uploadItemSchema = z
  .object({
    fileId: word,
    fileName: word,
    fileSize: optional(byteCount),
    bytesUploaded: optional(byteCount),
    uploadProgress: seconds,
    uploadSpeed: seconds,
    status: word,
    uploadUrl: word,
    error: word,
  })
  .transform((item): UploadItem => {
    const fileName = item.fileName ?? item.fileId ?? "";
    return {
      fileId: item.fileId ?? fileIdOf(fileName),
      fileName,
      fileSize: item.fileSize ?? 0,
      bytesUploaded: item.bytesUploaded ?? 0,
      uploadProgress: item.uploadProgress ?? 0,
      uploadSpeed: item.uploadSpeed ?? 0,
      status: item.status ?? "queued",
      uploadUrl: item.uploadUrl,
      error: item.error,
    };
  });
const uploadItems = optional(z.array(uploadItemSchema).max(10_000));

const statusSchema = z.object({
  deviceId: word,
  // Some say 200.
  status: z.union([z.string().max(4096), z.number().transform(String)]).nullish(),
  timestamp: seconds,
  isRecording: optional(z.boolean()),
  message: word,
  fileId: word,
  fileName: word,
  fileSize: optional(byteCount),
  batteryLevel: seconds,
  deviceType: word,
  currentUpload: optional(uploadItemSchema),
  uploadQueue: uploadItems,
  failedUploadQueue: uploadItems,
});

const fileSchema = z
  .object({
    fileId: word,
    fileName: word,
    fileSize: optional(byteCount),
    creationDate: seconds,
    modificationDate: seconds,
  })
  .transform((file): FileMetadata | undefined => {
    const fileName = file.fileName ?? file.fileId;
    if (fileName === undefined) return undefined;
    const created = file.creationDate ?? file.modificationDate ?? 0;
    return {
      fileId: file.fileId ?? fileIdOf(fileName),
      fileName,
      fileSize: file.fileSize ?? 0,
      creationDate: created,
      modificationDate: file.modificationDate ?? created,
    };
  });

const listSchema = z.object({
  deviceId: word,
  status: word,
  timestamp: seconds,
  files: z.array(fileSchema).max(1_000_000),
});

const headerSchema = z.object({
  deviceId: word,
  fileId: word,
  fileName: word,
  fileSize: byteCount,
  status: word,
});

/**
 * Reads any reply that is not a list of files.
 * @throws MultiCamFormatError not a JSON object, or a key of a wrong type
 */
export function parseStatus(text: string, defaults: ReplyDefaults = {}): StatusResponse {
  const reply = readAs(statusSchema, readObject(text, "The reply"), "The reply");
  const said = normaliseStatus(reply.status ?? (reply.isRecording === true ? "recording" : "ready"));
  const message = reply.message ?? said.message;
  // Unknown is -1 with some.
  const battery =
    reply.batteryLevel !== undefined && reply.batteryLevel >= 0 ? reply.batteryLevel : undefined;
  return {
    deviceId: reply.deviceId ?? defaults.deviceId ?? "",
    status: said.status,
    timestamp: reply.timestamp ?? defaults.receivedAt ?? 0,
    isRecording: reply.isRecording ?? said.status === DeviceStatus.RECORDING,
    message: message ?? (isError(said.status) ? said.status : undefined),
    fileId: reply.fileId ?? (reply.fileName === undefined ? undefined : fileIdOf(reply.fileName)),
    fileName: reply.fileName,
    fileSize: reply.fileSize,
    batteryLevel: battery,
    deviceType: reply.deviceType,
    currentUpload: reply.currentUpload,
    uploadQueue: reply.uploadQueue ?? [],
    failedUploadQueue: reply.failedUploadQueue ?? [],
  };
}

/** What a device of the first kind says in prose instead of JSON. */
export function statusOfProse(text: string, defaults: ReplyDefaults = {}): StatusResponse {
  return parseStatus(JSON.stringify({ status: text.trim().slice(0, 1000) }), defaults);
}

/** @throws MultiCamFormatError when it is none: the device answered something else, which `parseStatus` reads */
export function parseFiles(text: string, defaults: ReplyDefaults = {}): ListFilesResponse {
  const reply = readAs(listSchema, readObject(text, "The list of files"), "The list of files");
  return {
    deviceId: reply.deviceId ?? defaults.deviceId ?? "",
    status: normaliseStatus(reply.status ?? "ready").status,
    timestamp: reply.timestamp ?? defaults.receivedAt ?? 0,
    files: reply.files.filter((file) => file !== undefined),
  };
}

/** @throws MultiCamFormatError no name, no size, or an impossible one */
export function parseFileHeader(text: string, defaults: ReplyDefaults = {}): FileResponse {
  const header = readAs(headerSchema, readObject(text, "The file's header"), "The file's header");
  const fileName = header.fileName ?? header.fileId;
  if (fileName === undefined) throw new MultiCamFormatError("The file's header has no name");
  return {
    deviceId: header.deviceId ?? defaults.deviceId ?? "",
    fileId: header.fileId ?? fileIdOf(fileName),
    fileName,
    fileSize: header.fileSize,
    status: header.status ?? DeviceStatus.READY,
  };
}

/** What a device knows of itself when it answers. */
export interface DeviceFacts {
  readonly deviceId: string;
  /** Unix seconds. */
  readonly timestamp: number;
  readonly isRecording: boolean;
  readonly deviceType: string;
  readonly batteryLevel?: number | undefined;
  readonly uploadQueue?: readonly UploadItem[];
  readonly failedUploadQueue?: readonly UploadItem[];
}

interface NamedFile {
  readonly fileName: string;
  readonly fileSize: number;
}

/** START accepted, DEVICE_STATUS, HEARTBEAT. Has no `message` and no `fileName`: controllers would take it for another. */
export function writeStatus(facts: DeviceFacts, status: DeviceStatus): string {
  return JSON.stringify(base(facts, status));
}

/** @param message what happened and what to do: controllers show it */
export function writeError(facts: DeviceFacts, status: DeviceStatus, message: string): string {
  return JSON.stringify({ ...base(facts, status), message });
}

export function writeStopped(facts: DeviceFacts, file: NamedFile): string {
  return JSON.stringify({ ...base(facts, DeviceStatus.RECORDING_STOPPED), ...named(file) });
}

export function writeUploadQueued(facts: DeviceFacts, file: NamedFile): string {
  return JSON.stringify({ ...base(facts, DeviceStatus.UPLOAD_QUEUED), ...named(file) });
}

/** @param files newest first */
export function writeFiles(facts: DeviceFacts, files: readonly Omit<FileMetadata, "fileId">[]): string {
  const { deviceId, timestamp, isRecording } = facts;
  return JSON.stringify({
    ...{ deviceId, status: DeviceStatus.READY, timestamp, isRecording },
    files: files.map((file) => ({
      ...named(file),
      creationDate: file.creationDate,
      modificationDate: file.modificationDate,
    })),
  });
}

/** UPLOAD_STATUS: the running upload apart from the waiting ones. */
export function writeUploadStatus(facts: DeviceFacts, current: UploadItem | undefined): string {
  const status = current === undefined ? DeviceStatus.READY : DeviceStatus.UPLOADING;
  return JSON.stringify({
    ...base(facts, status),
    currentUpload: current === undefined ? null : withNulls(current),
  });
}

/** The header of a file; goes out with its length before it (`withLength`). */
export function writeFileHeader(deviceId: string, file: NamedFile): string {
  return JSON.stringify({ deviceId, ...named(file), status: DeviceStatus.READY });
}

function base(facts: DeviceFacts, status: DeviceStatus): Record<string, unknown> {
  return {
    deviceId: facts.deviceId,
    status,
    timestamp: facts.timestamp,
    isRecording: facts.isRecording,
    fileId: null,
    fileSize: null,
    batteryLevel: facts.batteryLevel ?? null,
    deviceType: facts.deviceType,
    uploadQueue: (facts.uploadQueue ?? []).map(withNulls),
    failedUploadQueue: (facts.failedUploadQueue ?? []).map(withNulls),
  };
}

function named({ fileName, fileSize }: NamedFile): Record<string, unknown> {
  return { fileId: fileIdOf(fileName), fileName, fileSize: Math.trunc(fileSize) };
}

/** Readers of Swift want integers for bytes, and every key. */
function withNulls(item: UploadItem): Record<string, unknown> {
  return {
    ...item,
    fileSize: Math.trunc(item.fileSize),
    bytesUploaded: Math.trunc(item.bytesUploaded),
    uploadSpeed: Math.trunc(item.uploadSpeed),
    uploadUrl: item.uploadUrl ?? null,
    error: item.error ?? null,
  };
}
