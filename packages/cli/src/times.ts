/** Durations and instants as people type them. */
import { OcelliError } from "@ocelli/protocol";
import { readTimestampUs } from "@ocelli/protocol/camera-service";
import type { Context } from "./context.ts";
import { readDurationS } from "./words.ts";

/** Seconds. @throws OcelliError `invalid_params` */
export function durationOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const seconds = readDurationS(text);
  if (seconds !== undefined) return seconds;
  throw new OcelliError("invalid_params", `"${text}" is no duration. Write 90, 90s, 1.5m or 2h.`);
}

/**
 * `+seconds` counts from the hub's time: this machine's clock may differ. A time without a zone is one of this machine, as
 * all that are printed are. @throws OcelliError `invalid_params`
 */
export async function instantOf(
  text: string | undefined,
  { connection }: Context,
): Promise<string | undefined> {
  if (text === undefined) return undefined;
  const ahead = /^\+(\d+(?:\.\d+)?)$/.exec(text);
  if (ahead === null) {
    const us = readTimestampUs(text);
    if (us !== undefined) return String(us / 1e6);
    throw new OcelliError(
      "invalid_params",
      `"${text}" is no time. Write 2026-01-31T14:30:00, seconds since 1970, or +30 for 30 seconds from now.`,
    );
  }
  const { timestamp } = await connection.call("get_camera_list");
  return new Date(Date.parse(timestamp) + Number(ahead[1]) * 1000).toISOString();
}
