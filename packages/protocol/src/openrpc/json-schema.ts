/** JSON Schema (draft 7, as OpenRPC has it) of the schemas messages are read and written with. */
import { z } from "zod";

export type JsonSchema = { readonly [key: string]: unknown };

/**
 * What a caller may write. Numbers are told as numbers, although digits in a text are taken too. Rules that JSON Schema
 * cannot say (no control characters in names, say) are left out.
 */
export function schemaOfInput(schema: z.ZodType): JsonSchema {
  return convert(schema, "input");
}

/** What the hub answers. */
export function schemaOfOutput(schema: z.ZodType): JsonSchema {
  return convert(schema, "output");
}

function convert(schema: z.ZodType, io: "input" | "output"): JsonSchema {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, target: "draft-07", unrepresentable: "any" });
  return rest;
}
