/** Reading JSON that others made: `null` counts as absent, unknown keys are ignored, wrong types are refused. */
import { z } from "zod";
import { MultiCamFormatError } from "./errors.ts";

/** A value that may be absent or null. */
export const optional = <T extends z.ZodType>(schema: T) =>
  schema.nullish().transform((value): z.output<T> | undefined => value ?? undefined);

/** An integer of bytes; devices that do not know it send null. */
export const byteCount = z.number().min(0).max(Number.MAX_SAFE_INTEGER).transform(Math.trunc);

/** @throws MultiCamFormatError when the text is not one JSON object */
export function readObject(text: string, what: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new MultiCamFormatError(`${what} is not JSON: ${excerpt(text)}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new MultiCamFormatError(`${what} is not a JSON object: ${excerpt(text)}`);
  }
  return { ...value };
}

/** @throws MultiCamFormatError naming the first key that is wrong */
export function readAs<S extends z.ZodType>(schema: S, value: unknown, what: string): z.output<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const key = issue?.path.join(".") ?? "";
  throw new MultiCamFormatError(`${what} has no usable ${key === "" ? "content" : key}`);
}

function excerpt(text: string): string {
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
