/** What the floors above may ask of the catalogue of finished media. Implemented in this folder. */

import type { ClockStamp } from "../clock/sync/state.ts";

export type MediaKind = "recording" | "snapshot";

export interface MediaGap {
  readonly fromUs: number;
  readonly toUs: number;
  readonly reason: string;
  /** Frames estimated to be missing. */
  readonly missingFrames: number;
}

/**
 * The sidecar JSON beside every file (`<file>.json`), written atomically. The catalogue is an index of these
 * and can be rebuilt from them. Times: epoch microseconds in `…Us`, plus ISO 8601 for people.
 */
export interface Sidecar {
  readonly version: 1;
  readonly kind: MediaKind;
  readonly filename: string;
  readonly cameraId: string;
  readonly cameraName: string;
  /** Stable identity of the device, for later matching. */
  readonly device: { readonly node?: string; readonly busPath: string; readonly serial?: string };
  readonly state: "recording" | "complete" | "recovered" | "failed";
  /** `mp4`, `mkv`, `ts`, `jpg`, `png`. */
  readonly format: string;
  readonly codec: string;
  readonly resolution: string;
  /** Nominal frames a second. */
  readonly fps: number;
  readonly bytes: number;
  readonly createdAtUs: number;
  readonly timeSource: "kernel" | "arrival";
  readonly firstFrameAtUs: number | undefined;
  readonly lastFrameAtUs: number | undefined;
  /** Media seconds, from the first frame to the end of the last. */
  readonly durationS: number | undefined;
  readonly frames: number | undefined;
  readonly droppedFrames: number | undefined;
  readonly gaps: readonly MediaGap[];
  readonly clockSteps: readonly { readonly atUs: number; readonly stepUs: number }[];
  /** Same for all segments of one recording. */
  readonly recordingId: string | undefined;
  readonly segment: number | undefined;
  readonly requestedDurationS: number | undefined;
  /** A start asked for at an instant, and how far the first frame was from it. */
  readonly scheduledStart: { readonly atUs: number; readonly errorUs: number } | undefined;
  /** Of a recording made together with others: the session, its group, and their common instant. */
  readonly sync?:
    | { readonly sessionId: string; readonly groupName: string; readonly startAtUs: number }
    | undefined;
  /** How far the hub's wall clock could be trusted when this was written last. */
  readonly clock?: ClockStamp | undefined;
  readonly endReason: string | undefined;
  /** Name of the recording this file was exported from. */
  readonly exportedFrom?: string;
  /** Name clients were told: that of the copy this file is to be replaced by. It is found under both. */
  readonly becomes?: string;
  /** ISO 8601 and the plain names older tools read. */
  readonly started_at: string;
  readonly stopped_at: string | null;
  readonly sha256: string | undefined;
}

export interface MediaEntry extends Sidecar {
  /** Absolute path; only for code inside the hub. */
  readonly path: string;
  readonly modifiedAtUs: number;
}

export interface Page {
  readonly entries: readonly MediaEntry[];
  readonly total: number;
}

export interface PageOptions {
  readonly limit: number;
  readonly offset: number;
  readonly cameraId?: string;
  /** Only of these cameras; ignored with `cameraId`. */
  readonly cameraIds?: ReadonlySet<string>;
}

export interface Library {
  /** Folder of a kind; files lie flat in it. */
  folder(kind: MediaKind): string;
  /**
   * Checks a name wished for by a client and returns one that is free, with the extension, never overwriting:
   * `_1`, `_2`… The name is reserved until it is added or released.
   * @param becomes extension of the copy that is to take the file's place: that name is free and reserved too
   * @throws OcelliError `invalid_filename`
   */
  reserve(kind: MediaKind, wanted: string, extension: string, becomes?: string): string;
  /** A free name for a copy of a file in another format: the one it `becomes`, if that is its format. */
  reserveCopy(entry: MediaEntry, extension: string): string;
  release(kind: MediaKind, filename: string): void;
  /**
   * Writes the sidecar (atomically) and the index row. Called at the start of a recording and at each change of state.
   * For a finished file `bytes` is corrected to the size on disk.
   * @param options.after the file being written meanwhile: the row appears when it is done; when it rejects, the
   *   sidecar is removed again and `put` rejects with its reason
   */
  put(sidecar: Sidecar, options?: { readonly after?: Promise<unknown> }): Promise<void>;
  /** By name with or without extension, or by the name a file `becomes`. @throws OcelliError `file_not_found`, `invalid_filename` */
  get(kind: MediaKind, filename: string): MediaEntry;
  /** Newest first. Files still being written are left out, and so are the lists of gaps and clock steps. */
  page(kind: MediaKind, options: PageOptions): Page;
  /** @throws OcelliError `file_not_found`, `file_in_use` (still being written) */
  delete(kind: MediaKind, filename: string): Promise<void>;
  /** Re-reads all sidecars (in a worker) and makes the index equal to the folders. */
  rebuild(): Promise<{ added: number; removed: number }>;
}

export type StorageLevel = "ok" | "low" | "critical";

export interface StorageState {
  readonly level: StorageLevel;
  readonly freeBytes: number;
  readonly totalBytes: number;
  /** Free bytes below which the levels `low` and `critical` begin. */
  readonly lowBytes?: number;
  readonly criticalBytes?: number;
}

/** Watches free space where the data goes. */
export interface StorageGuard {
  readonly state: StorageState;
  /** Measures now. */
  check(): Promise<StorageState>;
  /** @throws OcelliError `storage_low`, `storage_critical` */
  assertMayRecord(): Promise<void>;
}
