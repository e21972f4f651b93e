/**
 * What the methods answer and what notifications carry: superset shapes that clients of all dialects read. Loose
 * on purpose: a field more is never an error. `device_path` is absent in the logical vocabulary.
 */
import { z } from "zod";
import { roles } from "./roles.ts";

const isoTime = z.iso.datetime();
const seconds = z.number().min(0);
const count = z.number().int().min(0);

export const cameraStatuses = ["CONNECTED", "DISCONNECTED", "ERROR"] as const;

const cameraNames = {
  device: z.string(),
  device_path: z.string().optional(),
  camera_id: z.string(),
};

const cameraState = {
  ...cameraNames,
  device_number: count,
  status: z.enum(cameraStatuses),
  name: z.string(),
  formats: z.array(z.string()),
  streams: z.record(z.string(), z.string()),
  stream_url: z.string().nullable(),
  recording: z.boolean(),
  recording_session: z.string().nullable(),
  current_file: z.string().nullable(),
  elapsed_time: seconds,
  last_seen: isoTime.nullable(),
  connected_at: isoTime.nullable(),
  disconnected_at: isoTime.nullable(),
  uptime_seconds: seconds.nullable(),
  error_message: z.string().optional(),
};

/** A camera in a list: `resolution` and `fps` are null while it is not connected. */
export const cameraSchema = z.looseObject({
  ...cameraState,
  resolution: z.string().nullable(),
  fps: count.nullable(),
  capabilities: z.array(z.string()),
});
export type CameraObject = z.output<typeof cameraSchema>;

/** A camera in a notification: `resolution` and `fps` are absent while it is not connected. */
export const announcedCameraSchema = z.looseObject({
  ...cameraState,
  resolution: z.string().optional(),
  fps: count.optional(),
  capabilities: z.array(z.string()),
});

const capabilityLists = {
  formats: z.array(z.string()),
  resolutions: z.array(z.string()),
  fps_options: z.array(count),
};

export const cameraStatusSchema = z.union([
  z.looseObject({
    ...cameraState,
    resolution: z.string().nullable(),
    fps: count.nullable(),
    capabilities: z.looseObject({
      ...capabilityLists,
      resolution: z.string().nullable(),
      width: count.nullable(),
      height: count.nullable(),
      fps: count.nullable(),
      controls: z.record(z.string(), z.unknown()),
    }),
    metrics: z.looseObject({ bytes_sent: count, readers: count, uptime: count }),
    metadata: z.record(z.string(), z.unknown()),
    timestamp: isoTime,
  }),
  /** A name nothing is known of. */
  z.looseObject({
    device: z.string(),
    device_path: z.string().optional(),
    status: z.literal("UNKNOWN"),
    name: z.string(),
    message: z.string(),
    capabilities: z.looseObject(capabilityLists),
    streams: z.record(z.string(), z.string()),
    stream_url: z.null(),
    timestamp: isoTime,
  }),
  z.null(),
]);

export const cameraListSchema = z.looseObject({
  cameras: z.array(cameraSchema),
  total: count,
  connected: count,
  timestamp: isoTime,
});

export const cameraCapabilitiesSchema = z.looseObject({
  ...capabilityLists,
  device: z.string(),
  frame_rates: z.array(count),
  capabilities: z.array(z.string()),
  validation_status: z.string(),
});

/** A camera command that failed, told inside `result` to clients that read no errors. */
export const failureSchema = z.looseObject({
  success: z.literal(false),
  error: z.string(),
  error_code: z.number().int(),
  error_data: z.record(z.string(), z.unknown()),
  device: z.string().nullable(),
  status: z.literal("FAILED"),
  filename: z.null(),
});

export const authenticateSchema = z.union([
  z.looseObject({
    authenticated: z.literal(true),
    role: z.enum(roles),
    permissions: z.array(z.string()),
    expires_at: isoTime,
    session_id: z.uuid(),
    user_id: z.string(),
    auth_method: z.string(),
    /** Extension: ids of the cameras the credential is good for; null: all. */
    cameras: z.array(z.string()).nullable(),
  }),
  z.looseObject({ authenticated: z.literal(false), error: z.string() }),
]);

