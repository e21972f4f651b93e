import { readFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { OcelliError } from "@ocelli/protocol";
import { afterEach, describe, expect, it } from "vitest";
import type { RecordingView } from "../events/catalogue.ts";
import { readSidecar } from "../library/sidecar.ts";
import type { Fragment } from "../media/fragment.ts";
import { afterGap, type ClipKind, clip, epochUs, later, videoOf } from "./testing/clips.ts";
import { FakeCamera, FakeCameras } from "./testing/fake-camera.ts";
import { ffprobe, topBoxes } from "./testing/ffprobe.ts";
import { begin, openHub, play, type TestHub, type TestHubOptions, until } from "./testing/hub.ts";

const hubs: TestHub[] = [];

async function setUp(options: Partial<TestHubOptions> = {}): Promise<{ hub: TestHub; camera: FakeCamera }> {
  const camera = new FakeCamera("camera0", 30);
  const hub = await openHub({ cameras: new FakeCameras(camera), ...options });
  hubs.push(hub);
  return { hub, camera };
}

afterEach(async () => {
  for (const hub of hubs.splice(0)) await hub.close();
});

/** ffmpeg 5.1 misplaces a frame now and then when there is audio: the clip itself has such holes. */
function longIntervals(fragments: readonly Fragment[]): number {
  const times = videoOf(fragments).map((frame) => frame.decodeTimeUs);
  return times.filter((time, i) => time - (times[i - 1] ?? time) > 50_000).length;
}

async function untilEnd(hub: TestHub): Promise<RecordingView> {
  const ends = () => [...hub.payloads("recording.stopped"), ...hub.payloads("recording.failed")];
  await until("the recording has ended", () => ends().length > 0);
  return ends()[0]?.recording ?? Promise.reject(new Error("no end"));
}

describe("an armed start", () => {
  const startAtUs = epochUs + 60e6;

  it("says what it waits for, and refuses another start in those words", async () => {
    const { hub } = await setUp();
    const view = await hub.service.start({ cameraId: "camera0", startAtUs });
    expect(view).toMatchObject({ armedForUs: startAtUs, frames: 0 });
    await expect(hub.service.start({ cameraId: "camera0" })).rejects.toThrow(
      /camera0 is kept ready to record at 2[0-9T:.-]+Z/,
    );
  });

  it.each(["requested", "shutdown"])("that is taken back (%s) is no failure", async (reason) => {
    const { hub } = await setUp();
    const { id, filename } = await hub.service.start({ cameraId: "camera0", startAtUs });
    if (reason === "requested") await hub.service.stop({ recordingId: id });
    else await hub.service.close();
    await until("its end is told", () => hub.seen.length > 0);
    // What it waited for, and the name it was to have.
    const recording = { id, frames: 0, filename, segments: [], armedForUs: startAtUs };
    expect(hub.seen).toMatchObject([{ event: "recording.stopped", payload: { reason, recording } }]);
    expect(hub.service.activeOf("camera0")).toBeUndefined();
  });
});

describe("a start that is armed and yields", () => {
  const request = { cameraId: "camera0", startAtUs: epochUs + 60e6, yields: true };

  it("gives its camera to one recording that is to begin at once, and to none at an instant", async () => {
    const { hub, camera } = await setUp();
    const { id } = await hub.service.start(request);
    await expect(hub.service.start({ ...request, startAtUs: epochUs + 30e6 })).rejects.toThrow(/kept ready/);
    await expect(hub.service.start({ cameraId: "camera0", durationS: -1 })).rejects.toThrow(/durationS/);
    expect(hub.service.activeOf("camera0")?.id).toBe(id);
    const both = [{}, {}].map((more) => hub.service.start({ cameraId: "camera0", ...more }));
    const settled = Promise.allSettled(both);
    await until("the recording has joined", () => hub.seen.length > 0 && camera.source.leases.size > 0);
    await play(hub, camera.source, clip("mjpeg", 1));
    expect((await settled).map(({ status }) => status).toSorted()).toEqual(["fulfilled", "rejected"]);
    expect(hub.payloads("recording.stopped")).toMatchObject([
      { reason: "yielded", recording: { id, frames: 0 } },
    ]);
    const { state, frames } = await hub.service.stop({ cameraId: "camera0" });
    expect([state, frames]).toEqual(["completed", 30]);
  });

  it("records when nobody comes in between", async () => {
    const { hub, camera } = await setUp();
    await hub.service.start({ ...request, startAtUs: epochUs + 5_500_000, durationS: 1 });
    await play(hub, camera.source, clip("mjpeg", 2));
    expect(await untilEnd(hub)).toMatchObject({ state: "completed", frames: 30 });
  });
});

describe("an armed start whose instant is moved", () => {
  const startAtUs = epochUs + 5_500_000;
  const hourUs = 3_600_000_000;
  const sync = { sessionId: "s1", groupName: "lab", startAtUs };

  // The wall clock is stepped, and it is known by how much: the moment meant is the same one.
  it.each([-hourUs, hourUs])(
    "begins with the frame it would have begun with, %i µs apart",
    async (stepUs) => {
      const { hub, camera } = await setUp();
      const { id } = await hub.service.start({ cameraId: "camera0", startAtUs, durationS: 1, sync });
      const frames = clip("mjpeg", 3);
      await play(hub, camera.source, frames.slice(0, 10));
      const before = frames.slice(10, 12);
      hub.clock.advance(((before.at(-1)?.receivedAtMonoUs ?? 0) - hub.clock.monoUs()) / 1000);
      hub.clock.step(stepUs);
      expect(hub.service.rearm(id, startAtUs + stepUs)).toBe(true);
      expect(hub.service.activeOf("camera0")?.armedForUs).toBe(startAtUs + stepUs);
      // On their way since before the step.
      await play(hub, camera.source, before);
      const after = frames
        .slice(12)
        .map((frame) => ({ ...frame, capturedAtUs: frame.capturedAtUs + stepUs }));
      await play(hub, camera.source, after);
      const view = await untilEnd(hub);
      expect(view).toMatchObject({ state: "completed", frames: 30 });
      expect(hub.library.get("recording", view.filename)).toMatchObject({
        firstFrameAtUs: startAtUs + stepUs,
        scheduledStart: { atUs: startAtUs + stepUs, errorUs: 0 },
        sync: { ...sync, startAtUs: startAtUs + stepUs },
      });
    },
  );

  it("is written down, and moved no more once it has begun or is over", async () => {
    const { hub, camera } = await setUp();
    const { id } = await hub.service.start({ cameraId: "camera0", startAtUs });
    hub.service.rearm(id, startAtUs + 1000);
    const note = join(hub.journal.folder, `${id}.json`);
    await until("the journal has it", () => JSON.parse(readFileSync(note, "utf8")).startAtUs > startAtUs);
    await play(hub, camera.source, clip("mjpeg", 1));
    expect(hub.service.rearm(id, startAtUs + 60e6)).toBe(false);
    await hub.service.stop({ cameraId: "camera0" });
    expect(hub.service.rearm(id, startAtUs + 60e6)).toBe(false);
  });

  it("ends by the hub's clock when no frame ever comes, counted from the new instant", async () => {
    const { hub } = await setUp();
    const { id } = await hub.service.start({ cameraId: "camera0", startAtUs, durationS: 1 });
    hub.service.rearm(id, startAtUs + 60e6);
    await hub.clock.advanceAsync(50_000);
    expect(hub.service.active()).toHaveLength(1);
    await hub.clock.advanceAsync(20_000);
    expect(await untilEnd(hub)).toMatchObject({ state: "failed", frames: 0 });
  });
});

describe("a plain recording", () => {
  const cases: [ClipKind][] = [["mjpeg"], ["h264"], ["h264-bframes"], ["h264-aac"]];
  it.each(cases)("of %s holds every frame and ends as a plain MP4", async (kind) => {
    const { hub, camera } = await setUp();
    const fragments = clip(kind, 3);
    const view = await begin(hub, camera.source, {}, fragments);
    expect(view).toMatchObject({ cameraId: "camera0", state: "active", format: "mp4" });
    const ended = await hub.service.stop({ cameraId: "camera0" });
    expect(ended).toMatchObject({ id: view.id, state: "completed", frames: 90 });

    const path = join(hub.recordings, ended.filename);
    expect(topBoxes(readFileSync(path))).toEqual(["ftyp", "mdat", "moov"]);
    const probed = ffprobe(path);
    expect(probed.errors).toBe("");
    expect(probed.frames).toBe(90);
    expect(probed.pts[0]).toBe(0);
    expect(probed.durationS).toBeCloseTo(3, 1);

    const entry = hub.library.get("recording", ended.filename);
    const video = videoOf(fragments);
    const captured = video.map((frame) => frame.capturedAtUs).sort((a, b) => a - b);
    expect(entry).toMatchObject({
      state: "complete",
      frames: 90,
      droppedFrames: longIntervals(fragments),
      firstFrameAtUs: captured[0],
      lastFrameAtUs: captured.at(-1),
      codec: kind === "mjpeg" ? "mjpeg" : "h264",
      resolution: "160x120",
      fps: 30,
      endReason: "requested",
      recordingId: view.id,
      segment: 0,
      timeSource: "kernel",
      bytes: readFileSync(path).length,
    });
    expect(entry.durationS).toBeCloseTo(probed.durationS, 2);
    expect(await hub.journal.list()).toEqual([]);
    expect(hub.service.active()).toEqual([]);
    expect(camera.source.leases.size).toBe(0);
    expect(hub.seen.map((one) => one.event)).toContain("recording.progress");
    expect(hub.payloads("recording.stopped")).toMatchObject([{ reason: "requested" }]);
  });

  it("has its first frame in the file when start answers", async () => {
    const { hub, camera } = await setUp();
    const [first] = clip("mjpeg", 1);
    expect(await begin(hub, camera.source, { filename: "front" }, first ? [first] : [])).toMatchObject({
      filename: "front.mp4",
      frames: 1,
    });
    expect(ffprobe(join(hub.recordings, "front.mp4")).frames).toBe(1);
    expect((await readSidecar(join(hub.recordings, "front.mp4"), "recording", "front.mp4"))?.state).toBe(
      "recording",
    );
    expect(await hub.journal.list()).toMatchObject([{ unfinished: [{ filename: "front.mp4", index: 0 }] }]);
  });

  it("lasts exactly its duration, counted by media time", async () => {
    const { hub, camera } = await setUp();
    await begin(hub, camera.source, { durationS: 2 }, clip("mjpeg", 3));
    const view = await untilEnd(hub);
    expect(view).toMatchObject({ frames: 60, state: "completed" });
    expect(hub.payloads("recording.stopped")[0]?.reason).toBe("duration");
    expect(ffprobe(join(hub.recordings, view.filename)).frames).toBe(60);
  });

  it("with B-frames ends with no presented frame missing", async () => {
    const { hub, camera } = await setUp();
    await begin(hub, camera.source, { durationS: 1.1 }, clip("h264-bframes", 3));
    const view = await untilEnd(hub);
    const probed = ffprobe(join(hub.recordings, view.filename));
    expect(probed.errors).toBe("");
    expect(view.frames).toBe(probed.frames);
    expect(probed.frames).toBeGreaterThanOrEqual(33);
    expect(probed.frames).toBeLessThanOrEqual(36);
    const steps = probed.pts.slice(1).map((pts, i) => pts - (probed.pts[i] ?? 0));
    expect(Math.max(...steps)).toBeLessThan(0.04);
  });

  it("takes the h264 rendition when the camera is set so", async () => {
    const { hub, camera } = await setUp();
    camera.settings = { recordCodec: "h264" };
    await begin(hub, camera.h264Source, {}, clip("h264", 1));
    const view = await hub.service.stop({ cameraId: "camera0" });
    expect(hub.library.get("recording", view.filename).codec).toBe("h264");
  });

  it("stays fragmented as fmp4", async () => {
    const { hub, camera } = await setUp();
    await begin(hub, camera.source, { format: "fmp4" }, clip("h264", 1));
    const view = await hub.service.stop({ cameraId: "camera0" });
    const path = join(hub.recordings, view.filename);
    expect(topBoxes(readFileSync(path)).slice(0, 3)).toEqual(["ftyp", "free", "moov"]);
    expect(ffprobe(path).frames).toBe(30);
  });
});

describe("the first frame", () => {
  it.each<[ClipKind]>([["mjpeg"], ["h264"], ["h264-bframes"], ["h264-aac"]])(
    "of %s is the first captured at or after T0",
    async (kind) => {
      const { hub, camera } = await setUp();
      const fragments = clip(kind, 3);
      const startAtUs = epochUs + 5_000_000 + 1_234_567;
      const view = await hub.service.start({ cameraId: "camera0", startAtUs, durationS: 1 });
      expect(view).toMatchObject({ state: "active", startedAtUs: startAtUs, frames: 0 });
      await play(hub, camera.source, fragments);
      const ended = await untilEnd(hub);
      const expected = Math.min(
        ...videoOf(fragments)
          .map((frame) => frame.capturedAtUs)
          .filter((at) => at >= startAtUs),
      );
      const entry = hub.library.get("recording", ended.filename);
      expect(entry.firstFrameAtUs).toBe(expected);
      expect(entry.scheduledStart).toEqual({ atUs: startAtUs, errorUs: expected - startAtUs });
      const probed = ffprobe(join(hub.recordings, ended.filename));
      expect(probed.errors).toBe("");
      // What an edit list hides is decoded and not shown, and not counted.
      expect(probed.frames).toBe(entry.frames);
      expect(probed.pts[0]).toBe(0);
      expect(entry.durationS).toBeGreaterThanOrEqual(0.99);
    },
  );

  it.each([-3_600_000_000, 3_600_000_000])(
    "of an armed start is at T0 though the wall clock is stepped by %i µs before",
    async (stepUs) => {
      const { hub, camera } = await setUp();
      const startAtUs = epochUs + 5_500_000 + Math.max(stepUs, 0);
      await hub.service.start({ cameraId: "camera0", startAtUs, durationS: 1 });
      hub.clock.step(stepUs);
      if (stepUs < 0) {
        // An hour longer to wait, without a frame to say that the hub still hopes.
        await hub.clock.advanceAsync(-stepUs / 1000);
        expect(hub.service.active()).toHaveLength(1);
      }
      const waitedUs = Math.max(0, -stepUs);
      const frames = later(clip("mjpeg", 3), waitedUs).map((frame) => ({
        ...frame,
        capturedAtUs: frame.capturedAtUs + stepUs,
      }));
      await play(hub, camera.source, frames);
      const view = await untilEnd(hub);
      expect(view).toMatchObject({ state: "completed", frames: 30 });
      expect(hub.library.get("recording", view.filename).firstFrameAtUs).toBe(startAtUs);
    },
  );

  it("comes from the ring with a pre-roll", async () => {
    const { hub, camera } = await setUp();
    const fragments = clip("mjpeg", 3);
    await play(hub, camera.source, fragments.slice(0, 60));
    await begin(hub, camera.source, { preRollS: 1 }, fragments.slice(60));
    const view = await hub.service.stop({ cameraId: "camera0" });
    expect(view.frames).toBe(60);
  });

  it("of a plain recording is not a keyframe of long ago", async () => {
    const { hub, camera } = await setUp();
    const long = clip("h264", 3).map((frame, at) => (at === 0 ? frame : { ...frame, keyframe: false }));
    await play(hub, camera.source, long.slice(0, 75));
    await begin(hub, camera.source, {}, long.slice(75));
    const view = await hub.service.stop({ cameraId: "camera0" });
    const requestedAtUs = long[74]?.receivedAtMonoUs ?? 0;
    const entry = hub.library.get("recording", view.filename);
    expect(entry.firstFrameAtUs).toBeGreaterThanOrEqual(epochUs + requestedAtUs - 1_000_000);
    expect(ffprobe(join(hub.recordings, view.filename)).frames).toBe(view.frames);
  });
});

describe("segments", () => {
  it.each<[ClipKind, number]>([
    ["mjpeg", 3],
    ["h264", 3],
    ["h264-aac", 3],
    ["h264-bframes", 3],
  ])("of %s together have every frame", async (kind, count) => {
    const { hub, camera } = await setUp({ limits: { segmentSeconds: 1, segmentBytes: 0 } });
    const fragments = clip(kind, 3);
    await begin(hub, camera.source, { filename: "day" }, fragments);
    const view = await hub.service.stop({ cameraId: "camera0" });
    expect(view.segments).toEqual(["day.mp4", "day_part2.mp4", "day_part3.mp4"].slice(0, count));
    expect(view.frames).toBe(90);
    const entries = view.segments.map((name) => hub.library.get("recording", name));
    const probed = view.segments.map((name) => ffprobe(join(hub.recordings, name)));
    expect(probed.map((one) => one.errors)).toEqual(view.segments.map(() => ""));
    expect(probed.map((one) => one.frames)).toEqual(entries.map((one) => one.frames));
    expect(probed.reduce((sum, one) => sum + one.frames, 0)).toBe(90);
    // Nothing between them is taken for a drop, and there is no time between them.
    expect(entries.reduce((sum, one) => sum + (one.droppedFrames ?? 0), 0)).toBe(longIntervals(fragments));
    for (const [i, entry] of entries.entries()) {
      expect(entry).toMatchObject({ segment: i, state: "complete" });
      const next = entries[i + 1];
      const endUs = (entry.firstFrameAtUs ?? 0) + (entry.durationS ?? 0) * 1e6;
      if (next) expect(Math.abs((next.firstFrameAtUs ?? 0) - endUs)).toBeLessThan(40_000);
    }
    expect(await hub.journal.list()).toEqual([]);
  });

  it("change with the size", async () => {
    const { hub, camera } = await setUp({ limits: { segmentSeconds: 0, segmentBytes: 100_000 } });
    await begin(hub, camera.source, {}, clip("mjpeg", 3));
    const view = await hub.service.stop({ cameraId: "camera0" });
    expect(view.segments.length).toBeGreaterThan(1);
    expect(view.frames).toBe(90);
  });

  it("that are finished leave nothing in memory but their sums", async () => {
    setFlagsFromString("--expose-gc");
    const collect: () => void = runInNewContext("gc");
    const camera = new FakeCamera("camera0", 30, { maxSeconds: 1 });
    const cameras = new FakeCameras(camera);
    const hub = await openHub({
      cameras,
      limits: { segmentSeconds: 1, segmentBytes: 0 },
      sync: "none",
    });
    hubs.push(hub);
    const frames: WeakRef<Fragment>[] = [];
    await begin(hub, camera.source, {}, clip("mjpeg", 1));
    for (let second = 1; second < 6; second++) {
      const fragments = later(clip("mjpeg", 1), second * 1e6);
      frames.push(...fragments.map((fragment) => new WeakRef(fragment)));
      await play(hub, camera.source, fragments);
    }
    await until("five files are finished", () => hub.library.usage("recording").files >= 5);
    // The ring and the file that grows may hold the last two seconds.
    const finished = frames.slice(0, 60);
    await until("their frames have been let go", () => {
      collect();
      return finished.every((frame) => frame.deref() === undefined);
    });
    expect(await hub.service.stop({ cameraId: "camera0" })).toMatchObject({ frames: 180 });
  });

  it("whose journal cannot be written end the recording, and name no file that is not there", async () => {
    const { hub, camera } = await setUp({ limits: { segmentSeconds: 1, segmentBytes: 0 } });
    await begin(hub, camera.source, { filename: "day" }, clip("mjpeg", 1));
    const write = hub.journal.write.bind(hub.journal);
    hub.journal.write = async (entry) => {
      if (entry.segments.length > 1 && entry.unfinished.length > 1)
        throw new OcelliError("storage_failed", "The journal could not be written.");
      await write(entry);
    };
    await play(hub, camera.source, later(clip("mjpeg", 1), 1e6));
    const view = await untilEnd(hub);
    expect(view).toMatchObject({ state: "failed", filename: "day.mp4", segments: ["day.mp4"], frames: 30 });
    expect(ffprobe(join(hub.recordings, "day.mp4"))).toMatchObject({ errors: "", frames: 30 });
    expect(await hub.journal.list()).toEqual([]);
    expect(hub.library.reserve("recording", "day_part2", "mp4")).toBe("day_part2.mp4");
  });

  it("change when the camera comes back with another picture", async () => {
    const { hub, camera } = await setUp();
    await begin(hub, camera.source, {}, clip("mjpeg", 1));
    await play(hub, camera.source, afterGap(later(clip("h264", 1), 5_000_000)));
    const view = await hub.service.stop({ cameraId: "camera0" });
    expect(view.segments).toHaveLength(2);
    const [one, two] = view.segments.map((name) => hub.library.get("recording", name));
    expect(one).toMatchObject({ codec: "mjpeg", frames: 30 });
    expect(two).toMatchObject({ codec: "h264", frames: 30, droppedFrames: 120 });
    expect(two?.gaps).toHaveLength(1);
  });
});

describe("holes", () => {
  it("leave the file whole: one long sample, a gap with its reason, frames counted", async () => {
    const { hub, camera } = await setUp();
    const fragments = clip("mjpeg", 1);
    await begin(hub, camera.source, {}, fragments);
    const again = afterGap(later(fragments, 4_000_000));
    const fromUs = epochUs + 6_000_000;
    const toUs = epochUs + 9_000_000;
    camera.source.gap({ fromUs, toUs, reason: "ffmpeg exited with code 1" });
    await play(hub, camera.source, again);
    const view = await hub.service.stop({ cameraId: "camera0" });
    expect(view).toMatchObject({ frames: 60 });
    expect(view.durationS).toBeCloseTo(5, 1);
    const entry = hub.library.get("recording", view.filename);
    expect(entry).toMatchObject({ frames: 60, droppedFrames: 90 });
    expect(entry.gaps).toMatchObject([{ toUs, reason: "ffmpeg exited with code 1", missingFrames: 90 }]);
    const probed = ffprobe(join(hub.recordings, view.filename));
    expect(probed).toMatchObject({ frames: 60, errors: "" });
    expect((probed.pts[30] ?? 0) - (probed.pts[29] ?? 0)).toBeCloseTo(3 + 1 / 30, 2);
  });

  it("count dropped frames", async () => {
    const { hub, camera } = await setUp();
    const fragments = clip("mjpeg", 2).filter((_frame, at) => at !== 5 && (at < 50 || at > 52));
    await begin(hub, camera.source, {}, fragments);
    const view = await hub.service.stop({ cameraId: "camera0" });
    const entry = hub.library.get("recording", view.filename);
    expect(entry).toMatchObject({ frames: 56, droppedFrames: 4 });
    expect(entry.gaps.map((gap) => gap.missingFrames)).toEqual([1, 3]);
  });

  it("of the camera end by the hub's clock when the duration is over", async () => {
    const { hub, camera } = await setUp();
    await begin(hub, camera.source, { durationS: 10 }, clip("mjpeg", 1));
    await hub.clock.advanceAsync(2000);
    // What was waiting has been appended without another frame.
    await expect.poll(() => hub.service.activeOf("camera0")?.frames).toBe(30);
    await hub.clock.advanceAsync(9000);
    expect(hub.service.active()).toHaveLength(1);
    await hub.clock.advanceAsync(1500);
    const view = await untilEnd(hub);
    expect(view).toMatchObject({ state: "completed", frames: 30 });
  });

  it("of the camera end the recording after the bound", async () => {
    const { hub, camera } = await setUp({ cameraAbsentSeconds: 20 });
    await begin(hub, camera.source, {}, clip("mjpeg", 1));
    await hub.clock.advanceAsync(21_000);
    await untilEnd(hub);
    expect(hub.payloads("recording.stopped")[0]?.reason).toBe("camera_lost");
  });

  it("between two sources of one camera are gaps too", async () => {
    const { hub, camera } = await setUp();
    await begin(hub, camera.source, {}, clip("mjpeg", 1));
    const old = camera.source;
    camera.source = new FakeCamera("camera0", 30).source;
    await old.close();
    await until("the recording has joined again", () => camera.source.leases.size > 0);
    await play(hub, camera.source, afterGap(later(clip("mjpeg", 1), 3_000_000)));
    const view = await hub.service.stop({ cameraId: "camera0" });
    expect(view.frames).toBe(60);
    expect(view.segments).toHaveLength(1);
    expect(hub.library.get("recording", view.filename).gaps).toHaveLength(1);
  });
});

describe("the service", () => {
  it("records one camera once", async () => {
    const { hub, camera } = await setUp();
    const [first, second] = await Promise.allSettled([
      hub.service.start({ cameraId: "camera0", filename: "a" }),
      hub.service.start({ cameraId: "camera0", filename: "b" }),
      play(hub, camera.source, clip("mjpeg", 1)),
    ]);
    expect(first).toMatchObject({ status: "fulfilled", value: { filename: "a.mp4" } });
    expect(second).toMatchObject({ status: "rejected", reason: { code: "already_recording" } });
  });

  it("refuses to stop what does not run", async () => {
    const { hub } = await setUp();
    await expect(hub.service.stop({ cameraId: "camera0" })).rejects.toMatchObject({ code: "not_recording" });
    await expect(hub.service.stop({ recordingId: "x" })).rejects.toMatchObject({ code: "not_recording" });
    await expect(hub.service.stop({ cameraId: "camera9" })).rejects.toMatchObject({
      code: "camera_not_found",
    });
  });

  it("refuses MJPEG in a transport stream, and lets go of camera and name", async () => {
    const exports = { run: () => Promise.reject(new Error("not reached")), close: async () => {} };
    const { hub, camera } = await setUp({ exports });
    camera.source.feed(...clip("mjpeg", 1));
    await expect(
      hub.service.start({ cameraId: "camera0", filename: "clip", format: "ts" }),
    ).rejects.toMatchObject({
      code: "unsupported",
    });
    expect(camera.source.leases.size).toBe(0);
    expect(hub.service.active()).toEqual([]);
    expect(await readdir(hub.recordings)).toEqual([]);
    expect(hub.library.reserve("recording", "clip", "ts")).toBe("clip.ts");
  });

  it("is found under the name told at its start when the copy of that name could not be made", async () => {
    const exports = { run: () => Promise.reject(new Error("no room")), close: async () => {} };
    const { hub, camera } = await setUp({ exports });
    const [started] = await Promise.all([
      hub.service.start({ cameraId: "camera0", filename: "clip", format: "mkv" }),
      play(hub, camera.source, clip("mjpeg", 1)),
    ]);
    expect(started).toMatchObject({ filename: "clip.mkv", segments: ["clip.mkv"] });
    const stopped = await hub.service.stop({ cameraId: "camera0" });
    expect(stopped).toMatchObject({ state: "completed", filename: "clip.mp4", segments: ["clip.mp4"] });
    expect(hub.library.get("recording", "clip.mkv")).toMatchObject({
      filename: "clip.mp4",
      state: "complete",
    });
  });

  it("stops a recording that waits for its first frame", async () => {
    const { hub } = await setUp();
    const started = hub.service.start({ cameraId: "camera0" });
    const stopped = hub.service.stop({ cameraId: "camera0" });
    await expect(started).rejects.toMatchObject({ code: "capture_failed" });
    expect(await stopped).toMatchObject({ state: "failed", frames: 0 });
    expect(await readdir(hub.recordings)).toEqual([]);
  });

  it("gives up a start without a keyframe", async () => {
    const { hub, camera } = await setUp();
    const started = hub.service.start({ cameraId: "camera0" });
    const failed = expect(started).rejects.toMatchObject({ code: "start_timeout" });
    await play(hub, camera.source, clip("h264", 1).slice(1, 10));
    await hub.clock.advanceAsync(16_000);
    await failed;
  });

  it("ends recordings cleanly when the disk is nearly full", async () => {
    const { hub, camera } = await setUp();
    await begin(hub, camera.source, {}, clip("mjpeg", 1));
    hub.events.emit("storage.level", { level: "critical", freeBytes: 1, totalBytes: 2 });
    const view = await untilEnd(hub);
    expect(view).toMatchObject({ state: "completed", frames: 30 });
    expect(hub.payloads("recording.stopped")[0]?.reason).toBe("storage_critical");
    expect(hub.library.get("recording", view.filename).endReason).toBe("storage_critical");
  });

  it("notes steps of the wall clock and keeps media time", async () => {
    const { hub, camera } = await setUp();
    const fragments = clip("mjpeg", 2);
    await begin(hub, camera.source, {}, fragments.slice(0, 30));
    hub.clock.step(-3_600_000_000);
    const stepped = fragments
      .slice(30)
      .map((frame) => ({ ...frame, capturedAtUs: frame.capturedAtUs - 3_600_000_000 }));
    await play(hub, camera.source, stepped);
    const view = await hub.service.stop({ cameraId: "camera0" });
    const entry = hub.library.get("recording", view.filename);
    expect(entry).toMatchObject({ frames: 60, droppedFrames: 0, clockSteps: [{ stepUs: -3_600_000_000 }] });
    expect(entry.durationS).toBeCloseTo(2, 1);
  });

  it("finishes everything when it closes", async () => {
    const { hub, camera } = await setUp();
    const view = await begin(hub, camera.source, {}, clip("mjpeg", 1));
    await hub.service.close();
    expect(hub.library.get("recording", view.filename)).toMatchObject({
      state: "complete",
      endReason: "shutdown",
    });
    await expect(hub.service.start({ cameraId: "camera0" })).rejects.toMatchObject({
      code: "capture_failed",
    });
  });
});
