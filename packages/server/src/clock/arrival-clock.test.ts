import { describe, expect, it } from "vitest";
import { ArrivalClock } from "./arrival-clock.ts";

/** A repeatable source of numbers in [0, 1). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

interface Simulation {
  readonly seconds: number;
  readonly fps: number;
  /** The camera's clock runs faster by so much. */
  readonly driftPpm?: number;
  readonly delayUs?: (trueUs: number) => number;
}

/** Error of the estimated capture time, frame by frame, once settled: estimate minus truth. */
function simulate(
  clock: ArrivalClock,
  options: Simulation,
): { atS: number; errorUs: number; monoUs: number }[] {
  const random = randomFrom(1);
  const errors: { atS: number; errorUs: number; monoUs: number }[] = [];
  let arrivedUs = 0;
  for (let i = 0; i < options.seconds * options.fps; i++) {
    const trueUs = 1e9 + (i * 1e6) / options.fps;
    const mediaUs = Math.round((trueUs - 1e9) * (1 + (options.driftPpm ?? 0) / 1e6)) + 5e6;
    const delay = options.delayUs?.(trueUs - 1e9) ?? 2000 + 20_000 * random() ** 2;
    // TCP keeps the order: a late frame makes those behind it late.
    arrivedUs = Math.max(arrivedUs, trueUs + delay);
    clock.arrived(mediaUs, arrivedUs);
    if (clock.settled) {
      const monoUs = clock.toMonoUs(mediaUs);
      errors.push({ atS: (trueUs - 1e9) / 1e6, errorUs: monoUs - trueUs, monoUs });
    }
  }
  return errors;
}

