/** Disks that are full, slow or broken. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { open as openFile, readdir, statfs, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SmallDisk, smallDisksMustSkip } from "../../../../test/harness/small-disk.ts";
import { SegmentFile } from "./segment-file.ts";
import { clip, later } from "./testing/clips.ts";
import { FakeCamera, FakeCameras } from "./testing/fake-camera.ts";
import { ffprobe, topBoxes } from "./testing/ffprobe.ts";
import { begin, openHub, play, type TestHub, type TestHubOptions, until } from "./testing/hub.ts";

type OpenFile = typeof openFile;

let folder: string;
const hubs: TestHub[] = [];
const disks: SmallDisk[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ocelli-disk-"));
});

afterEach(async () => {
  for (const hub of hubs.splice(0)) await hub.close();
  for (const disk of disks.splice(0)) disk[Symbol.dispose]();
  rmSync(folder, { recursive: true, force: true });
});

async function setUp(options: Partial<TestHubOptions> = {}): Promise<{ hub: TestHub; camera: FakeCamera }> {
  const camera = new FakeCamera("camera0", 30, { maxSeconds: 1 });
  const hub = await openHub({ cameras: new FakeCameras(camera), folder, keepFolder: true, ...options });
  hubs.push(hub);
  return { hub, camera };
}

function smallDisk(size: string): string {
  const disk = new SmallDisk(size);
  disks.push(disk);
  return disk.path;
}

describe.skipIf(smallDisksMustSkip())("a full disk", () => {
  it.each(["mjpeg", "h264-aac"] as const)("ends a recording of %s with a finished file", async (kind) => {
    const disk = smallDisk("3m");
    const { hub, camera } = await setUp({ recordings: disk, fragmentSeconds: 0.25 });
    const fragments = clip(kind, 2);
    const view = await begin(hub, camera.source, { filename: "full" }, fragments);
    await writeFile(join(disk, "ballast"), Buffer.alloc(2_200_000));
    const failed = () => hub.payloads("recording.failed");
    for (let round = 1; failed().length === 0 && round < 100; round++) {
      await play(hub, camera.source, later(fragments, round * 2_000_000));
    }
    await until("it has failed", () => failed().length > 0);
    expect(failed()).toMatchObject([
      { error: { code: "storage_failed" }, recording: { id: view.id, state: "failed" } },
    ]);
    expect(failed()[0]?.error.message).toContain("ENOSPC");

    const path = join(disk, "full.mp4");
    expect(topBoxes(readFileSync(path))).toEqual(["ftyp", "mdat", "moov"]);
    const probed = ffprobe(path);
    const entry = hub.library.get("recording", "full.mp4");
    expect(probed).toMatchObject({ errors: "", frames: entry.frames });
    expect(entry).toMatchObject({ state: "complete", endReason: "storage_failed" });
    expect(await hub.journal.list()).toEqual([]);
    expect(hub.service.active()).toEqual([]);
    // Room set aside and not used has been given back.
    const { bavail, bsize } = await statfs(disk);
    expect(bavail * bsize).toBeGreaterThan(32_000);
  });

  it("finishes both of two recordings, neither taking the other's room", async () => {
    const disk = smallDisk("3m");
    const one = new FakeCamera("camera0", 30);
    const two = new FakeCamera("camera1", 30);
    const { hub } = await setUp({
      recordings: disk,
      cameras: new FakeCameras(one, two),
      fragmentSeconds: 0.25,
    });
    const fragments = clip("mjpeg", 2);
    await begin(hub, one.source, { filename: "one" }, fragments);
    await begin(hub, two.source, { cameraId: "camera1", filename: "two" }, fragments);
    await writeFile(join(disk, "ballast"), Buffer.alloc(1_900_000));
    for (let round = 1; hub.service.active().length > 0 && round < 100; round++) {
      await Promise.all([one, two].map((c) => play(hub, c.source, later(fragments, round * 2_000_000))));
    }
    for (const name of ["one.mp4", "two.mp4"]) {
      expect(topBoxes(readFileSync(join(disk, name)))).toEqual(["ftyp", "mdat", "moov"]);
      expect(ffprobe(join(disk, name))).toMatchObject({
        errors: "",
        frames: hub.library.get("recording", name).frames,
      });
    }
  });

  it("refuses a start and leaves nothing behind", async () => {
    const disk = smallDisk("1m");
    await writeFile(join(disk, "ballast"), Buffer.alloc(1_000_000));
    const { hub, camera } = await setUp({ recordings: disk });
    await expect(begin(hub, camera.source, { filename: "no" }, clip("mjpeg", 1))).rejects.toMatchObject({
      code: "storage_failed",
    });
    expect(await readdir(disk)).toEqual(["ballast"]);
    expect(await hub.journal.list()).toEqual([]);
    expect(hub.service.active()).toEqual([]);
  });
});

/** Opens real files whose methods a test may replace. */
function faulty(change: (file: Awaited<ReturnType<OpenFile>>) => void): OpenFile {
  return async (...args) => {
    const file = await openFile(...args);
    change(file);
    return file;
  };
}

