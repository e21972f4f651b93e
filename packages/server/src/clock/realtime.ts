/**
 * CLOCK_REALTIME in microseconds. Node offers the wall clock in milliseconds only, so `clock_gettime` is
 * called through koffi; where that is not possible (32-bit, no libc symbol, a value that disagrees with
 * `Date.now`) the millisecond clock serves.
 */
import koffi from "koffi";

const clockRealtime = 0;

function throughLibc(): (() => number) | undefined {
  // `struct timespec` is two 64-bit words only on 64-bit machines.
  if (process.platform !== "linux" || !process.arch.endsWith("64")) return undefined;
  try {
    const clockGettime = koffi.load(null).func("int clock_gettime(int clock, void *time)");
    const time = Buffer.alloc(16);
    const read = (): number => {
      clockGettime(clockRealtime, time);
      return Number(time.readBigInt64LE(0)) * 1e6 + Math.floor(Number(time.readBigInt64LE(8)) / 1000);
    };
    return Math.abs(read() / 1000 - Date.now()) < 1000 ? read : undefined;
  } catch {
    return undefined;
  }
}

/** The reader of the wall clock and its resolution in microseconds. */
export function realtimeReader(): { readonly readUs: () => number; readonly resolutionUs: number } {
  const readUs = throughLibc();
  return readUs === undefined
    ? { readUs: () => Date.now() * 1000, resolutionUs: 1000 }
    : { readUs, resolutionUs: 1 };
}
