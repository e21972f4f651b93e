import { expect, it } from "vitest";
import { startHub, until, virtualCameras } from "../harness/hub.ts";

/** Health of a running hub: what a camera that fails does to it, told the same by RPC and by HTTP. */

interface Status {
  readonly status: string;
  readonly problems: readonly {
    readonly component: string;
    readonly code: string;
    readonly message: string;
  }[];
}
interface Parts {
  readonly status: string;
  readonly components: Readonly<Record<string, { readonly status: string; readonly details: string }>>;
}

it("degrades with a camera that fails, in both protocols, and says why to those who may know", async () => {
  await using hub = await startHub({
    env: {
      ...virtualCameras({ size: "320x240" }),
      OCELLI_CAPTURE_START_TIMEOUT_SECONDS: "1",
      OCELLI_CAMERAS: '[{"url":"rtsp://127.0.0.1:9/cellar-door","name":"Cellar","number":107}]',
    },
  });
  await using rpc = await hub.rpc();
  const own = async (): Promise<Status["problems"]> =>
    // The load of the machine the test runs on is not its subject.
    (await rpc.call<Status>("get_status")).problems.filter(({ component }) => component !== "hub");
  const get = async (path: string) => {
    const response = await fetch(`${hub.url}${path}`);
    return { code: response.status, text: await response.text() };
  };
  const parts = async (): Promise<Parts> => JSON.parse((await get("/health/system")).text) as Parts;

  expect(await own()).toEqual([]);
  expect((await parts()).components.camera_monitor).toMatchObject({
    status: "healthy",
    details: "Camera monitor is running with 2 cameras",
  });
  expect((await get("/api/cameras")).code).toBe(401);

  await expect(rpc.call("take_snapshot", { device: "camera107" })).rejects.toThrow();
  const problems = await until("the camera to be in error", async () => {
    const found = await own();
    return found.length > 0 && found;
  });
  expect(problems).toMatchObject([
    {
      component: "camera",
      camera_id: "camera107",
      severity: "critical",
      message: expect.stringContaining("Cellar"),
    },
  ]);
  expect(["degraded", "unhealthy"]).toContain((await rpc.call<Status>("get_status")).status);
  const { components } = await parts();
  expect(components.camera_monitor).toMatchObject({
    status: "degraded",
    details: "Camera monitor is running with 2 cameras, 1 of them in error",
  });
  expect([components.storage?.status, components.clock?.status]).toEqual(["healthy", "healthy"]);
  expect([(await get("/health/ready")).code, (await get("/health/live")).code]).toEqual([200, 200]);
  for (const path of ["/health", "/health/system", "/health/detailed", "/health/cameras"])
    expect((await get(path)).text).not.toMatch(/Cellar|camera107|rtsp|127\.0\.0\.1/);

  const listed = (await (await hub.fetch("/api/cameras")).json()) as { cameras: unknown[] };
  expect(listed).toMatchObject({
    ...{ status: "healthy", total: 2, connected: 1 },
    cameras: [
      { device: "camera100", status: "CONNECTED", resolution: "320x240", fps: 30 },
      { device: "camera107", status: "ERROR", name: "Cellar", resolution: null, fps: null },
    ],
  });
});
