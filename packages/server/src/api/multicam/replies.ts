/** From what the hub knows to what a MultiCam controller reads. The one table of errors of this protocol is here. */
import { codeOf, type ErrorCode, messageOf } from "@ocelli/protocol";
import {
  type DeviceFacts,
  DeviceStatus,
  MAX_REPLY_BYTES,
  writeError,
  writeFiles,
} from "@ocelli/protocol/multicam";
import type { DeviceActivity, DeviceFile, DeviceUploads } from "../../multicam/contract.ts";

const statusOf: Readonly<Record<DeviceActivity, DeviceStatus>> = {
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

export function activityStatus(activity: DeviceActivity): DeviceStatus {
  return statusOf[activity];
}

/** Controllers read a reply once: it stays within what they read, and loses waiting uploads before anything else. */
export function fittingReply(facts: DeviceFacts, write: (facts: DeviceFacts) => string): string {
  const full = write(facts);
  const { uploadQueue = [], failedUploadQueue = [] } = facts;
  if (Buffer.byteLength(full) <= MAX_REPLY_BYTES || uploadQueue.length + failedUploadQueue.length === 0) {
    return full;
  }
  const half = (items: typeof uploadQueue) => items.slice(0, Math.floor(items.length / 2));
  return fittingReply(
    { ...facts, uploadQueue: half(uploadQueue), failedUploadQueue: half(failedUploadQueue) },
    write,
  );
}

/** Controllers read so much at once, bytes. */
const maxListBytes = 65_535;

/** The newest files, as many as a controller reads. */
export function filesReply(facts: DeviceFacts, files: readonly DeviceFile[]): string {
  const full = writeFiles(facts, files);
  const bytes = Buffer.byteLength(full);
  if (bytes <= maxListBytes) return full;
  const fitting = Math.min(files.length - 1, Math.floor((files.length * maxListBytes) / bytes));
  return filesReply(facts, files.slice(0, fitting));
}

export function errorReply(facts: DeviceFacts, error: unknown): string {
  const code = codeOf(error);
  const message = code === "internal" ? "The hub failed; its log says why." : messageOf(error);
  const plain = { ...facts, uploadQueue: [], failedUploadQueue: [] };
  return writeError(plain, errorStatus[code] ?? DeviceStatus.ERROR, message.slice(0, 1000));
}

/** As the wire has them: the running upload first; addresses without what gives access. */
export function uploadLists(uploads: DeviceUploads): Pick<DeviceFacts, "uploadQueue" | "failedUploadQueue"> {
  const { current, waiting, failed } = uploads;
  return { uploadQueue: current === undefined ? waiting : [current, ...waiting], failedUploadQueue: failed };
}