/** Never has a key `duration`: an old client formats it as a number when it is there. */
export const snapshotSchema = z.looseObject({
  ...cameraNames,
  success: z.literal(true),
  snapshot_id: z.uuid(),
  filename: z.string(),
  format: z.string(),
  status: z.string(),
  timestamp: isoTime,
  file_size: count,
  size_bytes: count,
  file_path: z.string(),
  download_url: z.string(),
  resolution: z.string(),
});

const recordingIds = { recording_id: z.string(), session_id: z.string(), filename: z.string() };

/** The nested object of recording answers and notifications; `start_time` is epoch seconds here. */
export const recordingSchema = z.looseObject({
  ...cameraNames,
  ...recordingIds,
  start_time: z.number(),
  duration: seconds.nullable(),
  status: z.enum(["active", "completed", "failed"]),
  error: z.string().optional(),
});

export const startedRecordingSchema = z.looseObject({
  ...cameraNames,
  ...recordingIds,
  success: z.literal(true),
  status: z.string(),
  start_time: isoTime,
  started_at: isoTime,
  duration: seconds.nullable(),
  format: z.string(),
  resolution: z.string().nullable(),
  recording: recordingSchema,
});

export const stoppedRecordingSchema = z.looseObject({
  ...cameraNames,
  ...recordingIds,
  success: z.literal(true),
  /** `CANCELLED`: its start was still to come, and there is no file, not even under `filename`. */
  status: z.enum(["STOPPED", "CANCELLED"]),
  start_time: isoTime,
  started_at: isoTime,
  end_time: isoTime,
  stopped_at: isoTime,
  /** Of a cancelled one: the instant it waited for. */
  scheduled_for: isoTime.optional(),
  duration: seconds,
  file_size: count,
  format: z.string(),
  download_url: z.string().nullable(),
  /** All files, when the recording was cut into segments. */
  files: z.array(z.string()),
  recording: recordingSchema.extend({ status: z.enum(["active", "completed", "failed", "cancelled"]) }),
});

const file = {
  filename: z.string(),
  file_size: count,
  modified_time: isoTime,
  created_time: isoTime,
  download_url: z.string(),
  format: z.string(),
  device: z.string(),
  camera_id: z.string(),
  codec: z.string(),
  resolution: z.string().nullable(),
};

export const fileSchema = z.looseObject({ ...file, duration: seconds.nullable() });
export type FileObject = z.output<typeof fileSchema>;

export const fileListSchema = z.looseObject({
  files: z.array(fileSchema),
  total: count,
  limit: count,
  offset: count,
});

export const recordingInfoSchema = z.looseObject({
  ...file,
  /** 0 when unknown. */
  duration: seconds,
  fps: z.number(),
  frames: count.nullable(),
  dropped_frames: count.nullable(),
  gaps: z.array(z.looseObject({ from: isoTime, to: isoTime, reason: z.string(), missing_frames: count })),
  /** Capture times of the first and the last frame. */
  first_frame_at: isoTime.nullable(),
  last_frame_at: isoTime.nullable(),
  time_source: z.enum(["kernel", "arrival"]),
  /** Capture time of every frame, as CSV. */
  frame_times_url: z.string(),
  recording_id: z.string().nullable(),
  segment: count.nullable(),
  state: z.string(),
  browser_playable: z.boolean(),
});

export const snapshotInfoSchema = z.looseObject({ ...file, captured_at: isoTime.nullable() });

export const deletedSchema = z.looseObject({
  filename: z.string(),
  deleted: z.literal(true),
  status: z.literal("deleted"),
  message: z.string(),
  timestamp: isoTime,
});

export const exportedSchema = z.looseObject({
  success: z.literal(true),
  source: z.string(),
  filename: z.string(),
  file_size: count,
  format: z.string(),
  codec: z.string(),
  download_url: z.string(),
  timestamp: isoTime,
});
