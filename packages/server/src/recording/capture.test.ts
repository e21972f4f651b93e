/** Recordings of real captures: ffmpeg in real time, real clocks, real exports. */
import { mkdtempSync, rmSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { OcelliError } from "@ocelli/protocol";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Camera, Cameras } from "../cameras/contract.ts";
import type { DeviceCapture } from "../capture/device-capture.ts";
import { type PatternOptions, patternCapture } from "../capture/testing/sources.ts";
import { Transcode } from "../capture/transcode.ts";
import { SystemClock } from "../clock/system-clock.ts";
import { EventBus } from "../events/bus.ts";
import type { EventCatalogue } from "../events/catalogue.ts";
import { MediaLibrary } from "../library/library.ts";
import { framesOf } from "../library/testing/frames-of.ts";
import { Exporter } from "./export.ts";
import { RecordingJournal } from "./journal.ts";
import { RecordingService } from "./recordings.ts";
import { FakeCamera } from "./testing/fake-camera.ts";
import { ffprobe } from "./testing/ffprobe.ts";
import { FakeStorage } from "./testing/hub.ts";

const log = pino({ level: process.env.TEST_LOG ?? "silent" });
let folder: string;
let clock: SystemClock;
let library: MediaLibrary;
let events: EventBus;
let service: RecordingService;
let exports: Exporter;
let captures: Map<string, DeviceCapture>;
/** Cameras set to `recordCodec: h264`. */
let renditions: Map<string, Transcode>;

function addCamera(id: string, options: PatternOptions, recordCodec: "copy" | "h264" = "copy"): void {
  const capture = patternCapture(clock, { ...options, id });
  captures.set(id, capture);
  if (recordCodec === "copy") return;
  const settings = { codec: "h264" } as const;
  renditions.set(id, new Transcode({ id: `${id}/h264`, clock, log, input: capture, settings }));
}

const cameras: Cameras = {
  list: () => [],
  find(id): Camera {
    const capture = captures.get(id);
    if (capture === undefined) throw new OcelliError("camera_not_found", `There is no camera ${id}.`);
    const fake = new FakeCamera(id, 25);
    const rendition = renditions.get(id);
    return {
      ...{ id, capabilities: fake.capabilities },
      settings: { recordCodec: rendition === undefined ? "copy" : "h264" },
      view: () => fake.view(),
      native: () => capture,
      h264: () => rendition ?? capture,
      mjpeg: () => capture,
    };
  },
};

function once<E extends "recording.stopped" | "recording.progress">(
  event: E,
  wanted: (payload: EventCatalogue[E]) => boolean = () => true,
): Promise<EventCatalogue[E]> {
  return new Promise((resolve) => {
    const off = events.on(event, (payload) => {
      if (!wanted(payload)) return;
      off();
      resolve(payload);
    });
  });
}

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "ocelli-captured-"));
  clock = new SystemClock();
  events = new EventBus(log);
  captures = new Map();
  renditions = new Map();
  library = await MediaLibrary.open({
    recordingsFolder: join(folder, "recordings"),
    snapshotsFolder: join(folder, "snapshots"),
    indexPath: join(folder, "index.db"),
    ...{ clock, log },
  });
  const storage = new FakeStorage();
  exports = new Exporter({ library, storage, clock, log });
  const journal = new RecordingJournal(join(folder, "journal"), log);
  service = new RecordingService({
    ...{ cameras, library, storage, journal, clock, events, log, exports },
    limits: { segmentSeconds: 0, segmentBytes: 0 },
  });
});

afterEach(async () => {
  await service.close();
  await exports.close();
  for (const source of [...renditions.values(), ...captures.values()]) await source.close();
  await library.close();
  clock.close();
  rmSync(folder, { recursive: true, force: true });
});

