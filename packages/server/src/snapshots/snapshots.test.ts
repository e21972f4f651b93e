import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { OcelliError } from "@ocelli/protocol";
import pino from "pino";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Camera, Cameras } from "../cameras/contract.ts";
import type { FragmentSource } from "../capture/source.ts";
import { patternCapture } from "../capture/testing/sources.ts";
import type { Clock } from "../clock/clock.ts";
import { FakeClock } from "../clock/fake-clock.ts";
import { SystemClock } from "../clock/system-clock.ts";
import { EventBus } from "../events/bus.ts";
import type { CameraView } from "../events/catalogue.ts";
import type { StorageLevel } from "../library/contract.ts";
import { MediaLibrary } from "../library/library.ts";
import { isoOfUs } from "../library/sidecar.ts";
import { makeFragments } from "../library/testing/make-fragments.ts";
import { writeRecording } from "../library/testing/write-recording.ts";
import type { Fragment } from "../media/fragment.ts";
import { SnapshotService } from "./snapshots.ts";
import { ScriptedSource } from "./testing/scripted-source.ts";

const log = pino({ level: "silent" });
const systemClock = new SystemClock();

let mjpeg: Fragment[];
let h264: Fragment[];
beforeAll(() => {
  mjpeg = makeFragments({ encoder: ["-c:v", "mjpeg"] });
  h264 = makeFragments({ encoder: ["-c:v", "libx264", "-bf", "2", "-g", "60"] });
});
afterAll(() => systemClock.close());

let root: string;
let library: MediaLibrary;
let service: SnapshotService;
let level: StorageLevel;
let taken: string[];
const sources: FragmentSource[] = [];

function view(id: string, kind: CameraView["kind"]): CameraView {
  return {
    id,
    number: 0,
    kind,
    name: "Front door",
    node: "/dev/video0",
    status: "CONNECTED",
    reason: undefined,
    reasonCode: undefined,
    mode: { format: "MJPG", width: 320, height: 240, fps: 30 },
    formats: [],
    resolutions: [],
    fpsOptions: [],
    driver: undefined,
    busPath: "usb-1.2",
    serial: "A1",
    captureState: "live",
    connectedAtUs: 0,
    disconnectedAtUs: undefined,
    lastSeenUs: 0,
  };
}

function camera(id: string, source: FragmentSource, kind: CameraView["kind"] = "virtual"): Camera {
  sources.push(source);
  const notUsed = (): never => {
    throw new Error("a snapshot takes the native rendition");
  };
  return {
    id,
    settings: { recordCodec: "copy" },
    capabilities: undefined,
    view: () => view(id, kind),
    native: () => source,
    h264: notUsed,
    mjpeg: notUsed,
  };
}

function makeService(clock: Clock, list: readonly Camera[]): SnapshotService {
  const cameras: Cameras = {
    list: () => list,
    find(name) {
      const found = list.find((one) => one.id === name);
      if (found === undefined) throw new OcelliError("camera_not_found", `Camera not found: ${name}`);
      return found;
    },
  };
  const bus = new EventBus(log);
  bus.on("snapshot.taken", ({ cameraId, filename }) => taken.push(`${cameraId} ${filename}`));
  const state = () => ({ level, freeBytes: 1e9, totalBytes: 2e9 });
  service = new SnapshotService({
    cameras,
    library,
    storage: {
      get state() {
        return state();
      },
      check: () => Promise.resolve(state()),
      assertMayRecord: () => Promise.resolve(),
    },
    bus,
    clock,
    log,
  });
  return service;
}

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "ocelli-snapshots-"));
  level = "ok";
  taken = [];
  library = await MediaLibrary.open({
    recordingsFolder: join(root, "recordings"),
    snapshotsFolder: join(root, "snapshots"),
    indexPath: join(root, "library.db"),
    clock: systemClock,
    log,
  });
});
afterEach(async () => {
  await service.close();
  await Promise.all(sources.splice(0).map((source) => source.close()));
  await library.close();
  await rm(root, { recursive: true });
});

const at = (frames: readonly Fragment[], index: number): Fragment => {
  const frame = frames.at(index);
  if (frame === undefined) throw new Error("no such frame");
  return frame;
};

/** Hash of the decoded picture. */
function pixels(path: string, ...select: string[]): string {
  const raw = execFileSync(
    "ffmpeg",
    ["-v", "error", "-i", path, ...select, "-pix_fmt", "rgb24", "-f", "rawvideo", "-"],
    {
      maxBuffer: 2 ** 26,
    },
  );
  return createHash("sha256")
    .update(raw.subarray(-320 * 240 * 3))
    .digest("hex");
}

