import { describe, expect, it } from "vitest";
import { FramePool } from "./frame-pool.ts";

describe("FramePool", () => {
  it("gives memory of the size asked for, at most a quarter larger inside", () => {
    const pool = new FramePool();
    for (let bytes = 1; bytes < 5_000_000; bytes = Math.ceil(bytes * 1.07) + 1) {
      const buffer = pool.take(bytes);
      expect(buffer.length).toBe(bytes);
      expect(buffer.buffer.byteLength).toBeLessThanOrEqual(Math.max(1024, bytes * 1.25 + 1));
    }
  });

  it("uses given memory again, also where the view given is another one", () => {
    const pool = new FramePool();
    const first = pool.take(50_000);
    pool.give(first.subarray(10));
    expect(pool.freeBytes).toBe(first.buffer.byteLength);
    const second = pool.take(50_500);
    expect(second.buffer === first.buffer).toBe(true);
    expect(second.length).toBe(50_500);
    expect(pool.freeBytes).toBe(0);
  });

  it("never lends the same memory twice", () => {
    const pool = new FramePool();
    const first = pool.take(5000);
    pool.give(first);
    pool.give(first);
    const [again, another] = [pool.take(5000), pool.take(5000)];
    expect(again.buffer === another.buffer).toBe(false);
  });

  it("ignores memory of others", () => {
    const pool = new FramePool();
    pool.give(Buffer.alloc(5000));
    pool.give(Buffer.allocUnsafe(10));
    expect(pool.freeBytes).toBe(0);
  });

  it("keeps no more than its bound, and nothing when cleared", () => {
    const pool = new FramePool({ maxFreeBytes: 100_000 });
    const lent = Array.from({ length: 10 }, () => pool.take(30_000));
    for (const buffer of lent) pool.give(buffer);
    expect(pool.freeBytes).toBeGreaterThan(60_000);
    expect(pool.freeBytes).toBeLessThanOrEqual(100_000);
    pool.clear();
    expect(pool.freeBytes).toBe(0);
    const { buffer } = pool.take(30_000);
    expect(lent.some((one) => one.buffer === buffer)).toBe(false);
  });
});
