/**
 * ffmpeg's output side, the same for every capture: fragmented MP4 on stdout, one frame a fragment, the
 * source's own times kept to the microsecond. `frag_discont` makes `tfdt` absolute in every track.
 */
import type { CaptureInput } from "../devices/device.ts";

const movFlags = "+empty_moov+default_base_moof+skip_trailer+frag_discont";

/**
 * How sound is taken along: as it is; freed of the ADTS headers that AAC has before each frame in MPEG-TS, and which MP4 has in
 * its beginning instead; not at all.
 */
export type Sound = "copy" | "adts" | "none";

/**
 * With one track, a fragment for every frame. With two, ffmpeg 5.1 miscounts the times of audio in that mode
 * (a flush for a packet whose track has nothing pending takes the packet after it for its end); a
 * shortest fragment of 1 µs does the same without that.
 */
function fragmentedMp4(sound: Sound): string[] {
  return [
    ...[
      "-copyts",
      "-avoid_negative_ts",
      "disabled",
      "-video_track_timescale",
      "1000000",
      "-write_prft",
      "pts",
    ],
    ...(sound === "none"
      ? ["-movflags", `${movFlags}+frag_every_frame`]
      : ["-movflags", sound === "adts" ? `${movFlags}+delay_moov` : movFlags, "-frag_duration", "1"]),
    // The times need none, and only a delayed beginning could have one.
    ...(sound === "adts" ? ["-use_editlist", "0"] : []),
    ...["-flush_packets", "1", "-f", "mp4", "pipe:1"],
  ];
}

/** An encoder keeps the frames' own times only with these: neither a constant rate nor a coarser time base. */
const keepTimes = ["-fps_mode", "passthrough", "-enc_time_base", "1:1000000"] as const;

/** All arguments of a capture of `input`. */
export function captureArgs(input: CaptureInput, sound: Sound): string[] {
  const video = input.video === "copy" ? ["-c:v", "copy"] : [...input.video.encodeArgs, ...keepTimes];
  return [
    ...input.args,
    ...["-map", "0:v:0"],
    // A track that falls silent must not hold the other one back for long.
    ...(sound === "none" ? [] : ["-map", "0:a:0?", "-c:a", "copy", "-max_interleave_delta", "200000"]),
    ...(sound === "adts" ? ["-bsf:a", "aac_adtstoasc"] : []),
    ...video,
    ...fragmentedMp4(sound),
  ];
}

export interface TranscodeSettings {
  readonly codec: "h264" | "mjpeg";
  /** Greatest width; the height follows, even. Default: as the input. */
  readonly maxWidth?: number;
  /** Frames a second at most; default: every frame. */
  readonly maxFps?: number;
  /** x264 preset, default `ultrafast`. */
  readonly preset?: string;
  /** Constant rate factor of x264, default 23; `-q:v` of MJPEG, default 5. */
  readonly quality?: number;
  /** Bits a second at most, H.264 only. */
  readonly maxBitRate?: number;
}

/** All arguments of a transcode of fragmented MP4 on stdin. */
export function transcodeArgs(settings: TranscodeSettings): string[] {
  const width = settings.maxWidth === undefined ? "iw" : `min(iw\\,${Math.floor(settings.maxWidth)})`;
  const filters = [
    ...(settings.maxFps === undefined ? [] : [dropAbove(settings.maxFps)]),
    `scale=w=trunc(${width}/2)*2:h=trunc(ow/dar/2)*2`,
    // For H.264 the limited range, which every browser takes the same way; JPEG is full range by its standard.
    settings.codec === "h264" ? "format=yuv420p" : "format=yuvj420p",
  ];
  return [
    // The init segment says all there is to know: no waiting for more frames than one.
    ...["-analyzeduration", "0", "-probesize", "32"],
    // A decoder with a thread a frame would hold back as many frames.
    ...["-thread_type", "slice"],
    ...["-f", "mp4", "-i", "pipe:0", "-map", "0:v:0", "-vf", filters.join(",")],
    ...(settings.codec === "h264" ? h264Args(settings) : mjpegArgs(settings)),
    ...keepTimes,
    ...fragmentedMp4("none"),
  ];
}

function h264Args(settings: TranscodeSettings): string[] {
  const rate = settings.maxBitRate;
  return [
    ...["-c:v", "libx264", "-preset", settings.preset ?? "ultrafast", "-tune", "zerolatency"],
    ...["-bf", "0", "-sc_threshold", "0", "-crf", String(settings.quality ?? 23)],
    ...(rate === undefined ? [] : ["-maxrate", String(rate), "-bufsize", String(rate)]),
    // By time, not by count of frames, since the rate may vary: a keyframe at least every second.
    ...["-g", "600", "-force_key_frames", "expr:if(isnan(prev_forced_t),1,gte(t,prev_forced_t+0.999))"],
  ];
}

function mjpegArgs(settings: TranscodeSettings): string[] {
  return ["-c:v", "mjpeg", "-q:v", String(settings.quality ?? 5), "-huffman", "default"];
}

/** Lets a frame through when the last one passed is old enough, without touching its time. */
function dropAbove(fps: number): string {
  const interval = (0.95 / fps).toFixed(6);
  return `select='isnan(prev_selected_t)+gte(t-prev_selected_t\\,${interval})'`;
}
