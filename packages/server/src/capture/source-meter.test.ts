import { describe, expect, it } from "vitest";
import { SourceMeter } from "./source-meter.ts";

/** `seconds` of 10 frames a second, 1000 bytes each, with 500 bytes of sound after each; begins at 100 s. */
function metered(seconds: number): SourceMeter {
  const meter = new SourceMeter();
  for (let frame = 0; frame < seconds * 10; frame++) {
    const atUs = 100e6 + frame * 100_000;
    meter.add(1000, atUs, frame * 100_000);
    meter.add(500, atUs + 10_000, undefined);
  }
  return meter;
}

describe("the figures of a source", () => {
  it("count frames of the picture only, and bytes of everything", () => {
    const meter = metered(10);
    expect([meter.framesTotal, meter.bytesTotal]).toEqual([100, 150_000]);
    expect(meter.fps(110e6)).toBe(10);
    expect(meter.bitsPerSecond(110e6)).toBe(15_000 * 8);
    expect(meter.runningS(110e6)).toBe(10);
  });

  it("fall when nothing comes any more, and begin anew with a run", () => {
    const meter = metered(10);
    expect(meter.bitsPerSecond(111.5e6)).toBeLessThan(15_000 * 8);
    expect([meter.fps(114e6), meter.bitsPerSecond(114e6)]).toEqual([0, 0]);
    meter.restart();
    expect([meter.fps(114e6), meter.bitsPerSecond(114e6), meter.runningS(114e6)]).toEqual([0, 0, 0]);
    expect(meter.bytesTotal).toBe(150_000);
  });
});
