import type { MediaEntry } from "../library/contract.ts";

export interface SnapshotRequest {
  readonly cameraId: string;
  readonly filename?: string;
  readonly format?: "jpg" | "png";
  /** 1–100; the camera's own JPEG untouched when left out. */
  readonly quality?: number;
}

export interface StillImage {
  readonly bytes: Buffer;
  readonly contentType: "image/jpeg" | "image/png";
  readonly capturedAtUs: number;
  readonly width: number;
  readonly height: number;
}

export interface Snapshots {
  /** A picture of now, saved with its sidecar. @throws OcelliError as `FragmentSource.open`, `storage_critical`, `invalid_filename` */
  take(request: SnapshotRequest): Promise<MediaEntry>;
  /** The same picture without saving it. */
  still(request: Omit<SnapshotRequest, "filename">): Promise<StillImage>;
  close(): Promise<void>;
}
