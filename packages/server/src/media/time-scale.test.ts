import { describe, expect, it } from "vitest";
import { random } from "./testing/random.ts";
import { ticksToUs, usToTicks } from "./time-scale.ts";

describe("time scales", () => {
  it.each([1_000_000, 90_000, 48_000, 44_100, 8_000, 1])(
    "gives ticks of 1/%i s back exactly",
    (timescale) => {
      const next = random(timescale);
      for (let i = 0; i < 2000; i++) {
        // Up to a century, and as far before zero.
        const ticks = Math.round((next() - 0.5) * 6e9 * timescale);
        if (!Number.isSafeInteger(ticks)) continue;
        const us = ticksToUs(ticks, timescale);
        expect(Number.isSafeInteger(us)).toBe(true);
        expect(usToTicks(us, timescale)).toBe(ticks);
      }
    },
  );

  it("rounds to the nearest microsecond", () => {
    expect(ticksToUs(1024, 44_100)).toBe(23_220);
    expect(ticksToUs(-1024, 48_000)).toBe(-21_333);
    expect(usToTicks(23_220, 44_100)).toBe(1024);
  });
});
