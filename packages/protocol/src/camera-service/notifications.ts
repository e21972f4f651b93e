/** What the server sends without being asked. Clients ignore notifications they do not know. */
import { z } from "zod";
import { announcedCameraSchema, recordingSchema } from "./results.ts";

export const cameraEvents = ["connected", "disconnected", "error", "capability_change", "initial"] as const;

const at = z.iso.datetime();
/** Place of the event among all events of the hub, for `subscribe_events {since}`. */
const seq = z.number().int().min(1);

export const notifications = {
  camera_status_update: z.looseObject({
    ...announcedCameraSchema.shape,
    event: z.enum(cameraEvents),
    timestamp: at,
    camera: announcedCameraSchema,
    /** Absent where this is no event but the state a new connection is told. */
    seq: seq.optional(),
  }),
  /** Flat `start_time` is epoch seconds, unlike in the answers of methods. */
  recording_status_update: z.looseObject({
    ...recordingSchema.shape,
    status: z.string(),
    started_at: at,
    /** Seconds recorded so far. */
    duration: z.number().min(0),
    format: z.string(),
    file_size: z.number().int().min(0).optional(),
    /** Why it ended. */
    reason: z.string().optional(),
    timestamp: at,
    recording: recordingSchema,
    seq: seq.optional(),
  }),
  /** Something is wrong with a camera, the disk or the clock, or no longer. To all when it becomes critical, while it is, and when that is over. */
  system_health_update: z.looseObject({
    status: z.string(),
    severity: z.enum(["ok", "warning", "critical"]),
    /** Seconds. */
    uptime: z.number().min(0),
    version: z.string(),
    components: z.record(z.string(), z.string()),
    problems: z.array(
      z.looseObject({
        component: z.enum(["camera", "storage", "clock"]),
        code: z.string(),
        severity: z.enum(["warning", "critical"]),
        message: z.string(),
        device: z.string().optional(),
        since: at,
      }),
    ),
    available_cameras: z.array(z.string()),
    timestamp: at,
    seq,
  }),
  /** Only to the connection that called `export_recording` or `align_sync_session`. */
  export_update: z.looseObject({
    source: z.string(),
    format: z.string(),
    codec: z.string(),
    /** 0 to 1. */
    progress: z.number().min(0).max(1),
    request_id: z.union([z.string(), z.number()]).nullable(),
    timestamp: at,
  }),
  server_welcome: z.looseObject({
    server: z.string(),
    version: z.string(),
    timestamp: at,
    available_methods: z.array(z.string()),
  }),
} as const;

export type NotificationName = keyof typeof notifications;
export type NotificationParams<N extends NotificationName> = z.output<(typeof notifications)[N]>;
