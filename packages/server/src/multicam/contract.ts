import type { CloudTarget, UploadItem } from "@ocelli/protocol/multicam";

/** What the MultiCam adapter may ask of a camera that takes part as a device. Implemented in this folder. */

export interface DeviceFile {
  readonly fileName: string;
  readonly fileSize: number;
  /** Unix seconds. */
  readonly creationDate: number;
  readonly modificationDate: number;
}

export interface OpenableFile extends DeviceFile {
  /** Absolute path; only for code inside the hub. */
  readonly path: string;
}

/** `full`: nothing is recorded, and nothing could be for want of room. `armed` and `recording` whoever began it. */
export type DeviceActivity = "idle" | "armed" | "recording" | "stopping" | "absent" | "full";

export interface RecordingDevice {
  readonly deviceId: string;
  readonly cameraId: string;
  activity(): DeviceActivity;
  /**
   * Starts now, or at `atUs` (epoch microseconds of true time, which the hub's own clock may be off from).
   * @returns `armed` when it waits for its instant; `recording` also when it was recording already
   * @throws OcelliError `clock_not_synchronised` for an instant ahead while nobody knows the time; `already_recording` when
   *   others record this camera; those of `Recordings.start`
   */
  start(atUs: number): Promise<"armed" | "recording">;
  /**
   * Finishes the file of what a controller began.
   * @throws OcelliError `not_recording`, also when others record, and when it cancelled a start that was waited for
   */
  stop(): Promise<DeviceFile>;
  /** Newest first, as many as `limit`. */
  files(limit: number): readonly DeviceFile[];
  /**
   * By name, id, or name without its extension.
   * @throws OcelliError `file_not_found`, `file_in_use` while it is being recorded
   */
  file(key: string): OpenableFile;
}

export type UploadTarget =
  | { readonly kind: "presigned"; readonly uploadUrl: string }
  | { readonly kind: "s3"; readonly target: CloudTarget };

export interface DeviceUploads {
  readonly current: UploadItem | undefined;
  readonly waiting: readonly UploadItem[];
  readonly failed: readonly UploadItem[];
}

/** Files on their way to somebody's storage, one after the other, over restarts. */
export interface Uploads {
  /**
   * A file that waits or is on its way already is not queued again.
   * @throws OcelliError `invalid_params` for an address that is none or not allowed
   */
  queue(device: RecordingDevice, file: OpenableFile, target: UploadTarget): void;
  of(deviceId: string): DeviceUploads;
  close(): Promise<void>;
}
