import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { cp, mkdtemp, readFile, rm, stat, unlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import pino from "pino";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { SystemClock } from "../clock/system-clock.ts";
import type { MediaKind, Sidecar } from "./contract.ts";
import { MediaLibrary } from "./library.ts";
import { MediaIndex } from "./media-index.ts";
import { makeFragments } from "./testing/make-fragments.ts";
import { makeSidecar } from "./testing/make-sidecar.ts";
import { writeRecording } from "./testing/write-recording.ts";

const log = pino({ level: "silent" });
let root: string;
let opened: MediaLibrary[] = [];

async function openLibrary(): Promise<MediaLibrary> {
  const library = await MediaLibrary.open({
    recordingsFolder: join(root, "recordings"),
    snapshotsFolder: join(root, "snapshots"),
    indexPath: join(root, "library.db"),
    clock: new SystemClock(),
    log,
  });
  opened.push(library);
  return library;
}

/** Adds a file of five bytes and its entry, as a recorder does. */
async function add(
  library: MediaLibrary,
  kind: MediaKind,
  wanted: string,
  changes: Partial<Sidecar> = {},
): Promise<string> {
  const filename = library.reserve(kind, wanted, kind === "recording" ? "mp4" : "jpg");
  await writeFile(join(library.folder(kind), filename), "media");
  await library.put(makeSidecar(kind, filename, changes));
  return filename;
}

const names = (library: MediaLibrary, kind: MediaKind = "recording"): string[] =>
  library.page(kind, { limit: 10_000, offset: 0 }).entries.map((entry) => entry.filename);

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "ocelli-library-"));
});
afterEach(async () => {
  await Promise.all(opened.map((library) => library.close()));
  opened = [];
  await rm(root, { recursive: true });
});

