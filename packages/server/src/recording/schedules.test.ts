import { OcelliError } from "@ocelli/protocol";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Cameras } from "../cameras/contract.ts";
import { FakeClock } from "../clock/fake-clock.ts";
import { EventBus } from "../events/bus.ts";
import type { CameraView, RecordingView, ScheduleView } from "../events/catalogue.ts";
import { type Database, openDatabase } from "../store/database.ts";
import type { Recordings, StartRecordingRequest } from "./contract.ts";
import { scheduleMigrations } from "./schedule-store.ts";
import { Schedules } from "./schedules.ts";

const log = pino({ level: "silent" });

/** Does as it is told: refuses with `refuse`, else has a recording that the test starts and ends. */
class ScriptedRecordings implements Recordings {
  readonly requests: StartRecordingRequest[] = [];
  readonly stopped: string[] = [];
  refuse: OcelliError | undefined;
  /** One of the camera that has no end. */
  continuous: RecordingView | undefined;
  running: RecordingView[] = [];
  readonly #bus: EventBus;

  constructor(bus: EventBus) {
    this.#bus = bus;
  }

  async start(request: StartRecordingRequest): Promise<RecordingView> {
    this.requests.push(request);
    if (this.refuse !== undefined) throw this.refuse;
    if (this.continuous !== undefined)
      throw new OcelliError("already_recording", "camera0 is being recorded.");
    const id = `r${this.requests.length}`;
    const recording: RecordingView = {
      ...{ id, cameraId: request.cameraId, filename: `${id}.mp4`, startedAtUs: request.startAtUs ?? 0 },
      ...{ endedAtUs: undefined, requestedDurationS: request.durationS, durationS: 0, bytes: 0, frames: 0 },
      ...{ format: "mp4", state: "active" as const, segments: [] },
    };
    this.running.push(recording);
    return recording;
  }
  rearm(): boolean {
    return false;
  }
  async stop(target: { cameraId: string } | { recordingId: string }): Promise<RecordingView> {
    if ("recordingId" in target && target.recordingId === this.continuous?.id) {
      const recording = this.continuous;
      this.continuous = undefined;
      this.stopped.push(recording.id);
      this.#bus.emit("recording.stopped", { recording, reason: "requested" });
      return recording;
    }
    const found = this.running.find((one) => "recordingId" in target && one.id === target.recordingId);
    if (found === undefined) throw new OcelliError("not_recording", "Nothing is being recorded.");
    this.running = this.running.filter((one) => one !== found);
    this.stopped.push(found.id);
    return found;
  }
  firstFrame(): void {
    this.running = this.running.map((one) => ({ ...one, frames: 1, segments: [one.filename] }));
    for (const recording of this.running) this.#bus.emit("recording.started", { recording });
  }
  end(reason: string): void {
    const over = this.running;
    this.running = [];
    for (const one of over)
      this.#bus.emit("recording.stopped", { recording: { ...one, state: "completed" }, reason });
  }
  active(): readonly RecordingView[] {
    return this.running;
  }
  activeOf(): RecordingView | undefined {
    return this.continuous;
  }
  async recover(): Promise<void> {}
  async close(): Promise<void> {}
}

const settle = async (): Promise<void> => {
  for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
};

