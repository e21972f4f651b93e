/** Live pictures of cameras. A stream is named like its camera. */
import { z } from "zod";
import { method } from "./method.ts";
import { deviceName } from "./values.ts";

const count = z.number().int().min(0);
const amount = z.number().min(0);
const iso = z.iso.datetime({ offset: true });
const device = deviceName;
const named = { device: z.string(), stream_name: z.string() };

export const streamListSchema = z.array(
  z.looseObject({
    name: z.string(),
    source: z.string(),
    ready: z.boolean(),
    /** Viewers of the live picture. */
    readers: count,
    /** To viewers, since the start of the hub. */
    bytes_sent: count,
  }),
);

export const startedStreamSchema = z.looseObject({
  ...named,
  /** Opens without a key for a few minutes. */
  stream_url: z.string(),
  status: z.literal("STARTED"),
  start_time: iso,
  auto_close_after: z.string(),
  ffmpeg_command: z.string(),
});

export const stoppedStreamSchema = z.looseObject({
  ...named,
  status: z.literal("STOPPED"),
  /** Null when it was not running. */
  start_time: iso.nullable(),
  end_time: iso,
  /** Seconds. */
  duration: amount,
  /** Others still use the camera. */
  stream_continues: z.boolean(),
  message: z.string(),
});

export const streamUrlSchema = z.looseObject({
  ...named,
  stream_url: z.string(),
  available: z.boolean(),
  active_consumers: count,
  stream_status: z.enum(["READY", "NOT_READY", "ERROR"]),
});

export const streamStatusSchema = z.looseObject({
  ...named,
  status: z.enum(["ACTIVE", "INACTIVE", "ERROR", "STARTING", "STOPPING"]),
  ready: z.boolean(),
  /** `uptime`: seconds since the first frame of this run, 0 without one. */
  ffmpeg_process: z.looseObject({ running: z.boolean(), pid: count.nullable(), uptime: amount }),
  mediamtx_path: z.looseObject({ exists: z.boolean(), ready: z.boolean(), readers: count }),
  /** Sent to viewers since the start of the hub; bits and frames a second the camera gave in the last few seconds. */
  metrics: z.looseObject({ bytes_sent: count, frames_sent: count, bitrate: count, fps: amount }),
  /** Of the stream that was started; null without one. */
  start_time: iso.nullable(),
});

export const streamMethods = {
  get_streams: method("viewer", {}, streamListSchema),
  start_streaming: method("operator", { device }, startedStreamSchema),
  stop_streaming: method("operator", { device }, stoppedStreamSchema),
  get_stream_url: method("viewer", { device }, streamUrlSchema),
  get_stream_status: method("viewer", { device }, streamStatusSchema),
} as const;
