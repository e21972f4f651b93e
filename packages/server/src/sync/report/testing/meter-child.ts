/** Measures as many frames as its first argument says, one by one, and prints what was found and what memory it took. */
import { FrameMeter } from "../measure.ts";

const frames = Number(process.argv[2]);
const meter = new FrameMeter();
let seed = 1;
let atUs = 1_700_000_000_000_000;
let worstUs = 0;
let wanted = 0;
for (let i = 0; i < frames; i++) {
  meter.add(atUs);
  // Park and Miller's: jitter of every size there is, and now and then a hole of any length.
  seed = (seed * 48_271) % 2_147_483_647;
  const us = i % 100_000 === 99_999 ? 100_000 + (seed % 1_000_000_000) : 33_367 + ((seed % 20_001) - 10_000);
  if (i < frames - 1) {
    worstUs = Math.max(worstUs, us);
    if (us > 90_000) wanted += Math.round(us / 33_367) - 1;
  }
  atUs += us;
}
const { curve, ...figures } = meter.figures();
console.log(
  JSON.stringify({
    ...figures,
    spans: curve.length,
    wanted,
    worstUs,
    plottedUs: Math.max(...curve.map(({ longestUs }) => longestUs)),
  }),
);
