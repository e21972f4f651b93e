/** From what the hub knows to what a MultiCam controller reads. The one table of errors of this protocol is here. */
import { codeOf, type ErrorCode, messageOf } from "@ocelli/protocol";
import {
  CommandType,
  type DeviceFacts,
  DeviceStatus,
  MAX_REPLY_BYTES,
  writeError,
  writeFiles,
} from "@ocelli/protocol/multicam";
import type { DeviceActivity, DeviceFile, DeviceUploads } from "../../multicam/contract.ts";

const statusOf: Readonly<Record<Exclude<DeviceActivity, "full">, DeviceStatus>> = {
  idle: DeviceStatus.READY,
  // Controllers start a recording only when every device says ready, so this one must not.
  armed: DeviceStatus.COMMAND_RECEIVED,
  recording: DeviceStatus.RECORDING,
  stopping: DeviceStatus.STOPPING,
  absent: DeviceStatus.CAMERA_DISCONNECTED,
};

const errorStatus: Partial<Record<ErrorCode, DeviceStatus>> = {
  clock_not_synchronised: DeviceStatus.TIME_NOT_SYNCHRONIZED,
  file_not_found: DeviceStatus.FILE_NOT_FOUND,
  camera_disconnected: DeviceStatus.CAMERA_DISCONNECTED,
  camera_not_found: DeviceStatus.CAMERA_DISCONNECTED,
};

/** The protocol has no word for a full disk: its general error, with words. @param uploads whether files are on their way */
export function activityStatus(activity: DeviceActivity, uploads: boolean): DeviceStatus {
  if (activity === "full") return uploads ? DeviceStatus.UPLOADING : DeviceStatus.ERROR;
  return statusOf[activity];
}

/** All controllers but the first read so much at once, bytes. */
const maxLongBytes = 65_535;

/**
 * How long an answer may be, bytes. Those written from the first description of the protocol read less; they write
 * `fileId` into each command, and know no `fileName` (spec sections 1 and 2.2).
 */
export function replyLimit(command: string): number {
  return command.includes('"fileId"') && !command.includes('"fileName"') ? MAX_REPLY_BYTES : maxLongBytes;
}

/** One segment on most networks, bytes: a longer answer may come in pieces, which not all controllers put together. */
const oneSegment = 1400;

/**
 * Controllers read a reply once: it stays within what they read. Addresses go first, uploads only when they must: one that
 * is not listed counts as done.
 */
export function fittingReply(
  facts: DeviceFacts,
  write: (facts: DeviceFacts) => string,
  limit: number,
): string {
  const { uploadQueue = [], failedUploadQueue = [] } = facts;
  const full = write(facts);
  if (Buffer.byteLength(full) <= oneSegment) return full;
  const bare = (items: typeof uploadQueue) => items.map((item) => ({ ...item, uploadUrl: undefined }));
  const kept = { waiting: bare(uploadQueue), failed: bare(failedUploadQueue) };
  for (;;) {
    const { waiting, failed } = kept;
    const text = write({ ...facts, uploadQueue: waiting, failedUploadQueue: failed });
    if (Buffer.byteLength(text) <= limit || waiting.length + failed.length === 0) return text;
    waiting.length = Math.floor(waiting.length * 0.8);
    failed.length = Math.floor(failed.length * 0.8);
  }
}

/** The newest files, as many as a controller reads. */
export function filesReply(facts: DeviceFacts, files: readonly DeviceFile[]): string {
  const full = writeFiles(facts, files);
  const bytes = Buffer.byteLength(full);
  if (bytes <= maxLongBytes) return full;
  const fitting = Math.min(files.length - 1, Math.floor((files.length * maxLongBytes) / bytes));
  return filesReply(facts, files.slice(0, fitting));
}

export function errorReply(facts: DeviceFacts, error: unknown, command?: CommandType): string {
  const code = codeOf(error);
  const status =
    command === CommandType.UPLOAD_TO_CLOUD && code === "storage_failed"
      ? DeviceStatus.UPLOAD_FAILED
      : (errorStatus[code] ?? DeviceStatus.ERROR);
  const message = code === "internal" ? "The hub failed; its log says why." : messageOf(error);
  const plain = { ...facts, uploadQueue: [], failedUploadQueue: [] };
  return writeError(plain, status, message.slice(0, 1000));
}

/** As the wire has them: the running upload first; addresses without what gives access. */
export function uploadLists(uploads: DeviceUploads): Pick<DeviceFacts, "uploadQueue" | "failedUploadQueue"> {
  const { current, waiting, failed } = uploads;
  return { uploadQueue: current === undefined ? waiting : [current, ...waiting], failedUploadQueue: failed };
}
