import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { RequestFigures } from "./request-figures.ts";
import { startTestServer, type TestServer } from "./testing/server.ts";

// The hub about itself: who may ask, in which words, and that the figures are those of what happened.

let server: TestServer;
beforeEach(async () => {
  server = await startTestServer();
});
afterEach(() => server.close());

describe("the hub about itself", () => {
  it("echoes and names its methods without a key", async () => {
    const client = await server.connect();
    expect(await client.result("echo", { message: "grüß dich" })).toBe("grüß dich");
    expect(await client.result("echo", ["by position"])).toBe("by position");
    expect(await client.error("echo")).toMatchObject({ code: -32602 });
    const names: unknown = await client.result("get_supported_methods");
    expect(names).toEqual(expect.arrayContaining(["ping", "echo", "get_metrics", "start_recording"]));
  });

  it.each([
    ["get_server_info", "viewer"],
    ["get_system_status", "viewer"],
    ["get_status", "admin"],
    ["get_metrics", "admin"],
    ["get_configuration", "admin"],
  ] as const)("%s is for the role of the table", async (method, role) => {
    const roles = ["viewer", "operator", "admin"] as const;
    for (const caller of roles) {
      const client = await server.login(caller);
      const { error } = await client.call(method);
      const allowed = roles.indexOf(caller) >= roles.indexOf(role);
      expect([caller, error?.data?.code]).toEqual([caller, allowed ? undefined : "permission_denied"]);
    }
  });

  it("says where it runs and since when", async () => {
    const client = await server.login("viewer");
    server.clock.advance(5000);
    expect(await client.result("get_server_info")).toMatchObject({
      version: "1.2.3",
      server: { uptime_seconds: 5 },
      system: { python_version: null, runtime_version: `node ${process.version}` },
      resources: { memory_total_mb: expect.any(Number), disk_percent: expect.any(Number) },
    });
  });

  it("counts requests, refusals and their time", async () => {
    const admin = await server.login("admin");
    const before = await admin.result("get_metrics");
    await admin.result("ping");
    await admin.error("no_such_method");
    const after = await admin.result("get_metrics");
    expect(Number(after.total_requests) - Number(before.total_requests)).toBe(3);
    // authenticate, get_metrics, ping, and the one of four that was refused.
    expect(after).toMatchObject({ active_connections: 1, error_rate: 0.25 });
    expect(Number(after.memory_usage)).toBeGreaterThan(10);
    expect(after.camera_metrics).toMatchObject({ connected_cameras: 3, cameras: { camera0: {} } });
    expect(after.stream_metrics).toMatchObject({ active_streams: 3, total_viewers: 3 });
  });

  it("tells every size of a camera with its rates", async () => {
    const intervals = [
      { numerator: 1, denominator: 30 },
      { numerator: 1001, denominator: 15000 },
    ];
    const sizes = [{ width: 640, height: 480, intervals }];
    server.cameras.capabilities = {
      ...{ driver: "uvcvideo", card: "Cam", busInfo: "usb-1", version: "6.1.90" },
      abilities: { device: ["Video Capture", "Metadata Capture"], node: ["Video Capture"] },
      formats: [{ fourcc: "MJPG", description: "Motion-JPEG", compressed: true, sizes }],
    };
    const admin = await server.login("admin");
    const { camera_metrics } = await admin.result("get_metrics");
    expect(camera_metrics).toMatchObject({
      cameras: {
        camera0: {
          capabilities: {
            ...{ driver_name: "uvcvideo", card_name: "Cam", bus_info: "usb-1", version: "6.1.90" },
            ...{ capabilities: ["Video Capture", "Metadata Capture"], device_caps: ["Video Capture"] },
          },
          formats: [{ pixel_format: "MJPG", width: 640, height: 480, frame_rates: ["30.000", "14.985"] }],
        },
      },
    });
  });

  it("tells a failing camera in both vocabularies", async () => {
    const [first] = server.cameras.views;
    if (first === undefined) throw new Error("no camera");
    const camera = { ...first, status: "ERROR", reason: "no frames", reasonCode: "start_timeout" } as const;
    server.cameras.views[0] = camera;
    server.bus.emit("camera.status", { camera, change: "error", previous: "CONNECTED" });
    const path = await server.login("admin");
    const status = await path.result("get_status");
    expect(status).toMatchObject({ components: { camera_monitor: "error", websocket_server: "running" } });
    expect(status.problems).toEqual(
      expect.arrayContaining([
        expect.objectContaining({
          device: "/dev/video0",
          code: "start_timeout",
          message: "Camera 0: no frames",
        }),
      ]),
    );
    const logical = await server.login("admin", "?names=logical");
    expect(["DEGRADED", "UNHEALTHY"]).toContain((await logical.result("get_status")).status);
    expect(await logical.result("get_system_status")).toMatchObject({
      status: "partial",
      available_cameras: ["camera1", "camera100"],
    });
  });
});

