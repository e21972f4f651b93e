/** ffmpeg arguments for streams and files. Pure. */
import type { CaptureInput } from "../device.ts";
import { secretsOf } from "./url.ts";

export interface RtspOptions {
  readonly transport: "tcp" | "udp";
  readonly audio: boolean;
  readonly timeoutMs: number;
}

export function rtspInput(url: string, options: RtspOptions): CaptureInput {
  return {
    args: [
      "-protocol_whitelist",
      "rtsp,rtp,tcp,udp,tls,crypto",
      "-rtsp_transport",
      options.transport,
      // Without audio in the session ffmpeg keeps the video's RTP times as they are; with it, sender reports shift
      // both tracks on to one clock.
      "-allowed_media_types",
      options.audio ? "video+audio" : "video",
      "-timeout",
      String(options.timeoutMs * 1000),
      // Bursts of keyframes overrun the small default of the socket.
      ...(options.transport === "udp" ? ["-buffer_size", String(4 << 20)] : []),
      "-i",
      url,
    ],
    video: "copy",
    timeSource: "arrival",
    secrets: secretsOf(url),
    audio: options.audio,
  };
}

export interface HttpOptions {
  readonly audio: boolean;
  readonly timeoutMs: number;
}

/** MJPEG as `multipart/x-mixed-replace`. It carries no timestamps: ffmpeg would number the frames 25 a second. */
export function httpMjpegInput(url: string, options: HttpOptions): CaptureInput {
  return {
    args: [
      "-protocol_whitelist",
      "http,https,tcp,tls,crypto",
      "-rw_timeout",
      String(options.timeoutMs * 1000),
      "-f",
      "mpjpeg",
      "-i",
      url,
    ],
    video: "copy",
    timeSource: "arrival",
    times: "receive",
    secrets: secretsOf(url),
    audio: false,
  };
}

/** Anything else over HTTP (MPEG-TS, FLV, HLS, fragmented MP4) carries its times. */
export function httpStreamInput(url: string, options: HttpOptions): CaptureInput {
  return {
    args: [
      "-protocol_whitelist",
      "http,https,tcp,tls,crypto,data",
      "-rw_timeout",
      String(options.timeoutMs * 1000),
      "-i",
      url,
    ],
    video: "copy",
    timeSource: "arrival",
    secrets: secretsOf(url),
    audio: options.audio,
  };
}

/** Plays the file in real time, over and over. */
export function fileInput(path: string, audio: boolean): CaptureInput {
  return {
    args: ["-protocol_whitelist", "file,crypto,data", "-stream_loop", "-1", "-re", "-i", `file:${path}`],
    video: "copy",
    timeSource: "arrival",
    audio,
  };
}
