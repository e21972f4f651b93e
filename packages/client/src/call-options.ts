/** What calls may be given, and the parameters made of it. */
import { isObject } from "./errors.ts";
import type { JsonObject } from "./records.ts";

export interface RequestOptions {
  /** Gives up waiting; the call rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Seconds, in place of `requestTimeout`; 0 waits without end. */
  readonly timeout?: number | undefined;
}

export interface SnapshotOptions extends RequestOptions {
  readonly customFilename?: string | undefined;
  readonly format?: "jpg" | "jpeg" | "png" | undefined;
  /** 1 to 100. */
  readonly quality?: number | undefined;
}

export interface RecordingOptions extends RequestOptions {
  /** Seconds; until stopped when absent. */
  readonly duration?: number | undefined;
  readonly customFilename?: string | undefined;
  readonly format?: "mp4" | "mkv" | "fmp4" | "ts" | undefined;
  /** Seconds from before now. */
  readonly preRoll?: number | undefined;
  /** The first frame is the first one captured at or after this instant: ISO 8601, epoch seconds or a Date. */
  readonly startAt?: string | number | Date | undefined;
}

export interface ListOptions extends RequestOptions {
  readonly limit?: number | undefined;
  readonly offset?: number | undefined;
  /** Only of this camera. */
  readonly device?: string | undefined;
}

/** Options given as the value of one of them, or whole. */
export function merged<O extends RequestOptions>(value: unknown, name: keyof O, more?: RequestOptions): O {
  const given = isObject(value) ? value : value == null ? {} : { [name]: value };
  return { ...given, ...more } as O; // the parameters of the callers are of these types
}

/** The parameters that were given. */
export function defined(params: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(params).filter(([, value]) => value != null));
}
