/** Durations and instants as people type them. */
import { OcelliError } from "@ocelli/protocol";
import type { Context } from "./context.ts";
import { readDurationS } from "./words.ts";

/** Seconds. @throws OcelliError `invalid_params` */
export function durationOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const seconds = readDurationS(text);
  if (seconds !== undefined) return seconds;
  throw new OcelliError("invalid_params", `"${text}" is no duration. Write 90, 90s, 1.5m or 2h.`);
}

/** `+seconds` counts from the hub's time: this machine's clock may differ. */
export async function instantOf(
  text: string | undefined,
  { connection }: Context,
): Promise<string | undefined> {
  const ahead = text === undefined ? null : /^\+(\d+(?:\.\d+)?)$/.exec(text);
  if (ahead === null) return text;
  const { timestamp } = await connection.call("get_camera_list");
  return new Date(Date.parse(timestamp) + Number(ahead[1]) * 1000).toISOString();
}
