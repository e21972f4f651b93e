import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pino from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SystemClock } from "../clock/system-clock.ts";
import { EventBus } from "../events/bus.ts";
import { MediaLibrary } from "../library/library.ts";
import { makeFragments } from "../library/testing/make-fragments.ts";
import { makeSidecar } from "../library/testing/make-sidecar.ts";
import { writeRecording } from "../library/testing/write-recording.ts";
import type { Fragment } from "../media/fragment.ts";
import { readFrameTimes } from "../media/mp4-recovery.ts";
import { ffprobe } from "../recording/testing/ffprobe.ts";
import { type AlignParts, alignSession } from "./align.ts";
import type { SyncReport, SyncSession } from "./contract.ts";
import { planCut, type TimedFrame } from "./cut-plan.ts";
import { buildReport } from "./report.ts";

const log = pino({ level: "silent" });
let root: string;
let library: MediaLibrary;
const clock = new SystemClock();
const bus = new EventBus(log);
const progress: { fraction: number; state: string }[] = [];
bus.on("export.progress", ({ fraction, state }) => progress.push({ fraction, state }));

const mjpeg = ["-c:v", "mjpeg", "-q:v", "20"];
const h264 = ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "15"];
const bframes = ["-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-g", "15", "-b_strategy", "0"];

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), "ocelli-align-"));
  progress.length = 0;
  library = await MediaLibrary.open({
    recordingsFolder: join(root, "recordings"),
    snapshotsFolder: join(root, "snapshots"),
    indexPath: join(root, "library.db"),
    clock,
    log,
  });
});
afterEach(async () => {
  await library.close();
  rmSync(root, { recursive: true, force: true });
});

async function* frames(path: string): AsyncGenerator<TimedFrame> {
  const file = await open(path, "r");
  try {
    const { size } = await file.stat();
    yield* readFrameTimes(async (offset, length) => {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, offset);
      return buffer.subarray(0, bytesRead);
    }, size);
  } finally {
    await file.close();
  }
}

function parts(more: Partial<AlignParts> = {}): AlignParts {
  const storage = {
    state: { level: "ok" as const, freeBytes: 1e10, totalBytes: 1e10 },
    check: async () => storage.state,
    assertMayRecord: async () => undefined,
  };
  return { library, storage, clock, bus, folder: join(root, "making"), frames, ...more };
}

/** A recording of 2 s in the library; its first frame was captured `lateUs` after the others' zero. */
async function record(name: string, encoder: readonly string[], fps: number, lateUs: number): Promise<void> {
  const fragments: Fragment[] = makeFragments({
    video: `testsrc2=s=160x120:r=${fps}:d=2`,
    encoder,
    captureOffsetUs: t0 - 5_000_000 + lateUs,
  });
  const filename = library.reserve("recording", name, "mp4");
  const written = await writeRecording(join(root, "recordings", filename), fragments);
  await library.put(
    makeSidecar("recording", filename, {
      ...written,
      cameraId: name,
      fps,
      state: "complete",
      timeSource: "kernel",
    }),
  );
}

const t0 = 1_736_951_405_000_000;

async function reportOf(keys: readonly string[]): Promise<SyncReport> {
  const session: SyncSession = {
    id: "5e55",
    groupId: "g",
    name: "lab bench",
    startAtUs: t0,
    state: "completed",
    createdAtUs: t0,
    clock: { synchronised: true, source: "chrony", offsetUs: 0 },
    members: keys.map((key) => ({
      key,
      name: key,
      member: { kind: "camera", cameraId: key },
      state: "completed",
      files: [`${key}.mp4`],
    })),
  };
  return buildReport(session, {
    entry: (filename) => library.get("recording", filename),
    async *frameTimes(path) {
      for await (const { capturedAtUs } of frames(path)) yield capturedAtUs;
    },
    nowUs: () => clock.wallUs(),
  });
}

const signal = new AbortController().signal;

