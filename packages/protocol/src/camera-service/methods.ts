/** The methods: who may call them, what they take and what they answer. The order of a schema's keys is the order of positional parameters. */
import { z } from "zod";
import { accountMethods } from "./account-methods.ts";
import { cameraSettingsMethods } from "./camera-settings-methods.ts";
import { configurationMethods } from "./configuration-methods.ts";
import { discoveryMethods } from "./discovery-methods.ts";
import { eventMethods } from "./event-methods.ts";
import { externalStreamMethods } from "./external-stream-methods.ts";
import { method } from "./method.ts";
import * as results from "./results.ts";
import { scheduleMethods } from "./schedule-methods.ts";
import { storageMethods } from "./storage-methods.ts";
import { streamMethods } from "./stream-methods.ts";
import { syncMethods } from "./sync-methods.ts";
import { systemMethods } from "./system-methods.ts";
import {
  credential,
  deviceName,
  fileName,
  numberBetween,
  positiveNumber,
  timestampUs,
  wholeNumber,
} from "./values.ts";

export const recordingFormats = ["mp4", "mkv", "fmp4", "ts"] as const;
export const longestRecordingS = 86_400;

const device = deviceName;
const page = { limit: wholeNumber(1, 1000).optional(), offset: wholeNumber(0, 2 ** 31).optional() };
const listed = { ...page, device: device.optional() };

const snapshot = method(
  "operator",
  {
    device,
    filename: fileName.optional(),
    format: z.enum(["jpg", "jpeg", "png"]).optional(),
    quality: wholeNumber(1, 100).optional(),
  },
  z.union([results.snapshotSchema, results.failureSchema]),
);

export const methods = {
  ping: method("public", {}, z.literal("pong")),
  authenticate: method(
    "public",
    {
      auth_token: credential.optional(),
      token: credential.optional(),
      api_key: credential.optional(),
      key: credential.optional(),
      jwt: credential.optional(),
      /** `jwt`, `api_key`; anything else means: try all. */
      auth_type: z.string().optional(),
    },
    results.authenticateSchema,
  ),
  get_camera_list: method("viewer", {}, results.cameraListSchema),
  get_camera_status: method("viewer", { device }, results.cameraStatusSchema),
  get_camera_capabilities: method("viewer", { device }, results.cameraCapabilitiesSchema),
  take_snapshot: snapshot,
  capture_snapshot: snapshot,
  start_recording: method(
    "operator",
    {
      device,
      /** Seconds of media; without any duration until stopped. At most one of the four may be given. */
      duration: positiveNumber(longestRecordingS).optional(),
      format: z.enum(recordingFormats).optional(),
      filename: fileName.optional(),
      duration_seconds: numberBetween(1, 3600).optional(),
      duration_minutes: numberBetween(1, 1440).optional(),
      duration_hours: numberBetween(1, 24).optional(),
      /** Checked and otherwise ignored: a camera records at the size it captures. */
      resolution: z
        .string()
        .regex(/^[1-9]\d{0,4}x[1-9]\d{0,4}$/)
        .optional(),
      /** Extension: seconds from before now, as far as the hub still holds them. */
      pre_roll: numberBetween(0, 300).optional(),
      /** Extension: T0. The first frame is the first one captured at or after this instant. */
      start_at: timestampUs.optional(),
    },
    z.union([results.startedRecordingSchema, results.failureSchema]),
  ),
  stop_recording: method(
    "operator",
    { device: device.optional(), recording_id: z.string().min(1).max(200).optional() },
    z.union([results.stoppedRecordingSchema, results.failureSchema]),
  ),
  list_recordings: method("viewer", listed, results.fileListSchema),
  list_snapshots: method("viewer", listed, results.fileListSchema),
  get_recording_info: method("viewer", { filename: fileName }, results.recordingInfoSchema),
  get_snapshot_info: method("viewer", { filename: fileName }, results.snapshotInfoSchema),
  delete_recording: method("operator", { filename: fileName }, results.deletedSchema),
  delete_snapshot: method("operator", { filename: fileName }, results.deletedSchema),
  /** Extension. Long work: `export_update` goes to the calling connection, the answer comes when the file is done. */
  export_recording: method(
    "operator",
    {
      filename: fileName,
      format: z.enum(["mp4", "mkv", "ts"]).optional(),
      codec: z.enum(["copy", "h264"]).optional(),
    },
    results.exportedSchema,
  ),
  ...accountMethods,
  ...cameraSettingsMethods,
  ...configurationMethods,
  ...discoveryMethods,
  ...eventMethods,
  ...externalStreamMethods,
  ...scheduleMethods,
  ...storageMethods,
  ...streamMethods,
  ...syncMethods,
  ...systemMethods,
} as const;

export type MethodName = keyof typeof methods;
export const methodNames = Object.keys(methods) as MethodName[];
/** Normal form of the parameters, as the server sees them after reading. */
export type ParamsOf<M extends MethodName> = z.output<(typeof methods)[M]["params"]>;
/** What a caller may write: numbers also as digits, times as text. */
export type ParamsInput<M extends MethodName> = z.input<(typeof methods)[M]["params"]>;
export type ResultOf<M extends MethodName> = z.output<(typeof methods)[M]["result"]>;

export function isMethodName(name: string): name is MethodName {
  return Object.hasOwn(methods, name);
}