function probed(path: string): string {
  return execFileSync(
    "ffprobe",
    ["-v", "error", "-show_entries", "stream=codec_name,width,height", "-of", "csv=p=0", path],
    {
      encoding: "utf8",
    },
  ).trim();
}

const isSettled = async (promise: Promise<unknown>): Promise<boolean> => {
  let settled = false;
  promise.then(
    () => {
      settled = true;
    },
    () => {
      settled = true;
    },
  );
  await new Promise((resolve) => setImmediate(resolve));
  return settled;
};

describe("a warm MJPEG camera", () => {
  it("gives the newest frame as it is, saved with its capture time", async () => {
    const clock = new FakeClock();
    const source = new ScriptedSource(clock);
    makeService(clock, [camera("camera0", source)]);
    await using _lease = await openWith(source, at(mjpeg, 0));
    const newest = source.give(at(mjpeg, 7));
    const entry = await service.take({ cameraId: "camera0" });
    expect(readFileSync(entry.path).equals(newest.sample)).toBe(true);
    expect(probed(entry.path)).toBe("mjpeg,320,240");
    expect(entry.filename).toMatch(/^camera0_snapshot_\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d\.jpg$/);
    expect(entry).toMatchObject({
      kind: "snapshot",
      cameraId: "camera0",
      cameraName: "Front door",
      device: { node: "/dev/video0", busPath: "usb-1.2", serial: "A1" },
      format: "jpg",
      codec: "mjpeg",
      resolution: "320x240",
      bytes: newest.sample.length,
      firstFrameAtUs: newest.capturedAtUs,
      timeSource: "kernel",
      frames: 1,
    });
    const sidecar: unknown = JSON.parse(readFileSync(`${entry.path}.json`, "utf8"));
    expect(sidecar).toMatchObject({
      started_at: isoOfUs(newest.capturedAtUs),
      firstFrameAtUs: newest.capturedAtUs,
    });
    expect(taken).toEqual([`camera0 ${entry.filename}`]);
    expect(source.starts).toBe(1);
  });

  it("never serves a frame older than two intervals: the next one is waited for", async () => {
    const clock = new FakeClock();
    const source = new ScriptedSource(clock);
    makeService(clock, [camera("camera0", source)]);
    await using _lease = await openWith(source, at(mjpeg, 0));
    source.give(at(mjpeg, 1));
    clock.advance(33);
    const fresh = await service.still({ cameraId: "camera0" });
    expect(fresh.bytes.equals(at(mjpeg, 1).sample)).toBe(true);
    clock.advance(1);
    const pending = service.still({ cameraId: "camera0" });
    expect(await isSettled(pending)).toBe(false);
    // What comes now is new, however long it took to get here.
    const late = source.give(at(mjpeg, 2), 500_000);
    const image = await pending;
    expect(image.bytes.equals(at(mjpeg, 2).sample)).toBe(true);
    expect(image.capturedAtUs).toBe(late.capturedAtUs);
  });

  it("does not take a step of the wall clock for age", async () => {
    const clock = new FakeClock();
    const source = new ScriptedSource(clock);
    makeService(clock, [camera("camera0", source)]);
    await using _lease = await openWith(source, at(mjpeg, 0));
    clock.step(-3_600_000_000);
    source.give(at(mjpeg, 1));
    expect((await service.still({ cameraId: "camera0" })).bytes.equals(at(mjpeg, 1).sample)).toBe(true);
  });

  it("gives up in time when no new frame comes", async () => {
    const clock = new FakeClock();
    const source = new ScriptedSource(clock);
    makeService(clock, [camera("camera0", source)]);
    await using _lease = await openWith(source, at(mjpeg, 0));
    clock.advance(1000);
    source.stall();
    const pending = service.still({ cameraId: "camera0" });
    const refused = expect(pending).rejects.toMatchObject({ code: "start_timeout" });
    await clock.advanceAsync(20_000);
    await refused;
    expect(source.stats().leases).toEqual(["holder"]);
  });

  it("says so when a running camera gives no new frame", async () => {
    const clock = new FakeClock();
    const source = new ScriptedSource(clock);
    makeService(clock, [camera("camera0", source)]);
    await using _lease = await openWith(source, at(mjpeg, 0));
    clock.advance(1000);
    const refused = expect(service.still({ cameraId: "camera0" })).rejects.toMatchObject({
      code: "capture_failed",
    });
    await clock.advanceAsync(5000);
    await refused;
  });

  it("is kept warm by a series of snapshots", async () => {
    const clock = new FakeClock();
    const source = new ScriptedSource(clock, { lingerMs: 10_000 });
    makeService(clock, [camera("camera0", source)]);
    const first = service.still({ cameraId: "camera0" });
    await isSettled(first);
    source.give(at(mjpeg, 0));
    await first;
    for (let round = 0; round < 5; round++) {
      await clock.advanceAsync(6000);
      source.give(at(mjpeg, round));
      await service.still({ cameraId: "camera0" });
    }
    expect(source.starts).toBe(1);
    await clock.advanceAsync(10_001);
    expect(source.state).toBe("idle");
  });

  it("has standard tables put in where the camera leaves them out", async () => {
    const clock = new FakeClock();
    const source = new ScriptedSource(clock);
    makeService(clock, [camera("camera0", source)]);
    const [frame] = makeFragments({ encoder: ["-c:v", "mjpeg", "-huffman", "default", "-frames:v", "1"] });
    if (frame === undefined) throw new Error("no frame");
    await using _lease = await openWith(source, { ...frame, sample: withoutTables(frame.sample) });
    const entry = await service.take({ cameraId: "camera0", filename: "stripped" });
    expect(readFileSync(entry.path).includes(Buffer.from([0xff, 0xc4]))).toBe(true);
    expect(probed(entry.path)).toBe("mjpeg,320,240");
  });
});

