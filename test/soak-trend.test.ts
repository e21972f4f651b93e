import { expect, it } from "vitest";
import { trendOf } from "../bench/soak/trend.ts";

/** A sample every ten seconds for ten minutes. */
const series = (value: (atS: number, index: number) => number) =>
  Array.from({ length: 61 }, (_, index) => ({ atS: index * 10, value: value(index * 10, index) }));
const wavering = (index: number): number => [0, 3, 1, 4, 2][index % 5] ?? 0;

it("calls a series steady that wavers as it did in its first minute", () => {
  const trend = trendOf(
    series((_, index) => 100 + wavering(index)),
    60,
    0,
  );
  expect(trend.noise).toBe(4);
  expect(Math.abs(trend.growth)).toBeLessThan(1);
  expect(trend.grows).toBe(false);
});

it("sees growth that is larger than the noise, and tells how much", () => {
  const trend = trendOf(
    series((atS, index) => 100 + wavering(index) + atS / 60),
    60,
    0,
  );
  expect(trend.growth).toBeCloseTo(9, 0);
  expect(trend.perHour).toBeCloseTo(60, -1);
  expect(trend.grows).toBe(true);
});

it("is turned neither by one sample that stands out nor by a fall", () => {
  expect(
    trendOf(
      series((atS, index) => (index === 60 ? 1000 : 100 + (atS % 20))),
      60,
      0,
    ).grows,
  ).toBe(false);
  expect(
    trendOf(
      series((atS) => 100 - atS / 10),
      60,
      0,
    ).grows,
  ).toBe(false);
});

it("grants the least noise, and needs samples", () => {
  const handle = series((atS) => (atS > 300 ? 11 : 10));
  expect(trendOf(handle, 60, 2).grows).toBe(false);
  expect(() => trendOf(handle.slice(0, 8), 60, 2)).toThrow("more samples");
});

it("takes the first two samples where the first minute has one: a round may last longer", () => {
  const rare = [15, 116, 160, 200, 240, 600].map((atS, index) => ({
    atS,
    value: index < 2 ? 10 - index : 9,
  }));
  expect(trendOf(rare, 60, 0)).toMatchObject({ noise: 1, growth: 0 });
});
