import pino from "pino";
import { describe, expect, it } from "vitest";
import type { Camera } from "../../cameras/contract.ts";
import { FakeClock } from "../../clock/fake-clock.ts";
import type { CameraView } from "../../events/catalogue.ts";
import { createHttpApp } from "../http-app.ts";
import { registerCameraRoutes } from "./routes.ts";

const view = (id: string, more: Partial<CameraView>): CameraView =>
  ({ id, name: `Name of ${id}`, status: "CONNECTED", node: undefined, ...more }) as CameraView;
const views = [
  view("camera0", { node: "/dev/video2", mode: { format: "MJPG", width: 1280, height: 720, fps: 29.97 } }),
  view("camera1", { node: "/dev/video1", status: "DISCONNECTED" }),
  view("camera100", { mode: { format: "H264", width: 640, height: 480, fps: 0 } }),
];

function serve(identity: { cameras?: ReadonlySet<string> } | undefined, list?: () => Camera[]) {
  const log = pino({ level: "silent" });
  const app = createHttpApp({ log });
  const cameras = { list: list ?? (() => views.map((one) => ({ id: one.id, view: () => one }) as Camera)) };
  const authorize = async () =>
    identity === undefined ? undefined : { role: "viewer" as const, cameras: identity.cameras };
  registerCameraRoutes({ app, cameras, authorize, clock: new FakeClock(), log });
  return app.inject("/api/cameras");
}

describe("GET /api/cameras", () => {
  it("lists cameras as the older servers do", async () => {
    const response = await serve({});
    expect(response.statusCode).toBe(200);
    expect(response.json()).toEqual({
      status: "healthy",
      timestamp: "2025-01-15T14:30:00.000Z",
      cameras: [
        {
          ...{ device: "/dev/video2", camera_id: "camera0", status: "CONNECTED", name: "Name of camera0" },
          ...{ resolution: "1280x720", fps: 29 },
        },
        {
          ...{ device: "/dev/video1", camera_id: "camera1", status: "DISCONNECTED", name: "Name of camera1" },
          ...{ resolution: null, fps: null },
        },
        {
          ...{ device: "camera100", camera_id: "camera100", status: "CONNECTED", name: "Name of camera100" },
          ...{ resolution: "640x480", fps: null },
        },
      ],
      total: 3,
      connected: 2,
    });
  });

  it("wants a credential, and shows only what it is good for", async () => {
    expect((await serve(undefined)).statusCode).toBe(401);
    const limited = await serve({ cameras: new Set(["camera1"]) });
    expect(limited.json()).toMatchObject({ total: 1, connected: 0, cameras: [{ camera_id: "camera1" }] });
    expect(limited.body).not.toMatch(/camera0|video2|camera100/);
  });

  it("says so when it cannot", async () => {
    const failed = await serve({}, () => {
      throw new Error("no list");
    });
    expect([failed.statusCode, failed.json()]).toMatchObject([500, { status: "unhealthy", cameras: [] }]);
  });
});
