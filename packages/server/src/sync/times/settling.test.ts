import { expect, it } from "vitest";
import { Settling } from "./settling.ts";

/** @param moves by how much the times are moved from the frame of that number on, microseconds */
function moved(
  moves: Readonly<Record<number, number>>,
  frames = 100,
  mediaUs = (i: number) => i * 33_333,
): number {
  const settling = new Settling();
  let lateUs = 0;
  for (let i = 0; i < frames; i++) {
    lateUs += moves[i] ?? 0;
    settling.add({ mediaTimeUs: mediaUs(i), capturedAtUs: 1e15 + mediaUs(i) + lateUs });
  }
  return settling.movedUs;
}

it("adds up by how much a stream's times were moved, either way", () => {
  expect(moved({})).toBe(0);
  expect(moved({ 3: -1500, 70: -100_000, 90: 20_000 })).toBe(-81_500);
});

it("leaves out a camera's clock that is followed, and steps of the hub's", () => {
  expect(moved(Object.fromEntries(Array.from({ length: 99 }, (_, i) => [i, -17])))).toBe(0);
  expect(moved({ 50: -3_600e6 })).toBe(0);
});

it("ends with the first stream, and after a minute", () => {
  expect(moved({ 10: -5000, 60: -70_000 }, 100, (i) => i * 33_333 + (i < 50 ? 0 : 5e6))).toBe(-5000);
  expect(moved({ 10: -5000, 2000: -70_000 }, 2100)).toBe(-5000);
});
