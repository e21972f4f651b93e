/**
 * Frames a second of a measured interval, as a nominal rate: arrival jitters, so rates from 5 on are whole.
 * `undefined` for an interval that is none.
 */
export function rateOf(intervalUs: number | undefined): number | undefined {
  if (intervalUs === undefined || !(intervalUs > 0)) return undefined;
  const fps = 1e6 / intervalUs;
  return fps < 5 ? Math.round(fps * 100) / 100 : Math.round(fps);
}
