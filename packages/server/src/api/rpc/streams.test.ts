import { once } from "node:events";
import { afterEach, beforeEach, expect, it } from "vitest";
import { cameraView, FakeCameras } from "./testing/fakes.ts";
import { startTestServer, type TestServer } from "./testing/server.ts";

/** One camera whose source runs while somebody holds it. */
class RunningCameras extends FakeCameras {
  leases: string[] = [];
  override find(name: string) {
    const camera = super.find(name);
    const source = {
      stats: () => ({
        ...{ state: this.leases.length > 0 ? "live" : "idle", leases: this.leases, pid: undefined },
        ...{ bytesTotal: 1234, framesTotal: 7, fps: 5, bitsPerSecond: 8000, runningS: 3.7 },
      }),
      open: async ({ holder }: { holder: string }) => {
        this.leases = [...this.leases, holder];
        return {
          cursor: { next: (signal: AbortSignal) => once(signal, "abort").then(() => undefined) },
          close: () => {
            this.leases = this.leases.filter((one) => one !== holder);
          },
        };
      },
    };
    return { ...camera, native: () => source as unknown as ReturnType<typeof camera.native> };
  }
  override list() {
    return this.views.map(({ id }) => this.find(id));
  }
}

let server: TestServer;
let cameras: RunningCameras;
let viewers: number;
beforeEach(async () => {
  cameras = new RunningCameras([cameraView(0)]);
  viewers = 0;
  const views = {
    viewersOf: (id: string) => (id === "camera0" ? viewers : 99),
    totalsOf: () => ({ framesSent: 3, bytesSent: 500, framesLost: 1 }),
  };
  server = await startTestServer({ endpoint: { cameras, views } });
});
afterEach(() => server.close());

it("holds a started stream, anew when asked again, and lets it go by itself", async () => {
  // Minutes that pass at once end connections, as no heartbeat is answered in between.
  let client = await server.login("operator");
  expect(await client.result("get_streams")).toEqual([
    { name: "camera0", source: "/dev/video0", ready: false, readers: 0, bytes_sent: 500 },
  ]);
  const started = await client.result("start_streaming", { device: "camera0" });
  expect(started).toMatchObject({ stream_name: "camera0", status: "STARTED", auto_close_after: "300s" });
  const url = new URL(String(started.stream_url));
  expect([url.protocol, url.host, url.pathname]).toEqual([
    "http:",
    `127.0.0.1:${server.port}`,
    "/live/camera0/mjpeg",
  ]);
  expect(server.links.verify(url.pathname + url.search)).toMatchObject({ role: "viewer" });
  server.clock.advance(200_000);
  client = await server.login("operator");
  const again = await client.result("start_streaming", { device: "camera0" });
  expect(again.start_time).toBe(started.start_time);
  server.clock.advance(200_000);
  client = await server.login("operator");
  expect(await client.result("get_stream_status", { device: "camera0" })).toMatchObject({
    ...{ status: "ACTIVE", ready: true, start_time: started.start_time },
    // What holds the stream is no viewer.
    mediamtx_path: { readers: 0 },
    ffmpeg_process: { uptime: 3 },
    metrics: { bytes_sent: 500, frames_sent: 3, bitrate: 8000, fps: 5 },
  });
  viewers = 2;
  expect(await client.result("get_stream_url", { device: "camera0" })).toMatchObject({ active_consumers: 2 });
  expect(await client.result("get_streams")).toMatchObject([{ name: "camera0", ready: true, readers: 2 }]);
  server.clock.advance(100_000);
  client = await server.login("operator");
  expect(await client.result("get_stream_status", { device: "camera0" })).toMatchObject({
    ...{ status: "INACTIVE", start_time: null },
  });
});

it("stops with measured times, also what was not running, and says who may", async () => {
  const client = await server.login("operator");
  await client.result("start_streaming", { device: "camera0" });
  server.clock.advance(2500);
  expect(await client.result("stop_streaming", { device: "camera0" })).toMatchObject({
    ...{ status: "STOPPED", duration: 2.5, stream_continues: false },
  });
  expect(cameras.leases).toEqual([]);
  expect(await client.result("stop_streaming", { device: "camera0" })).toMatchObject({ start_time: null });
  const viewer = await server.login("viewer");
  expect(await viewer.result("get_stream_url", { device: "camera0" })).toMatchObject({ available: true });
  expect(await viewer.error("start_streaming", { device: "camera0" })).toMatchObject({
    data: { code: "permission_denied" },
  });
  expect(await viewer.error("get_stream_url", { device: "camera9" })).toMatchObject({
    data: { code: "camera_not_found" },
  });
});
