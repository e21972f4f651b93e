/**
 * What the kernel knows of its clock (`adjtimex(2)`, read only): any daemon that steers it keeps this true. The name of
 * the daemon is found among the running processes, for people.
 */
import { readdirSync, readFileSync } from "node:fs";
import koffi from "koffi";
import type { ClockState } from "./state.ts";

export interface KernelClock {
  readonly synchronised: boolean;
  /** Upper bound of the error, microseconds. */
  readonly maxErrorUs: number;
  readonly daemon: ClockState["source"];
}

/** `struct timex` of 64-bit Linux (uapi/linux/timex.h): offsets of what is read here, and its size. */
const layout = { maxError: 24, status: 40, size: 208 } as const;
const staUnsync = 0x0040;
const timeError = 5;

type Adjtimex = (timex: Buffer) => number;

/** `null` where there is no such function: looked for once. */
let bound: Adjtimex | null | undefined;

function throughLibc(): Adjtimex | null {
  if (process.platform !== "linux" || !process.arch.endsWith("64")) return null;
  try {
    return koffi.load(null).func("int adjtimex(void *timex)");
  } catch {
    return null;
  }
}

/** `undefined` where the kernel cannot be asked. */
export function readKernelClock(): KernelClock | undefined {
  if (bound === undefined) bound = throughLibc();
  if (bound === null) return undefined;
  // `modes` 0: nothing is set.
  const timex = Buffer.alloc(layout.size);
  const state = bound(timex);
  if (state < 0) return undefined;
  const status = timex.readInt32LE(layout.status);
  return {
    synchronised: state !== timeError && (status & staUnsync) === 0,
    maxErrorUs: Number(timex.readBigInt64LE(layout.maxError)),
    daemon: findDaemon(),
  };
}

/** Names as `/proc/<pid>/comm` has them, cut to 15 characters. */
const daemons: Readonly<Record<string, ClockState["source"]>> = {
  chronyd: "chrony",
  ntpd: "ntpd",
  "systemd-timesyn": "timesyncd",
  phc2sys: "ptp",
};

function findDaemon(): ClockState["source"] {
  try {
    for (const pid of readdirSync("/proc")) {
      if (!/^\d+$/.test(pid)) continue;
      const daemon = daemons[commandOf(pid)];
      if (daemon !== undefined) return daemon;
    }
  } catch {
    // A /proc that hides other processes: the kernel's word is enough.
  }
  return "kernel";
}

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    return "";
  }
}
