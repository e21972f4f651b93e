import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { SystemClock } from "./system-clock.ts";

describe("SystemClock", () => {
  it("reads the wall clock of the machine", () => {
    const clock = new SystemClock();
    const before = Number(execFileSync("date", ["+%s%6N"]).toString());
    const wall = clock.wallUs();
    const after = Number(execFileSync("date", ["+%s%6N"]).toString());
    clock.close();
    expect(wall).toBeGreaterThan(before);
    expect(wall).toBeLessThan(after);
  });

  it("reads CLOCK_MONOTONIC and maps it to the wall clock", () => {
    const clock = new SystemClock();
    const python = "import time; print(time.clock_gettime_ns(time.CLOCK_MONOTONIC))";
    const before = clock.monoUs();
    const between = Number(execFileSync("python3", ["-c", python]).toString()) / 1000;
    const mono = clock.monoUs();
    expect(between).toBeGreaterThan(before);
    expect(between).toBeLessThan(mono);
    const wallBefore = clock.wallUs();
    const mapped = clock.monoToWallUs(clock.monoUs());
    const wallAfter = clock.wallUs();
    expect(mapped).toBeGreaterThan(wallBefore - 1000);
    expect(mapped).toBeLessThan(wallAfter + 1000);
    clock.close();
  });

  it("runs timers, cancels them, and aborts a sleep", async () => {
    const clock = new SystemClock();
    const calls: string[] = [];
    clock.after(5, () => calls.push("cancelled"))();
    const aborter = new AbortController();
    const aborted = clock.sleep(60_000, aborter.signal);
    aborter.abort(new Error("enough"));
    await expect(aborted).rejects.toThrow("enough");
    await new Promise<void>((resolve) => {
      const cancel = clock.every(2, () => {
        if (calls.push("every") < 3) return;
        cancel();
        resolve();
      });
    });
    await clock.sleep(10);
    expect(calls).toEqual(["every", "every", "every"]);
    clock.close();
  });

  it("waits longer than one timer of node can", async () => {
    const clock = new SystemClock();
    let called = false;
    const cancel = clock.after(2 ** 31 + 1000, () => {
      called = true;
    });
    await clock.sleep(20);
    expect(called).toBe(false);
    cancel();
    clock.close();
  });
});