describe("a cold camera", () => {
  it.each([
    ["v4l2", 5],
    ["virtual", 0],
    ["rtsp", 0],
  ] as const)(
    "of kind %s is started once for all who ask, and %i frames are skipped",
    async (kind, skipped) => {
      const clock = new FakeClock();
      const source = new ScriptedSource(clock);
      makeService(clock, [camera("camera0", source, kind)]);
      const wanted = [service.still({ cameraId: "camera0" }), service.still({ cameraId: "camera0" })];
      await isSettled(Promise.all(wanted));
      for (let index = 0; index < skipped; index++) {
        source.give(at(mjpeg, index));
        clock.advance(33);
        expect(await isSettled(Promise.race(wanted))).toBe(false);
      }
      source.give(at(mjpeg, skipped));
      for (const image of await Promise.all(wanted)) {
        expect(image.bytes.equals(at(mjpeg, skipped).sample)).toBe(true);
      }
      expect(source.starts).toBe(1);
    },
  );

  it("that is slow is not waited for longer than the bound", async () => {
    const clock = new FakeClock();
    const source = new ScriptedSource(clock);
    makeService(clock, [camera("camera0", source, "v4l2")]);
    const pending = service.still({ cameraId: "camera0" });
    await isSettled(pending);
    source.give(at(mjpeg, 0));
    await isSettled(pending);
    clock.advance(2100);
    source.give(at(mjpeg, 1));
    expect((await pending).bytes.equals(at(mjpeg, 1).sample)).toBe(true);
  });
});

describe("a camera that gives H.264", () => {
  it("is decoded up to the frame presented last, once for all who ask for the same", async () => {
    const clock = new FakeClock();
    const source = new ScriptedSource(clock);
    makeService(clock, [camera("camera0", source)]);
    await using _lease = await openWith(source, at(h264, 0));
    for (const frame of h264.slice(1)) source.give(frame);
    const [png, again, jpg] = await Promise.all([
      service.take({ cameraId: "camera0", format: "png" }),
      service.take({ cameraId: "camera0", format: "png" }),
      service.take({ cameraId: "camera0", filename: "front" }),
    ]);
    await writeRecording(join(root, "all.mp4"), h264);
    expect(pixels(png.path)).toBe(pixels(join(root, "all.mp4")));
    expect(again.filename).not.toBe(png.filename);
    expect(readFileSync(again.path).equals(readFileSync(png.path))).toBe(true);
    expect(probed(png.path)).toBe("png,320,240");
    expect(probed(jpg.path)).toBe("mjpeg,320,240");
    expect(png).toMatchObject({ codec: "png", resolution: "320x240" });
    expect(jpg.filename).toBe("front.jpg");
  });
});

