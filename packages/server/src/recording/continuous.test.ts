import { OcelliError } from "@ocelli/protocol";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Camera, CameraSettings, Cameras } from "../cameras/contract.ts";
import { FakeClock } from "../clock/fake-clock.ts";
import { EventBus } from "../events/bus.ts";
import type { CameraStatus, CameraView, RecordingView } from "../events/catalogue.ts";
import { ContinuousRecording } from "./continuous.ts";
import type { Recordings, StartRecordingRequest } from "./contract.ts";

const log = pino({ level: "silent" });

const settle = async (): Promise<void> => {
  for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
};

describe("a continuous recording", () => {
  let clock: FakeClock;
  let bus: EventBus;
  let continuous: ContinuousRecording;
  let settings: CameraSettings;
  let status: CameraStatus;
  let running: RecordingView | undefined;
  let requests: StartRecordingRequest[];
  let stopped: string[];
  let refuse: OcelliError | undefined;
  let reserved: boolean;

  const view = (): CameraView => ({ id: "camera0", status }) as CameraView;
  const begin = (durationS?: number): RecordingView => {
    running = {
      ...{
        id: `r${requests.length}`,
        cameraId: "camera0",
        filename: "x.mp4",
        startedAtUs: 0,
        endedAtUs: undefined,
      },
      ...{
        requestedDurationS: durationS,
        durationS: 0,
        bytes: 0,
        frames: 1,
        format: "mp4",
        segments: ["x.mp4"],
      },
      state: "active",
    };
    return running;
  };
  const end = async (reason: string): Promise<void> => {
    const recording = running;
    running = undefined;
    if (recording !== undefined) bus.emit("recording.stopped", { recording, reason });
    await settle();
  };
  const fail = async (): Promise<void> => {
    const recording = running;
    running = undefined;
    const error = { code: "capture_failed", message: "gone" } as const;
    if (recording !== undefined) bus.emit("recording.failed", { recording, error });
    await settle();
  };
  const change = async (now: boolean): Promise<void> => {
    settings = { recordCodec: "copy", ...(now ? { continuousRecording: true } : {}) };
    bus.emit("camera.status", { camera: view(), change: "capability_change", previous: status });
    await settle();
  };

  beforeEach(() => {
    clock = new FakeClock();
    bus = new EventBus(log);
    settings = { recordCodec: "copy" };
    status = "CONNECTED";
    running = undefined;
    requests = [];
    stopped = [];
    refuse = undefined;
    reserved = false;
    const camera = {
      id: "camera0",
      get settings() {
        return settings;
      },
      view,
    } as Camera;
    const recordings = {
      async start(request: StartRecordingRequest) {
        requests.push(request);
        if (refuse !== undefined) throw refuse;
        return begin();
      },
      async stop(target: { recordingId: string }) {
        stopped.push(target.recordingId);
        const recording = running ?? begin();
        await end("requested");
        return recording;
      },
      activeOf: () => running,
    } as unknown as Recordings;
    const cameras = { list: () => [camera] } as unknown as Cameras;
    continuous = new ContinuousRecording({
      ...{ recordings, cameras, clock, events: bus, log, reserved: () => reserved },
    });
    continuous.start();
  });
  afterEach(() => continuous.close());

  it("begins with the setting and ends with it", async () => {
    await settle();
    expect(requests).toEqual([]);
    await change(true);
    expect(requests).toEqual([{ cameraId: "camera0", preRollS: 0 }]);
    await change(false);
    expect(stopped).toEqual(["r1"]);
    expect(running).toBeUndefined();
  });

  it("is followed by the next when somebody stops it", async () => {
    await change(true);
    await end("requested");
    expect(requests).toHaveLength(2);
    expect(running?.id).toBe("r2");
  });

  it("waits for a timed recording, and takes one without end for its own", async () => {
    begin(10);
    await change(true);
    expect(requests).toEqual([]);
    await end("duration");
    expect(requests).toHaveLength(1);
    await change(false);
    begin();
    await change(true);
    await change(false);
    expect(requests).toHaveLength(1);
    expect(stopped).toHaveLength(2);
  });

  it("leaves a timed recording alone when the setting is taken back", async () => {
    begin(10);
    await change(true);
    await change(false);
    expect(stopped).toEqual([]);
    await end("duration");
    expect(requests).toEqual([]);
  });

  it("waits for an absent camera", async () => {
    status = "DISCONNECTED";
    await change(true);
    clock.advance(120_000);
    await settle();
    expect(requests).toEqual([]);
    status = "CONNECTED";
    await change(true);
    expect(requests).toHaveLength(1);
  });

  it("tries again more and more slowly, and at once when there is room", async () => {
    refuse = new OcelliError("storage_low", "The disk is full.");
    await change(true);
    const after: number[] = [];
    for (let s = 0; s < 200; s++) {
      clock.advance(1000);
      await settle();
      after.push(requests.length);
    }
    expect(requests.length).toBeGreaterThan(5);
    expect(requests.length).toBeLessThan(12);
    refuse = undefined;
    bus.emit("storage.level", { level: "ok", freeBytes: 2, totalBytes: 3 });
    await settle();
    expect(running).toBeDefined();
  });

  it("goes on after a failure, not in a rush", async () => {
    await change(true);
    await fail();
    expect(requests).toHaveLength(1);
    clock.advance(1000);
    await settle();
    expect(requests).toHaveLength(2);
  });

  it("begins anew with another mode or codec", async () => {
    await change(true);
    settings = { ...settings, mode: { fps: 15 } };
    bus.emit("camera.status", { camera: view(), change: "capability_change", previous: status });
    await settle();
    expect(stopped).toEqual(["r1"]);
    expect(requests).toHaveLength(2);
    expect(running?.id).toBe("r2");
  });

  it("lets a schedule have its turn", async () => {
    await change(true);
    reserved = true;
    await end("requested");
    expect(requests).toHaveLength(1);
    reserved = false;
    begin(10);
    await end("duration");
    expect(requests).toHaveLength(2);
  });

  it("starts nothing while the hub stops", async () => {
    await change(true);
    await continuous.close();
    await end("shutdown");
    clock.advance(100_000);
    await settle();
    expect(requests).toHaveLength(1);
  });
});
