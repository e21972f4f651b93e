/** What is being recorded, and what is to be recorded later. */
import { z } from "zod";
import { method } from "./method.ts";
import { recordingSchema } from "./results.ts";
import { deviceName, fileName, positiveNumber, timestampUs } from "./values.ts";

const isoTime = z.iso.datetime();
const formats = ["mp4", "mkv", "fmp4", "ts"] as const;

export const recordingStatusSchema = z.union([
  z.looseObject({ ...recordingSchema.shape, duration: z.number().min(0), status: z.literal("active") }),
  /** The camera is not being recorded. */
  z.null(),
]);

export const scheduleStates = [
  "scheduled",
  "armed",
  "recording",
  "completed",
  "missed",
  "failed",
  "cancelled",
] as const;

const schedule = {
  schedule_id: z.string(),
  device: z.string(),
  device_path: z.string().optional(),
  camera_id: z.string(),
  scheduled_for: isoTime,
  /** Seconds. */
  duration: z.number().positive(),
  format: z.string(),
  /** `armed`: the camera is warm. `missed`: nothing was recorded in its time. `failed`: it could never have worked. */
  status: z.enum(scheduleStates),
};

export const scheduledSchema = z.looseObject({ ...schedule, status: z.literal("scheduled") });

/** One of the list. What is not known yet is null. */
export const scheduleSchema = z.looseObject({
  ...schedule,
  recording_id: z.string().nullable(),
  /** Capture time of the first frame. */
  started_at: isoTime.nullable(),
  ended_at: isoTime.nullable(),
  files: z.array(z.string()),
  /** Why it did not go as planned. */
  reason: z.string().nullable(),
});
export type ScheduleObject = z.output<typeof scheduleSchema>;

export const scheduleListSchema = z.looseObject({
  schedules: z.array(scheduleSchema),
  total: z.number().int().min(0),
  timestamp: isoTime,
});

export const scheduleMethods = {
  get_recording_status: method("viewer", { device: deviceName }, recordingStatusSchema),
  /**
   * Survives a restart of the hub. The camera may be absent now; when it is back (or the hub is) within the time, what
   * is left of it is recorded.
   */
  schedule_recording: method(
    "operator",
    {
      device: deviceName,
      /** To come. The first frame is the first one captured at or after this instant. */
      start_time: timestampUs,
      /** Seconds. */
      duration: positiveNumber(86_400),
      format: z.enum(formats).optional(),
      /** Extension. */
      filename: fileName.optional(),
    },
    scheduledSchema,
  ),
  /** Extension. Those to come by start, then (with `all`) those that are over, newest first. */
  get_scheduled_recordings: method(
    "viewer",
    { device: deviceName.optional(), all: z.boolean().optional() },
    scheduleListSchema,
  ),
  /** Extension. Takes back one that has not begun. */
  cancel_scheduled_recording: method("operator", { schedule_id: z.string().min(1).max(200) }, scheduleSchema),
} as const;
