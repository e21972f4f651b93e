/** How much room there is and what the media take of it: measured at each call, without reading a folder. */
import { stat } from "node:fs/promises";
import type { MediaEntry, MediaKind, StorageGuard } from "./contract.ts";

export interface StorageFigures {
  readonly totalBytes: number;
  readonly freeBytes: number;
  /** Files being written included. */
  readonly mediaBytes: Readonly<Record<MediaKind, number>>;
  /** Free bytes below which no recording starts, and below which recordings end. */
  readonly lowBytes: number;
  readonly criticalBytes: number;
  readonly isLow: boolean;
  readonly isCritical: boolean;
}

export interface GrowingMedia {
  unfinished(): readonly MediaEntry[];
}

export interface StorageReportOptions {
  readonly storage: StorageGuard;
  readonly library: GrowingMedia & { usage(kind: MediaKind): { readonly bytes: number } };
}

/** Files being written, as large as they are now. */
export function growingBytes(
  library: GrowingMedia,
): Promise<{ readonly kind: MediaKind; readonly cameraId: string; readonly bytes: number }[]> {
  return Promise.all(
    library.unfinished().map(async ({ kind, cameraId, path }) => {
      const bytes = await stat(path).then(
        ({ size }) => size,
        () => 0,
      );
      return { kind, cameraId, bytes };
    }),
  );
}

export class StorageReport {
  readonly #options: StorageReportOptions;

  constructor(options: StorageReportOptions) {
    this.#options = options;
  }

  /** @throws OcelliError `storage_failed` */
  async measure(): Promise<StorageFigures> {
    const { storage, library } = this.#options;
    const state = await storage.check();
    const growing = { recording: 0, snapshot: 0 };
    for (const { kind, bytes } of await growingBytes(library)) growing[kind] += bytes;
    return {
      totalBytes: state.totalBytes,
      freeBytes: state.freeBytes,
      mediaBytes: {
        recording: library.usage("recording").bytes + growing.recording,
        snapshot: library.usage("snapshot").bytes + growing.snapshot,
      },
      lowBytes: state.lowBytes ?? 0,
      criticalBytes: state.criticalBytes ?? 0,
      isLow: state.level !== "ok",
      isCritical: state.level === "critical",
    };
  }
}
