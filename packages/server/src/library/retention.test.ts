import { existsSync, mkdtempSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, describe, expect, it } from "vitest";
import { FakeClock } from "../clock/fake-clock.ts";
import { EventBus } from "../events/bus.ts";
import { openDatabase } from "../store/database.ts";
import type { MediaKind, StorageState } from "./contract.ts";
import { MediaLibrary } from "./library.ts";
import type { OldMedium } from "./oldest-first.ts";
import { Retention, type RetentionLibrary } from "./retention.ts";
import { limitsOf, type RetentionPolicy, retentionMigrations } from "./retention-policy.ts";
import { makeSidecar } from "./testing/make-sidecar.ts";

const log = pino({ level: "silent" });
const mebibyte = 2 ** 20;
const dayUs = 86_400_000_000;
const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function open(options: { folder?: string } = {}) {
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), "ocelli-retention-"));
  cleanups.push(() => rmSync(folder, { recursive: true, force: true }));
  const clock = new FakeClock();
  const bus = new EventBus(log);
  const library = await MediaLibrary.open({
    recordingsFolder: join(folder, "recordings"),
    snapshotsFolder: join(folder, "snapshots"),
    indexPath: join(folder, "index.db"),
    clock,
    log,
    sync: false,
  });
  const disk = { freeBytes: 1000 * mebibyte, frees: true };
  const storage = {
    get state(): StorageState {
      return {
        level: "ok",
        freeBytes: disk.freeBytes,
        totalBytes: 2000 * mebibyte,
        lowBytes: 100 * mebibyte,
        criticalBytes: 40 * mebibyte,
      };
    },
    check: async () => storage.state,
    assertMayRecord: async () => undefined,
  };
  const database = openDatabase(join(folder, "hub.db"), retentionMigrations);
  const deleted: string[] = [];
  const watched: RetentionLibrary = {
    unfinished: () => library.unfinished(),
    usageByCamera: (kind) => library.usageByCamera(kind),
    oldest: (kind, cameraId, limit, after) => library.oldest(kind, cameraId, limit, after),
    async delete(kind, filename) {
      const { bytes } = library.get(kind, filename);
      await library.delete(kind, filename);
      deleted.push(filename);
      if (disk.frees) disk.freeBytes += bytes;
    },
  };
  const needed = new Set<string>();
  const lines: string[] = [];
  const retention = new Retention({
    ...{ library: watched, storage, database, clock, bus, filesPerPass: 3 },
    isNeeded: (filename) => needed.has(filename),
    log: pino({}, { write: (line: string) => void lines.push(line) }),
  });
  cleanups.push(async () => {
    await retention.close();
    await library.close();
    database.close();
  });
  return {
    ...{ folder, clock, bus, library, retention, deleted, disk, needed, lines },
    async add(
      kind: MediaKind,
      filename: string,
      how: { ageDays: number; bytes?: number; cameraId?: string; state?: "recording" },
    ) {
      const path = join(library.folder(kind), filename);
      writeFileSync(path, Buffer.alloc(how.bytes ?? 10));
      const at = new Date((clock.wallUs() - how.ageDays * dayUs) / 1000);
      utimesSync(path, at, at);
      await library.put(
        makeSidecar(kind, filename, {
          cameraId: how.cameraId ?? "camera0",
          state: how.state ?? "complete",
        }),
      );
    },
    set: (policy: RetentionPolicy, cameraId?: string) => retention.set({ cameraId, policy }),
  };
}