describe("entries", () => {
  it("are kept in a sidecar and in the index, with the size found on disk", async () => {
    const library = await openLibrary();
    const gaps = [{ fromUs: 1, toUs: 2, reason: "unplugged", missingFrames: 3 }];
    const filename = await add(library, "recording", "clip", { bytes: 999, gaps });
    expect(filename).toBe("clip.mp4");
    const sidecar: unknown = JSON.parse(await readFile(join(root, "recordings/clip.mp4.json"), "utf8"));
    expect(sidecar).toEqual(
      JSON.parse(JSON.stringify(makeSidecar("recording", filename, { bytes: 5, gaps }))),
    );
    const entry = library.get("recording", "clip");
    expect(entry).toEqual({
      ...makeSidecar("recording", filename, { bytes: 5, gaps }),
      path: join(root, "recordings/clip.mp4"),
      modifiedAtUs: Number((await stat(entry.path, { bigint: true })).mtimeNs / 1000n),
    });
    expect(library.get("recording", "clip.mp4")).toEqual(entry);
    expect(library.get("recording", entry.path)).toEqual(entry);
    expect(() => library.get("snapshot", "clip")).toThrow(/Snapshot file not found: clip/);
  });

  it.each(["../clip", "..", "/etc/passwd", "a/b", "nul\0", "clip.mp4/../clip.mp4", ""])(
    "never leave the folder for %j",
    async (name) => {
      const library = await openLibrary();
      await add(library, "recording", "clip");
      expect(() => library.get("recording", name)).toThrow(
        expect.objectContaining({ code: "invalid_filename" }),
      );
      await expect(library.delete("recording", name)).rejects.toMatchObject({ code: "invalid_filename" });
    },
  );

  it("come newest first, counted, by camera, without what is still written", async () => {
    const library = await openLibrary();
    for (let number = 0; number < 5; number++) {
      const filename = `clip${number}.mp4`;
      await writeFile(join(root, "recordings", filename), "media");
      await utimes(join(root, "recordings", filename), 1000, 1_700_000_000 + number);
      await library.put(makeSidecar("recording", filename, { cameraId: `camera${number % 2}` }));
    }
    await add(library, "recording", "running", { state: "recording" });
    await add(library, "snapshot", "still");
    expect(library.page("recording", { limit: 2, offset: 1 })).toMatchObject({
      total: 5,
      entries: [{ filename: "clip3.mp4" }, { filename: "clip2.mp4" }],
    });
    expect(library.page("recording", { limit: 9, offset: 0, cameraId: "camera1" })).toMatchObject({
      total: 2,
      entries: [{ filename: "clip3.mp4" }, { filename: "clip1.mp4" }],
    });
    expect(library.page("recording", { limit: 9, offset: 9 })).toEqual({ total: 5, entries: [] });
    const of = (...ids: string[]) =>
      library.page("recording", { limit: 9, offset: 0, cameraIds: new Set(ids) });
    const all = library.page("recording", { limit: 9, offset: 0 });
    const some = all.entries.filter(({ cameraId }) => cameraId === "camera1");
    expect(some.length).toBeGreaterThan(0);
    expect(of("camera1", "camera9")).toEqual({ total: some.length, entries: some });
    expect(of("camera0", "camera1", "camera2")).toEqual(all);
    expect(of()).toEqual({ total: 0, entries: [] });
    expect(
      library.page("recording", {
        limit: 2,
        offset: 1,
        cameraIds: new Set(["camera0", "camera1", "camera2"]),
      }).entries,
    ).toEqual(all.entries.slice(1, 3));
    expect(library.page("recording", { limit: 9, offset: 0, cameraId: "camera9" })).toEqual({
      total: 0,
      entries: [],
    });
    expect(library.usage("recording")).toEqual({ files: 5, bytes: 25 });
    expect(library.unfinished().map((entry) => entry.filename)).toEqual(["running.mp4"]);
    await library.put(makeSidecar("recording", "running.mp4"));
    expect(library.page("recording", { limit: 0, offset: 0 }).total).toBe(6);
    expect(library.unfinished()).toEqual([]);
  });

  it("have their gaps when asked for by name; pages are spared the long lists", async () => {
    const library = await openLibrary();
    const gaps = [{ fromUs: 5, toUs: 9, reason: "frames_dropped", missingFrames: 3 }];
    const clockSteps = [{ atUs: 7, stepUs: -2 }];
    await writeFile(join(root, "recordings", "bad.mp4"), "media");
    await library.put(makeSidecar("recording", "bad.mp4", { gaps, clockSteps }));
    const check = (): void => {
      expect(library.get("recording", "bad")).toMatchObject({ gaps, clockSteps, frames: 31 });
      expect(library.page("recording", { limit: 9, offset: 0 }).entries).toMatchObject([
        { filename: "bad.mp4", frames: 31, gaps: [], clockSteps: [] },
      ]);
    };
    check();
    await library.rebuild();
    check();
  });

  it("appear with the file they wait for, and leave nothing when it fails", async () => {
    const library = await openLibrary();
    const written = Promise.withResolvers<void>();
    const put = library.put(makeSidecar("snapshot", "a.jpg"), { after: written.promise });
    expect(names(library, "snapshot")).toEqual([]);
    written.reject(new Error("disk gone"));
    await expect(put).rejects.toThrow("disk gone");
    expect(readdirSync(join(root, "snapshots"))).toEqual([]);
    expect(names(library, "snapshot")).toEqual([]);
  });

  it("refuses a sidecar that breaks the contract", async () => {
    const library = await openLibrary();
    await expect(library.put(makeSidecar("recording", "a.mp4", { frames: -1 }))).rejects.toThrow();
    expect(readdirSync(join(root, "recordings"))).toEqual([]);
  });

  it("knows what a finished recording holds although the disk does not take its sidecar", async () => {
    const library = await openLibrary();
    await add(library, "recording", "full", { state: "recording", frames: 0 });
    rmSync(join(root, "recordings", "full.mp4.json"));
    // Nothing can take the place of a folder.
    mkdirSync(join(root, "recordings", "full.mp4.json", "in-the-way"), { recursive: true });
    const finished = makeSidecar("recording", "full.mp4", { state: "complete", frames: 284 });
    await expect(library.put(finished)).rejects.toMatchObject({ code: "storage_failed" });
    expect(library.get("recording", "full.mp4")).toMatchObject({ state: "complete", frames: 284 });
  });
});

