import { describe, expect, it } from "vitest";
import { FakeClock } from "./fake-clock.ts";

describe("FakeClock", () => {
  it("runs timers in the order of their due times, at their due times", () => {
    const clock = new FakeClock({ monoUs: 0, wallUs: 1_000_000 });
    const calls: [string, number][] = [];
    clock.after(30, () => calls.push(["late", clock.monoUs()]));
    clock.every(10, () => calls.push(["every", clock.monoUs()]));
    clock.after(5, () => clock.after(7, () => calls.push(["nested", clock.monoUs()])));
    clock.advance(25);
    expect(calls).toEqual([
      ["every", 10_000],
      ["nested", 12_000],
      ["every", 20_000],
    ]);
    clock.advance(5);
    expect(calls.slice(3).map(([name]) => name)).toEqual(["late", "every"]);
    expect(clock.wallUs()).toBe(1_030_000);
  });

  it("steps the wall clock without moving the timers", () => {
    const clock = new FakeClock({ monoUs: 0, wallUs: 0 });
    const steps: number[] = [];
    clock.onStep((step) => steps.push(step));
    clock.step(-5_000_000);
    expect([clock.wallUs(), clock.monoUs(), clock.monoToWallUs(7)]).toEqual([-5_000_000, 0, -4_999_993]);
    expect(steps).toEqual([-5_000_000]);
  });

  it("lets code between two sleeps run", async () => {
    const clock = new FakeClock();
    let rounds = 0;
    const loop = (async () => {
      for (; rounds < 3; rounds++) await clock.sleep(10);
    })();
    await clock.advanceAsync(30);
    await loop;
    expect(rounds).toBe(3);
    expect(clock.pending).toBe(0);
  });
});