describe("what is wrong", () => {
  it("is told with the worst first judged: disk, clock, repeated stalls", async () => {
    const admin = await server.login("admin");
    const load = ["memory_high", "errors_high", "responses_slow", "connections_high"];
    const state = async () => {
      const { problems, status } = await admin.result("get_status");
      const own = (problems as unknown as { code: string; component: string }[]).filter(
        ({ code }) => !load.includes(code),
      );
      return { status, codes: own.map(({ code }) => code) };
    };
    expect((await state()).codes).toEqual([]);
    for (let i = 0; i < 3; i++)
      server.bus.emit("capture.state", { cameraId: "camera1", from: "live", to: "stalled" });
    server.bus.emit("clock.step", { stepUs: 5e6 });
    expect((await state()).codes).toEqual(["repeated_stalls", "clock_step"]);
    expect(["degraded", "unhealthy"]).toContain((await state()).status);
    server.bus.emit("storage.level", { level: "critical", freeBytes: 5, totalBytes: 1000 });
    expect(await state()).toEqual({
      status: "unhealthy",
      codes: ["repeated_stalls", "clock_step", "storage_critical"],
    });
    server.bus.emit("storage.level", { level: "ok", freeBytes: 900, totalBytes: 1000 });
    expect((await state()).codes).toEqual(["repeated_stalls", "clock_step"]);
  });
});

describe("somebody limited to some cameras", () => {
  it("learns nothing of the troubles of the others", async () => {
    for (const [id, name] of [
      ["camera0", "Vault"],
      ["camera1", "Door"],
    ] as const) {
      const [camera] = server.cameras.views.filter((view) => view.id === id);
      if (camera === undefined) throw new Error(`no ${id}`);
      const failing = { ...camera, name, status: "ERROR", reason: "no frames" } as const;
      server.bus.emit("camera.status", { camera: failing, change: "error", previous: "CONNECTED" });
    }
    const all = JSON.stringify((await (await server.login("admin")).result("get_status")).problems);
    expect([all.includes("Vault"), all.includes("Door")]).toEqual([true, true]);
    const { key } = server.keys.create({ name: "door", role: "admin", cameras: new Set(["camera1"]) });
    const limited = await server.connect();
    await limited.result("authenticate", { auth_token: key });
    const seen = JSON.stringify((await limited.result("get_status")).problems);
    expect([seen.includes("Vault"), seen.includes("camera0"), seen.includes("Door")]).toEqual([
      false,
      false,
      true,
    ]);
  });
});

describe("request figures", () => {
  it("keep all in the totals and only faults of the newest thousand in the recent ones", () => {
    const figures = new RequestFigures();
    expect(figures.all).toEqual({ total: 0, meanMs: 0, errorRate: 0 });
    for (let i = 0; i < 1000; i++) figures.add(10, "fault");
    for (let i = 0; i < 1000; i++) figures.add(20, "refused");
    expect(figures.all).toEqual({ total: 2000, meanMs: 15, errorRate: 1 });
    expect(figures.recent).toEqual({ total: 1000, meanMs: 20, errorRate: 0 });
  });
});