describe("a slow disk", () => {
  it("ends the recording with reader_too_slow and an intact file", async () => {
    const gate = Promise.withResolvers<void>();
    let writes = 0;
    const slow = faulty((file) => {
      const writev = file.writev.bind(file);
      file.writev = (async (buffers: Buffer[], position?: number) => {
        // The header, the first frame and the first whole fragment go through; then the disk hangs.
        if (++writes > 3) await gate.promise;
        return writev(buffers, position);
      }) as typeof file.writev;
    });
    const { hub, camera } = await setUp({ openFile: slow, budgetBytes: 200_000 });
    const fragments = clip("mjpeg", 2);
    await begin(hub, camera.source, {}, fragments.slice(0, 1));
    for (const fragment of [0, 1, 2, 3, 4, 5]
      .flatMap((round) => later(fragments, round * 2_000_000))
      .slice(1)) {
      camera.source.feed(fragment);
      for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(camera.source.ring.pinnedBytes).toBeLessThan(400_000);
    gate.resolve();
    await until("it has failed", () => hub.payloads("recording.failed").length > 0);
    const [failed] = hub.payloads("recording.failed");
    expect(failed?.error.code).toBe("reader_too_slow");
    const entry = hub.library.get("recording", failed?.recording.filename ?? "");
    expect(entry).toMatchObject({ state: "complete", endReason: "reader_too_slow" });
    const probed = ffprobe(entry.path);
    expect(probed).toMatchObject({ errors: "", frames: entry.frames });
    expect(probed.frames).toBeGreaterThanOrEqual(30);
  });
});

describe("a broken disk", () => {
  const ioError = () => Object.assign(new Error("EIO: i/o error"), { code: "EIO" });

  it("costs the fragment whose flush failed, not the file", async () => {
    let flushes = 0;
    const broken = faulty((file) => {
      const datasync = file.datasync.bind(file);
      file.datasync = async () => {
        if (++flushes === 4) throw ioError();
        return datasync();
      };
    });
    const { hub, camera } = await setUp({ openFile: broken });
    const fragments = clip("mjpeg", 2);
    await begin(hub, camera.source, { filename: "b" }, fragments);
    await play(hub, camera.source, later(fragments, 2_000_000));
    await until("it has failed", () => hub.payloads("recording.failed").length > 0);
    const entry = hub.library.get("recording", "b.mp4");
    expect(entry).toMatchObject({ state: "complete", endReason: "storage_failed" });
    expect(ffprobe(entry.path)).toMatchObject({ errors: "", frames: entry.frames });
    expect(topBoxes(readFileSync(entry.path))).toEqual(["ftyp", "mdat", "moov"]);
  });

  it("that fails for good leaves a valid fragmented file, which the next start finishes", async () => {
    let broken = false;
    const dying = faulty((file) => {
      const datasync = file.datasync.bind(file);
      file.datasync = async () => {
        if (broken) throw ioError();
        return datasync();
      };
    });
    const first = await setUp({ openFile: dying });
    await begin(first.hub, first.camera.source, { filename: "d" }, clip("mjpeg", 2));
    broken = true;
    const view = await first.hub.service.stop({ cameraId: "camera0" });
    expect(view.state).toBe("failed");
    const path = join(first.hub.recordings, "d.mp4");
    expect(topBoxes(readFileSync(path))[1]).toBe("free");
    expect(ffprobe(path)).toMatchObject({ errors: "", frames: view.frames });
    expect(await first.hub.journal.list()).toMatchObject([
      { over: true, unfinished: [{ filename: "d.mp4" }] },
    ]);
    await first.hub.close();

    const second = await setUp();
    await second.hub.service.recover();
    expect(topBoxes(readFileSync(path))).toEqual(["ftyp", "mdat", "moov"]);
    expect(second.hub.library.get("recording", "d.mp4")).toMatchObject({
      state: "recovered",
      frames: view.frames,
    });
    expect(second.hub.service.active()).toEqual([]);
    expect(await second.hub.journal.list()).toEqual([]);
  });

  it("writes on where the system took only a part", async () => {
    const partial = faulty((file) => {
      const writev = file.writev.bind(file);
      file.writev = (async (buffers: Buffer[], position?: number) => {
        const some = Buffer.concat(buffers).subarray(0, 1000);
        return writev([some], position);
      }) as typeof file.writev;
    });
    const { hub, camera } = await setUp({ openFile: partial });
    await begin(hub, camera.source, { filename: "p" }, clip("mjpeg", 1));
    await hub.service.stop({ cameraId: "camera0" });
    expect(ffprobe(join(hub.recordings, "p.mp4"))).toMatchObject({ errors: "", frames: 30 });
  });
});

describe("SegmentFile", () => {
  const [first] = clip("mjpeg", 1);

  it("flushes header, fragments and the two steps of finishing in their order", async () => {
    if (first === undefined) throw new Error("no frame");
    const steps: string[] = [];
    const watched = faulty((file) => {
      const { writev, datasync } = { writev: file.writev.bind(file), datasync: file.datasync.bind(file) };
      file.writev = (async (buffers: Buffer[], position?: number) => {
        steps.push(`write ${position} ${buffers.reduce((sum, buffer) => sum + buffer.length, 0)}`);
        return writev(buffers, position);
      }) as typeof file.writev;
      file.datasync = async () => {
        steps.push("flush");
        return datasync();
      };
    });
    const file = await SegmentFile.create({ path: join(folder, "a.mp4"), first, openFile: watched });
    await file.append(clip("mjpeg", 1));
    const end = file.bytes;
    const { bytes } = await file.finish();
    const kinds = steps.map((step) => step.split(" "));
    expect(kinds.map(([kind]) => kind)).toEqual([
      "write",
      "flush",
      "write",
      "flush",
      "write",
      "flush",
      "write",
      "flush",
    ]);
    expect(steps[4]).toBe(`write ${end} ${bytes - end}`);
    expect(steps[6]).toMatch(/^write \d\d 16$/);
    expect(await file.finish()).toEqual({ bytes });
  });

  it("never touches a file that exists", async () => {
    if (first === undefined) throw new Error("no frame");
    const path = join(folder, "mine.mp4");
    await writeFile(path, "mine");
    await expect(SegmentFile.create({ path, first })).rejects.toMatchObject({ code: "storage_failed" });
    expect(readFileSync(path, "utf8")).toBe("mine");
  });

  it.each([
    ["segment", 3],
    ["none", 0],
  ] as const)("with the policy %s flushes less", async (sync, expected) => {
    if (first === undefined) throw new Error("no frame");
    let flushes = 0;
    const counting = faulty((file) => {
      const datasync = file.datasync.bind(file);
      file.datasync = async () => {
        flushes++;
        return datasync();
      };
    });
    const file = await SegmentFile.create({ path: join(folder, "s.mp4"), first, sync, openFile: counting });
    await file.append(clip("mjpeg", 1));
    await file.finish();
    expect(flushes).toBe(expected);
    expect(ffprobe(file.path).frames).toBe(30);
  });
});
