/** What starting a session takes, and the instant that is meant. */
import { OcelliError } from "@ocelli/protocol";

export interface StartSession {
  readonly group: string;
  /** T0, epoch microseconds by the hub's clock. */
  readonly atUs?: number | undefined;
  /** Instead of `atUs`. */
  readonly delayS?: number | undefined;
  readonly durationS?: number | undefined;
  /** Begins with those members that can. Default false. */
  readonly allowPartial?: boolean | undefined;
  /** Part of the files' names; the group's otherwise. */
  readonly name?: string | undefined;
}

const longestAheadUs = 86_400e6;

/**
 * T0, epoch microseconds by the hub's clock.
 * @param delayS how far ahead it lies unless the caller says; cameras need it to warm up
 * @throws OcelliError `invalid_params` for one in the past or more than a day ahead
 */
export function instantOf(request: StartSession, nowUs: number, delayS = 5): number {
  const at = Math.round(request.atUs ?? nowUs + (request.delayS ?? delayS) * 1e6);
  if (at >= nowUs && at <= nowUs + longestAheadUs) return at;
  const where = at < nowUs ? `${((nowUs - at) / 1e6).toFixed(1)} s in the past` : "more than a day ahead";
  throw new OcelliError(
    "invalid_params",
    `The instant asked for is ${where}. Choose one from now to 24 h ahead, and check the clocks.`,
    { details: { at, now: nowUs } },
  );
}
