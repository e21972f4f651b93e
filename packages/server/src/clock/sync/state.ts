/** How far the wall clock may be trusted, as everything above may ask it. */

export interface ClockState {
  /** Whether something keeps the clock right, or its error has been measured of late. */
  readonly synchronised: boolean;
  /** Who says so: a server that was asked, the daemon that steers the kernel's clock, or the kernel alone. */
  readonly source: "sntp" | "chrony" | "ntpd" | "timesyncd" | "ptp" | "kernel" | "none";
  /** True time minus the wall clock, microseconds; 0 where the clock itself is kept right. */
  readonly offsetUs: number;
  /** The offset is right to within this, microseconds; `undefined` when nobody knows. */
  readonly uncertaintyUs: number | undefined;
  /** Servers that were asked. */
  readonly servers: readonly string[];
  /** Epoch microseconds. */
  readonly measuredAtUs: number;
  /** Why the clock counts as unsynchronised, and what to do. */
  readonly reason: string | undefined;
}

/** What MultiCam promises between devices (spec section 9.3): a clock less sure than this is worth a warning. */
export const uncertainBeyondUs = 50_000;

/** What rooms above need of it. Implemented by `clock-sync.ts`. */
export interface ClockSync {
  readonly state: ClockState;
  /** Measures now, beside the regular times. */
  refresh(): Promise<ClockState>;
  onChange(listener: (state: ClockState) => void): () => void;
  close(): void;
}

/** The parts of it that are written into files. */
export type ClockStamp = Pick<ClockState, "synchronised" | "source" | "offsetUs" | "uncertaintyUs">;

export function stampOf({ synchronised, source, offsetUs, uncertaintyUs }: ClockState): ClockStamp {
  return { synchronised, source, offsetUs, uncertaintyUs };
}
