/** Network streams that are found, added and removed while the hub runs. An added stream is a camera. */
import { z } from "zod";
import { method } from "./method.ts";
import { wholeNumber } from "./values.ts";

export const externalStreamTypes = ["generic_rtsp", "skydio_stanag4609"] as const;

const count = z.number().int().min(0);
const iso = z.iso.datetime();
const type = z.enum(externalStreamTypes);
const cameraStatus = z.enum(["CONNECTED", "DISCONNECTED", "ERROR"]);

/** Which schemes count is judged by the hub, whose refusal says what to write instead. */
const streamUrl = z
  .string()
  .min(1)
  .max(2048)
  .regex(/^[^\p{Cc}\s]*$/u, "must not contain spaces or control characters");

export const externalStreamSchema = z.looseObject({
  /** Without user and password. */
  url: z.string(),
  type,
  name: z.string(),
  /** `ERROR`: it cannot be used now. */
  status: z.enum(["DISCOVERED", "ERROR"]),
  discovered_at: iso,
  last_seen: iso.nullable(),
  /** `codec`, `resolution`, `fps`, `audio` of a stream; what else a search was told. */
  capabilities: z.record(z.string(), z.unknown()),
  /** Extension: it is a camera of this hub. */
  added: z.boolean(),
  camera_id: z.string().nullable(),
  /** Extension: why it cannot be used. */
  error: z.string().optional(),
});

const lists = {
  skydio_streams: z.array(externalStreamSchema),
  generic_streams: z.array(externalStreamSchema),
};

export const discoveredStreamsSchema = z.looseObject({
  discovered_streams: z.array(externalStreamSchema),
  ...lists,
  scan_timestamp: iso,
  total_found: count,
  discovery_options: z.record(z.string(), z.unknown()),
  /** Such as `2.5s`. */
  scan_duration: z.string(),
  /** What of the search could not be done. */
  errors: z.array(z.string()),
});

export const addedStreamSchema = z.looseObject({
  /** Without user and password. */
  stream_url: z.string(),
  stream_name: z.string(),
  stream_type: type,
  status: z.literal("ADDED"),
  timestamp: iso,
  /** Extension: the camera it is now. */
  camera_id: z.string().nullable(),
  /** Extension: it was there before. */
  already_added: z.boolean(),
  camera_status: cameraStatus,
  capabilities: z.record(z.string(), z.unknown()),
});

export const removedStreamSchema = z.looseObject({
  stream_url: z.string(),
  status: z.literal("REMOVED"),
  timestamp: iso,
  camera_id: z.string().nullable(),
});

export const externalStreamListSchema = z.looseObject({
  external_streams: z.array(externalStreamSchema),
  ...lists,
  total_count: count,
  timestamp: iso,
});

export const externalStreamMethods = {
  discover_external_streams: method(
    "operator",
    {
      skydio_enabled: z.boolean().optional(),
      generic_enabled: z.boolean().optional(),
      force_rescan: z.boolean().optional(),
      include_offline: z.boolean().optional(),
      /** Extension: ask for ONVIF cameras. Default true. */
      onvif_enabled: z.boolean().optional(),
    },
    discoveredStreamsSchema,
  ),
  add_external_stream: method(
    "operator",
    {
      stream_url: streamUrl,
      stream_name: z
        .string()
        .trim()
        .min(1)
        .max(100)
        .regex(/^\P{Cc}*$/u, "must not contain control characters")
        .optional(),
      stream_type: type.optional(),
      /** Extension. RTSP only; default tcp. */
      transport: z.enum(["tcp", "udp"]).optional(),
      /** Extension: take its sound along. Default true. */
      audio: z.boolean().optional(),
    },
    addedStreamSchema,
  ),
  remove_external_stream: method(
    "operator",
    {
      stream_url: streamUrl,
      /** Extension: also while it is recorded; the recording is ended first. */
      force: z.boolean().optional(),
    },
    removedStreamSchema,
  ),
  get_external_streams: method("viewer", {}, externalStreamListSchema),
  set_discovery_interval: method(
    "admin",
    {
      /** Seconds; 0 for searches on demand only. */
      scan_interval: wholeNumber(0, 86_400),
    },
    z.looseObject({
      scan_interval: count,
      status: z.literal("UPDATED"),
      message: z.string(),
      timestamp: iso,
    }),
  ),
} as const;
