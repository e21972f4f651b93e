/** The settings the hub was started with. */
import { z } from "zod";
import { method } from "./method.ts";

export const configurationSchema = z.looseObject({
  settings: z.array(
    z.looseObject({
      /** `recording.segmentSeconds` */
      key: z.string(),
      /** In force. Null where nothing is set and there is no default; `***` for a secret. */
      value: z.unknown(),
      source: z.enum(["default", "file", "environment", "flag"]),
      /** The file, variable or flag that set it. */
      origin: z.string().nullable(),
      secret: z.boolean(),
      unit: z.string().nullable(),
      description: z.string(),
      /** How to set it. */
      env: z.string(),
      flag: z.string(),
    }),
  ),
  total: z.number().int().min(0),
});

export const configurationMethods = {
  /** Extension. */
  get_configuration: method(
    "admin",
    {
      /** A setting, or a group of them: `recording`. */
      key: z.string().min(1).max(200).optional(),
    },
    configurationSchema,
  ),
} as const;