describe("reserving a name", () => {
  it("never gives one that is on disk, in the index or given already", async () => {
    const library = await openLibrary();
    await add(library, "recording", "indexed");
    await unlink(join(root, "recordings/indexed.mp4"));
    await unlink(join(root, "recordings/indexed.mp4.json"));
    await writeFile(join(root, "recordings/ondisk.mp4"), "x");
    await writeFile(join(root, "recordings/half.mp4.json"), "{}");
    await writeFile(join(root, "recordings/times.mkv.frames"), "");
    expect(library.reserve("recording", "times", "mkv")).toBe("times_1.mkv");
    expect(library.reserve("recording", "indexed", "mp4")).toBe("indexed_1.mp4");
    expect(library.reserve("recording", "ondisk.mp4", "mp4")).toBe("ondisk_1.mp4");
    expect(library.reserve("recording", "half", "mp4")).toBe("half_1.mp4");
    expect(library.reserve("recording", "given", "mp4")).toBe("given.mp4");
    expect(library.reserve("recording", "given", "mp4")).toBe("given_1.mp4");
    expect(library.reserve("snapshot", "given", "jpg")).toBe("given.jpg");
    library.release("recording", "given.mp4");
    expect(library.reserve("recording", join(root, "recordings", "given.mp4"), "mp4")).toBe("given.mp4");
    expect(() => library.reserve("recording", "/tmp/x", "mp4")).toThrow(
      expect.objectContaining({ code: "invalid_filename" }),
    );
  });

  it("gives every one of many its own", async () => {
    const library = await openLibrary();
    const given = Array.from({ length: 500 }, () => library.reserve("snapshot", "shot", "jpg"));
    expect(new Set(given).size).toBe(500);
    expect(given.slice(0, 3)).toEqual(["shot.jpg", "shot_1.jpg", "shot_2.jpg"]);
  });
});

describe("deleting", () => {
  it("removes file, sidecar and row, once", async () => {
    const library = await openLibrary();
    await add(library, "recording", "a");
    await add(library, "recording", "b");
    const both = await Promise.allSettled([
      library.delete("recording", "a"),
      library.delete("recording", "a.mp4"),
    ]);
    expect(both.map((one) => one.status).sort()).toEqual(["fulfilled", "rejected"]);
    expect(readdirSync(join(root, "recordings")).sort()).toEqual(["b.mp4", "b.mp4.json"]);
    expect(library.page("recording", { limit: 9, offset: 0 })).toMatchObject({ total: 1 });
    await expect(library.delete("recording", "a")).rejects.toMatchObject({ code: "file_not_found" });
  });

  it("refuses a file that is being written", async () => {
    const library = await openLibrary();
    await add(library, "recording", "running", { state: "recording" });
    await expect(library.delete("recording", "running")).rejects.toMatchObject({ code: "file_in_use" });
    expect(existsSync(join(root, "recordings/running.mp4"))).toBe(true);
    await library.put(makeSidecar("recording", "running.mp4", { state: "failed" }));
    await library.delete("recording", "running");
    expect(readdirSync(join(root, "recordings"))).toEqual([]);
  });

  it("does not guess among a recording and its copies", async () => {
    const library = await openLibrary();
    await add(library, "recording", "take");
    await writeFile(join(library.folder("recording"), "take.mkv"), "copy");
    await library.put(makeSidecar("recording", "take.mkv", { format: "mkv" }));
    expect(library.get("recording", "take").filename).toBe("take.mp4");
    await expect(library.delete("recording", "take")).rejects.toMatchObject({
      code: "invalid_filename",
      message: expect.stringContaining("take.mkv"),
    });
    await library.delete("recording", "take.mkv");
    await library.delete("recording", "take");
    expect(library.page("recording", { limit: 10, offset: 0 }).total).toBe(0);
  });

  it("finds a file under the name of the copy that is to replace it, and keeps that name for the copy", async () => {
    const library = await openLibrary();
    const mkv = join(library.folder("recording"), "take.mkv");
    await add(library, "recording", "other");
    expect(library.reserve("recording", "take", "mp4", "mkv")).toBe("take.mp4");
    expect(library.reserve("recording", "take", "mkv")).toBe("take_1.mkv");
    await writeFile(join(library.folder("recording"), "take.mp4"), "media");
    await library.put(makeSidecar("recording", "take.mp4", { state: "recording", becomes: "take.mkv" }));
    expect(library.get("recording", "take.mkv").filename).toBe("take.mp4");
    expect(() => library.get("recording", "take.ts")).toThrow(/take\.ts/);
    expect(library.reserve("recording", "take", "mkv")).toBe("take_2.mkv");
    await expect(library.delete("recording", "take.mkv")).rejects.toMatchObject({ code: "file_in_use" });
    await library.put(makeSidecar("recording", "take.mp4", { becomes: "take.mkv" }));
    await library.close();

    const again = await openLibrary();
    const entry = again.get("recording", "take.mkv");
    expect(again.reserve("recording", "take", "mkv")).toBe("take_1.mkv");
    expect(again.reserveCopy(entry, "ts")).toBe("take.ts");
    expect(again.reserveCopy(entry, "mkv")).toBe("take.mkv");
    expect(again.reserveCopy(entry, "mkv")).toBe("take_2.mkv");
    expect(again.reserveCopy(again.get("recording", "other"), "mkv")).toBe("other.mkv");
    await writeFile(mkv, "copy");
    await again.put(makeSidecar("recording", "take.mkv", { format: "mkv" }));
    expect(again.get("recording", "take.mkv").filename).toBe("take.mkv");
    await again.delete("recording", "take.mkv");
    await again.delete("recording", "take.mkv");
    expect(again.reserve("recording", "take", "mkv")).toBe("take.mkv");
  });

  it("forgets a file that somebody removed by hand", async () => {
    const library = await openLibrary();
    await add(library, "recording", "a");
    await unlink(join(root, "recordings/a.mp4"));
    expect(() => library.get("recording", "a")).toThrow(expect.objectContaining({ code: "file_not_found" }));
    expect(names(library)).toEqual([]);
  });
});