describe("aligning a session", () => {
  it("cuts every member to the common frames, by copy where that is exact, and shows them side by side", async () => {
    await record("camera0", mjpeg, 30, 0);
    await record("camera1", h264, 30, 433_333);
    await record("camera2", bframes, 30, 200_000);
    const report = await reportOf(["camera0", "camera1", "camera2"]);
    const aligned = await alignSession(report, parts(), { signal });

    // From the latest first frame to the earliest end: 2 s less 433 ms, at 30 frames/s.
    expect(aligned.toUs - aligned.fromUs).toBeCloseTo(2_000_000 - 433_333, -2);
    expect(aligned.members.map(({ key, frames: count }) => [key, count])).toEqual([
      ["camera0", 47],
      ["camera1", 47],
      ["camera2", 47],
    ]);
    expect(aligned.members[0]?.method).toBe("copy");
    for (const member of aligned.members) {
      const entry = library.get("recording", member.filename);
      expect(Math.abs(member.firstFrameAtUs - aligned.fromUs)).toBeLessThan(17_000);
      expect(entry).toMatchObject({ cameraId: member.key, state: "complete", frames: 47 });
      const probed = ffprobe(entry.path);
      expect(probed).toMatchObject({ frames: 47, errors: "" });
      expect(probed.pts[0]).toBeCloseTo(0, 3);
    }
    const preview = library.get("recording", aligned.preview ?? "");
    expect(preview.resolution).toBe("1280x720");
    expect(ffprobe(preview.path).frames).toBeGreaterThanOrEqual(46);
    expect(progress.at(-1)).toEqual({ fraction: 1, state: "done" });
    expect(progress.map(({ fraction }) => fraction)).toEqual(
      progress.map(({ fraction }) => fraction).toSorted((a, b) => a - b),
    );
    expect(readdirSync(join(root, "making"))).toEqual([]);
  });

  it("keeps each camera's own rate", async () => {
    await record("camera0", mjpeg, 30, 0);
    await record("camera1", mjpeg, 10, 40_000);
    const aligned = await alignSession(await reportOf(["camera0", "camera1"]), parts(), {
      signal,
    });
    expect(aligned.members.map(({ frames: count }) => count)).toEqual([59, 20]);
    // Side by side both are shown at the rate of the faster one.
    const { frames: shown = 0, fps } = library.get("recording", aligned.preview ?? "");
    expect(fps).toBeCloseTo(30, 0);
    expect(Math.abs(shown - 59)).toBeLessThanOrEqual(2);
  });

  it("leaves the side-by-side view out when it is not wanted", async () => {
    await record("camera0", mjpeg, 30, 0);
    const aligned = await alignSession(await reportOf(["camera0"]), parts(), { signal, preview: false });
    expect(aligned.preview).toBeUndefined();
    expect(library.page("recording", { limit: 10, offset: 0 }).total).toBe(2);
  });

  it("leaves nothing behind when it is given up", async () => {
    await record("camera0", mjpeg, 30, 0);
    await record("camera1", h264, 30, 100_000);
    const abort = new AbortController();
    const running = alignSession(await reportOf(["camera0", "camera1"]), parts(), {
      signal: abort.signal,
      onProgress: (fraction) => {
        if (fraction > 0.3) abort.abort(new Error("enough"));
      },
    });
    await expect(running).rejects.toThrow("enough");
    expect(library.page("recording", { limit: 10, offset: 0 }).total).toBe(2);
    expect(readdirSync(join(root, "making"))).toEqual([]);
    expect(progress.at(-1)).toEqual({ fraction: 0, state: "failed" });
  });

  it("says so when nothing is common", async () => {
    await record("camera0", mjpeg, 30, 0);
    await record("camera1", mjpeg, 30, 5_000_000);
    await expect(
      alignSession(await reportOf(["camera0", "camera1"]), parts(), { signal }),
    ).rejects.toMatchObject({
      code: "unsupported",
    });
  });
});

it("cuts on frame boundaries, with half a frame of grace", async () => {
  const many = Array.from({ length: 10 }, (_, i) => ({
    capturedAtUs: 1000 + i * 100,
    mediaTimeUs: i * 100,
    durationUs: 100,
  }));
  expect(await planCut(many, 1201, 1699)).toEqual({
    fromMediaUs: 200,
    durationUs: 500,
    frames: 5,
    firstFrameAtUs: 1200,
  });
  expect(await planCut(many, 1260, 1640)).toEqual({
    fromMediaUs: 300,
    durationUs: 300,
    frames: 3,
    firstFrameAtUs: 1300,
  });
  expect(await planCut(many, 5000, 6000)).toBeUndefined();
});

it("a frame that stands before a hole does not stand for what comes after it", async () => {
  const frames = [0, 100, 200, 2200, 2300, 2400].map((at, i, all) => ({
    ...{ capturedAtUs: at, mediaTimeUs: at },
    durationUs: (all[i + 1] ?? 2500) - at,
  }));
  expect(await planCut(frames, 1100, 2500)).toMatchObject({ frames: 3, firstFrameAtUs: 2200 });
});
