/** The words of MultiCam: commands, statuses, kinds of device, states of an upload (spec section 3). */

export const CommandType = {
  START_RECORDING: "START_RECORDING",
  STOP_RECORDING: "STOP_RECORDING",
  DEVICE_STATUS: "DEVICE_STATUS",
  GET_VIDEO: "GET_VIDEO",
  HEARTBEAT: "HEARTBEAT",
  LIST_FILES: "LIST_FILES",
  UPLOAD_TO_CLOUD: "UPLOAD_TO_CLOUD",
  /** Devices of dialect V2 do not know it, and some never answer it. */
  UPLOAD_STATUS: "UPLOAD_STATUS",
} as const;
export type CommandType = (typeof CommandType)[keyof typeof CommandType];

export const DeviceStatus = {
  READY: "ready",
  RECORDING: "recording",
  STOPPING: "stopping",
  ERROR: "error",
  SCHEDULED_RECORDING_ACCEPTED: "scheduled_recording_accepted",
  RECORDING_STOPPED: "recording_stopped",
  COMMAND_RECEIVED: "command_received",
  TIME_NOT_SYNCHRONIZED: "time_not_synchronized",
  FILE_NOT_FOUND: "file_not_found",
  UPLOADING: "uploading",
  UPLOAD_QUEUED: "upload_queued",
  UPLOAD_COMPLETED: "upload_completed",
  UPLOAD_FAILED: "upload_failed",
  CAMERA_DISCONNECTED: "camera_disconnected",
} as const;
export type DeviceStatus = (typeof DeviceStatus)[keyof typeof DeviceStatus];

export const DeviceType = {
  IOS_IPHONE: "iOS:iPhone",
  ANDROID_PHONE: "Android:Phone",
  ANDROID_QUEST: "Android:Quest",
  OAK: "Oak",
} as const;
export type DeviceType = (typeof DeviceType)[keyof typeof DeviceType];

export const UploadStatus = {
  QUEUED: "queued",
  UPLOADING: "uploading",
  COMPLETED: "completed",
  FAILED: "failed",
} as const;
export type UploadStatus = (typeof UploadStatus)[keyof typeof UploadStatus];

const failures: ReadonlySet<string> = new Set<DeviceStatus>([
  DeviceStatus.ERROR,
  DeviceStatus.TIME_NOT_SYNCHRONIZED,
  DeviceStatus.FILE_NOT_FOUND,
  DeviceStatus.UPLOAD_FAILED,
  DeviceStatus.CAMERA_DISCONNECTED,
]);
const statuses: ReadonlySet<string> = new Set(Object.values(DeviceStatus));

export function isCommandType(text: string): text is CommandType {
  return Object.hasOwn(CommandType, text);
}

export function isDeviceStatus(text: string): text is DeviceStatus {
  return statuses.has(text);
}

/** Whether a status, in any case of letters, says that all is well. An unknown one is neither success nor error. */
export function isSuccess(status: string): boolean {
  const known = status.toLowerCase();
  return statuses.has(known) && !failures.has(known);
}

/** Whether a status, in any case of letters, says that something failed. */
export function isError(status: string): boolean {
  return failures.has(status.toLowerCase());
}

/** What devices of the first dialect say in prose (spec section 5.5), after spaces became underscores. */
const prose: Readonly<Record<string, DeviceStatus>> = {
  already_recording: "recording",
  immediate_recording_started: "recording",
  heartbeat_acknowledged: "command_received",
  files_listed_successfully: "ready",
  ok: "ready",
  "200": "ready",
  success: "ready",
  preparing: "command_received",
  waiting: "command_received",
};

/**
 * The status a device means, whichever dialect it speaks. Text that is none becomes `error`, and stays readable as
 * `message`.
 */
export function normaliseStatus(text: string): { readonly status: DeviceStatus; readonly message?: string } {
  const word = text.trim().toLowerCase().replaceAll(/\s+/g, "_");
  if (isDeviceStatus(word)) return { status: word };
  const meant = Object.hasOwn(prose, word) ? prose[word] : undefined;
  if (meant !== undefined) return { status: meant };
  return { status: DeviceStatus.ERROR, message: text.trim().slice(0, 500) };
}
