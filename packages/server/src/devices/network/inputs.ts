/** ffmpeg arguments for streams and files. Pure. */
import type { CaptureInput } from "../device.ts";
import type { TransportStream } from "./transport-stream.ts";
import { secretsOf } from "./url.ts";

export interface RtspOptions {
  readonly transport: "tcp" | "udp";
  readonly audio: boolean;
  readonly timeoutMs: number;
}

/**
 * ffmpeg gives the first frame of an RTSP stream no presentation time (its packets have no file position for the
 * parser to go by), and the MP4 muxer would then spoil all times of the run. RTP times begin at 0 with that frame;
 * without B-frames (its decode time, which ffmpeg estimates, is not negative) one frame before the second is exact
 * in sessions with audio too. The rest keeps times in order where others should be missing.
 */
const mendTimes = (() => {
  const step = "max(DURATION,1)";
  const first = "if(gte(DTS,0)*gt(DURATION,0),NEXT_PTS-DURATION,0)";
  const pts = `if(eq(PTS,NOPTS),if(eq(N,0),${first},PREV_OUTPTS+${step}),PTS)`;
  const dts = `if(eq(DTS,NOPTS),if(eq(N,0),-16*${step},PREV_OUTDTS+${step}),DTS)`;
  return `setts=pts='${pts}':dts='${dts}'`;
})();

/**
 * `setts` looks one packet ahead. The parser of H.264 and HEVC, which RTP hands over in pieces, knows the end of a frame by the
 * beginning of the next; JPEG comes whole.
 */
const keptBackOfRtsp = { h264: 2, hevc: 2, mjpeg: 1 };

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
      // The rate shows by itself later: twenty frames less to wait for at the start.
      "-fpsprobesize",
      "0",
      // Bursts of keyframes overrun the small default of the socket.
      ...(options.transport === "udp" ? ["-buffer_size", String(4 << 20)] : []),
      "-i",
      url,
      "-bsf:v",
      mendTimes,
    ],
    video: "copy",
    timeSource: "arrival",
    keptBack: keptBackOfRtsp,
    secrets: secretsOf(url),
    audio: options.audio,
  };
}

/**
 * What ffmpeg may take an HTTP stream for. Not among them are those that only name other places (concat, sdp), and
 * pictures and texts, which no camera sends as a stream.
 */
const streamFormats = "aac,asf,dash,flv,h264,hevc,hls,matroska,mjpeg,mov,mpeg,mpegts,mpjpeg,ogg";

/** The options before `-i` and the URL: what ffprobe needs to open the same input. */
export function inputOptions({ args }: CaptureInput): {
  readonly options: readonly string[];
  readonly url: string;
} {
  const at = args.indexOf("-i");
  return { options: args.slice(0, at), url: args[at + 1] ?? "" };
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

/**
 * Anything else over HTTP (MPEG-TS, FLV, HLS, fragmented MP4) carries its times.
 * @param transportStream what is known of it, if it is MPEG-TS
 */
export function httpStreamInput(
  url: string,
  options: HttpOptions,
  transportStream?: TransportStream,
): CaptureInput {
  return {
    args: [
      "-protocol_whitelist",
      "http,https,tcp,tls,crypto,data",
      "-format_whitelist",
      streamFormats,
      "-rw_timeout",
      String(options.timeoutMs * 1000),
      ...(transportStream === undefined ? [] : transportStreamOptions),
      "-i",
      url,
    ],
    video: "copy",
    timeSource: "arrival",
    ...(transportStream === undefined ? {} : { keptBack: keptBackOf(transportStream) }),
    secrets: secretsOf(url),
    audio: options.audio,
  };
}

const transportStreamOptions = [
  // ffmpeg looks for programs to come, for five seconds, unless it is told that the first is all there is.
  ...["-scan_all_pmts", "0"],
  // A larger picture would be handed to the parser in parts, and the one before it would then come out earlier than counted.
  ...["-max_packet_size", String(4 << 20)],
];

/** The parser knows the end of a frame by the beginning of the next; so may the demuxer, which then hands that over late, too. */
function keptBackOf({ pictureEnds }: TransportStream): NonNullable<CaptureInput["keptBack"]> {
  const frames = pictureEnds === "open" ? 2 : 1;
  return { h264: frames, hevc: frames };
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