describe("the index", () => {
  it("is made again from the sidecars when its file is gone", async () => {
    const first = await openLibrary();
    for (let number = 0; number < 250; number++) await add(first, "recording", `clip${number}`);
    await add(first, "snapshot", "still");
    await add(first, "recording", "running", { state: "recording" });
    const before = first.page("recording", { limit: 1000, offset: 0 });
    await first.close();
    for (const suffix of ["", "-wal", "-shm"]) await rm(join(root, `library.db${suffix}`), { force: true });
    const second = await openLibrary();
    const after = second.page("recording", { limit: 1000, offset: 0 });
    expect(after.total).toBe(250);
    const byName = (a: { filename: string }, b: { filename: string }) => (a.filename < b.filename ? -1 : 1);
    expect([...after.entries].sort(byName)).toEqual([...before.entries].sort(byName));
    expect(names(second, "snapshot")).toEqual(["still.jpg"]);
    expect(second.unfinished().map((entry) => entry.filename)).toEqual(["running.mp4"]);
    expect(second.usage("recording")).toEqual({ files: 250, bytes: 1250 });
  });

  it.each([
    ["no database at all", (path: string) => writeFileSync(path, "this is no database".repeat(1000))],
    [
      "pages overwritten",
      (path: string) => {
        const bytes = readFileSync(path);
        bytes.fill(0xa5, 4096, bytes.length - 4096);
        writeFileSync(path, bytes);
      },
    ],
    ["cut off", (path: string) => truncateSync(path, Math.floor(readFileSync(path).length / 2))],
  ])("is set aside when damaged (%s), and nothing is lost", async (_, damage) => {
    const first = await openLibrary();
    for (let number = 0; number < 60; number++) await add(first, "recording", `clip${number}`);
    const before = names(first).sort();
    await first.close();
    damage(join(root, "library.db"));
    const second = await openLibrary();
    await second.rebuild();
    expect(names(second).sort()).toEqual(before);
    expect(readdirSync(root).some((name) => name.startsWith("library.db.damaged-"))).toBe(true);
    await add(second, "recording", "more");
    expect(second.get("recording", "more").state).toBe("complete");
  });

  it("follows what was done to the folders by hand", async () => {
    const library = await openLibrary();
    await library.ready;
    for (const name of ["a", "b", "c"]) await add(library, "recording", name);
    await unlink(join(root, "recordings/a.mp4"));
    await unlink(join(root, "recordings/b.mp4"));
    await unlink(join(root, "recordings/b.mp4.json"));
    await cp(join(root, "recordings/c.mp4"), join(root, "recordings/renamed.mp4"));
    await cp(join(root, "recordings/c.mp4.json"), join(root, "recordings/renamed.mp4.json"));
    await writeFile(join(root, "recordings/notes.txt"), "not a medium");
    await writeFile(join(root, "recordings/.tmp-x.mp4"), "left by a crash");
    expect(await library.rebuild()).toEqual({ added: 1, removed: 2 });
    expect(names(library).sort()).toEqual(["c.mp4", "renamed.mp4"]);
    expect(library.get("recording", "renamed").cameraName).toBe("Test camera");
    expect(await library.rebuild()).toEqual({ added: 0, removed: 0 });
  });

  it("is right after entries came and went while it was being rebuilt", async () => {
    const library = await openLibrary();
    for (let number = 0; number < 300; number++) await add(library, "recording", `old${number}`);
    let rebuilding = true;
    const rebuilds = (async () => {
      for (let round = 0; round < 3; round++) await library.rebuild();
      rebuilding = false;
    })();
    let number = 0;
    while (rebuilding) {
      await add(library, "recording", `new${number}`, { state: "recording" });
      await library.put(makeSidecar("recording", `new${number}.mp4`, { endReason: "second" }));
      if (number < 300) await library.delete("recording", `old${number}`);
      if (number % 2 === 0) await library.delete("recording", `new${number}`);
      number++;
    }
    await rebuilds;
    expect(number).toBeGreaterThan(3);
    const onDisk = readdirSync(join(root, "recordings")).filter((name) => name.endsWith(".mp4"));
    expect(names(library).sort()).toEqual(onDisk.sort());
    expect(library.page("recording", { limit: 1, offset: 0 }).total).toBe(onDisk.length);
    for (const name of onDisk.filter((one) => one.startsWith("new"))) {
      expect(library.get("recording", name).endReason).toBe("second");
    }
  });

  it("can be closed in the middle of a rebuild", async () => {
    const first = await openLibrary();
    for (let number = 0; number < 300; number++) await add(first, "recording", `clip${number}`);
    const rebuild = first.rebuild();
    rebuild.catch(() => undefined);
    await first.close();
    const second = await openLibrary();
    await second.rebuild();
    expect(names(second)).toHaveLength(300);
  });

  it("gives the same pages from whichever end they are reached", async () => {
    const index = new MediaIndex(join(root, "pages.db"));
    // Many of the same moment, a camera apart, and some that are still being written.
    for (let number = 0; number < 203; number++) {
      const state = number % 20 === 0 ? "recording" : "complete";
      const sidecar = makeSidecar("recording", `clip${number}.mp4`, {
        cameraId: `camera${number % 3}`,
        state,
      });
      index.put(sidecar, { bytes: 1, modifiedAtUs: 1e15 + (number % 7), sidecarStamp: "" });
    }
    const finished = index
      .page("recording", 1000, 0)
      .toSorted((a, b) => b.modifiedAtUs - a.modifiedAtUs || b.id - a.id);
    expect(finished).toHaveLength(192);
    for (const camera of [undefined, "camera1"]) {
      const expected = finished
        .filter((row) => camera === undefined || JSON.parse(row.sidecar).cameraId === camera)
        .map(({ filename }) => filename);
      for (const limit of [1, 7, 100, 1000]) {
        for (let offset = 0; offset <= expected.length + 3; offset++) {
          const page = index.page("recording", limit, offset, camera).map(({ filename }) => filename);
          expect(page).toEqual(expected.slice(offset, offset + limit));
        }
      }
      expect(index.page("recording", 0, 5, camera)).toEqual([]);
    }
    index.close();
  });

  it("keeps pages quick with 100,000 entries", async () => {
    const index = new MediaIndex(join(root, "large.db"));
    index.transaction(() => {
      for (let number = 0; number < 100_000; number++) {
        index.put(makeSidecar("recording", `clip${number}.mp4`, { cameraId: `camera${number % 4}` }), {
          bytes: 1000,
          modifiedAtUs: 1_736_951_400_000_000 + ((number * 7919) % 100_000),
          sidecarStamp: "1:2:3",
        });
      }
    });
    const time = (what: string, work: () => unknown): void => {
      work();
      const started = performance.now();
      for (let round = 0; round < 20; round++) work();
      console.log(`${what}: ${((performance.now() - started) / 20).toFixed(3)} ms`);
    };
    time("first page of 50", () => index.page("recording", 50, 0));
    time("page of 50 at 50,000", () => index.page("recording", 50, 50_000));
    time("page of 50 at 99,950", () => index.page("recording", 50, 99_950));
    time("page of one camera", () => index.page("recording", 50, 100, "camera2"));
    time("count", () => index.usage("recording"));
    time("by name", () => index.byName("recording", "clip77777.mp4"));
    time("by stem", () => index.byStem("recording", "clip77777"));
    const all: number[] = [];
    for (let offset = 0; offset < 100_000; offset += 10_000) {
      all.push(...index.page("recording", 10_000, offset).map((row) => row.modifiedAtUs));
    }
    expect(all).toHaveLength(100_000);
    expect(all.every((at, position) => position === 0 || at <= (all[position - 1] ?? 0))).toBe(true);
    expect(index.usage("recording")).toEqual({ files: 100_000, bytes: 100_000_000 });
    expect(index.usage("recording", "camera3")).toEqual({ files: 25_000, bytes: 25_000_000 });
    index.close();
  });
});

