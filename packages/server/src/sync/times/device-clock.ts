/** How the clock of a device stood against the hub's, as far as one answer can tell. Pure. */
import type { MemberReport } from "../contract.ts";

export interface DeviceClock {
  /** What makes a time of the device one of the hub, microseconds; 0 when nothing shows that they differ. */
  readonly shiftUs: number;
  /** How far such a time may still be off; `undefined` when the device told no time. */
  readonly uncertaintyUs: number | undefined;
}

/** Neither an answer's time nor that of its arrival is told more exactly. */
const resolutionUs = 1000;

/**
 * An answer tells the offset to half of the time it took. One that agrees with equal clocks changes nothing: both may
 * well be right, and the way through the network would only make their times worse.
 * @returns `undefined` for a camera of the hub: its times are the hub's
 */
export function deviceClock({
  kind,
  declared,
}: Pick<MemberReport, "kind" | "declared">): DeviceClock | undefined {
  if (kind !== "multicam") return undefined;
  const { clockOffset, roundTrip } = declared ?? {};
  if (clockOffset === undefined || roundTrip === undefined) return { shiftUs: 0, uncertaintyUs: undefined };
  const offUs = Math.round(clockOffset * 1e6);
  const exactUs = (roundTrip / 2) * 1e6 + resolutionUs;
  return Math.abs(offUs) > exactUs
    ? { shiftUs: -offUs, uncertaintyUs: exactUs }
    : { shiftUs: 0, uncertaintyUs: Math.abs(offUs) + exactUs };
}
