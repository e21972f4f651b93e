import type { RecordingView } from "../events/catalogue.ts";
import type { Sidecar } from "../library/contract.ts";

/** What the floors above may ask of recordings. Implemented by `recordings.ts`. */

export interface StartRecordingRequest {
  readonly cameraId: string;
  /** Seconds of media; until stopped otherwise. */
  readonly durationS?: number;
  /** A validated base name is made from it; the documented default otherwise. */
  readonly filename?: string;
  /** `mp4` (finished on a clean end), `fmp4` (left fragmented), `mkv` and `ts` (by stream copy when it ends). */
  readonly format?: "mp4" | "fmp4" | "mkv" | "ts";
  /** Seconds before now, as far as the ring holds them. */
  readonly preRollS?: number;
  /** Epoch microseconds: the first frame is the first captured at or after this instant. */
  readonly startAtUs?: number;
  /** While it waits for `startAtUs`, a recording that is to begin at once takes the camera from it. Default false. */
  readonly yields?: boolean;
  /** For the sidecars: the session it belongs to. */
  readonly sync?: Sidecar["sync"];
}

export interface Recordings {
  /**
   * Settles when the first frame is in the file (or, with `startAtUs`, when the camera is warm and the start armed).
   * @throws OcelliError `already_recording`, `camera_not_found`, `camera_disconnected`, `camera_busy`,
   *   `storage_low`, `storage_critical`, `invalid_filename`, `unsupported`, `start_timeout`, `capture_failed`
   */
  start(request: StartRecordingRequest): Promise<RecordingView>;
  /**
   * Moves the instant an armed recording waits for, at once and without letting go of its camera.
   * @returns false when there is no such recording, or it has begun
   */
  rearm(recordingId: string, startAtUs: number): boolean;
  /** Finishes the file. @throws OcelliError `not_recording` */
  stop(target: { cameraId: string } | { recordingId: string }): Promise<RecordingView>;
  active(): readonly RecordingView[];
  activeOf(cameraId: string): RecordingView | undefined;
  /** Finishes what a crash left behind and resumes what should still run. Called once, before serving. */
  recover(): Promise<void>;
  /** Finishes all running recordings. */
  close(): Promise<void>;
}

export interface ExportRequest {
  readonly filename: string;
  readonly format: "mp4" | "mkv" | "ts";
  readonly codec: "copy" | "h264";
  readonly signal?: AbortSignal;
  readonly onProgress?: (fraction: number) => void;
}

export interface ExportResult {
  readonly filename: string;
  readonly bytes: number;
}

export interface Exports {
  /** Makes a new library entry from a finished recording. @throws OcelliError `file_not_found`, `file_in_use`, `unsupported`, `ffmpeg_failed` */
  run(request: ExportRequest): Promise<ExportResult>;
  close(): Promise<void>;
}
