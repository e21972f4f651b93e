/** What cameras need of `capture/`: the constructors, handed in, so that only `hub-cameras.ts` knows their options. */
import type { CaptureMode, FragmentSource } from "../capture/source.ts";
import type { CaptureInput, DeviceKind } from "../devices/device.ts";

/** A source on a device that may be unplugged. */
export interface NativeSource extends FragmentSource {
  /** The device is gone: stop at once, keep leases waiting. */
  deviceLost(): void;
  /** It is back: go on at once if anybody waits. */
  deviceBack(): void;
}

export interface NativeRequest {
  /** `camera0`. */
  readonly id: string;
  readonly kind: DeviceKind;
  /**
   * Asked before each run of ffmpeg, with the mode a lease insists on.
   * @throws OcelliError `camera_disconnected`, `permission_denied`, `capture_failed`, `unsupported`
   */
  readonly input: (
    wanted: CaptureMode | undefined,
    signal?: AbortSignal,
  ) => Promise<{ readonly mode: CaptureMode; readonly input: CaptureInput }>;
}

export interface TranscodeRequest {
  /** `camera0/h264`. */
  readonly id: string;
  readonly source: FragmentSource;
  readonly codec: "h264" | "mjpeg";
}

export interface CaptureFactory {
  makeNative(request: NativeRequest): NativeSource;
  makeTranscode(request: TranscodeRequest): FragmentSource;
}
