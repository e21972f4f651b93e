import { expect, it } from "vitest";
import { deviceClock } from "./device-clock.ts";

const off = (clockOffset: number, roundTrip: number) =>
  deviceClock({ kind: "multicam", declared: { clockOffset, roundTrip } });

it("takes off what a device is ahead by, and adds what it is behind by", () => {
  expect(off(0.25, 0.01)).toEqual({ shiftUs: -250_000, uncertaintyUs: 6000 });
  expect(off(-3.5, 0.002)).toEqual({ shiftUs: 3_500_000, uncertaintyUs: 2000 });
});

it("leaves times alone when the answer agrees with equal clocks", () => {
  expect(off(0.004, 0.01)).toEqual({ shiftUs: 0, uncertaintyUs: 10_000 });
  expect(off(-0.0002, 0.0005)).toEqual({ shiftUs: 0, uncertaintyUs: 1450 });
});

it("knows nothing of a device that told no time, and has nothing to do with cameras", () => {
  const unknown = { shiftUs: 0, uncertaintyUs: undefined };
  expect(deviceClock({ kind: "multicam", declared: undefined })).toEqual(unknown);
  expect(deviceClock({ kind: "multicam", declared: { roundTrip: 0.1 } })).toEqual(unknown);
  expect(deviceClock({ kind: "camera", declared: undefined })).toBeUndefined();
});
