import { codeOf } from "@ocelli/protocol";
import pino from "pino";
import { describe, expect, it } from "vitest";
import { FakeClock } from "../clock/fake-clock.ts";
import { EventBus } from "../events/bus.ts";
import { DiskGuard, defaultStorageLimits, nextLevel, thresholds } from "./storage-guard.ts";

const log = pino({ level: "silent" });
const mib = 2 ** 20;
const gib = 2 ** 30;

describe("levels of free space", () => {
  it("uses bytes on large disks, parts of the whole on small ones", () => {
    expect(thresholds(1000 * gib, defaultStorageLimits)).toEqual({ low: gib, critical: gib / 4 });
    expect(thresholds(100 * mib, defaultStorageLimits)).toEqual({ low: 10 * mib, critical: 4 * mib });
  });

  it("takes percent limits of older configurations as well", () => {
    const { low, critical } = thresholds(100 * gib, {
      ...defaultStorageLimits,
      lowUsedPercent: 90,
      criticalUsedPercent: 95,
    });
    expect(low / gib).toBeCloseTo(10);
    expect(critical / gib).toBeCloseTo(5);
  });

  it.each([
    ["ok", 2000, "ok"],
    ["ok", 1000, "low"],
    ["ok", 100, "critical"],
    ["low", 1050, "low"],
    ["low", 1200, "ok"],
    ["low", 255, "critical"],
    ["critical", 270, "critical"],
    ["critical", 300, "low"],
    ["critical", 1100, "low"],
    ["critical", 2000, "ok"],
  ] as const)("from %s with %i MiB free to %s", (previous, freeMiB, expected) => {
    expect(
      nextLevel(previous, { freeBytes: freeMiB * mib, totalBytes: 500 * gib }, defaultStorageLimits),
    ).toBe(expected);
  });
});

describe("DiskGuard", () => {
  it("measures at its interval and tells of each change once", async () => {
    const clock = new FakeClock();
    const bus = new EventBus(log);
    const levels: string[] = [];
    bus.on("storage.level", ({ level }) => levels.push(level));
    let freeBytes = 50 * gib;
    let measured = 0;
    const guard = await DiskGuard.open({
      folder: "/data",
      clock,
      bus,
      log,
      intervalMs: 1000,
      measure: () => {
        measured++;
        return Promise.resolve({ freeBytes, totalBytes: 100 * gib });
      },
    });
    await guard.assertMayRecord();
    for (const free of [50 * gib, 900 * mib, 800 * mib, 100 * mib, 90 * mib, 40 * gib, 40 * gib]) {
      freeBytes = free;
      await clock.advanceAsync(1000);
    }
    expect(levels).toEqual(["low", "critical", "ok"]);
    freeBytes = 500 * mib;
    await expect(guard.assertMayRecord()).rejects.toMatchObject({ code: "storage_low" });
    freeBytes = 10 * mib;
    await expect(guard.assertMayRecord()).rejects.toMatchObject({ code: "storage_critical" });
    await guard.close();
    const before = measured;
    await clock.advanceAsync(10_000);
    expect(measured).toBe(before);
  });

  it("measures a real folder", async () => {
    const guard = await DiskGuard.open({
      folder: "/tmp",
      clock: new FakeClock(),
      bus: new EventBus(log),
      log,
    });
    expect(guard.state.totalBytes).toBeGreaterThan(guard.state.freeBytes);
    expect(guard.state.freeBytes).toBeGreaterThan(0);
    await guard.close();
  });

  it("does not start where nothing can be measured, and keeps the last state when it stops working", async () => {
    const common = { clock: new FakeClock(), bus: new EventBus(log), log };
    const failure = await DiskGuard.open({ ...common, folder: "/does/not/exist" }).catch(codeOf);
    expect(failure).toBe("storage_failed");
    let broken = false;
    const guard = await DiskGuard.open({
      ...common,
      folder: "/data",
      measure: () =>
        broken
          ? Promise.reject(new Error("gone"))
          : Promise.resolve({ freeBytes: 5 * gib, totalBytes: 9 * gib }),
    });
    broken = true;
    await expect(guard.assertMayRecord()).rejects.toMatchObject({ code: "storage_failed" });
    expect(guard.state).toMatchObject({ level: "ok", freeBytes: 5 * gib, totalBytes: 9 * gib });
    await guard.close();
  });
});
