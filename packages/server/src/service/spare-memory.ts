/**
 * Gives memory that the C library keeps for later back to the system (malloc_trim(3)): starting, and each burst of work,
 * leaves it with megabytes that a hub at rest never touches again. Takes a millisecond at most. Nothing happens where the C
 * library has no such function (musl).
 */
import koffi from "koffi";
import type { Clock } from "../clock/clock.ts";

/** When what only starting needed has ended. */
const firstMs = 3000;
const everyMs = 60_000;

export interface SpareMemoryOptions {
  readonly clock: Clock;
  /** For tests. Default: the C library's. */
  readonly trim?: (() => void) | undefined;
}

/** Until the returned function is called. */
export function giveBackSpareMemory({ clock, trim = cLibraryTrim() }: SpareMemoryOptions): () => void {
  if (trim === undefined) return () => undefined;
  const stopFirst = clock.after(firstMs, trim);
  const stop = clock.every(everyMs, trim);
  return () => {
    stopFirst();
    stop();
  };
}

function cLibraryTrim(): (() => void) | undefined {
  try {
    const trim: (pad: number) => number = koffi.load(null).func("int malloc_trim(size_t pad)");
    return () => void trim(0);
  } catch {
    return undefined;
  }
}
