/** What callers give the controller, and get from it. */
import type { UploadItem } from "@ocelli/protocol/multicam";
import type { MultiCamDevice } from "./device.ts";

export interface MultiCamControllerOptions {
  /** How this controller calls itself. Default `controller`. */
  readonly deviceId?: string;
  /** Seconds. Default 5. */
  readonly connectTimeout?: number;
  /** Seconds for a reply. Default 60. */
  readonly commandTimeout?: number;
  /** Seconds for the reply to a stop: some devices finish the file first. Default 90. */
  readonly stopTimeout?: number;
  /** Seconds without a byte of a file. Default 600. */
  readonly stallTimeout?: number;
  /** Seconds before each further attempt after a connection failed. Default 1, 2, 4. */
  readonly retryDelays?: readonly number[];
  /** Unix seconds by the clock the devices shall start by. Default: this machine's clock. */
  readonly now?: () => number;
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface ManyOptions extends CallOptions {
  /** Ids of devices; default all. */
  readonly devices?: readonly string[] | undefined;
}

export interface StartOptions extends ManyOptions {
  /** The common instant, Unix seconds; default `delay` from now. */
  readonly at?: number | undefined;
  /** Seconds from now. Default 3. */
  readonly delay?: number | undefined;
}

export type DeviceResult<T> =
  | { readonly device: MultiCamDevice; readonly ok: true; readonly value: T }
  | { readonly device: MultiCamDevice; readonly ok: false; readonly error: Error };

export interface StoppedFile {
  readonly fileId: string | undefined;
  readonly fileName: string | undefined;
  /** Some devices say 0 before the file is asked for. */
  readonly fileSize: number | undefined;
  /** The answer to the stop was lost; the file is the newest one of the device's list. */
  readonly inferred: boolean;
}

export interface DownloadOptions extends CallOptions {
  /** Made when missing. */
  readonly folder: string;
  readonly saveAs?: string | undefined;
  readonly onProgress?: ((bytes: number, total: number) => void) | undefined;
}

export interface Uploads {
  readonly running: readonly UploadItem[];
  readonly failed: readonly UploadItem[];
}
