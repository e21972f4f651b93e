/** Recording together, what came of it, and how right the hub's clock is. All extensions. */
import { z } from "zod";
import { method } from "./method.ts";
import { deviceName, numberBetween, personName, positiveNumber, timestampUs, wholeNumber } from "./values.ts";

const isoTime = z.iso.datetime();
const count = z.number().int().min(0);
const id = z.string().min(1).max(200);

export const clockStatusSchema = z.looseObject({
  synchronised: z.boolean(),
  /** Who says so: `sntp`, `chrony`, `ntpd`, `timesyncd`, `ptp`, `kernel`, `none`. */
  source: z.string(),
  /** True time minus the hub's clock. */
  offset_ms: z.number(),
  /** The offset is right to within this; null when nobody knows. */
  uncertainty_ms: z.number().nullable(),
  servers: z.array(z.string()),
  measured_at: isoTime,
  /** Why it is not synchronised, and what to do. */
  reason: z.string().nullable(),
});

/** One of the two: a camera of this hub, or a MultiCam device in an allowed network. */
const memberParam = z.union([
  deviceName,
  z.object({
    host: z.union([z.ipv4(), z.ipv6()]),
    port: wholeNumber(1, 65_535).optional(),
    name: personName.optional(),
  }),
]);

export const syncGroupSchema = z.looseObject({
  group_id: z.string(),
  name: z.string(),
  /** `camera0`, or `host:port` of a device. */
  members: z.array(z.string()),
  tolerance_ms: z.number().nullable(),
  created_at: isoTime,
});

export const syncSessionSchema = z.looseObject({
  session_id: z.string(),
  group_id: z.string(),
  name: z.string(),
  status: z.enum(["armed", "recording", "completed", "failed"]),
  /** T0: each member's first frame is the first one captured at or after it. */
  start_at: isoTime,
  /** The same, exactly: microseconds since 1970. */
  start_at_us: count,
  /** Seconds; null until stopped by hand. */
  duration: z.number().nullable(),
  ended_at: isoTime.nullable(),
  members: z.array(
    z.looseObject({
      member: z.string(),
      name: z.string(),
      status: z.enum(["pending", "armed", "recording", "completed", "failed"]),
      files: z.array(z.string()),
      error: z.string().nullable(),
    }),
  ),
  /** What aligning made of them, every time it was asked for. */
  aligned_files: z.array(z.string()),
});

const millis = z.number().nullable();

export const syncReportSchema = z.looseObject({
  session: syncSessionSchema,
  verdict: z.enum(["within_tolerance", "out_of_tolerance", "not_measured"]),
  findings: z.array(z.string()),
  /** Latest minus earliest first frame. */
  skew_ms: millis,
  tolerance_ms: z.number(),
  /** What all members have. */
  common: z.looseObject({ from_us: count, to_us: count, duration: z.number() }).nullable(),
  members: z.array(
    z.looseObject({
      member: z.string(),
      files: z.array(z.string()),
      /** Where the times of its frames come from. */
      time_source: z.enum(["kernel", "arrival", "file", "declared", "unknown"]),
      first_frame_at_us: count.nullable(),
      start_error_ms: millis,
      /** How far the times of its stream were moved after that frame. */
      moved_ms: millis,
      /** As the camera really gave them, holes left out. */
      frame_interval_ms: millis,
      /** What the camera was set to. */
      nominal_interval_ms: millis,
      frames_expected: count.nullable(),
      frames_received: count.nullable(),
      frames_dropped: count.nullable(),
      duration: z.number().nullable(),
      /** Standard deviation of the times between frames, holes left out. */
      jitter_ms: millis,
      median_interval_ms: millis,
      p99_interval_ms: millis,
      longest_interval_ms: millis,
      uncertainty_ms: millis,
      /** Of a MultiCam device: what it said of itself and its file. `null` for cameras of the hub. */
      declared: z
        .looseObject({
          device_id: z.string().nullable(),
          file_name: z.string().nullable(),
          file_size: count.nullable(),
          /** Its clock ahead of the hub's when the session began, and how far that may be wrong. */
          clock_offset_ms: millis,
          clock_uncertainty_ms: millis,
        })
        .nullable(),
      notes: z.array(z.string()),
    }),
  ),
  clock: z.looseObject({
    synchronised: z.boolean(),
    source: z.string(),
    offset_ms: z.number(),
    uncertainty_ms: millis,
  }),
  /** A page of it for people; signed, for an hour. */
  report_url: z.string(),
});

export const alignedSchema = z.looseObject({
  session_id: z.string(),
  from_us: count,
  to_us: count,
  members: z.array(
    z.looseObject({
      member: z.string(),
      filename: z.string(),
      frames: count,
      /** `copy`: not encoded again. */
      method: z.enum(["copy", "encoded"]),
      first_frame_at_us: count,
    }),
  ),
  skipped: z.array(z.looseObject({ member: z.string(), reason: z.string() })),
  /** The side-by-side view. */
  preview: z.string().nullable(),
});

export const syncMethods = {
  get_clock_status: method("viewer", {}, clockStatusSchema),
  /** A group of this name is replaced. */
  create_sync_group: method(
    "operator",
    {
      name: personName,
      members: z.array(memberParam).min(1).max(64),
      /** How far first frames may be apart; one frame interval of the slowest member otherwise. */
      tolerance_ms: numberBetween(0, 60_000).optional(),
    },
    syncGroupSchema,
  ),
  get_sync_groups: method("viewer", {}, z.looseObject({ groups: z.array(syncGroupSchema), total: count })),
  /** By id or name. Its sessions and files stay. */
  delete_sync_group: method("operator", { group: id }, syncGroupSchema),
  /** Arms every member for one instant; settles when all are armed. All or none, unless `allow_partial`. */
  start_sync_recording: method(
    "operator",
    {
      group: id,
      /** T0; `delay` from now otherwise. */
      start_time: timestampUs.optional(),
      /** Seconds, 5 unless given. */
      delay: numberBetween(0, 86_400).optional(),
      /** Seconds. */
      duration: positiveNumber(86_400).optional(),
      allow_partial: z.boolean().optional(),
      /** Part of the files' names; the group's otherwise. */
      name: personName.optional(),
    },
    syncSessionSchema,
  ),
  /** Settles when every member's file is finished and in the library. */
  stop_sync_recording: method(
    "operator",
    { session_id: id.optional(), group: id.optional() },
    syncSessionSchema,
  ),
  get_sync_sessions: method(
    "viewer",
    {
      limit: wholeNumber(1, 100).optional(),
      offset: wholeNumber(0, 2 ** 31).optional(),
      session_id: id.optional(),
      running: z.boolean().optional(),
    },
    z.looseObject({ sessions: z.array(syncSessionSchema), total: count }),
  ),
  /** Its files stay unless `delete_files`. */
  delete_sync_session: method(
    "operator",
    { session_id: id, delete_files: z.boolean().optional() },
    syncSessionSchema.extend({ deleted_files: z.array(z.string()) }),
  ),
  get_sync_report: method("viewer", { session_id: id }, syncReportSchema),
  /** Makes new files with exactly the frames all members have. `export_update` tells the caller how far it is. */
  align_sync_session: method("operator", { session_id: id, preview: z.boolean().optional() }, alignedSchema),
} as const;
