/** Exact conversions between microseconds and the ticks of a track, beyond 2^53 in between. */

/** Ticks as microseconds, rounded to the nearest. */
export function ticksToUs(ticks: number, timescale: number): number {
  if (timescale === 1_000_000) return ticks;
  const seconds = Math.floor(ticks / timescale);
  return seconds * 1_000_000 + Math.round(((ticks - seconds * timescale) * 1_000_000) / timescale);
}

/** Microseconds as ticks, rounded to the nearest; gives back the ticks `ticksToUs` was fed (timescale <= 1,000,000). */
export function usToTicks(us: number, timescale: number): number {
  if (timescale === 1_000_000) return us;
  const seconds = Math.floor(us / 1_000_000);
  return seconds * timescale + Math.round(((us - seconds * 1_000_000) * timescale) / 1_000_000);
}
