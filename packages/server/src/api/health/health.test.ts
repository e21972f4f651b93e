import pino from "pino";
import { afterEach, describe, expect, it } from "vitest";
import type { Camera, Cameras } from "../../cameras/contract.ts";
import { FakeClock } from "../../clock/fake-clock.ts";
import type { ClockState } from "../../clock/sync/state.ts";
import { EventBus } from "../../events/bus.ts";
import type { CameraView } from "../../events/catalogue.ts";
import type { Load } from "../../health/judgement.ts";
import { HealthProblems } from "../../health/problems.ts";
import { createHttpApp } from "../http-app.ts";
import { registerHealthRoutes } from "./routes.ts";

const sure: ClockState = {
  ...{ synchronised: true, source: "sntp", offsetUs: -1500, uncertaintyUs: 2000 },
  ...{ servers: ["ntp.example.org"], measuredAtUs: 0, reason: undefined },
};
const idle: Load = { memory: 10, errors: 0, responseMs: 1, connections: 0 };
const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

function serve(
  state: {
    ready?: boolean;
    stopping?: boolean;
    cameras?: number;
    load?: Partial<Load>;
    happened?: (bus: EventBus) => void;
    time?: Partial<ClockState>;
  } = {},
) {
  const clock = new FakeClock();
  const log = pino({ level: "silent" });
  const app = createHttpApp({ log });
  const bus = new EventBus(log);
  const health = new HealthProblems({ bus, clock, judgeClock: true });
  closing.push(() => health.close());
  const list = Array.from({ length: state.cameras ?? 2 }, () => ({}) as Camera);
  const cameras: Pick<Cameras, "list"> = { list: () => list };
  const { ready = true, stopping = false } = state;
  const time: ClockState = { ...sure, ...state.time };
  registerHealthRoutes({
    ...{ app, version: "1.2.3", clock, startedAtMonoUs: clock.monoUs(), cameras, health },
    clockSync: { state: time },
    isReady: () => ready,
    isStopping: () => stopping,
    load: () => ({ ...idle, ...state.load }),
  });
  clock.advance((72 * 3600 + 15 * 60 + 30) * 1000);
  state.happened?.(bus);
  if (state.time !== undefined) bus.emit("clock.state", { state: time });
  return async (path: string) => {
    const response = await app.inject(path);
    return {
      status: response.statusCode,
      headers: response.headers,
      body: response.json(),
      text: response.body,
    };
  };
}

const failing = (bus: EventBus): void => {
  const camera = {
    id: "camera0",
    name: "Vault",
    status: "ERROR",
    reason: "rtsp://10.0.0.7 is silent",
  } as CameraView;
  bus.emit("camera.status", { camera, change: "error", previous: "CONNECTED" });
};
const shaky = (bus: EventBus): void => {
  for (let i = 0; i < 3; i++) bus.emit("capture.state", { cameraId: "camera1", from: "live", to: "stalled" });
};
const disk =
  (level: "ok" | "low" | "critical") =>
  (bus: EventBus): void =>
    bus.emit("storage.level", { level, freeBytes: 1, totalBytes: 2 });
const clockSet = (bus: EventBus): void => bus.emit("clock.step", { stepUs: 1e9 });