describe("retention", () => {
  it("deletes nothing without a policy, with one that is off, or with a manual one", async () => {
    const hub = await open();
    await hub.add("recording", "old.mp4", { ageDays: 4000 });
    hub.clock.advance(60_000);
    expect(await hub.retention.cleanup()).toMatchObject({ recordings: 0, partial: false });
    hub.set({ type: "age", enabled: false, maxAgeDays: 1 });
    expect(await hub.retention.cleanup()).toMatchObject({ recordings: 0 });
    hub.set({ type: "manual", enabled: true, maxAgeDays: 1, maxSizeGb: 1e-9 });
    expect(await hub.retention.cleanup()).toMatchObject({ recordings: 0 });
    expect(hub.deleted).toEqual([]);
  });

  it("deletes what is older than the limit, both kinds, oldest first, with their sidecars", async () => {
    const hub = await open();
    await hub.add("recording", "b.mp4", { ageDays: 9 });
    await hub.add("snapshot", "a.jpg", { ageDays: 10, bytes: 7 });
    await hub.add("recording", "new.mp4", { ageDays: 6.9 });
    await hub.add("recording", "c.mp4", { ageDays: 8 });
    await hub.add("recording", "d.mp4", { ageDays: 7.1 });
    const told: unknown[] = [];
    hub.bus.on("retention.deleted", (payload) => told.push(payload));
    hub.set({ type: "age", enabled: true, maxAgeDays: 7, maxSizeGb: 1e-9 });
    expect(await hub.retention.cleanup()).toEqual({
      recordings: 3,
      snapshots: 1,
      bytes: 37,
      kept: 0,
      partial: false,
    });
    expect(hub.deleted).toEqual(["a.jpg", "b.mp4", "c.mp4", "d.mp4"]);
    // Three files a pass.
    expect(told).toEqual([
      { recordings: 2, snapshots: 1, bytes: 27, reasons: ["age"] },
      { recordings: 1, snapshots: 0, bytes: 10, reasons: ["age"] },
    ]);
    expect(existsSync(join(hub.folder, "snapshots", "a.jpg.json"))).toBe(false);
    expect(existsSync(join(hub.folder, "recordings", "new.mp4"))).toBe(true);
  });

  it("keeps to a size, counting what is being written but never deleting it", async () => {
    const hub = await open();
    await hub.add("recording", "growing.mp4", { ageDays: 30, bytes: 600, state: "recording" });
    for (const [index, name] of ["a", "b", "c", "d"].entries()) {
      await hub.add("recording", `${name}.mp4`, { ageDays: 20 - index, bytes: 200 });
    }
    hub.set({ type: "size", enabled: true, maxSizeGb: 1000 / 2 ** 30 });
    await hub.retention.cleanup();
    expect(hub.deleted).toEqual(["a.mp4", "b.mp4"]);
    expect(statSync(join(hub.folder, "recordings", "growing.mp4")).size).toBe(600);
  });

  it("keeps room free by itself, more than recordings need to start", async () => {
    const hub = await open();
    for (const name of ["a", "b", "c", "d", "e"])
      await hub.add("recording", `${name}.mp4`, { ageDays: 5, bytes: mebibyte });
    hub.set({ type: "free", enabled: true, minFreeGb: 50 / 1024 });
    hub.clock.advance(5000);
    for (let i = 0; i < 20; i++) await turn();
    expect(hub.deleted).toEqual([]);
    hub.disk.freeBytes = 111 * mebibyte;
    hub.clock.advance(5000);
    const gone = Promise.withResolvers<void>();
    const off = hub.bus.on("retention.deleted", () => hub.deleted.length >= 4 && gone.resolve());
    await gone.promise;
    off();
    await hub.retention.cleanup();
    // 115 MiB: 15 % above the level at which no recording starts.
    expect(hub.disk.freeBytes).toBe(115 * mebibyte);
    expect(hub.deleted).toHaveLength(4);
  });

  it("does not go on when deleting frees nothing", async () => {
    const hub = await open();
    for (let i = 0; i < 8; i++) await hub.add("recording", `${i}.mp4`, { ageDays: 5, bytes: 1000 });
    hub.set({ type: "free", enabled: true });
    hub.disk.frees = false;
    hub.disk.freeBytes = mebibyte;
    await hub.retention.cleanup();
    expect(hub.deleted).toHaveLength(3);
    hub.clock.advance(30_000);
    expect(await hub.retention.cleanup()).toMatchObject({ recordings: 0 });
    hub.clock.advance(31_000);
    await hub.retention.cleanup();
    expect(hub.deleted.length).toBeGreaterThan(3);
  });

  it("lets a camera have a policy of its own, and takes it back", async () => {
    const hub = await open();
    await hub.add("recording", "mine.mp4", { ageDays: 20, cameraId: "camera1" });
    await hub.add("recording", "theirs.mp4", { ageDays: 20 });
    hub.set({ type: "age", enabled: true, maxAgeDays: 10 });
    hub.set({ type: "age", enabled: true, maxAgeDays: 100 }, "camera1");
    await hub.retention.cleanup();
    expect(hub.deleted).toEqual(["theirs.mp4"]);
    hub.set({ type: "manual", enabled: false }, "camera1");
    await hub.retention.cleanup();
    expect(hub.deleted).toEqual(["theirs.mp4", "mine.mp4"]);
  });

  it("spares what is being exported, and goes on past what cannot be deleted", async () => {
    const hub = await open();
    await hub.add("recording", "exported.mp4", { ageDays: 21 });
    await hub.add("recording", "other.mp4", { ageDays: 20 });
    hub.set({ type: "age", enabled: true, maxAgeDays: 10 });
    const progress = { exportId: "x", filename: "exported.mp4", fraction: 0.5 } as const;
    hub.bus.emit("export.progress", { ...progress, state: "running" });
    await hub.retention.cleanup();
    expect(hub.deleted).toEqual(["other.mp4"]);
    hub.bus.emit("export.progress", { ...progress, state: "done" });
    await hub.retention.cleanup();
    expect(hub.deleted).toEqual(["other.mp4", "exported.mp4"]);
  });

  it("spares a recording that is still needed, says so once, and deletes it when it is not", async () => {
    const hub = await open();
    for (const name of ["waits", "other"]) await hub.add("recording", `${name}.mp4`, { ageDays: 20 });
    // A snapshot of that name is another thing.
    await hub.add("snapshot", "waits.jpg", { ageDays: 20 });
    hub.needed.add("waits.mp4").add("waits.jpg");
    hub.set({ type: "all", enabled: true, maxAgeDays: 10, maxSizeGb: 1e-9, minFreeGb: 1e-9 });
    for (let i = 0; i < 2; i++) expect(await hub.retention.cleanup()).toMatchObject({ kept: 1 });
    expect(hub.deleted.toSorted()).toEqual(["other.mp4", "waits.jpg"]);
    expect(hub.lines.filter((line) => line.includes("until they have been uploaded"))).toHaveLength(1);
    hub.needed.clear();
    expect(await hub.retention.cleanup()).toMatchObject({ recordings: 1, kept: 0 });
  });

  it("takes a recording that is still needed only when recordings are about to end, last, and as few as will do", async () => {
    const hub = await open();
    for (const [index, name] of ["waits0", "waits1", "waits2", "other"].entries()) {
      await hub.add("recording", `${name}.mp4`, { ageDays: 20 - index, bytes: 5 * mebibyte });
      if (name !== "other") hub.needed.add(`${name}.mp4`);
    }
    hub.set({ type: "free", enabled: true });
    hub.disk.freeBytes = 41 * mebibyte;
    expect(await hub.retention.cleanup()).toMatchObject({ recordings: 1, kept: 3 });
    expect(hub.deleted).toEqual(["other.mp4"]);
    hub.disk.freeBytes = 37 * mebibyte;
    expect(await hub.retention.cleanup()).toMatchObject({ recordings: 2, kept: 1 });
    // 46 MiB: 15 % above the level at which recordings end.
    expect(hub.deleted).toEqual(["other.mp4", "waits0.mp4", "waits1.mp4"]);
    expect(hub.lines.filter((line) => line.includes("before it had been uploaded"))).toHaveLength(2);
  });

  it("keeps its policies across a restart", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ocelli-retention-"));
    const first = await open({ folder });
    first.set({ type: "all", enabled: true, maxAgeDays: 3, minFreeGb: 2 });
    first.set({ type: "size", enabled: true, maxSizeGb: 5 }, "camera4");
    await first.retention.close();
    await first.library.close();
    const again = await open({ folder });
    expect(again.retention.policies()).toEqual([
      { cameraId: undefined, policy: { type: "all", enabled: true, maxAgeDays: 3, minFreeGb: 2 } },
      { cameraId: "camera4", policy: { type: "size", enabled: true, maxSizeGb: 5 } },
    ]);
  });

  it("refuses policies that lack what they need", async () => {
    const hub = await open();
    for (const policy of [
      { type: "age", enabled: true },
      { type: "size", enabled: true, maxAgeDays: 4 },
      { type: "all", enabled: true },
    ] as const) {
      expect(() => hub.set(policy)).toThrowError(expect.objectContaining({ code: "invalid_params" }));
    }
    expect(() => hub.set({ type: "free", enabled: true }, "camera0")).toThrow(/whole disk/);
  });

  it("reads of 100,000 files only those it takes", async () => {
    const clock = new FakeClock();
    const asked: number[] = [];
    const files: OldMedium[] = Array.from({ length: 100_000 }, (_, id) => ({
      ...{ id, kind: "recording", filename: `${id}.mp4`, cameraId: "camera0", bytes: 10 },
      modifiedAtUs: id,
    }));
    const library: RetentionLibrary = {
      unfinished: () => [],
      usageByCamera: (kind) => (kind === "recording" ? [{ cameraId: "camera0", bytes: 1_000_000 }] : []),
      oldest(kind, _cameraId, limit, after) {
        if (kind === "snapshot") return [];
        asked.push(limit);
        const from = after === undefined ? 0 : after.id + 1;
        return files.slice(from, from + limit);
      },
      delete: async () => undefined,
    };
    const storage = {
      state: { level: "ok", freeBytes: 1, totalBytes: 2 } as const,
      check: async () => storage.state,
      assertMayRecord: async () => undefined,
    };
    const database = openDatabase(":memory:", retentionMigrations);
    const bus = new EventBus(log);
    const retention = new Retention({ library, storage, database, clock, bus, log, cleanupMs: 0 });
    retention.set({ cameraId: undefined, policy: { type: "age", enabled: true, maxAgeDays: 1 } });
    expect(await retention.cleanup()).toMatchObject({ recordings: 200, partial: true });
    expect(asked.reduce((sum, limit) => sum + limit, 0)).toBeLessThan(250);
    await retention.close();
    database.close();
  });

  it("knows the limits of each type", () => {
    const all = { enabled: true, maxAgeDays: 1, maxSizeGb: 1, minFreeGb: 1 };
    expect(limitsOf({ ...all, type: "age" }, 0)).toEqual({ maxAgeUs: dayUs });
    expect(limitsOf({ ...all, type: "size" }, 0)).toEqual({ maxBytes: 2 ** 30 });
    expect(limitsOf({ ...all, type: "free" }, 2 ** 31)).toEqual({ minFreeBytes: 2 ** 31 * 1.15 });
    expect(limitsOf({ ...all, type: "manual" }, 0)).toEqual({});
    expect(limitsOf(undefined, 0)).toEqual({});
  });
});
