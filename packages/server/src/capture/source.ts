import type { Fragment, InitSegment, VideoCodec } from "../media/fragment.ts";

/**
 * The contract between whoever makes fragments and whoever needs them. `DeviceCapture` and `Transcode`
 * are the two sources; live view, recorder, snapshots and transcodes are all just leases with a cursor.
 */

/** What a lease may insist on. Frames as the device delivers them, before any transcode. */
export interface CaptureMode {
  /** V4L2 FourCC such as `MJPG`, `YUYV`, `H264`; for network and virtual sources the ffmpeg codec name. */
  readonly format: string;
  readonly width: number;
  readonly height: number;
  readonly fps: number;
}

export const captureStates = [
  "idle",
  "starting",
  "live",
  "stalled",
  "recovering",
  "failed",
  "closing",
  "closed",
] as const;
export type CaptureState = (typeof captureStates)[number];

/** Where the capture times come from: the kernel's stamp of each buffer, or the least-delayed arrival. */
export type TimeSource = "kernel" | "arrival";

export type CursorItem =
  | { readonly kind: "fragment"; readonly fragment: Fragment }
  /** The reader fell off the ring and was moved to the newest keyframe; `frames` were skipped. */
  | { readonly kind: "lost"; readonly frames: number };

/** A place in the source's ring. One reader each; `next()` is called by one caller at a time. */
export interface Cursor {
  /**
   * The next item; waits for it (also across restarts of the capture). `undefined` once the source or the
   * cursor is closed. Rejects with `reader_too_slow` where `overflow` is `fail` and the budget is used up,
   * and with the abort reason.
   */
  next(signal?: AbortSignal): Promise<CursorItem | undefined>;
  /** Fragments and bytes waiting for this reader. */
  lag(): { fragments: number; bytes: number };
  /** With `borrow`: what was given so far is not looked at any more. */
  release?(): void;
  close(): void;
}

export interface OpenOptions {
  /** Who holds the lease, in words for people and for `camera_busy`: "recording camera0_….mp4". */
  readonly holder: string;
  /** Where the cursor starts. A number is an epoch `capturedAtUs`: the last keyframe at or before it, else the oldest keyframe held. */
  readonly from: "next" | "keyframe" | { readonly capturedAtUs: number };
  /** Insist on a mode; `camera_busy` when the source runs in another. */
  readonly mode?: CaptureMode;
  /** A live reader skips to the newest keyframe, a recorder fails beyond `budgetBytes` (its own share beyond the ring). */
  readonly overflow: "skip" | "fail";
  readonly budgetBytes?: number;
  /**
   * How soon this reader needs frames. While all readers take them in batches the hub reads the camera a few times a
   * second rather than at every frame. Default: `batches` where `overflow` is `fail`, else `promptly`.
   */
  readonly pace?: "promptly" | "batches";
  /**
   * The reader says by `cursor.release()` when it is done with the fragments it was given (with `overflow` `skip`: it
   * never looks at their bytes). Bytes of fragments that only such readers have are then used for later frames, which
   * spares the hub most of its garbage. Default false: fragments may be kept.
   */
  readonly borrow?: boolean;
  /** Aborts waiting for the first frame; the lease is then released. */
  readonly signal?: AbortSignal;
}

/** A share of a running source. Closing the last one starts the linger timer. */
export interface Lease extends AsyncDisposable {
  readonly cursor: Cursor;
  /** The mode granted. */
  readonly mode: CaptureMode;
  close(): void;
}

/** A hole in a source's frames that the hub knows of. Times are epoch microseconds. */
export interface CaptureGap {
  readonly fromUs: number;
  readonly toUs: number;
  readonly reason: string;
}

export interface SourceEvents {
  state: (change: { from: CaptureState; to: CaptureState; reason?: string }) => void;
  gap: (gap: CaptureGap) => void;
}

export interface SourceStats {
  readonly state: CaptureState;
  readonly mode: CaptureMode | undefined;
  readonly leases: readonly string[];
  readonly pid: number | undefined;
  readonly framesTotal: number;
  readonly bytesTotal: number;
  readonly restarts: number;
  /** Frames a second over the last few seconds; 0 when not live. */
  readonly fps: number;
  /** Over the same time, of all tracks together. */
  readonly bitsPerSecond?: number;
  /** How long the run of now has given frames; 0 when not live. */
  readonly runningS?: number;
  readonly ring: { readonly fragments: number; readonly bytes: number; readonly seconds: number };
  readonly lastError: string | undefined;
  /** The last lines the failed process wrote, secrets masked. */
  readonly lastErrorLines?: readonly string[];
}

export interface FragmentSource {
  /** Names the source in logs and errors: `camera0`, `camera0/h264`. */
  readonly id: string;
  readonly state: CaptureState;
  readonly timeSource: TimeSource;
  /** Codec of the video this source gives once live; `undefined` while it is not known yet. */
  readonly codec: VideoCodec | undefined;
  readonly init: InitSegment | undefined;
  /** Nominal interval between video frames in microseconds, from the mode in use or the median of late intervals. */
  readonly frameIntervalUs: number | undefined;
  /**
   * Joins the capture, starting it if need be. Settles when the first frame is there.
   * @throws OcelliError `camera_busy`, `camera_disconnected`, `capture_failed`, `start_timeout`, `unsupported`
   */
  open(options: OpenOptions): Promise<Lease>;
  /** Takes in at once what the camera has given but was left for the next batch. */
  refresh?(): void;
  /** The newest video frames since and including the newest keyframe, oldest first; empty when nothing is held. */
  newestGop(): readonly Fragment[];
  on<E extends keyof SourceEvents>(event: E, listener: SourceEvents[E]): () => void;
  stats(): SourceStats;
  /** Ends the capture and every cursor. Resolves once the process is gone; the same promise each time. */
  close(): Promise<void>;
}