describe("a recording of a real capture", () => {
  it("survives kill -9 of ffmpeg, and reports the gap", async () => {
    addCamera("camera0", { codec: "mjpeg" });
    await service.start({ cameraId: "camera0", filename: "killed" });
    await once("recording.progress", ({ recording }) => recording.frames >= 20);
    const frames = service.activeOf("camera0")?.frames ?? 0;
    const pid = captures.get("camera0")?.stats().pid;
    if (pid === undefined) throw new Error("no process");
    process.kill(pid, "SIGKILL");
    await once("recording.progress", ({ recording }) => recording.frames >= frames + 30);
    const view = await service.stop({ cameraId: "camera0" });
    expect(view.segments).toEqual(["killed.mp4"]);
    const entry = library.get("recording", "killed.mp4");
    expect(entry.gaps.filter((gap) => gap.reason !== "frames_dropped")).toHaveLength(1);
    const probed = ffprobe(entry.path);
    expect(probed).toMatchObject({ errors: "", frames: entry.frames });
    expect(probed.durationS).toBeCloseTo(entry.durationS ?? 0, 1);
  });

  it("as H.264 of an MJPEG camera survives the death of either process", async () => {
    addCamera("camera0", { codec: "mjpeg" }, "h264");
    await service.start({ cameraId: "camera0", filename: "encoded" });
    for (const sources of [captures, renditions]) {
      const { frames = 0 } = service.activeOf("camera0") ?? {};
      await once("recording.progress", ({ recording }) => recording.frames >= frames + 20);
      process.kill(sources.get("camera0")?.stats().pid ?? 0, "SIGKILL");
    }
    const { frames = 0 } = service.activeOf("camera0") ?? {};
    await once("recording.progress", ({ recording }) => recording.frames >= frames + 30);
    const view = await service.stop({ cameraId: "camera0" });
    expect(view).toMatchObject({ segments: ["encoded.mp4"], state: "completed" });
    const entry = library.get("recording", "encoded.mp4");
    expect(entry).toMatchObject({ codec: "h264", resolution: "160x120", frames: view.frames });
    const [camera, encoder, ...more] = entry.gaps.filter((gap) => gap.reason !== "frames_dropped");
    expect(more).toEqual([]);
    expect(camera?.reason).toContain("camera0: ffmpeg was ended by SIGKILL");
    expect(encoder?.reason).toContain("camera0/h264: ffmpeg was ended by SIGKILL");
    const probed = ffprobe(entry.path);
    expect(probed).toMatchObject({ errors: "", frames: entry.frames });
    expect(probed.durationS).toBeCloseTo(entry.durationS ?? 0, 1);
    const shownS = ((entry.lastFrameAtUs ?? 0) - (entry.firstFrameAtUs ?? 0)) / 1e6;
    expect(Math.abs(shownS - (entry.durationS ?? 0))).toBeLessThan(0.2);
  });

  it("as H.264 begins at T0", async () => {
    addCamera("camera0", { codec: "mjpeg" }, "h264");
    const startAtUs = clock.wallUs() + 3_300_000;
    const ended = once("recording.stopped");
    await service.start({ cameraId: "camera0", startAtUs, durationS: 1 });
    const entry = library.get("recording", (await ended).recording.filename);
    const errorUs = (entry.firstFrameAtUs ?? 0) - startAtUs;
    expect(errorUs).toBeGreaterThanOrEqual(0);
    expect(errorUs).toBeLessThan(1e6 / 25 + 10_000);
    expect(ffprobe(entry.path)).toMatchObject({ errors: "", frames: entry.frames });
    expect(Math.abs((entry.frames ?? 0) - 25)).toBeLessThanOrEqual(1);
  });

  it("starts two cameras at one T0, each with its first frame at or after it", async () => {
    addCamera("camera0", { codec: "mjpeg" });
    addCamera("camera1", { codec: "h264", gop: 50 });
    const startAtUs = clock.wallUs() + 2_500_000;
    const ended = Promise.all(
      ["camera0", "camera1"].map((id) =>
        once("recording.stopped", ({ recording }) => recording.cameraId === id),
      ),
    );
    for (const cameraId of ["camera0", "camera1"]) await service.start({ cameraId, startAtUs, durationS: 1 });
    for (const { recording, reason } of await ended) {
      expect(reason).toBe("duration");
      const entry = library.get("recording", recording.filename);
      const errorUs = (entry.firstFrameAtUs ?? 0) - startAtUs;
      expect(errorUs).toBeGreaterThanOrEqual(0);
      expect(errorUs).toBeLessThan(1e6 / 25 + 10_000);
      expect(entry.scheduledStart).toEqual({ atUs: startAtUs, errorUs });
      expect(ffprobe(entry.path)).toMatchObject({ errors: "", frames: entry.frames });
      expect(entry.frames).toBeGreaterThanOrEqual(24);
      expect(entry.frames).toBeLessThanOrEqual(26);
    }
  });

  it.each([
    ["mkv", "mjpeg"],
    ["ts", "h264"],
  ] as const)("as %s of %s is exported at its end and replaces the MP4", async (format, codec) => {
    addCamera("camera0", { codec });
    const told = await service.start({ cameraId: "camera0", filename: "clip", format });
    expect([told.filename, told.segments]).toEqual([`clip.${format}`, [`clip.${format}`]]);
    expect(library.get("recording", told.filename)).toMatchObject({
      state: "recording",
      cameraId: "camera0",
    });
    await once("recording.progress");
    const view = await service.stop({ cameraId: "camera0" });
    expect(view).toMatchObject({ state: "completed", format, filename: `clip.${format}` });
    const names = (): Promise<string[]> => readdir(library.folder("recording"));
    expect((await names()).sort()).toEqual(["", ".frames", ".json"].map((end) => `clip.${format}${end}`));
    const entry = library.get("recording", told.filename);
    expect(ffprobe(entry.path)).toMatchObject({ errors: "", frames: view.frames });
    expect(entry).toMatchObject({ state: "complete", format });
    const times = (await framesOf(entry.path)).map((frame) => frame.capturedAtUs);
    expect(times).toHaveLength(view.frames);
    expect([times[0], times.at(-1)]).toEqual([entry.firstFrameAtUs, entry.lastFrameAtUs]);
    await library.delete("recording", told.filename);
    expect(await names()).toEqual([]);
  });
});
