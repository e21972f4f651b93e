/** What a check found out, and the tools it found it out with. */
import type { Clock } from "../clock/clock.ts";
import type { Config } from "../config/schema.ts";

export type FindingStatus = "ok" | "warning" | "problem";

export interface Finding {
  /** What was looked at: `ffmpeg`, `camera /dev/video0`, `port 8002`. */
  readonly check: string;
  /** `problem`: the hub cannot do its work. `warning`: it can, but something may go wrong or slowly. */
  readonly status: FindingStatus;
  readonly message: string;
  /** What to do; always there unless all is well. */
  readonly fix?: string;
  /** The figures behind it, plain JSON. */
  readonly details?: Readonly<Record<string, unknown>>;
}

export interface CheckContext {
  readonly config: Config;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** The process that uses the data folder now, if one does: the running hub. */
  readonly hubPid: number | undefined;
}

export function ok(check: string, message: string, details?: Finding["details"]): Finding {
  return { check, status: "ok", message, ...(details && { details }) };
}

export function warning(check: string, message: string, fix: string, details?: Finding["details"]): Finding {
  return { check, status: "warning", message, fix, ...(details && { details }) };
}

export function problem(check: string, message: string, fix: string, details?: Finding["details"]): Finding {
  return { check, status: "problem", message, fix, ...(details && { details }) };
}
