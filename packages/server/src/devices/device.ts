import type { VideoCodec } from "../media/fragment.ts";
import type { DeviceControls } from "./controls.ts";
import type { Rational } from "./rational.ts";

/** What discovery yields. A `Device` is a thing attached now; the registry gives it a lasting identity. */

export interface FrameSize {
  readonly width: number;
  readonly height: number;
  /** Frame intervals in seconds as the driver says them, shortest first. Empty when the driver does not tell. */
  readonly intervals: readonly Rational[];
}

export interface PixelFormat {
  /** V4L2 FourCC (`YUYV`, `MJPG`, `H264`, `HEVC`); for network and virtual cameras the same four letters. */
  readonly fourcc: string;
  readonly description: string;
  /** The driver hands out encoded frames (V4L2_FMT_FLAG_COMPRESSED). */
  readonly compressed: boolean;
  readonly sizes: readonly FrameSize[];
  /** Where the driver takes any size of a range; `sizes` then holds the customary ones within it. */
  readonly range?: {
    readonly minWidth: number;
    readonly maxWidth: number;
    readonly stepWidth: number;
    readonly minHeight: number;
    readonly maxHeight: number;
    readonly stepHeight: number;
  };
}

export interface DeviceCapabilities {
  readonly driver: string;
  readonly card: string;
  readonly busInfo: string;
  /** Of the driver, such as `6.1.90`; absent where no kernel driver answers, as are the abilities. */
  readonly version?: string;
  /** What the whole device can do and what this node of it, in words such as `Video Capture`. */
  readonly abilities?: { readonly device: readonly string[]; readonly node: readonly string[] };
  readonly formats: readonly PixelFormat[];
  /** The format the device is set to now, if it says. */
  readonly current?: { readonly fourcc: string; readonly width: number; readonly height: number };
}

/** What makes a camera the same camera after re-plugging. Compared by `cameras/identity.ts`. */
export interface DeviceIdentity {
  readonly serial?: string;
  /** `046d:0825` for USB. */
  readonly vendorProduct?: string;
  /** Where it is attached: `usb-0000:00:14.0-1.2`, `platform:vivid.0`; a URL without credentials; `virtual:0`. */
  readonly busPath: string;
  readonly name: string;
  /** Tells several capture nodes of one physical device apart (0 for the first; not always consecutive). */
  readonly index: number;
}

export interface CaptureInput {
  /**
   * ffmpeg arguments up to and including `-i <input>`, then any output options this input needs whatever is made of
   * it (a bitstream filter that mends its timestamps).
   */
  readonly args: readonly string[];
  /** Environment the arguments rely on. */
  readonly env?: Readonly<Record<string, string>>;
  /** `copy` when the input already gives MJPEG, H.264 or HEVC; otherwise ffmpeg output arguments that encode it once. */
  readonly video: "copy" | { readonly encodeArgs: readonly string[] };
  readonly timeSource: "kernel" | "arrival";
  /**
   * Where media times come from when `timeSource` is `arrival`. `stream` (default): the timestamps the input
   * carries. `receive`: the input carries none and ffmpeg invents them (MJPEG over HTTP: a constant 25 a second), so
   * the time at which each frame reached the hub is its media time. A fragment leaves ffmpeg only when the next frame
   * arrives, so a frame's own arrival is the receive time of the fragment *before* it. Such streams have no B-frames.
   */
  readonly times?: "stream" | "receive";
  /**
   * Frames that ffmpeg takes in and keeps back before the muxer (which keeps one more), by codec: a frame has come when the
   * fragment that many, and the muxer's one, before it leaves. Too few make capture times late by a frame interval each; too
   * many would make them early. Default none.
   */
  readonly keptBack?: Readonly<Partial<Record<VideoCodec, number>>>;
  /** Strings of `args` to be masked in everything logged or thrown (passwords of URLs). */
  readonly secrets?: readonly string[];
  /** Audio of the input is taken along by stream copy where MP4 can hold it. */
  readonly audio: boolean;
}

export type DeviceKind = "v4l2" | "rtsp" | "http" | "file" | "virtual";

export interface Device {
  readonly kind: DeviceKind;
  readonly identity: DeviceIdentity;
  /** Name for people, such as the card's name. */
  readonly name: string;
  /** `/dev/videoN` of a V4L2 device. */
  readonly node?: string;
  /** `undefined` until known (network cameras are probed by their first capture). */
  readonly capabilities?: DeviceCapabilities;
  /** What a look at it showed where `capabilities` are not known: how it is until a capture says more. */
  readonly seen?: {
    readonly codec: VideoCodec;
    readonly width: number;
    readonly height: number;
    /** 0 where the stream does not say. */
    readonly fps: number;
  };
  /** Set while the device is there but cannot be used; the registry shows status ERROR with this reason. */
  readonly problem?: { readonly code: string; readonly message: string };
  /** What can be turned at it; absent where the hub cannot. */
  readonly controls?: DeviceControls;
  /** Fixed camera number wanted by configuration, if any. */
  readonly wantedNumber?: number;
  /**
   * To be awaited before each `input()` where it exists: what has to be asked over the network first, such as the
   * content type of an HTTP stream. Bounded in time. @throws OcelliError `capture_failed`
   */
  prepare?(signal?: AbortSignal): Promise<void>;
  /** How ffmpeg opens the device in `mode`. @throws OcelliError `unsupported` */
  input(mode: { format: string; width: number; height: number; fps: number }): CaptureInput;
}

export type DeviceEvent =
  | { readonly type: "found"; readonly device: Device }
  /** Same device (same `identity`), new capabilities, node or problem. */
  | { readonly type: "changed"; readonly device: Device }
  | { readonly type: "lost"; readonly device: Device };

/** One kind of discovery. `start()` resolves when the first scan is done, its devices already reported. */
export interface DeviceProvider {
  readonly name: string;
  start(listener: (event: DeviceEvent) => void): Promise<void>;
  /** Looks again now; resolves when done. */
  rescan(): Promise<void>;
  close(): Promise<void>;
}
