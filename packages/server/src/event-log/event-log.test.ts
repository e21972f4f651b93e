import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FakeClock } from "../clock/fake-clock.ts";
import { EventBus } from "../events/bus.ts";
import type { EventRecord } from "./contract.ts";
import { EventLog, type EventLogOptions } from "./event-log.ts";
import { openEventDatabase } from "./store.ts";

const log = pino({ level: "silent" });
const dayMs = 86_400_000;
let dir: string;
let clock: FakeClock;
let bus: EventBus;
let opened: EventLog[];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "ocelli-events-"));
  clock = new FakeClock();
  bus = new EventBus(log);
  opened = [];
});
afterEach(() => {
  for (const one of opened) one.close();
  rmSync(dir, { recursive: true, force: true });
});

function open(more: Partial<EventLogOptions> = {}): EventLog {
  const database = openEventDatabase(join(dir, "events.db"), log);
  const events = new EventLog({ database, bus, clock, log, ...more });
  opened.push(events);
  return events;
}
const step = (stepUs: number): void => bus.emit("clock.step", { stepUs });
const steps = (records: readonly EventRecord[]): unknown[] =>
  records.map((one) => (one.name === "clock.step" ? one.payload.stepUs : one.name));

describe("the event log", () => {
  it("numbers events in order, tells them, and gives them back", () => {
    const events = open();
    const told: EventRecord[] = [];
    events.on((record) => told.push(record));
    bus.emit("storage.level", { level: "low", freeBytes: 1, totalBytes: 2 });
    clock.advance(1000);
    step(5);
    expect(told.map((one) => one.seq)).toEqual([1, 2]);
    expect(events.read({ after: 0, limit: 10 })).toEqual(told);
    expect(events.read({ after: 1, limit: 10 })).toEqual([told[1]]);
    expect(events.read({ after: 0, limit: 10, names: ["clock.step"] })).toEqual([told[1]]);
    expect(events.newest({ limit: 1 })).toEqual([told[1]]);
    expect((told[1]?.atUs ?? 0) - (told[0]?.atUs ?? 0)).toBe(1_000_000);
  });

  it("numbers an event that a listener causes after its cause", () => {
    const events = open();
    bus.on("clock.step", ({ stepUs }) => {
      if (stepUs === 1) step(2);
    });
    step(1);
    expect(steps(events.read({ after: 0, limit: 10 }))).toEqual([1, 2]);
  });

  it("goes on where it ended, and beyond it after a crash", () => {
    open().close();
    const first = open();
    step(1);
    step(2);
    first.close();
    const second = open();
    expect(second.latestSeq).toBe(2);
    step(3);
    clock.advance(100);
    // No close: what was told but not written must not be numbered again.
    bus.emit("recording.recovered", { filename: "x", cameraId: "camera0", frames: 1, resumed: false });
    const crashed = second.latestSeq;
    const third = new EventLog({
      database: openEventDatabase(join(dir, "events.db"), log),
      bus: new EventBus(log),
      clock,
      log,
    });
    opened.push(third);
    expect(third.latestSeq).toBeGreaterThanOrEqual(crashed);
    expect(steps(third.read({ after: 1, limit: 10 }))).toEqual([2, 3]);
    expect(third.completeAfter).toBe(0);
  });

  it("gives transient events a number and forgets them", () => {
    const events = open();
    const told: number[] = [];
    events.on(({ seq }) => told.push(seq));
    step(1);
    bus.emit("export.progress", { exportId: "e", filename: "x", fraction: 0.5, state: "running" });
    step(2);
    expect(told).toEqual([1, 2, 3]);
    expect(events.read({ after: 0, limit: 10 }).map((one) => one.seq)).toEqual([1, 3]);
  });

  it("holds its bounds of age and size, and says from where on it is complete", () => {
    const events = open({ maxBytes: 2000, maxAgeMs: dayMs });
    step(1);
    clock.advance(2 * dayMs);
    step(2);
    clock.advance(60_000);
    expect(events.completeAfter).toBe(1);
    expect(steps(events.read({ after: 0, limit: 10 }))).toEqual([2]);
    for (let i = 0; i < 5000; i++) step(1000 + i);
    clock.advance(60_000);
    const kept = events.read({ after: 0, limit: 10_000 });
    expect(kept.length).toBeGreaterThan(50);
    expect(kept.length).toBeLessThan(150);
    expect(kept[0]?.seq).toBe(events.completeAfter + 1);
    expect(kept.at(-1)?.seq).toBe(events.latestSeq);
    events.close();
    expect(open().completeAfter).toBe(kept[0]?.seq === undefined ? 0 : kept[0].seq - 1);
  });

  it("reads from memory while the disk takes nothing, and tells what that cost", () => {
    const database = openEventDatabase(join(dir, "events.db"), log);
    const events = new EventLog({ database, bus, clock, log });
    opened.push(events);
    step(1);
    clock.advance(60);
    database.exec("PRAGMA query_only = ON");
    for (let i = 2; i <= 4; i++) step(i);
    clock.advance(60);
    expect(steps(events.read({ after: 0, limit: 10 }))).toEqual([1, 2, 3, 4]);
    expect(steps(events.newest({ limit: 2 }))).toEqual([3, 4]);
    for (let i = 0; i < 6000; i++) step(i);
    expect(events.read({ after: 4, limit: 10_000 })).toHaveLength(5000);
    expect(events.completeAfter).toBe(events.latestSeq - 5000);
    database.exec("PRAGMA query_only = OFF");
    clock.advance(60);
    step(9);
    const { completeAfter } = events;
    events.close();
    expect(open().completeAfter).toBe(completeAfter);
  });

  it("sets a damaged database aside", () => {
    writeFileSync(join(dir, "events.db"), "this is no database, whatever its name may say".repeat(100));
    const events = open();
    step(1);
    expect(steps(events.read({ after: 0, limit: 10 }))).toEqual([1]);
  });
});
