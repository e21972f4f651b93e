import { describe, expect, it } from "vitest";
import { sampleOffset, WallOffset } from "./wall-offset.ts";

const sample = (offsetUs: number, uncertaintyUs = 1) => ({ offsetUs, uncertaintyUs });

describe("WallOffset", () => {
  it("marks a step once, with its size", () => {
    const offset = new WallOffset(sample(1_000_000_000));
    expect(offset.update(sample(1_005_000_000))).toBe(5_000_000);
    expect(offset.offsetUs).toBe(1_005_000_000);
    expect(offset.update(sample(1_005_000_000))).toBe(0);
    expect(offset.update(sample(1_004_990_000))).toBe(-10_000);
  });

  it("averages noise instead of following it", () => {
    const offset = new WallOffset(sample(0));
    for (let i = 0; i < 1000; i++) {
      expect(offset.update(sample(i % 2 === 0 ? 2000 : -2000))).toBe(0);
      expect(Math.abs(offset.offsetUs)).toBeLessThan(200);
    }
  });

  it("does not take an uncertain sample for a step", () => {
    const offset = new WallOffset(sample(0));
    expect(offset.update(sample(8000, 6000))).toBe(0);
    expect(offset.update(sample(12_000, 6000))).not.toBe(0);
  });

  it("follows a small change of the offset in the end", () => {
    const offset = new WallOffset(sample(0));
    for (let i = 0; i < 200; i++) offset.update(sample(1000));
    expect(offset.offsetUs).toBe(1000);
  });
});

describe("sampleOffset", () => {
  it("takes the tightest of several readings", () => {
    const costs = [400, 30, 900, 200, 50];
    let mono = 0;
    let call = 0;
    const readMono = () => {
      // The second reading of each pair comes later by the cost of that try, half of it before the wall was read.
      if (call % 2 === 1) mono += (costs[(call - 1) / 2] ?? 0) / 2;
      call++;
      return mono;
    };
    const readWall = () => {
      mono += (costs[(call - 1) / 2] ?? 0) / 2;
      return mono + 7_000_000;
    };
    expect(sampleOffset(readMono, readWall)).toEqual({ offsetUs: 7_000_000, uncertaintyUs: 15 });
  });
});