describe("health", () => {
  it("is ready once the first scan of cameras is done", async () => {
    const early = serve({ ready: false });
    expect(await early("/health/ready")).toMatchObject({
      status: 503,
      body: { status: "not_ready", ready: false },
    });
    expect(await early("/health/live")).toMatchObject({ status: 200, body: { alive: true } });
    const later = await serve()("/health/ready");
    expect(later).toMatchObject({ status: 200, body: { status: "ready", ready: true } });
    expect(later.headers).toMatchObject({
      "cache-control": "no-cache, no-store, must-revalidate",
      "access-control-allow-origin": "*",
      "content-type": expect.stringContaining("application/json"),
    });
    expect((await serve({ stopping: true })("/health/ready")).status).toBe(503);
  });

  it("reports version and uptime", async () => {
    expect((await serve()("/health")).body).toEqual({
      status: "healthy",
      timestamp: "2025-01-18T14:45:30.000Z",
      version: "1.2.3",
      uptime: "72h15m30s",
    });
  });

  it.each([
    ["nothing wrong", {}, 200, "healthy", undefined],
    ["a camera in error", { happened: failing }, 200, "degraded", "camera_monitor"],
    ["a shaky camera", { happened: shaky }, 200, "degraded", "camera_monitor"],
    ["a disk that fills up", { happened: disk("low") }, 200, "degraded", "storage"],
    ["a full disk", { happened: disk("critical") }, 500, "unhealthy", "storage"],
    ["a clock that was set", { happened: clockSet }, 200, "degraded", "clock"],
    ["memory running out", { load: { memory: 91 } }, 200, "degraded", "service_manager"],
    ["no memory", { load: { memory: 96 } }, 500, "unhealthy", "service_manager"],
    ["failing requests", { load: { errors: 11 } }, 500, "unhealthy", "service_manager"],
    ["slow answers", { load: { responseMs: 1001 } }, 200, "degraded", "service_manager"],
    ["many connections", { load: { connections: 96 } }, 500, "unhealthy", "service_manager"],
  ])("judges %s", async (_what, state, status, word, part) => {
    const get = serve(state);
    const { status: code, body } = await get("/health/system");
    expect([code, body.status, (await get("/health")).body.status]).toEqual([status, word, word]);
    for (const name of ["mediamtx", "camera_monitor", "service_manager", "storage", "clock"]) {
      expect(body.components[name]).toMatchObject({
        details: expect.any(String),
        timestamp: expect.any(String),
      });
      expect([name, body.components[name].status]).toEqual([name, name === part ? word : "healthy"]);
    }
    // Trouble is no reason to send nobody here, and none to restart the hub.
    expect([(await get("/health/ready")).status, (await get("/health/live")).status]).toEqual([200, 200]);
  });

  it.each([
    [{}, "healthy", "The wall clock runs evenly", -1.5, 2],
    [
      {
        synchronised: false,
        source: "none",
        offsetUs: 0,
        uncertaintyUs: undefined,
        reason: "10.0.0.7 is silent",
      },
      ...(["degraded", "Nothing synchronises the wall clock", 0, null] as const),
    ],
    [{ uncertaintyUs: 60_000 }, "degraded", "What the true time is, is known only roughly", -1.5, 60],
  ] as const)(
    "tells how right the clock is: %j",
    async (time, status, message, offset_ms, uncertainty_ms) => {
      const { body, text } = await serve({ time })("/health/detailed");
      const clock = body.components.find(({ name }: { name: string }) => name === "clock");
      expect(clock).toMatchObject({ status, message, details: { offset_ms, uncertainty_ms } });
      expect(text).not.toContain("10.0.0.7");
    },
  );

  it("gets well again", async () => {
    const happened = (bus: EventBus): void => {
      disk("critical")(bus);
      disk("ok")(bus);
    };
    expect((await serve({ happened })("/health/system")).body.status).toBe("healthy");
  });

  it("says how many cameras there are, and neither which nor why", async () => {
    const happened = (bus: EventBus): void => {
      failing(bus);
      shaky(bus);
      disk("low")(bus);
    };
    const get = serve({ happened, cameras: 3 });
    expect((await get("/health/cameras")).body.details).toBe(
      "Camera monitor is running with 3 cameras, 1 of them in error, 1 interrupted again and again",
    );
    const detailed = await get("/health/detailed");
    expect(detailed.body.metrics).toMatchObject({
      component_count: 4,
      components_healthy: 2,
      components_degraded: 2,
    });
    for (const path of ["", "/detailed", "/system", "/cameras", "/ready"])
      expect((await get(`/health${path}`)).text).not.toMatch(/Vault|10\.0\.0\.7|camera[01]/);
  });
});
