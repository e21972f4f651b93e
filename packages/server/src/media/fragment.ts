/**
 * The nouns of the media floor. A *fragment* here is one frame: ffmpeg writes one `prft`+`moof`+`mdat` per
 * frame, and everything downstream hands the same immutable record on by reference.
 */

/** A codec as ffmpeg names it. */
export type VideoCodec = "mjpeg" | "h264" | "hevc" | "av1";
export type AudioCodec = "aac" | "opus";

export interface VideoTrack {
  readonly kind: "video";
  readonly id: number;
  readonly codec: VideoCodec;
  /** RFC 6381 string for `MediaSource.isTypeSupported`, such as `avc1.42c01e`; `mjpeg` for MJPEG. */
  readonly codecString: string;
  readonly width: number;
  readonly height: number;
  /** Ticks a second of this track's times in the init segment. */
  readonly timescale: number;
}

export interface AudioTrack {
  readonly kind: "audio";
  readonly id: number;
  readonly codec: AudioCodec;
  readonly codecString: string;
  readonly channels: number;
  readonly sampleRate: number;
  readonly timescale: number;
}

export type Track = VideoTrack | AudioTrack;

/** `ftyp`+`moov` of one run of a source, and what it says. Compared by `fingerprint`. */
export interface InitSegment {
  readonly bytes: Buffer;
  readonly tracks: readonly Track[];
  /** Equal for two runs whose samples may go into one file: hash of the tracks' sample descriptions. */
  readonly fingerprint: string;
}

/** One frame as it left ffmpeg: `moof`+`mdat`, with the `prft` parsed and cut off. */
export interface Fragment {
  readonly init: InitSegment;
  readonly track: Track;
  /** Counts frames of one source, both tracks together, over all its runs; never reused. */
  readonly sequence: number;
  /**
   * Presentation time in microseconds on the source's clock. For `kernel` sources this is the
   * CLOCK_MONOTONIC stamp of the V4L2 buffer; for `arrival` sources the stream's own timestamps, shifted by
   * one constant a run so that they continue the same monotonic scale.
   */
  readonly mediaTimeUs: number;
  /** Decode time on the same scale; differs from `mediaTimeUs` only where the codec reorders frames. */
  readonly decodeTimeUs: number;
  readonly durationUs: number;
  readonly keyframe: boolean;
  /** Epoch microseconds when the frame was captured, as well as its source can tell. */
  readonly capturedAtUs: number;
  /** CLOCK_MONOTONIC microseconds when the hub had the whole fragment. */
  readonly receivedAtMonoUs: number;
  /** True on the first video frame after a gap (restart, stall, re-plug). Always a keyframe. */
  readonly discontinuity: boolean;
  /**
   * `moof`+`mdat`, ready to be sent to a viewer after `init.bytes`. Its `tfdt` holds `decodeTimeUs` in the
   * track's timescale, so that a viewer's time line goes on across runs. Never modified, except for who asked to
   * `borrow` frames (`capture/source.ts`) and keeps them longer than it may.
   */
  readonly bytes: Buffer;
  /** The encoded frame inside `bytes`. */
  readonly sample: Buffer;
}
