import { expect, it } from "vitest";
import { onOneClock, type StampedFrame } from "./one-clock.ts";

const t0 = 1_736_951_400_000_000;

/** Ten frames a second with some jitter, by a clock that is set before the given frames. */
async function* recorded(count: number, steps: Readonly<Record<number, number>>, fromUs = t0) {
  let aheadUs = 0;
  for (let i = 0; i < count; i++) {
    aheadUs += steps[i] ?? 0;
    yield { capturedAtUs: fromUs + i * 100_000 + (i % 3) * 4000 + aheadUs, mediaTimeUs: i * 100_000 };
  }
}
async function timesOf(frames: AsyncIterable<StampedFrame>): Promise<number[]> {
  const times: number[] = [];
  for await (const { capturedAtUs } of frames) times.push(capturedAtUs);
  return times;
}
const steady = await timesOf(recorded(10, {}));

it.each<[string, Record<number, number>, number[]]>([
  ["never", {}, []],
  ["ahead", { 4: 3600e6 }, [3600e6]],
  ["back", { 4: -3600e6 }, [-3600e6]],
  ["by a tenth of a frame", { 4: 10_000 }, [10_000]],
  ["there and back", { 3: 3600e6, 7: -3600e6 }, [3600e6, -3600e6]],
  ["twice between two frames", { 5: 61e6 }, [60e6, 1e6]],
  ["there and back between two frames, and again", { 6: 5e6 }, [60e6, -60e6, 5e6]],
])("times are as if the clock had not been set: %s", async (_what, set, told) => {
  const steps = told.map((stepUs) => ({ stepUs }));
  const times = await timesOf(onOneClock(recorded(10, set), steps));
  // A small step cannot be told from jitter, and may be found one frame too soon or too late.
  expect(Math.max(...times.map((time, i) => Math.abs(time - (steady[i] ?? 0))))).toBeLessThanOrEqual(10_000);
  expect(times.at(-1)).toBe(steady.at(-1));
});

it("a hole is a hole, and goes on after a clock that was set in an earlier file", async () => {
  async function* holed() {
    for await (const { capturedAtUs, mediaTimeUs } of recorded(10, {})) {
      const lateUs = mediaTimeUs >= 500_000 ? 60e6 : 0;
      yield { capturedAtUs: capturedAtUs + lateUs, mediaTimeUs: mediaTimeUs + lateUs };
    }
  }
  const [before, after] = (await timesOf(onOneClock(holed(), [{ stepUs: 60e6 }], -7e6))).slice(4, 6);
  expect((after ?? 0) - (before ?? 0)).toBeGreaterThan(59e6);
  expect(before).toBe((steady[4] ?? 0) + 7e6);
});
