/**
 * How single values are read from the wire: older clients write numbers as digit strings and times in several
 * forms. Every schema here yields one normal form or refuses; none of them has a default.
 */
import { z } from "zod";

const digits = /^[+-]?\d+(\.\d+)?$/;

/** Digit strings become numbers; everything else is left for the number schema to judge (booleans are no numbers). */
const fromDigits = (value: unknown): unknown =>
  typeof value === "string" && value.length <= 32 && digits.test(value.trim()) ? Number(value) : value;

export const wholeNumber = (min: number, max: number) =>
  z.preprocess(fromDigits, z.number().int().min(min).max(max));

/** Finite, `0 < n <= max`. */
export const positiveNumber = (max: number) => z.preprocess(fromDigits, z.number().positive().max(max));

export const numberBetween = (min: number, max: number) =>
  z.preprocess(fromDigits, z.number().min(min).max(max));

/** Any name of a camera: `/dev/video0`, `video0`, `camera0`, a `/dev/v4l/by-*` link. Whether it exists is not judged here. */
export const deviceName = z
  .string()
  .min(1)
  .max(255)
  .refine((text) => !text.includes(".."), "must not contain ..")
  .refine((text) => !hasControl(text), "must not contain control characters");

/** A name for people: a line of text. Outer spaces are cut, look-alike spellings of one name become one (NFKC). */
export const personName = z
  .string()
  .max(400)
  .transform((text) => text.normalize("NFKC").trim())
  .refine((text) => text !== "" && [...text].length <= 100, "must be 1 to 100 characters")
  .refine((text) => !/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u.test(text), "must not contain control characters");

/** The full rules for file names are the library's; here only what no name can be. */
export const fileName = z
  .string()
  .min(1)
  .max(4096)
  .refine((text) => !hasControl(text), "must not contain control characters")
  .refine((text) => !/\p{Cs}/u.test(text), "must be well-formed text");

/** A credential as sent by clients; judged by the authenticator. */
export const credential = z.string().max(8192);

function hasControl(text: string): boolean {
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    if (unit < 32 || unit === 127) return true;
  }
  return false;
}

const isoTime =
  /^(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}(?::\d{2}(?:[.,](\d{1,9}))?)?)\s*([Zz]|[+-]\d{2}:?\d{2})?$/;
const latestEpochS = 32_503_680_000; // the year 3000: a larger number is not in seconds

/**
 * Epoch microseconds of ISO 8601 text (without a zone: local time of this process) or of epoch seconds, as a
 * number or digits. `undefined` when it is neither.
 */
export function readTimestampUs(value: unknown): number | undefined {
  const number = fromDigits(value);
  if (typeof number === "number") {
    return Number.isFinite(number) && number >= 0 && number <= latestEpochS
      ? Math.round(number * 1e6)
      : undefined;
  }
  const match = typeof value === "string" ? isoTime.exec(value.trim()) : null;
  if (match === null) return undefined;
  const [, date = "", time = "", fraction = "", zone = ""] = match;
  const whole = time.replace(/[.,]\d+$/, "");
  const colonZone = /^[+-]\d{4}$/.test(zone) ? `${zone.slice(0, 3)}:${zone.slice(3)}` : zone.toUpperCase();
  const text = `${date}T${whole}${colonZone}`;
  const ms = Date.parse(text);
  // Date.parse turns 31 February into 3 March; a date that does not exist is refused instead.
  const day = new Date(`${date}T00:00:00Z`);
  if (!Number.isFinite(ms) || ms < 0 || day.toISOString().slice(0, 10) !== date) return undefined;
  return ms * 1000 + Math.floor(Number(`0.${fraction || "0"}`) * 1e6);
}

/** A point in time; the result is epoch microseconds. */
export const timestampUs = z
  .union([z.string().max(64), z.number()])
  .transform((value, context) => {
    const us = readTimestampUs(value);
    if (us !== undefined) return us;
    context.addIssue({ code: "custom", message: "must be ISO 8601, or seconds since 1970" });
    return z.NEVER;
  })
  .meta({ title: "time" });

/** ISO 8601 UTC with milliseconds and `Z`. */
export function isoOf(us: number): string {
  const ms = Math.floor(us / 1000);
  const second = Math.floor(ms / 1000);
  const slot = second & 7;
  // Answers name the same few moments over and over, and making the text of a date takes longer than anything else.
  if (isoSeconds[slot] !== second || second < 0) {
    isoPrefixes[slot] = new Date(second * 1000).toISOString().slice(0, -4);
    isoSeconds[slot] = second;
  }
  const rest = ms - second * 1000;
  return `${isoPrefixes[slot]}${rest < 10 ? "00" : rest < 100 ? "0" : ""}${rest}Z`;
}

/** Seconds since the epoch whose text is known, and that text up to the point. */
const isoSeconds: number[] = [];
const isoPrefixes: string[] = [];
