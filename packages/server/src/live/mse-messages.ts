/**
 * What a viewer of `GET /live/{camera}/mse` is told in text messages; the pictures themselves are binary
 * messages. The exchange is described in `docs/live.md`.
 */
import type { ErrorCode } from "@ocelli/protocol";
import type { CaptureState, TimeSource } from "../capture/source.ts";
import type { VideoCodec } from "../media/fragment.ts";

/** The next binary message is an init segment; fragments in this format follow. */
export interface MseInit {
  readonly type: "init";
  /** Codec family of the video. */
  readonly codec: VideoCodec;
  /** For `MediaSource.addSourceBuffer` and `changeType`. */
  readonly mime: string;
  readonly width: number;
  readonly height: number;
  /** `native`: what the camera gives; `transcode`: made for the browser. */
  readonly rendition: "native" | "transcode";
  readonly timeSource: TimeSource;
  /** Media time of the fragment that follows: where the viewer's time line starts. */
  readonly mediaTimeUs: number;
  readonly capturedAtUs: number;
  /** The hub's wall clock when this was sent. */
  readonly nowUs: number;
}

/** About once a second: ties media time to capture time and to the hub's clock, for showing the latency. */
export interface MseTime {
  readonly type: "time";
  readonly mediaTimeUs: number;
  readonly capturedAtUs: number;
  readonly nowUs: number;
}

/** This viewer was too slow; these frames were skipped and the next fragment is a keyframe. */
export interface MseLost {
  readonly type: "lost";
  readonly frames: number;
}

/** The camera gave no frames between these capture times; the next fragment is a keyframe. */
export interface MseGap {
  readonly type: "gap";
  readonly fromUs: number;
  readonly toUs: number;
}

/** The capture changed its state, such as `recovering` after the camera was pulled. */
export interface MseState {
  readonly type: "state";
  readonly state: CaptureState;
  readonly reason: string | undefined;
}

/** The last message before the hub closes the connection. */
export interface MseError {
  readonly type: "error";
  readonly code: ErrorCode;
  readonly message: string;
}

export type MseMessage = MseInit | MseTime | MseLost | MseGap | MseState | MseError;

/** Where a session writes. Each promise resolves when the bytes have left the process and rejects when they cannot. */
export interface MseSink {
  text(message: MseMessage): Promise<void>;
  binary(bytes: Buffer): Promise<void>;
}
