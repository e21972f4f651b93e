/** What is being recorded, and what is to be recorded later. */
import { z } from "zod";
import { method } from "./method.ts";
import { recordingSchema } from "./results.ts";
import { deviceName } from "./values.ts";

export const recordingStatusSchema = z.union([
  z.looseObject({ ...recordingSchema.shape, duration: z.number().min(0), status: z.literal("active") }),
  /** The camera is not being recorded. */
  z.null(),
]);

export const scheduleMethods = {
  get_recording_status: method("viewer", { device: deviceName }, recordingStatusSchema),
} as const;
