/** What a file or URL holds, by ffprobe. */
import { OcelliError } from "@ocelli/protocol";
import { z } from "zod";
import type { Clock } from "../clock/clock.ts";
import { runFfmpeg } from "./run.ts";

const numeric = z.union([z.string(), z.number()]).optional();

const streamSchema = z.looseObject({
  index: z.number().int(),
  codec_type: z.string().optional(),
  codec_name: z.string().optional(),
  profile: z.string().optional(),
  width: z.number().optional(),
  height: z.number().optional(),
  pix_fmt: z.string().optional(),
  has_b_frames: z.number().optional(),
  avg_frame_rate: z.string().optional(),
  r_frame_rate: z.string().optional(),
  time_base: z.string().optional(),
  start_time: numeric,
  duration: numeric,
  bit_rate: numeric,
  nb_frames: numeric,
  nb_read_packets: numeric,
  sample_rate: numeric,
  channels: z.number().optional(),
});

const outputSchema = z.looseObject({
  streams: z.array(streamSchema).default([]),
  format: z
    .looseObject({
      format_name: z.string().optional(),
      start_time: numeric,
      duration: numeric,
      size: numeric,
      bit_rate: numeric,
    })
    .default({}),
});

export interface ProbedStream {
  readonly index: number;
  /** `video`, `audio`, `subtitle`, `data`; `unknown` when ffprobe cannot tell. */
  readonly type: string;
  /** ffmpeg's name of the codec: `h264`. */
  readonly codec: string | undefined;
  readonly profile: string | undefined;
  readonly width: number | undefined;
  readonly height: number | undefined;
  readonly pixelFormat: string | undefined;
  readonly hasBFrames: boolean;
  /** Average frames a second. */
  readonly fps: number | undefined;
  /** Frame rate of the time stamps' raster. */
  readonly rawFps: number | undefined;
  readonly timeBase: string | undefined;
  readonly startTimeS: number | undefined;
  readonly durationS: number | undefined;
  readonly bitRate: number | undefined;
  /** From the container, or counted with `countPackets`. */
  readonly frames: number | undefined;
  readonly channels: number | undefined;
  readonly sampleRate: number | undefined;
}

export interface ProbeResult {
  readonly formatName: string | undefined;
  readonly startTimeS: number | undefined;
  readonly durationS: number | undefined;
  readonly sizeBytes: number | undefined;
  readonly bitRate: number | undefined;
  readonly streams: readonly ProbedStream[];
  /** The first video stream that is not a cover picture of no size. */
  readonly video: ProbedStream | undefined;
  readonly audio: ProbedStream | undefined;
}

export interface ProbeOptions {
  readonly clock: Clock;
  /** Name or path, default `ffprobe`. */
  readonly program?: string;
  /** ffprobe arguments before the input: `-rtsp_transport tcp`, `-f v4l2`. */
  readonly inputArgs?: readonly string[];
  /** Read the whole input to count packets; default false. */
  readonly countPackets?: boolean;
  /** Default 15 000. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  readonly secrets?: readonly string[];
}

/**
 * @throws OcelliError `ffmpeg_missing`; `ffmpeg_failed` when the input cannot be opened or in time;
 *   `media_malformed` when ffprobe's answer makes no sense
 */
export async function probe(input: string, options: ProbeOptions): Promise<ProbeResult> {
  const { stdout } = await runFfmpeg({
    clock: options.clock,
    program: options.program ?? "ffprobe",
    quietArgs: false,
    purpose: "reading the stream's properties",
    args: [
      ...["-hide_banner", "-v", "error", "-print_format", "json", "-show_format", "-show_streams"],
      ...(options.countPackets ? ["-count_packets"] : []),
      ...(options.inputArgs ?? []),
      // `-i` because a name may begin with a dash.
      "-i",
      input,
    ],
    timeoutMs: options.timeoutMs ?? 15_000,
    maxStdoutBytes: 4 * 2 ** 20,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    ...(options.secrets === undefined ? {} : { secrets: options.secrets }),
  });
  return parseProbe(stdout.toString("utf8"));
}

/** @throws OcelliError `media_malformed` */
export function parseProbe(json: string): ProbeResult {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw new OcelliError("media_malformed", "ffprobe did not answer with JSON", { cause });
  }
  const parsed = outputSchema.safeParse(value);
  if (!parsed.success) {
    throw new OcelliError("media_malformed", `ffprobe's answer was not understood: ${parsed.error.message}`);
  }
  const { format } = parsed.data;
  const streams = parsed.data.streams.map(toStream);
  return {
    formatName: format.format_name,
    startTimeS: toNumber(format.start_time),
    durationS: toNumber(format.duration),
    sizeBytes: toNumber(format.size),
    bitRate: toNumber(format.bit_rate),
    streams,
    video: streams.find((stream) => stream.type === "video" && (stream.width ?? 0) > 0),
    audio: streams.find((stream) => stream.type === "audio"),
  };
}

function toStream(raw: z.infer<typeof streamSchema>): ProbedStream {
  return {
    index: raw.index,
    type: raw.codec_type ?? "unknown",
    codec: raw.codec_name,
    profile: raw.profile,
    width: raw.width,
    height: raw.height,
    pixelFormat: raw.pix_fmt,
    hasBFrames: (raw.has_b_frames ?? 0) > 0,
    fps: toRate(raw.avg_frame_rate),
    rawFps: toRate(raw.r_frame_rate),
    timeBase: raw.time_base,
    startTimeS: toNumber(raw.start_time),
    durationS: toNumber(raw.duration),
    bitRate: toNumber(raw.bit_rate),
    frames: toNumber(raw.nb_read_packets) ?? toNumber(raw.nb_frames),
    channels: raw.channels,
    sampleRate: toNumber(raw.sample_rate),
  };
}

function toNumber(value: string | number | undefined): number | undefined {
  const number = typeof value === "string" ? Number.parseFloat(value) : value;
  return number !== undefined && Number.isFinite(number) ? number : undefined;
}

/** `30000/1001`; `0/0` is ffprobe's "not known". */
function toRate(text: string | undefined): number | undefined {
  const [numerator = 0, denominator = 0] = (text ?? "").split("/").map(Number);
  const rate = numerator / denominator;
  return Number.isFinite(rate) && rate > 0 ? rate : undefined;
}
