import type { CaptureMode, FragmentSource, SourceStats } from "../capture/source.ts";
import type { DeviceControls } from "../devices/controls.ts";
import type { DeviceCapabilities } from "../devices/device.ts";
import type { CameraView } from "../events/catalogue.ts";

/** What the floors above may ask of cameras. Implemented by `registry.ts` and `camera.ts`. */

/** Persisted per-camera wishes; every field has a documented default. */
export interface CameraSettings {
  /** Name for people; the device's own name otherwise. */
  readonly name?: string;
  /** Wanted format, size and rate; the documented rule chooses otherwise. */
  readonly mode?: { format?: string; width?: number; height?: number; fps?: number };
  /** `copy` records what the camera gives; `h264` records the browser rendition. */
  readonly recordCodec: "copy" | "h264";
  /** The hub keeps a recording running. Default false. */
  readonly continuousRecording?: boolean;
  /** Recordings begin this many seconds early, for which the capture is kept running. Default 0. */
  readonly preRollS?: number;
}

export interface Camera {
  /** `camera0`. */
  readonly id: string;
  readonly settings: CameraSettings;
  /** Full V4L2 capabilities where known. */
  readonly capabilities: DeviceCapabilities | undefined;
  view(): CameraView;
  /** The mode the next start of the capture takes; `undefined` where only a capture can tell. */
  chosenMode?(): CaptureMode | undefined;
  /**
   * What can be turned at the camera.
   * @throws OcelliError `camera_disconnected`; `unsupported` for a camera that has nothing the hub can turn
   */
  controls?(): DeviceControls;
  /**
   * The native rendition: the one process that has the device open.
   * @throws OcelliError `camera_disconnected` when the device is absent or in error
   */
  native(): FragmentSource;
  /** Of the native rendition, also while the camera is away; `undefined` while nobody has used it since the start. */
  captureStats?(): SourceStats | undefined;
  /** The H.264 rendition for browsers: the native one when it is H.264 already, else a transcode started on demand. */
  h264(): FragmentSource;
  /** The MJPEG rendition: the native one when it is MJPEG already, else a transcode started on demand. */
  mjpeg(): FragmentSource;
}

export interface Cameras {
  /** By number. Includes known cameras that are absent now. */
  list(): readonly Camera[];
  /**
   * By any name a client may use: `camera0`, `/dev/video0`, `video0`, a `/dev/v4l/by-*` link, a bare number is not a name.
   * @throws OcelliError `camera_not_found`
   */
  find(name: string): Camera;
}