describe("a request", () => {
  it("for a quality or PNG is encoded anew", async () => {
    const clock = new FakeClock();
    const source = new ScriptedSource(clock);
    makeService(clock, [camera("camera0", source)]);
    await using _lease = await openWith(source, at(mjpeg, 0));
    source.give(at(mjpeg, 3));
    const sizes: number[] = [];
    for (const quality of [5, 50, 100])
      sizes.push((await service.still({ cameraId: "camera0", quality })).bytes.length);
    expect([...sizes].sort((a, b) => a - b)).toEqual(sizes);
    expect(sizes[0]).toBeLessThan((sizes[2] ?? 0) / 3);
    const untouched = await service.still({ cameraId: "camera0", quality: 85 });
    expect(untouched.bytes.equals(at(mjpeg, 3).sample)).toBe(true);
    const png = await service.take({ cameraId: "camera0", filename: "wish.png" });
    expect(png).toMatchObject({ filename: "wish.png", format: "png" });
    expect(probed(png.path)).toBe("png,320,240");
  });

  it("gets a file of its own, however many come at once", async () => {
    const clock = new FakeClock();
    const source = new ScriptedSource(clock);
    makeService(clock, [camera("camera0", source)]);
    await using _lease = await openWith(source, at(mjpeg, 0));
    const entries = await Promise.all(
      Array.from({ length: 20 }, () => service.take({ cameraId: "camera0", filename: "same" })),
    );
    expect(new Set(entries.map((entry) => entry.filename)).size).toBe(20);
    expect(library.page("snapshot", { limit: 1, offset: 0 }).total).toBe(20);
    expect(readdirSync(join(root, "snapshots"))).toHaveLength(40);
    expect(taken).toHaveLength(20);
  });

  it("that is wrong leaves nothing behind", async () => {
    const clock = new FakeClock();
    const source = new ScriptedSource(clock);
    makeService(clock, [camera("camera0", source)]);
    const refusals = [
      [{ cameraId: "camera9" }, "camera_not_found"],
      [{ cameraId: "camera0", filename: "../up" }, "invalid_filename"],
      [{ cameraId: "camera0", quality: 0 }, "invalid_params"],
      [{ cameraId: "camera0", quality: 101 }, "invalid_params"],
    ] as const;
    for (const [request, code] of refusals)
      await expect(service.take(request)).rejects.toMatchObject({ code });
    level = "critical";
    await expect(service.take({ cameraId: "camera0", filename: "full" })).rejects.toMatchObject({
      code: "storage_critical",
    });
    // None of them started the camera, and the names are free.
    expect(source.starts).toBe(0);
    expect(library.reserve("snapshot", "full", "jpg")).toBe("full.jpg");
    level = "ok";
    await using _lease = await openWith(source, at(mjpeg, 0));
    await rm(join(root, "snapshots"), { recursive: true });
    await expect(service.take({ cameraId: "camera0", filename: "nowhere" })).rejects.toMatchObject({
      code: "storage_failed",
    });
    expect(library.page("snapshot", { limit: 9, offset: 0 }).total).toBe(0);
  });

  it("under way ends with the service", async () => {
    const clock = new FakeClock();
    const source = new ScriptedSource(clock);
    makeService(clock, [camera("camera0", source)]);
    const pending = expect(service.still({ cameraId: "camera0" })).rejects.toThrow(/stopping/);
    expect(service.close()).toBe(service.close());
    await pending;
    await service.close();
    await expect(service.take({ cameraId: "camera0" })).rejects.toThrow(/stopping/);
    expect(source.stats().leases).toEqual([]);
  });
});

describe("real captures", () => {
  it("give pictures cold and warm, from MJPEG and H.264", async () => {
    const jpeg = patternCapture(systemClock, { codec: "mjpeg", fps: 25 });
    const avc = patternCapture(systemClock, { codec: "h264", fps: 25 });
    makeService(systemClock, [camera("camera0", jpeg), camera("camera1", avc)]);
    for (const cameraId of ["camera0", "camera1"]) {
      const times: string[] = [];
      for (let round = 0; round < 8; round++) {
        const askedAtUs = systemClock.wallUs();
        const entry = await service.take({ cameraId });
        times.push(((systemClock.wallUs() - askedAtUs) / 1000).toFixed(1));
        expect(probed(entry.path)).toBe("mjpeg,160,120");
        // Two intervals of 40 ms, and as much again for the uncertainty of arrival times.
        expect(entry.firstFrameAtUs).toBeGreaterThan(askedAtUs - 160_000);
      }
      console.log(`${cameraId}: request to file, ms: ${times.join(" ")}`);
    }
    expect(jpeg.stats().leases).toEqual([]);
  });
});

/** Opens the source and gives its first frame. */
async function openWith(source: ScriptedSource, frame: Fragment): ReturnType<FragmentSource["open"]> {
  const opening = source.open({ holder: "holder", from: "next", overflow: "skip" });
  source.give(frame);
  return opening;
}

/** Cuts the Huffman tables out, as some webcams do. */
function withoutTables(jpeg: Buffer): Buffer {
  const parts = [jpeg.subarray(0, 2)];
  let at = 2;
  while (jpeg[at + 1] !== 0xda) {
    const end = at + 2 + jpeg.readUInt16BE(at + 2);
    if (jpeg[at + 1] !== 0xc4) parts.push(jpeg.subarray(at, end));
    at = end;
  }
  return Buffer.concat([...parts, jpeg.subarray(at)]);
}
