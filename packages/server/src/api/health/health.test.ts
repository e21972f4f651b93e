import pino from "pino";
import { describe, expect, it } from "vitest";
import type { Camera, Cameras } from "../../cameras/contract.ts";
import { FakeClock } from "../../clock/fake-clock.ts";
import type { CameraStatus, CameraView } from "../../events/catalogue.ts";
import type { StorageLevel } from "../../library/contract.ts";
import { createHttpApp } from "../http-app.ts";
import { registerHealthRoutes } from "./routes.ts";

function serve(state: {
  ready?: boolean;
  stopping?: boolean;
  storage?: StorageLevel;
  cameras?: CameraStatus[];
}) {
  const clock = new FakeClock();
  const app = createHttpApp({ log: pino({ level: "silent" }) });
  const list = (state.cameras ?? []).map(
    (status): Camera => ({ view: () => ({ status }) as CameraView }) as Camera,
  );
  const cameras = { list: () => list } as unknown as Cameras;
  const { ready = true, stopping = false, storage = "ok" } = state;
  registerHealthRoutes({
    app,
    version: "1.2.3",
    clock,
    startedAtMonoUs: clock.monoUs(),
    cameras,
    isReady: () => ready,
    isStopping: () => stopping,
    storage: () => ({ level: storage, freeBytes: 1, totalBytes: 2 }),
  });
  clock.advance((72 * 3600 + 15 * 60 + 30) * 1000);
  return async (path: string) => {
    const response = await app.inject(path);
    return { status: response.statusCode, headers: response.headers, body: response.json() };
  };
}

describe("health", () => {
  it("is ready once the first scan of cameras is done", async () => {
    const early = serve({ ready: false });
    expect(await early("/health/ready")).toMatchObject({
      status: 503,
      body: { status: "not_ready", ready: false },
    });
    expect(await early("/health/live")).toMatchObject({ status: 200, body: { alive: true } });
    const later = await serve({})("/health/ready");
    expect(later).toMatchObject({ status: 200, body: { status: "ready", ready: true } });
    expect(later.headers).toMatchObject({
      "cache-control": "no-cache, no-store, must-revalidate",
      "access-control-allow-origin": "*",
      "content-type": expect.stringContaining("application/json"),
    });
    expect((await serve({ stopping: true })("/health/ready")).status).toBe(503);
  });

  it("reports version and uptime", async () => {
    expect((await serve({})("/health")).body).toEqual({
      status: "healthy",
      timestamp: "2025-01-18T14:45:30.000Z",
      version: "1.2.3",
      uptime: "72h15m30s",
    });
  });

  it.each([
    [{}, 200, "healthy"],
    [{ cameras: ["CONNECTED", "ERROR"] as CameraStatus[] }, 200, "degraded"],
    [{ storage: "low" as const }, 200, "degraded"],
    [{ storage: "critical" as const }, 500, "unhealthy"],
  ])("judges the system %j", async (state, status, word) => {
    const answer = await serve(state)("/health/system");
    expect(answer.status).toBe(status);
    expect(answer.body.status).toBe(word);
    for (const name of ["mediamtx", "camera_monitor", "service_manager"]) {
      expect(answer.body.components[name]).toMatchObject({
        status: expect.any(String),
        details: expect.any(String),
      });
    }
  });

  it("says how many cameras there are", async () => {
    const answer = await serve({ cameras: ["CONNECTED", "DISCONNECTED"] })("/health/cameras");
    expect(answer.body.details).toBe("Camera monitor is running with 2 cameras");
    const detailed = await serve({ storage: "low" })("/health/detailed");
    expect(detailed.body.metrics).toMatchObject({
      component_count: 3,
      components_healthy: 2,
      components_degraded: 1,
    });
  });
});