describe("ArrivalClock", () => {
  it.each([80, -80, 0])(
    "stays within a few ms over three hours of jitter and %i ppm of drift",
    (driftPpm) => {
      const errors = simulate(new ArrivalClock(), { seconds: 3 * 3600, fps: 25, driftPpm });
      const late = errors.filter(({ atS }) => atS > 60);
      // The least delay (2 ms) is what it cannot know; the rest is the drift within its window of a minute.
      for (const { errorUs } of late) expect(Math.abs(errorUs - 2000)).toBeLessThan(7000);
    },
  );

  it("keeps the frames' own spacing to 500 ppm, whatever the jitter", () => {
    const errors = simulate(new ArrivalClock(), { seconds: 600, fps: 25 }).filter(({ atS }) => atS > 15);
    for (let i = 1; i < errors.length; i++) {
      const step = (errors[i]?.monoUs ?? 0) - (errors[i - 1]?.monoUs ?? 0);
      // The allowance is 500 ppm of the time between two arrivals, which jitters itself.
      expect(Math.abs(step - 40_000)).toBeLessThanOrEqual(40);
    }
  });

  it("ignores the burst at the start", () => {
    // Two seconds of cached frames come at once, then the stream is live.
    const errors = simulate(new ArrivalClock(), {
      seconds: 20,
      fps: 25,
      delayUs: (sinceUs) => (sinceUs < 2e6 ? 2e6 - sinceUs : 3000),
    });
    for (const { errorUs } of errors) expect(Math.abs(errorUs)).toBeLessThan(41_000);
    for (const { errorUs } of errors.filter(({ atS }) => atS > 5))
      expect(Math.abs(errorUs - 3000)).toBeLessThan(100);
  });

  it("ignores a burst that is read in two parts, as by a hub that is busy", () => {
    const clock = new ArrivalClock();
    // Four seconds of frames, of which the first part is read before the rest.
    const errors = simulate(clock, {
      seconds: 20,
      fps: 5,
      delayUs: (sinceUs) => (sinceUs < 4e6 ? 4e6 - sinceUs + (sinceUs < 1e6 ? 0 : 150_000) : 3000),
    });
    for (const { errorUs } of errors) expect(Math.abs(errorUs)).toBeLessThan(201_000);
  });

  it("does not stay late where a burst went on for long, and never goes back in time", () => {
    const errors = simulate(new ArrivalClock(), {
      ...{ seconds: 30, fps: 25 },
      // Frames trickle in, a third slower than they were taken, until they are four seconds late; then all come that wait.
      delayUs: (sinceUs) => (sinceUs < 4e6 ? 4e6 + sinceUs / 3 : 3000),
    });
    expect(Math.max(...errors.map(({ errorUs }) => errorUs))).toBeGreaterThan(3e6);
    for (const { errorUs } of errors.filter(({ atS }) => atS > 20)) expect(errorUs).toBeLessThan(4000);
    for (let i = 1; i < errors.length; i++) {
      expect((errors[i]?.monoUs ?? 0) - (errors[i - 1]?.monoUs ?? 0)).toBeGreaterThan(0);
    }
  });

  it("follows frames that are sent in another order than they are presented by those that are not held up by it", () => {
    const clock = new ArrivalClock();
    // Two B-frames after each P-frame, which is presented after them; late at first by what was read of them together.
    const late: number[] = [];
    for (let i = 0; i < 60; i++) {
      const inGop = i % 3;
      const presented = inGop === 0 ? i + 2 : i - 1;
      const sentUs = 1e9 + (i + 2) * 200_000;
      clock.arrived(presented * 200_000, sentUs + (i < 10 ? 600_000 : 0));
      if (clock.settled) late.push(clock.toMonoUs(presented * 200_000) - 1e9 - presented * 200_000);
    }
    expect(late[0]).toBeCloseTo(600_000, -1);
    expect(late.at(-1)).toBeCloseTo(0, -1);
  });

  it("never goes back in time where only some arrivals are told", () => {
    const clock = new ArrivalClock();
    const told: number[] = [];
    for (let i = 0; i < 1500; i++) {
      const mediaUs = i * 40_000;
      // Three seconds late for two seconds, then one arrival in two seconds.
      if (i < 50 || i % 50 === 0) clock.arrived(mediaUs, 1e9 + mediaUs + (i < 50 ? 3e6 : 0));
      if (clock.settled) told.push(clock.toMonoUs(mediaUs));
    }
    expect(told.length).toBeGreaterThan(1400);
    for (let i = 1; i < told.length; i++) expect(told[i]).toBeGreaterThan(told[i - 1] ?? 0);
  });

  it("does not trust a frame or two whose own times are wrong", () => {
    const clock = new ArrivalClock();
    const wrong = new Set([100, 101, 300]);
    for (let i = 0; i < 500; i++) {
      const mediaUs = i * 40_000;
      clock.arrived(mediaUs + (wrong.has(i) ? 2e6 : 0), 1e9 + mediaUs);
      // At 500 ppm, as ever.
      if (i > 260) expect(clock.toMonoUs(mediaUs) - 1e9 - mediaUs).toBeGreaterThan(-600_000);
    }
  });

  it("follows a delay that grew for good after its window, slowly", () => {
    const errors = simulate(new ArrivalClock(), {
      seconds: 600,
      fps: 10,
      delayUs: (sinceUs) => (sinceUs < 100e6 ? 5000 : 55_000),
    });
    const at = (second: number) => errors.find(({ atS }) => atS >= second)?.errorUs ?? Number.NaN;
    expect(at(130)).toBeCloseTo(5000, -2);
    expect(at(400)).toBeCloseTo(55_000, -2);
    for (let i = 1; i < errors.length; i++) {
      expect((errors[i]?.monoUs ?? 0) - (errors[i - 1]?.monoUs ?? 0)).toBeGreaterThan(99_000);
    }
  });

  it("settles in bounded time where frames come as fast as they can be read", () => {
    const clock = new ArrivalClock({ maxSettleUs: 1_000_000 });
    for (let i = 0; i < 200 && !clock.settled; i++) clock.arrived(i * 40_000, i * 10_000);
    expect(clock.settled).toBe(true);
  });

  it("says how far a frame is off, so that a jump is seen", () => {
    const clock = new ArrivalClock();
    for (let i = 0; i < 50; i++) clock.arrived(i * 40_000, 1e9 + i * 40_000);
    expect(clock.deviationUs(50 * 40_000 + 60e6, 1e9 + 50 * 40_000)).toBeCloseTo(-60e6, -3);
    expect(clock.deviationUs(0, 1e9 + 50 * 40_000)).toBeCloseTo(2e6, -3);
  });
});
