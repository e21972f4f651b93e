/** Epoch microseconds as seconds with six decimals, the form of `X-Timestamp`. */
export function secondsText(us: number): string {
  return `${Math.floor(us / 1e6)}.${String(Math.floor(us % 1e6)).padStart(6, "0")}`;
}