describe("a crash", () => {
  it("of the hub while adding loses no entry that was acknowledged", async () => {
    const child = spawn(
      process.execPath,
      [fileURLToPath(new URL("testing/adding-child.ts", import.meta.url)), root],
      {
        stdio: ["ignore", "pipe", "inherit"],
      },
    );
    const exited = once(child, "exit");
    const acknowledged: string[] = [];
    for await (const line of createInterface({ input: child.stdout })) {
      acknowledged.push(line);
      if (acknowledged.length === 60) child.kill("SIGKILL");
    }
    await exited;
    expect(acknowledged.length).toBeGreaterThanOrEqual(60);
    const library = await openLibrary();
    await library.rebuild();
    const found = new Set(names(library));
    expect(acknowledged.filter((name) => !found.has(name))).toEqual([]);
    // Nothing torn: every sidecar can be read, every entry has its file.
    for (const name of readdirSync(join(root, "recordings")).filter((one) => /^clip.*\.json$/.test(one))) {
      expect(() => JSON.parse(readFileSync(join(root, "recordings", name), "utf8"))).not.toThrow();
    }
    for (const name of found) expect(existsSync(join(root, "recordings", name))).toBe(true);
    await add(library, "recording", "clip");
  });
});

describe("files without a sidecar", () => {
  let samples: string;
  beforeAll(async () => {
    samples = await mkdtemp(join(tmpdir(), "ocelli-samples-"));
    const make = (...args: string[]): void => {
      execFileSync("ffmpeg", [
        "-v",
        "error",
        "-y",
        "-f",
        "lavfi",
        "-i",
        "testsrc2=s=320x240:r=15:d=2",
        ...args,
      ]);
    };
    make("-c:v", "libx264", "-bf", "2", join(samples, "camera3_2025-01-15_14-30-00.mp4"));
    make("-c:v", "mjpeg", "-movflags", "+frag_keyframe+empty_moov", join(samples, "fragmented.mp4"));
    make("-c:v", "libx264", join(samples, "other.mkv"));
    make("-frames:v", "1", join(samples, "photo.jpg"));
    make("-frames:v", "1", join(samples, "photo.png"));
  });
  afterAll(() => rm(samples, { recursive: true }));

  it("get one that agrees with ffprobe", async () => {
    for (const name of ["camera3_2025-01-15_14-30-00.mp4", "fragmented.mp4", "other.mkv"]) {
      await cp(join(samples, name), join(root, "recordings", name), { recursive: true });
    }
    for (const name of ["photo.jpg", "photo.png"])
      await cp(join(samples, name), join(root, "snapshots", name));
    await writeFile(join(root, "recordings/broken.mp4"), "this is no video");
    const library = await openLibrary();
    await library.rebuild();
    for (const [name, codec] of [
      ["camera3_2025-01-15_14-30-00.mp4", "h264"],
      ["fragmented.mp4", "mjpeg"],
      ["other.mkv", "h264"],
    ] as const) {
      const entry = library.get("recording", name);
      expect(entry).toMatchObject({ codec, resolution: "320x240", fps: 15, frames: 30, state: "complete" });
      expect(entry.durationS).toBeCloseTo(2, 1);
      expect(entry.bytes).toBe((await stat(entry.path)).size);
    }
    expect(library.get("recording", "camera3_2025-01-15_14-30-00").cameraId).toBe("camera3");
    expect(library.get("recording", "broken")).toMatchObject({ state: "failed", frames: undefined });
    expect(library.get("snapshot", "photo.png")).toMatchObject({
      codec: "png",
      resolution: "320x240",
      frames: 1,
    });
    expect(library.get("snapshot", "photo.jpg")).toMatchObject({
      codec: "mjpeg",
      resolution: "320x240",
      frames: 1,
    });
    expect(existsSync(join(root, "recordings/other.mkv.json"))).toBe(true);
    expect(await library.rebuild()).toEqual({ added: 0, removed: 0 });
  });

  it("that the hub recorded itself get their capture times back", async () => {
    const fragments = makeFragments({ encoder: ["-c:v", "libx264", "-bf", "2", "-g", "30"] });
    const times = fragments.map((one) => one.mediaTimeUs).sort((a, b) => a - b);
    mkdirSync(join(root, "recordings"));
    // The first ten frames are in the file only because the codec needs them.
    const written = await writeRecording(join(root, "recordings/camera4_x.mp4"), fragments, times[10]);
    const library = await openLibrary();
    await library.rebuild();
    const entry = library.get("recording", "camera4_x");
    expect(entry).toMatchObject({
      ...written,
      cameraId: "camera4",
      codec: "h264",
      createdAtUs: written.firstFrameAtUs,
    });
    expect(entry.frames).toBe(20);
  });

  it("are looked into again when they were still growing", async () => {
    const whole = await readFile(join(samples, "fragmented.mp4"));
    const library = await openLibrary();
    await writeFile(join(root, "recordings/copied.mp4"), whole.subarray(0, Math.floor(whole.length / 3)));
    await library.rebuild();
    const early = library.get("recording", "copied").frames ?? 0;
    expect(early).toBeLessThan(30);
    await writeFile(join(root, "recordings/copied.mp4"), whole);
    await library.rebuild();
    expect(library.get("recording", "copied").frames).toBe(30);
  });

  it("lose nothing when a sidecar cannot be read", async () => {
    await cp(join(samples, "other.mkv"), join(root, "recordings/other.mkv"), { recursive: true });
    await writeFile(join(root, "recordings/other.mkv.json"), '{"half": ');
    const library = await openLibrary();
    await library.rebuild();
    expect(library.get("recording", "other")).toMatchObject({ frames: 30 });
    const aside = readdirSync(join(root, "recordings")).find((name) => name.includes(".unreadable-"));
    expect(readFileSync(join(root, "recordings", aside ?? "none"), "utf8")).toBe('{"half": ');
  });

  it("that are about to be added by their owner are left alone", async () => {
    const library = await openLibrary();
    await library.ready;
    const filename = library.reserve("snapshot", "mine", "jpg");
    await cp(join(samples, "photo.jpg"), join(root, "snapshots", filename));
    await library.rebuild();
    expect(existsSync(join(root, "snapshots/mine.jpg.json"))).toBe(false);
    await library.put(makeSidecar("snapshot", filename));
    expect(library.get("snapshot", "mine").cameraName).toBe("Test camera");
  });
});

it("closing twice is closing once", async () => {
  const library = await openLibrary();
  expect(library.close()).toBe(library.close());
  await library.close();
  await expect(library.put(makeSidecar("recording", "late.mp4"))).rejects.toMatchObject({
    code: "storage_failed",
  });
});
