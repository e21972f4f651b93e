import { z } from "zod";
import { configSchema } from "./schema.ts";
import type { SettingMeta } from "./setting-kinds.ts";

/** One leaf of the configuration, as the environment, the flags and the help text see it. */
export interface Setting {
  /** `recording.segmentSeconds` */
  readonly path: readonly string[];
  readonly key: string;
  /** `OCELLI_RECORDING_SEGMENT_SECONDS` */
  readonly env: string;
  /** `--recording-segment-seconds` */
  readonly flag: string;
  readonly kind: "string" | "number" | "boolean" | "list" | "json";
  readonly allowed: string;
  readonly fallback: unknown;
  readonly unit: string | undefined;
  readonly secret: boolean;
  readonly description: string;
}

const words = (name: string): string[] => name.split(/(?=[A-Z])/).map((word) => word.toLowerCase());

function unwrap(schema: z.ZodType): { inner: z.ZodType; fallback: unknown } {
  let inner = schema;
  let fallback: unknown;
  for (;;) {
    if (inner instanceof z.ZodDefault || inner instanceof z.ZodPrefault) {
      fallback = inner.def.defaultValue;
      inner = inner.def.innerType as z.ZodType;
    } else if (inner instanceof z.ZodOptional) {
      inner = inner.def.innerType as z.ZodType;
    } else {
      return { inner, fallback };
    }
  }
}

function kindOf(schema: z.ZodType): Setting["kind"] {
  if (schema instanceof z.ZodNumber) return "number";
  if (schema instanceof z.ZodBoolean) return "boolean";
  if (schema instanceof z.ZodArray) return schema.def.element instanceof z.ZodString ? "list" : "json";
  return "string";
}

function allowedOf(schema: z.ZodType): string {
  if (schema instanceof z.ZodEnum) return schema.options.join(" | ");
  if (schema instanceof z.ZodBoolean) return "true | false";
  if (schema instanceof z.ZodNumber) {
    const min = Number.isFinite(schema.minValue ?? Number.NaN) ? schema.minValue : undefined;
    const max = Number.isFinite(schema.maxValue ?? Number.NaN) ? schema.maxValue : undefined;
    if (min === undefined && max === undefined) return "a number";
    return max === undefined ? `a number of at least ${min}` : `a number from ${min} to ${max}`;
  }
  if (schema instanceof z.ZodArray)
    return schema.def.element instanceof z.ZodString
      ? "a list (text: separated by commas)"
      : "a list (text: JSON)";
  return "text";
}

function walk(schema: z.ZodType, path: readonly string[]): Setting[] {
  const { inner, fallback } = unwrap(schema);
  if (inner instanceof z.ZodObject && path.length < 3) {
    return Object.entries(inner.shape).flatMap(([name, child]) => walk(child as z.ZodType, [...path, name]));
  }
  const meta = (schema.meta() ?? {}) as SettingMeta & { description?: string };
  const parts = path.flatMap(words);
  return [
    {
      path,
      key: path.join("."),
      env: `OCELLI_${parts.join("_").toUpperCase()}`,
      flag: `--${parts.join("-")}`,
      kind: kindOf(inner),
      allowed: allowedOf(inner),
      fallback,
      unit: meta.unit,
      secret: meta.secret ?? false,
      description: meta.description ?? "",
    },
  ];
}

/** All settings in the order of the schema. */
export const settings: readonly Setting[] = walk(configSchema, []);