describe("schedules", () => {
  let clock: FakeClock;
  let bus: EventBus;
  let recordings: ScriptedRecordings;
  let database: Database;
  let schedules: Schedules;
  let missed: ScheduleView[];

  const open = (): Schedules => {
    const made = new Schedules({
      ...{ recordings, database, clock, log, events: bus, warmUpMs: 10_000, retryMs: 1000, keepOver: 3 },
      cameras: {
        find(name: string) {
          if (name === "nowhere") throw new OcelliError("camera_not_found", "no such camera");
          return { id: name, settings: { continuousRecording: recordings.continuous !== undefined } };
        },
      } as unknown as Cameras,
    });
    made.start();
    return made;
  };
  const inS = (seconds: number): number => clock.wallUs() + seconds * 1e6;
  const advance = async (seconds: number): Promise<void> => {
    clock.advance(seconds * 1000);
    await settle();
  };
  const states = (): string[] => schedules.list({ over: true }).map(({ state }) => state);

  beforeEach(() => {
    clock = new FakeClock();
    bus = new EventBus(log);
    recordings = new ScriptedRecordings(bus);
    database = openDatabase(":memory:", scheduleMigrations);
    schedules = open();
    missed = [];
    bus.on("schedule.missed", ({ schedule }) => missed.push(schedule));
  });
  afterEach(async () => {
    const closed = schedules.close();
    clock.advance(2000);
    await closed;
    database.close();
  });

  it("warms the camera up, starts at T0 and tells what became of it", async () => {
    const startAtUs = inS(60);
    schedules.add({ cameraId: "camera0", startAtUs, durationS: 30, format: "fmp4", filename: "night" });
    await advance(49);
    expect(recordings.requests).toEqual([]);
    expect(states()).toEqual(["scheduled"]);
    await advance(1.5);
    expect(recordings.requests).toEqual([
      { cameraId: "camera0", startAtUs, durationS: 30, yields: true, format: "fmp4", filename: "night" },
    ]);
    expect(states()).toEqual(["armed"]);
    await advance(9);
    recordings.firstFrame();
    expect(states()).toEqual(["recording"]);
    await advance(30);
    recordings.end("duration");
    expect(schedules.list()).toEqual([]);
    expect(schedules.list({ over: true })).toMatchObject([{ state: "completed", files: ["r1.mp4"] }]);
    expect(missed).toEqual([]);
  });

  it("follows a step of the wall clock", async () => {
    schedules.add({ cameraId: "camera0", startAtUs: inS(3600), durationS: 30 });
    await advance(60);
    clock.step(3600 * 1e6 - 65e6);
    await settle();
    expect(states()).toEqual(["armed"]);
  });

  it("records what is left when the camera comes back within the time", async () => {
    recordings.refuse = new OcelliError("camera_disconnected", "camera0 is not attached.");
    schedules.add({ cameraId: "camera0", startAtUs: inS(20), durationS: 60 });
    for (let i = 0; i < 40; i++) await advance(1);
    expect(schedules.list()).toMatchObject([{ state: "scheduled", reason: "camera0 is not attached." }]);
    recordings.refuse = undefined;
    bus.emit("camera.status", {
      camera: { id: "camera0", status: "CONNECTED" } as CameraView,
      change: "connected",
      previous: "DISCONNECTED",
    });
    await settle();
    const last = recordings.requests.at(-1);
    expect(last?.startAtUs).toBeUndefined();
    expect(last?.durationS).toBeCloseTo(40, 0);
    recordings.firstFrame();
    recordings.end("duration");
    expect(states()).toEqual(["completed"]);
  });

  it("reports a start it could not make", async () => {
    recordings.refuse = new OcelliError("camera_disconnected", "camera0 is not attached.");
    schedules.add({ cameraId: "camera0", startAtUs: inS(20), durationS: 10 });
    for (let i = 0; i < 40; i++) await advance(1);
    expect(missed).toMatchObject([{ state: "missed", reason: "camera0 is not attached." }]);
    expect(states()).toEqual(["missed"]);
  });

  it("gives up at once on what can never work", async () => {
    recordings.refuse = new OcelliError("unsupported", "MPEG-TS cannot hold MJPEG.");
    schedules.add({ cameraId: "camera0", startAtUs: inS(20), durationS: 10, format: "ts" });
    await advance(15);
    expect(missed).toMatchObject([{ state: "failed", reason: "MPEG-TS cannot hold MJPEG." }]);
    expect(recordings.requests).toHaveLength(1);
  });

  it("waits for another recording of the camera and still begins at T0 while the frames are held", async () => {
    recordings.refuse = new OcelliError("already_recording", "camera0 is being recorded.");
    const startAtUs = inS(20);
    schedules.add({ cameraId: "camera0", startAtUs, durationS: 30 });
    for (let i = 0; i < 21; i++) await advance(1);
    recordings.refuse = undefined;
    await advance(1);
    expect(recordings.requests.at(-1)).toMatchObject({ startAtUs, durationS: 30 });
  });

  it("lets a recording that somebody begins before T0 go first, and begins at T0 when that is over", async () => {
    const startAtUs = inS(20);
    schedules.add({ cameraId: "camera0", startAtUs, durationS: 30 });
    await advance(12);
    expect(states()).toEqual(["armed"]);
    recordings.refuse = new OcelliError("already_recording", "camera0 is being recorded.");
    recordings.end("yielded");
    await settle();
    expect(schedules.list()).toMatchObject([
      { state: "scheduled", reason: expect.stringContaining("is being recorded") },
    ]);
    recordings.refuse = undefined;
    await advance(3);
    expect(states()).toEqual(["armed"]);
    expect(recordings.requests.at(-1)).toMatchObject({ startAtUs, durationS: 30 });
    expect(missed).toEqual([]);
  });

  it("takes its turn from a continuous recording at T0, not before", async () => {
    recordings.continuous = { id: "all day", cameraId: "camera0" } as RecordingView;
    const startAtUs = inS(20.5);
    schedules.add({ cameraId: "camera0", startAtUs, durationS: 30 });
    for (let i = 0; i < 20; i++) await advance(1);
    expect(recordings.stopped).toEqual([]);
    expect(schedules.isDue("camera0")).toBe(false);
    await advance(0.5);
    expect(recordings.stopped).toEqual(["all day"]);
    expect(recordings.requests.at(-1)).toMatchObject({ startAtUs, durationS: 30 });
    expect(states()).toEqual(["armed"]);
    expect(schedules.isDue("camera0")).toBe(false);
  });

  it("goes on after a full disk, and after a restart of the hub", async () => {
    schedules.add({ cameraId: "camera0", startAtUs: inS(20), durationS: 100 });
    await advance(15);
    recordings.firstFrame();
    await advance(25);
    recordings.end("storage_critical");
    await settle();
    expect(recordings.requests.at(-1)?.durationS).toBeCloseTo(80, 0);
    recordings.firstFrame();
    const closed = schedules.close();
    recordings.end("shutdown");
    clock.advance(2000);
    await closed;
    await advance(10);
    schedules = open();
    await settle();
    expect(recordings.requests.at(-1)?.durationS).toBeCloseTo(68, 0);
    recordings.firstFrame();
    recordings.end("duration");
    expect(schedules.list({ over: true })).toMatchObject([
      { state: "completed", files: ["r1.mp4", "r2.mp4", "r3.mp4"] },
    ]);
  });

  it("leaves alone what a recovered recording goes on with", async () => {
    schedules.add({ cameraId: "camera0", startAtUs: inS(20), durationS: 100 });
    await advance(15);
    recordings.firstFrame();
    const closed = schedules.close();
    clock.advance(2000);
    await closed;
    schedules = open();
    await advance(10);
    expect(recordings.requests).toHaveLength(1);
    expect(states()).toEqual(["recording"]);
    recordings.end("duration");
    expect(states()).toEqual(["completed"]);
  });

  it("reports at the start what it slept through", async () => {
    schedules.add({ cameraId: "camera0", startAtUs: inS(20), durationS: 10 });
    const closed = schedules.close();
    clock.advance(60_000);
    await closed;
    schedules = open();
    await settle();
    expect(missed).toMatchObject([{ state: "missed", reason: expect.stringContaining("not running") }]);
  });

  it("cancels one that waits or is armed, not one that runs", async () => {
    const waiting = schedules.add({ cameraId: "camera0", startAtUs: inS(100), durationS: 10 });
    expect(await schedules.cancel(waiting.id)).toMatchObject({ state: "cancelled" });
    const armed = schedules.add({ cameraId: "camera0", startAtUs: inS(20), durationS: 10 });
    await advance(12);
    expect(await schedules.cancel(armed.id)).toMatchObject({ state: "cancelled" });
    expect(recordings.stopped).toEqual(["r1"]);
    const runs = schedules.add({ cameraId: "camera0", startAtUs: inS(5), durationS: 10 });
    await advance(5);
    recordings.firstFrame();
    await expect(schedules.cancel(runs.id)).rejects.toMatchObject({ code: "already_recording" });
    await expect(schedules.cancel("none")).rejects.toMatchObject({ code: "invalid_params" });
    await expect(schedules.cancel(armed.id)).rejects.toThrow(/over: cancelled/);
    await advance(300);
    expect(recordings.requests).toHaveLength(2);
  });

  it("refuses past times and unknown cameras", () => {
    const request = { cameraId: "camera0", startAtUs: inS(10), durationS: 1 };
    expect(() => schedules.add({ ...request, startAtUs: inS(-1) })).toThrow(/past/);
    expect(() => schedules.add({ ...request, cameraId: "nowhere" })).toThrow(/no such camera/);
    expect(() => schedules.add({ ...request, durationS: 0 })).toThrow(/duration/);
  });

  it("keeps a bounded list of those that are over", async () => {
    for (let i = 0; i < 6; i++) {
      const { id } = schedules.add({ cameraId: "camera0", startAtUs: inS(100 + i), durationS: 10 });
      await schedules.cancel(id);
    }
    expect(schedules.list({ over: true })).toHaveLength(3);
  });
});
