/**
 * Is the wall clock of this machine kept right by somebody? Asks the kernel (adjtimex(2)), which knows whichever
 * program does it; only the name of that program is looked for among the processes.
 */
import { readdirSync, readFileSync } from "node:fs";
import koffi from "koffi";
import { type Finding, ok, warning } from "./finding.ts";

export interface KernelClock {
  readonly synchronised: boolean;
  /** The kernel's bound of the error, microseconds; meaningless while it is not synchronised. */
  readonly maxErrorUs: number;
}

const unsynchronised = 0x40;
const stateError = 5;
/** Bytes of `struct timex` on 64-bit machines are 208; and where its fields are. */
const timex = { size: 256, maxError: 24, status: 40 } as const;

/** `undefined` where the kernel cannot be asked: 32-bit machines, system call filters. */
export function readKernelClock(): KernelClock | undefined {
  if (process.platform !== "linux" || !process.arch.endsWith("64")) return undefined;
  try {
    const adjtimex = koffi.load(null).func("int adjtimex(void *buf)");
    // All zero: change nothing.
    const buffer = Buffer.alloc(timex.size);
    const state = Number(adjtimex(buffer));
    if (state < 0) return undefined;
    const status = buffer.readInt32LE(timex.status);
    return {
      synchronised: state !== stateError && (status & unsynchronised) === 0,
      maxErrorUs: Number(buffer.readBigInt64LE(timex.maxError)),
    };
  } catch {
    return undefined;
  }
}

/** Names the kernel cuts to 15 characters. */
const keepers: Readonly<Record<string, string>> = {
  chronyd: "chrony",
  "systemd-timesyn": "systemd-timesyncd",
  ntpd: "ntpd",
  phc2sys: "phc2sys (PTP)",
  ntpsec: "ntpsec",
};

function runningKeeper(procDir: string): string | undefined {
  for (const pid of readdirSync(procDir)) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      const keeper = keepers[readFileSync(`${procDir}/${pid}/comm`, "utf8").trim()];
      if (keeper !== undefined) return keeper;
    } catch {
      // The process has ended meanwhile.
    }
  }
  return undefined;
}

const install =
  "Install a time service: sudo apt-get install chrony. Machines that record together should follow the same server, best one in the local network.";

export function checkClock(kernel: KernelClock | undefined = readKernelClock(), procDir = "/proc"): Finding {
  const keeper = runningKeeper(procDir);
  const by = keeper === undefined ? "" : ` by ${keeper}`;
  if (kernel === undefined) {
    return keeper === undefined
      ? warning(
          "clock",
          "The kernel does not tell whether its clock is kept right, and no time service runs.",
          install,
        )
      : ok("clock", `The clock is kept${by}; the kernel does not tell how well`, { keeper });
  }
  const details = { ...kernel, keeper };
  if (kernel.synchronised) {
    const boundMs = (kernel.maxErrorUs / 1000).toFixed(1);
    return ok("clock", `The clock is synchronised${by}, at most ${boundMs} ms off`, details);
  }
  return warning(
    "clock",
    keeper === undefined
      ? "The clock is not synchronised: nobody keeps it right, so capture times cannot be compared with those of other machines. (A container or a virtual machine may have its host do it.)"
      : `The clock is not synchronised yet, though ${keeper} runs.`,
    keeper === undefined
      ? install
      : "Look at what it says: `chronyc tracking` or `timedatectl timesync-status`. It needs a reachable time server and some minutes after the start.",
    details,
  );
}
