/** Settings of a camera, which the hub keeps. */
import { z } from "zod";
import { method } from "./method.ts";
import { deviceName, numberBetween } from "./values.ts";

const auto = z.literal("auto");

const mode = z.looseObject({
  format: z.string(),
  resolution: z.string(),
  width: z.number().int(),
  height: z.number().int(),
  fps: z.number(),
});

export const cameraSettingsSchema = z.looseObject({
  device: z.string(),
  device_path: z.string().optional(),
  camera_id: z.string(),
  name: z.string(),
  /** What is wished for; null where the hub chooses. */
  format: z.string().nullable(),
  resolution: z.string().nullable(),
  fps: z.number().nullable(),
  /** The mode of the next start of the capture; null where only a capture can tell. */
  mode: mode.nullable(),
  /** The mode in use, or the one last used; differs from `mode` until the capture is started anew. */
  current_mode: mode.nullable(),
  record_codec: z.enum(["copy", "h264"]),
  continuous_recording: z.boolean(),
  /** Seconds. */
  pre_roll: z.number().min(0),
});

export const controlSchema = z.looseObject({
  /** As v4l2-ctl writes it: `exposure_time_absolute`. */
  name: z.string(),
  /** As the driver writes it. */
  title: z.string(),
  group: z.string().nullable(),
  type: z.enum(["int", "bool", "menu", "button"]),
  /** A boolean for `bool`; null for buttons and what cannot be read. */
  value: z.union([z.number(), z.boolean()]).nullable(),
  min: z.number(),
  max: z.number(),
  step: z.number(),
  default: z.union([z.number(), z.boolean()]),
  /** Only of a `menu`. */
  menu: z.array(z.looseObject({ value: z.number(), name: z.string() })).optional(),
  read_only: z.boolean(),
  /** Has no effect now, such as a manual value while the automatic is on. */
  inactive: z.boolean(),
  /** The camera changes it by itself. */
  volatile: z.boolean(),
});
export type ControlObject = z.output<typeof controlSchema>;

const names = { device: z.string(), device_path: z.string().optional(), camera_id: z.string() };

export const controlListSchema = z.looseObject({
  ...names,
  controls: z.array(controlSchema),
  total: z.number().int().min(0),
});

export const cameraSettingsMethods = {
  /** Extension. */
  get_camera_settings: method("viewer", { device: deviceName }, cameraSettingsSchema),
  /**
   * Extension. Kept for good, and the same call again changes nothing. `auto` goes back to the default, what is left
   * out stays. A new mode holds from the next start of the capture: at once when nobody uses the camera.
   */
  set_camera_settings: method(
    "admin",
    {
      device: deviceName,
      /** For people. */
      name: z
        .string()
        .trim()
        .min(1)
        .max(100)
        .regex(/^\P{Cc}*$/u, "must not contain control characters")
        .optional(),
      /** FourCC, such as MJPG. */
      format: z
        .string()
        .regex(/^([A-Z0-9]{3,4}(-BE)?|Y16 (-BE)?|auto)$/, "must be a FourCC, such as MJPG, or auto")
        .optional(),
      resolution: z
        .string()
        .regex(/^([1-9]\d{0,4}x[1-9]\d{0,4}|auto)$/, "must be WIDTHxHEIGHT or auto")
        .optional(),
      fps: z.union([auto, numberBetween(0.01, 1000)]).optional(),
      /** `copy` records what the camera gives, `h264` the rendition for browsers. */
      record_codec: z.enum(["copy", "h264", "auto"]).optional(),
      /** The hub keeps a recording running, also after a restart. */
      continuous_recording: z.boolean().optional(),
      /** Seconds that recordings begin early; the capture is kept running for it. 0 for none. */
      pre_roll: numberBetween(0, 300).optional(),
    },
    cameraSettingsSchema,
  ),
  /** Extension. Exposure, focus and whatever else the driver lets be turned, with its values now. */
  get_camera_controls: method("viewer", { device: deviceName }, controlListSchema),
  /** Extension. Answers the control as the driver has it afterwards. It holds until the camera is unplugged. */
  set_camera_control: method(
    "operator",
    {
      device: deviceName,
      control: z.string().min(1).max(100),
      /** A whole number, true or false, or the name of a menu entry; nothing for a button. */
      value: z.union([z.number(), z.boolean(), z.string().max(100)]).optional(),
    },
    z.looseObject({ ...names, ...controlSchema.shape }),
  ),
} as const;
