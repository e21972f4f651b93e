import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pino from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SystemClock } from "../../clock/system-clock.ts";
import { EventBus } from "../../events/bus.ts";
import { MediaLibrary } from "../../library/library.ts";
import { recordedFrames } from "../../library/recorded-frames.ts";
import { makeFragments } from "../../library/testing/make-fragments.ts";
import { makeSidecar } from "../../library/testing/make-sidecar.ts";
import { writeRecording } from "../../library/testing/write-recording.ts";
import type { Fragment } from "../../media/fragment.ts";
import { ffprobe } from "../../recording/testing/ffprobe.ts";
import type { SessionMember, SyncReport, SyncSession } from "../contract.ts";
import { buildReport } from "../report/report.ts";
import { type AlignParts, alignSession } from "./align.ts";
import { planCut } from "./cut-plan.ts";

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

function parts(more: Partial<AlignParts> = {}): AlignParts {
  const storage = {
    state: { level: "ok" as const, freeBytes: 1e10, totalBytes: 1e10 },
    check: async () => storage.state,
    assertMayRecord: async () => undefined,
  };
  return { library, storage, clock, bus, folder: join(root, "making"), frames: recordedFrames, ...more };
}

/** A recording of 2 s in the library; its first frame was captured `lateUs` after the others' zero. */
function record(name: string, encoder: readonly string[], fps: number, lateUs: number): Promise<void> {
  return keep(name, fps, filmed({ encoder, fps, lateUs, seconds: 2 }));
}

function filmed(of: {
  encoder: readonly string[];
  fps: number;
  lateUs: number;
  seconds: number;
  size?: string;
  audio?: boolean;
}): Fragment[] {
  const { encoder, fps, lateUs, seconds, size = "160x120", audio = false } = of;
  return makeFragments({
    video: `testsrc2=s=${size}:r=${fps}:d=${seconds}`,
    encoder,
    captureOffsetUs: t0 - 5_000_000 + lateUs,
    ...(audio ? { audio: `sine=d=${seconds}` } : {}),
  });
}

/** Cuts at the first keyframe after each of these seconds, as a recorder does. */
function segments(fragments: readonly Fragment[], ...atS: readonly number[]): Fragment[][] {
  const [start = 0] = fragments.map(({ mediaTimeUs }) => mediaTimeUs);
  const cuts = atS.map((at) =>
    fragments.findIndex(
      ({ track, keyframe, mediaTimeUs }) =>
        track.kind === "video" && keyframe && mediaTimeUs >= start + at * 1e6 - 1000,
    ),
  );
  return [0, ...cuts].map((from, i) => fragments.slice(from, cuts[i]));
}

async function keep(
  name: string,
  fps: number,
  fragments: readonly Fragment[],
  size = "160x120",
  presentFromUs?: number,
): Promise<void> {
  const filename = library.reserve("recording", name, "mp4");
  const written = await writeRecording(join(root, "recordings", filename), fragments, presentFromUs);
  await library.put(
    makeSidecar("recording", filename, {
      ...written,
      cameraId: name,
      fps,
      resolution: size,
      state: "complete",
      timeSource: "kernel",
    }),
  );
}

const t0 = 1_736_951_405_000_000;

/** @param more further files of a member */
async function reportOf(
  keys: readonly string[],
  more: Readonly<Record<string, readonly string[]>> = {},
  declared: Readonly<Record<string, NonNullable<SessionMember["declared"]>>> = {},
): Promise<SyncReport> {
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
      member:
        declared[key] === undefined
          ? { kind: "camera", cameraId: key }
          : { kind: "multicam", host: key, port: 1 },
      ...(declared[key] === undefined ? {} : { declared: declared[key] }),
      state: "completed",
      files: [key, ...(more[key] ?? [])].map((name) => `${name}.mp4`),
    })),
  };
  return buildReport(session, {
    entry: (filename) => library.get("recording", filename),
    frames: (path) => recordedFrames(path),
    nowUs: () => clock.wallUs(),
  });
}

const signal = new AbortController().signal;

