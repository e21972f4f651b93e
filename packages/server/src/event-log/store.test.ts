import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openDatabase } from "../store/database.ts";
import type { EventRecord } from "./contract.ts";
import { EventStore, eventLogMigrations, openEventDatabase, type StoredRange } from "./store.ts";

const log = pino({ level: "silent" });
let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "ocelli-event-store-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

/** Every tenth is the end of an export, every thousandth the level of storage; one more clock step at the very end. */
function records(count: number): EventRecord[] {
  return Array.from({ length: count }, (_, i) => {
    const common = { seq: i + 1, atUs: 1_000_000 * (i + 1) };
    if (i === count - 1) return { ...common, name: "clock.step", payload: { stepUs: i } };
    if (i % 1000 === 5)
      return { ...common, name: "storage.level", payload: { level: "low", freeBytes: i, totalBytes: 2 } };
    const payload = { exportId: "e".repeat(200), filename: `${i}`, fraction: 1, state: "done" as const };
    if (i % 10 === 0) return { ...common, name: "export.progress", payload };
    return {
      ...common,
      name: "recording.recovered",
      payload: { filename: `${i}`, cameraId: "camera0", frames: i, resumed: false },
    };
  });
}

function open(): EventStore {
  return new EventStore(openEventDatabase(join(dir, "events.db"), log));
}

describe("the stored events", () => {
  it("are found by name and time, in both directions", () => {
    const all = records(3000);
    const store = open();
    store.append(all);
    const reference = ({ afterSeq, names, fromUs = 0, untilUs = 9e15 }: StoredRange): EventRecord[] =>
      all.filter(
        ({ seq, name, atUs }) =>
          seq > afterSeq && atUs >= fromUs && atUs <= untilUs && (names?.includes(name) ?? true),
      );
    const ranges: StoredRange[] = [
      { afterSeq: 0, limit: 7, names: undefined },
      { afterSeq: 2990, limit: 100, names: undefined },
      { afterSeq: 0, limit: 10, names: undefined, untilUs: 50e6 },
      { afterSeq: 10, limit: 10, names: undefined, fromUs: 500e6, untilUs: 2000e6 },
      { afterSeq: 0, limit: 50, names: ["clock.step", "storage.level"] },
      { afterSeq: 4, limit: 25, names: ["storage.level", "export.progress"], fromUs: 100e6 },
      { afterSeq: 0, limit: 10, names: ["system.startup"] },
      { afterSeq: 0, limit: 10, names: [] },
    ];
    for (const range of ranges) {
      const wanted = reference(range);
      expect(store.forward(range)).toEqual(wanted.slice(0, range.limit));
      expect(store.backward(range)).toEqual(wanted.slice(-range.limit).reverse());
    }
    store.close();
  });

  it("of a rare name are found without reading the others", () => {
    const store = open();
    store.append(records(20_000));
    const took = (work: () => readonly EventRecord[], found: number): number => {
      expect(work()).toHaveLength(found);
      const times = Array.from({ length: 5 }, () => {
        const from = performance.now();
        work();
        return performance.now() - from;
      });
      return Math.min(...times);
    };
    const everything = took(() => store.forward({ afterSeq: 0, limit: 20_000, names: undefined }), 20_000);
    expect(
      took(() => store.backward({ afterSeq: 0, limit: 2000, names: ["storage.level"] }), 20),
    ).toBeLessThan(everything / 20);
    store.close();
  });

  it("of an earlier version of the hub are found as well", () => {
    const path = join(dir, "events.db");
    const old = openDatabase(path, eventLogMigrations.slice(0, 1));
    old.exec(`INSERT INTO events VALUES (1, 5, 'clock.step', '{"stepUs":3}')`);
    old.close();
    const store = open();
    expect(store.forward({ afterSeq: 0, limit: 5, names: ["clock.step"] })).toEqual([
      { seq: 1, atUs: 5, name: "clock.step", payload: { stepUs: 3 } },
    ]);
    store.close();
  });
});