/** Hashes of the pictures a player shows. */
function pictures(path: string): string[] {
  const args = [
    "-v",
    "error",
    "-i",
    path,
    "-map",
    "0:v:0",
    "-fps_mode",
    "passthrough",
    "-f",
    "framemd5",
    "-",
  ];
  return execFileSync("ffmpeg", args, { encoding: "utf8" })
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => line.split(",").at(-1) ?? "");
}

/** Times between presented frames, milliseconds. */
function intervals(path: string): number[] {
  const { pts } = ffprobe(path);
  return pts.slice(1).map((at, i) => Math.round((at - (pts[i] ?? 0)) * 1000));
}

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
    expect(aligned.members.map(({ method }) => method)).toEqual(["copy", "copy", "copy"]);
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

  it("can be given up while it reads the times of the frames", async () => {
    await record("one", mjpeg, 20, 0);
    const report = await reportOf(["one"]);
    const abort = new AbortController();
    async function* frames(path: string, signal: AbortSignal) {
      for await (const frame of recordedFrames(path, signal)) {
        abort.abort(new Error("enough"));
        yield frame;
        signal.throwIfAborted();
      }
    }
    await expect(alignSession(report, parts({ frames }), { signal: abort.signal })).rejects.toThrow("enough");
    expect(progress).toEqual([]);
  });

  it("goes by the hub's clock where that of another hub was off", async () => {
    await record("camera0", mjpeg, 30, 0);
    // Its clock was 3 s ahead; it began 200 ms after the camera.
    await record("hub", mjpeg, 30, 3_200_000);
    const report = await reportOf(["camera0", "hub"], {}, { hub: { clockOffset: 3, roundTrip: 0.002 } });
    const aligned = await alignSession(report, parts(), { signal, preview: false });
    expect(aligned.fromUs).toBe(t0 + 200_000);
    expect(aligned.members).toMatchObject([
      { frames: 54, firstFrameAtUs: t0 + 200_000 },
      { frames: 54, firstFrameAtUs: t0 + 200_000 },
    ]);
    const [first, second] = aligned.members.map(({ filename }) =>
      pictures(library.get("recording", filename).path),
    );
    const whole = pictures(library.get("recording", "hub").path);
    expect(second).toEqual(whole.slice(0, 54));
    expect(first).toEqual(whole.slice(6, 60));
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

describe("a member with several files", () => {
  it.each([
    ["mjpeg", mjpeg, false],
    ["h264", h264, false],
    ["h264 with sound", h264, true],
  ] as const)(
    "of %s is cut across its segments without a frame lost or shown twice",
    async (_name, encoder, audio) => {
      const film = filmed({ encoder, fps: 30, lateUs: 0, seconds: 6, audio });
      const [one = [], two = [], three = []] = segments(film, 2, 4);
      // As an armed recording begins: what lies before its instant is hidden, sound too.
      const pictured = one.filter(({ track }) => track.kind === "video");
      await keep("camera0", 30, one, "160x120", pictured[10]?.mediaTimeUs);
      await keep("camera0_part2", 30, two);
      await keep("camera0_part3", 30, three);
      await writeRecording(join(root, "whole.mp4"), film);
      // Begins within the first segment of the other, and ends within the third.
      await keep("camera1", 30, filmed({ encoder: mjpeg, fps: 30, lateUs: 700_000, seconds: 5 }));
      const files = { camera0: ["camera0_part2", "camera0_part3"] };
      const aligned = await alignSession(await reportOf(["camera0", "camera1"], files), parts(), { signal });

      expect(aligned.skipped).toEqual([]);
      expect(aligned.members.map(({ frames, method }) => [frames, method])).toEqual([
        [150, "copy"],
        [150, "copy"],
      ]);
      const { path } = library.get("recording", aligned.members[0]?.filename ?? "");
      expect(ffprobe(path)).toMatchObject({ frames: 150, errors: "" });
      expect(pictures(path)).toEqual(pictures(join(root, "whole.mp4")).slice(21, 171));
      expect(new Set(intervals(path))).toEqual(new Set([33]));
      expect(library.get("recording", aligned.preview ?? "").durationS).toBeCloseTo(5, 1);
    },
  );

  it.each([500_000, 533_333, 566_667])(
    "of H.264 with B-frames is copied to the frame, what others need behind the end is hidden (%i)",
    async (lateUs) => {
      const film = filmed({ encoder: bframes, fps: 30, lateUs: 0, seconds: 4, audio: true });
      const [one = [], two = []] = segments(film, 2);
      await keep("camera0", 30, one);
      await keep("camera0_part2", 30, two);
      await writeRecording(join(root, "whole.mp4"), film);
      await keep("camera1", 30, filmed({ encoder: mjpeg, fps: 30, lateUs, seconds: 3 }));
      const report = await reportOf(["camera0", "camera1"], { camera0: ["camera0_part2"] });
      const { members } = await alignSession(report, parts(), { signal, preview: false });
      expect(members[0]).toMatchObject({ method: "copy", frames: 90 });
      const { path } = library.get("recording", members[0]?.filename ?? "");
      const from = Math.round((lateUs * 30) / 1e6);
      expect(pictures(path)).toEqual(pictures(join(root, "whole.mp4")).slice(from, from + 90));
      expect(ffprobe(path)).toMatchObject({ frames: 90, errors: "" });
      expect(new Set(intervals(path))).toEqual(new Set([33]));
    },
  );

  it("is encoded where it cannot be copied", async () => {
    const ffmpeg = join(root, "cannot-copy");
    writeFileSync(ffmpeg, '#!/bin/sh\ncase "$*" in *"-c copy"*) exit 1;; esac\nexec ffmpeg "$@"\n', {
      mode: 0o755,
    });
    const film = filmed({ encoder: bframes, fps: 30, lateUs: 0, seconds: 3, audio: true });
    const [one = [], two = []] = segments(film, 1);
    await keep("camera0", 30, one);
    await keep("camera0_part2", 30, two);
    await keep("camera1", 30, filmed({ encoder: mjpeg, fps: 30, lateUs: 500_000, seconds: 2 }));
    const report = await reportOf(["camera0", "camera1"], { camera0: ["camera0_part2"] });
    const { members } = await alignSession(report, parts({ ffmpeg }), { signal, preview: false });
    expect(members.map(({ method, frames }) => [method, frames])).toEqual([
      ["encoded", 60],
      ["encoded", 60],
    ]);
    for (const { filename } of members) {
      const { path } = library.get("recording", filename);
      expect(ffprobe(path)).toMatchObject({ frames: 60, errors: "" });
      expect(new Set(intervals(path))).toEqual(new Set([33]));
    }
  });

  it("is as long as it lasted where the camera was lost between two files, or within one", async () => {
    const film = filmed({ encoder: mjpeg, fps: 10, lateUs: 0, seconds: 6 });
    const within = film.filter((_frame, i) => i < 20 || i >= 35);
    await keep("camera0", 10, within);
    await keep("camera1", 10, film.slice(0, 25));
    await keep("camera1_part2", 10, film.slice(40));
    await keep("camera2", 10, filmed({ encoder: mjpeg, fps: 10, lateUs: 300_000, seconds: 6 }));
    const report = await reportOf(["camera0", "camera1", "camera2"], { camera1: ["camera1_part2"] });
    const { members } = await alignSession(report, parts(), { signal });
    const shown = members.map(({ filename }) => library.get("recording", filename).path);
    expect(members.map(({ frames }) => frames)).toEqual([42, 42, 57]);
    const whole = pictures(shown[2] ?? "");
    expect(whole).toHaveLength(57);
    for (const [path, gapAt] of [
      [shown[0], 16],
      [shown[1], 21],
    ] as const) {
      const spaces = intervals(path ?? "");
      expect(spaces.filter((ms) => ms > 150)).toEqual([1600]);
      expect(spaces.findIndex((ms) => ms > 150)).toBe(gapAt);
      expect(ffprobe(path ?? "").durationS).toBeCloseTo(5.7, 2);
    }
  });

  it("follows the capture times where its clock runs away from the hub's", async () => {
    // Ten segments of a second each, in which the camera counts 1.5 % more time than passes.
    const film = filmed({ encoder: mjpeg, fps: 20, lateUs: 0, seconds: 10 }).map((frame) => ({
      ...frame,
      capturedAtUs: t0 + Math.round((frame.capturedAtUs - t0) / 1.015),
    }));
    const parts10 = segments(film, ...[1, 2, 3, 4, 5, 6, 7, 8, 9]);
    const names = parts10.map((_part, i) => (i === 0 ? "camera0" : `camera0_part${i + 1}`));
    for (const [i, part] of parts10.entries()) await keep(names[i] ?? "", 20, part);
    const report = await reportOf(["camera0"], { camera0: names.slice(1) });
    const { members } = await alignSession(report, parts(), { signal, preview: false });
    const { pts } = ffprobe(library.get("recording", members[0]?.filename ?? "").path);
    expect(pts).toHaveLength(200);
    for (const [i, at] of pts.entries()) {
      const capturedAt = ((film[i]?.capturedAtUs ?? 0) - t0) / 1e6;
      // A second of drift and a quarter of a frame.
      expect(Math.abs(at - capturedAt)).toBeLessThan(0.015 + 0.013);
    }
  });

  it("is left out when one of them is gone, and the others are aligned", async () => {
    const film = filmed({ encoder: mjpeg, fps: 10, lateUs: 0, seconds: 4 });
    const [one = [], two = []] = segments(film, 2);
    await keep("camera0", 10, one);
    await keep("camera0_part2", 10, two);
    await keep("camera1", 10, film);
    await library.delete("recording", "camera0.mp4");
    const report = await reportOf(["camera0", "camera1"], { camera0: ["camera0_part2"] });
    const { members, skipped } = await alignSession(report, parts(), { signal, preview: false });
    expect(members).toMatchObject([{ key: "camera1", frames: 40 }]);
    expect(skipped).toEqual([{ key: "camera0", reason: expect.stringContaining("camera0.mp4") }]);
  });

  it("is left out when its files do not go together", async () => {
    await keep("camera0", 10, filmed({ encoder: mjpeg, fps: 10, lateUs: 0, seconds: 2 }));
    const later = { encoder: mjpeg, fps: 10, lateUs: 2_000_000, seconds: 2, size: "320x240" };
    await keep("camera0_part2", 10, filmed(later), "320x240");
    await keep("camera1", 10, filmed({ encoder: mjpeg, fps: 10, lateUs: 0, seconds: 4 }));
    const report = await reportOf(["camera0", "camera1"], { camera0: ["camera0_part2"] });
    const { members, skipped } = await alignSession(report, parts(), { signal, preview: false });
    expect(members.map(({ key }) => key)).toEqual(["camera1"]);
    expect(skipped[0]?.reason).toMatch(/camera0\.mp4 is \w+ 160x120, camera0_part2\.mp4 \w+ 320x240/);
  });
});

it("does not begin without room for what it makes", async () => {
  await record("camera0", mjpeg, 30, 0);
  const storage = {
    state: { level: "ok" as const, freeBytes: 10_000, totalBytes: 1e10 },
    check: async () => storage.state,
    assertMayRecord: async () => undefined,
  };
  await expect(
    alignSession(await reportOf(["camera0"]), parts({ storage }), { signal }),
  ).rejects.toMatchObject({ code: "storage_low" });
  expect(library.page("recording", { limit: 10, offset: 0 }).total).toBe(1);
});

it("cuts on frame boundaries, with half a frame of grace", async () => {
  const many = Array.from({ length: 10 }, (_, i) => ({
    capturedAtUs: 1000 + i * 100,
    mediaTimeUs: i * 100,
    durationUs: 100,
  }));
  expect(await planCut([many], 1201, 1699)).toEqual({
    files: [{ index: 0, startUs: 0 }],
    fromMediaUs: 200,
    durationUs: 500,
    frames: 5,
    firstFrameAtUs: 1200,
  });
  expect(await planCut([many], 1260, 1640)).toEqual({
    files: [{ index: 0, startUs: 0 }],
    fromMediaUs: 300,
    durationUs: 300,
    frames: 3,
    firstFrameAtUs: 1300,
  });
  expect(await planCut([many], 5000, 6000)).toBeUndefined();
});

it("a frame that stands before a hole does not stand for what comes after it", async () => {
  const frames = [0, 100, 200, 2200, 2300, 2400].map((at, i, all) => ({
    ...{ capturedAtUs: at, mediaTimeUs: at },
    durationUs: (all[i + 1] ?? 2500) - at,
  }));
  expect(await planCut([frames], 1100, 2500)).toMatchObject({ frames: 3, firstFrameAtUs: 2200 });
});
