import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { OcelliError } from "@ocelli/protocol";
import pino from "pino";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import WebSocket from "ws";
import { FakeClock } from "../../clock/fake-clock.ts";
import { SystemClock } from "../../clock/system-clock.ts";
import { LiveViews } from "../../live/live-views.ts";
import { type Clip, FakeCamera, FakeCameras, FakeSource, makeClip } from "../../live/testing/fake-camera.ts";
import type { Snapshots } from "../../snapshots/contract.ts";
import type { Authorize } from "../access.ts";
import { createHttpApp } from "../http-app.ts";
import { Listener } from "../listener.ts";
import { Upgrades } from "../upgrades.ts";
import { registerLiveRoutes } from "./routes.ts";

const run = promisify(execFile);
let h264: Clip;
let mjpeg: Clip;
const cleanups: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  h264 = await makeClip("h264");
  mjpeg = await makeClip("mjpeg", { seconds: 1 });
});

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const key = "k".repeat(40);
const authorize: Authorize = (request) => {
  const isSigned = request.url?.includes("sig=good") === true;
  return request.headers["x-api-key"] === key || isSigned ? { role: "viewer" } : undefined;
};

async function serve(
  limits: {
    maxInFlightBytes?: number;
    stallTimeoutMs?: number;
    authorize?: Authorize;
    routesClock?: FakeClock;
  } = {},
) {
  const logged: string[] = [];
  const log = pino({ level: "warn" }, { write: (line) => void logged.push(line) });
  const clock = new SystemClock();
  const native = new FakeSource("camera0", h264);
  const pictures = new FakeSource("camera0/mjpeg", mjpeg);
  const cameras = new FakeCameras([new FakeCamera("camera0", { native, mjpeg: pictures })]);
  const views = new LiveViews({ cameras, clock, ...limits });
  const upgrades = new Upgrades({ clock, log });
  const app = createHttpApp({ log });
  const snapshots: Snapshots = {
    take: () => Promise.reject(new OcelliError("unsupported", "not here")),
    still: ({ quality }) =>
      quality === 1
        ? Promise.reject(new OcelliError("start_timeout", "camera0 gave no picture within 10 s"))
        : Promise.resolve({
            bytes: Buffer.from("jpeg"),
            contentType: "image/jpeg",
            capturedAtUs: 1_736_951_400_123_456,
            width: 1,
            height: 1,
          }),
    close: () => Promise.resolve(),
  };
  const signLink = (path: string): string => `${path}?exp=1&sig=good`;
  registerLiveRoutes({
    ...{ app, upgrades, views, cameras, snapshots, signLink, log },
    authorize: limits.authorize ?? authorize,
    clock: limits.routesClock ?? clock,
  });
  const listener = new Listener({ app, upgrades, addresses: ["127.0.0.1:0"], explicit: true, clock, log });
  const port = (await listener.open())[0]?.port ?? 0;
  const stop = async (): Promise<void> => {
    await Promise.all([native.close(), pictures.close()]);
    await views.close();
    await listener.close();
  };
  cleanups.push(stop, () => Promise.resolve(clock.close()));
  return { port, native, pictures, views, listener, logged, url: `http://127.0.0.1:${port}` };
}

interface Viewer {
  readonly socket: WebSocket;
  readonly items: (Buffer | { type: string; [key: string]: unknown })[];
  /** Resolves when `condition` holds after a message. */
  until(condition: () => boolean): Promise<void>;
  readonly closed: Promise<{ code: number; reason: string }>;
}

function watch(port: number, path: string, headers: Record<string, string> = { "x-api-key": key }): Viewer {
  const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, { headers });
  const items: Viewer["items"] = [];
  let wake: (() => void) | undefined;
  socket.on("message", (data, isBinary) => {
    items.push(isBinary ? (data as Buffer) : JSON.parse(String(data)));
    wake?.();
  });
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    socket.on("close", (code, reason) => resolve({ code, reason: String(reason) }));
  });
  cleanups.push(() => Promise.resolve(socket.terminate()));
  return {
    socket,
    items,
    closed,
    until: (condition) =>
      new Promise((resolve) => {
        wake = () => {
          if (condition()) resolve();
        };
        wake();
      }),
  };
}

describe("GET /live/{camera}/mse", () => {
  it("gives a stream that ffprobe plays, under any name of the camera", async () => {
    const { port, native } = await serve();
    native.play();
    const viewer = watch(port, "/live/video0/mse?codecs=h264");
    const binaries = (): Buffer[] => viewer.items.filter((item) => Buffer.isBuffer(item));
    await viewer.until(() => binaries().length >= 41);
    const folder = await mkdtemp(join(tmpdir(), "ocelli-mse-"));
    cleanups.push(() => rm(folder, { recursive: true }));
    await writeFile(join(folder, "live.mp4"), Buffer.concat(binaries().slice(0, 41)));
    const { stdout } = await run("ffprobe", [
      ...["-v", "error", "-count_frames", "-select_streams", "v"],
      ...["-show_entries", "stream=codec_name,nb_read_frames", "-of", "json", join(folder, "live.mp4")],
    ]);
    expect(JSON.parse(stdout).streams[0]).toEqual({ codec_name: "h264", nb_read_frames: "40" });
    const init = viewer.items.find((item) => !Buffer.isBuffer(item) && item.type === "init");
    expect(init).toMatchObject({
      width: 320,
      height: 240,
      timeSource: "kernel",
      mime: expect.stringMatching(/^video\/mp4; codecs="avc1\.[0-9a-f]{6}"$/i),
    });
  });

  it("does not let a viewer that stops reading disturb another, and drops it in the end", async () => {
    const { port, native, views } = await serve({ maxInFlightBytes: 64 * 1024, stallTimeoutMs: 300 });
    const stalled = watch(port, "/live/camera0/mse");
    const fast = watch(port, "/live/camera0/mse");
    native.push();
    await Promise.all(
      [stalled, fast].map((viewer) => viewer.until(() => viewer.items.some(Buffer.isBuffer))),
    );
    // Not reading at all: the kernel's buffers fill and the hub has to hold the rest.
    (stalled.socket as unknown as { _socket: Socket })._socket.pause();
    let pushed = 0;
    const dropped = new Promise<void>((resolve) => {
      const timer = setInterval(() => {
        for (let i = 0; i < 200; i++) native.push();
        pushed += 200;
        if (views.viewersOf("camera0") > 1) return;
        clearInterval(timer);
        resolve();
      }, 2);
      cleanups.push(() => Promise.resolve(clearInterval(timer)));
    });
    await dropped;
    const last = native.push().bytes;
    await fast.until(() => fast.items.some((item) => Buffer.isBuffer(item) && item.equals(last)));
    expect(pushed).toBeGreaterThan(0);
    expect(native.holders).toHaveLength(1);
  });

  it("says why it refuses: no credential, no camera", async () => {
    const { port } = await serve();
    const stranger = watch(port, "/live/camera0/mse", {});
    expect(await stranger.closed).toEqual({ code: 1008, reason: "auth_required" });
    expect(stranger.items[0]).toMatchObject({ type: "error", code: "auth_required" });
    const lost = watch(port, "/live/camera7/mse");
    expect(await lost.closed).toMatchObject({ reason: "camera_not_found" });
    expect(lost.items[0]).toMatchObject({ type: "error", message: expect.stringContaining("camera7") });
  });

  it("closes an unknown path with 1008 and says 1001 at shutdown", async () => {
    const { port, native, views, listener } = await serve();
    expect(await watch(port, "/nowhere").closed).toEqual({ code: 1008, reason: "Invalid path" });
    const viewer = watch(port, "/live/camera0/mse");
    native.push();
    await viewer.until(() => viewer.items.length >= 2);
    await views.close();
    await listener.close();
    expect(await viewer.closed).toEqual({ code: 1001, reason: "Server shutdown" });
  });

  it("releases the capture when the viewer goes away", async () => {
    const { port, native, views } = await serve();
    const viewer = watch(port, "/live/camera0/mse");
    native.push();
    await viewer.until(() => viewer.items.length >= 2);
    expect(native.holders).toHaveLength(1);
    viewer.socket.terminate();
    await expect.poll(() => views.stats().length).toBe(0);
    expect(native.holders).toEqual([]);
  });

  it("takes a viewer that goes with pictures on their way for what it is, not for a failure", async () => {
    const { port, native, views, logged } = await serve();
    const viewer = watch(port, "/live/camera0/mse");
    native.push();
    await viewer.until(() => viewer.items.length >= 2);
    const { _socket: socket } = viewer.socket as unknown as { _socket: Socket };
    socket.pause();
    // More than the kernel's buffers take.
    const more = setInterval(() => {
      for (let i = 0; i < 200; i++) native.push();
    }, 2);
    cleanups.push(() => Promise.resolve(clearInterval(more)));
    let sent = 0;
    const isStuck = (): boolean => {
      const before = sent;
      sent = views.stats()[0]?.framesSent ?? 0;
      return sent > 0 && sent === before;
    };
    await expect.poll(isStuck, { interval: 200 }).toBe(true);
    socket.resetAndDestroy();
    await expect.poll(() => views.stats().length).toBe(0);
    clearInterval(more);
    expect(logged).toEqual([]);
  });
});

describe("GET /live/{camera}/mjpeg", () => {
  it("is a multipart stream that ffprobe reads, with the capture time of every picture", async () => {
    const { url, pictures } = await serve();
    pictures.play();
    const { stdout } = await run("ffprobe", [
      ...["-v", "error", "-f", "mpjpeg", "-headers", `X-API-Key: ${key}\r\n`, "-read_intervals", "%+#10"],
      ...["-show_entries", "packet=size", "-show_entries", "stream=codec_name,width", "-of", "json"],
      `${url}/live/camera0/mjpeg`,
    ]);
    const report = JSON.parse(stdout);
    expect(report.streams[0]).toEqual({ codec_name: "mjpeg", width: 320 });
    expect(report.packets).toHaveLength(10);
    const before = Date.now() / 1000;
    const response = await fetch(`${url}/live/camera0/mjpeg`, { headers: { "x-api-key": key } });
    const reader = response.body?.getReader();
    const { value } = (await reader?.read()) ?? {};
    await reader?.cancel();
    const text = Buffer.from(value ?? []).toString("latin1");
    const stamp = Number(/X-Timestamp: (\d+\.\d{6})\r\n/.exec(text)?.[1]);
    expect(stamp).toBeGreaterThan(before - 5);
    expect(stamp).toBeLessThan(before + 30);
  });

  it("sends the boundary after a picture at once, so that browsers show it", async () => {
    const { port, pictures } = await serve();
    const socket = connect(port, "127.0.0.1");
    cleanups.push(() => Promise.resolve(socket.destroy()));
    socket.write(`GET /live/camera0/mjpeg HTTP/1.1\r\nHost: hub\r\nX-API-Key: ${key}\r\n\r\n`);
    await expect.poll(() => pictures.holders.length).toBe(1);
    pictures.push();
    let received = Buffer.alloc(0);
    await new Promise<void>((resolve) => {
      socket.on("data", (chunk) => {
        received = Buffer.concat([received, chunk]);
        if (received.toString("latin1").split("--ocelli-picture\r\n").length === 3) resolve();
      });
    });
    const length = Number(/Content-Length: (\d+)/.exec(received.toString("latin1"))?.[1]);
    const start = received.indexOf("\r\n\r\n", received.indexOf("X-Timestamp")) + 4;
    expect(received.subarray(start, start + 2)).toEqual(Buffer.from([0xff, 0xd8]));
    expect(received.subarray(start + length - 2, start + length)).toEqual(Buffer.from([0xff, 0xd9]));
  });

  it("skips pictures for a viewer that does not read, and ends at shutdown nevertheless", async () => {
    const { port, pictures, views, listener } = await serve();
    const socket = connect(port, "127.0.0.1");
    cleanups.push(() => Promise.resolve(socket.destroy()));
    socket.on("error", () => {});
    socket.pause();
    socket.write(`GET /live/camera0/mjpeg HTTP/1.1\r\nHost: hub\r\nX-API-Key: ${key}\r\n\r\n`);
    await expect.poll(() => pictures.holders.length).toBe(1);
    let pushed = 0;
    await expect
      .poll(() => {
        for (let i = 0; i < 100; i++) pictures.push();
        pushed += 100;
        return views.stats()[0]?.framesSent ?? 0;
      })
      .toBeGreaterThan(10);
    // Once nothing more fits, pushing does not send.
    await expect
      .poll(
        () => {
          const before = views.stats()[0]?.framesSent;
          for (let i = 0; i < 100; i++) pictures.push();
          pushed += 100;
          return before;
        },
        { timeout: 10_000 },
      )
      .toBeLessThan(pushed / 2);
    await views.close();
    await listener.close();
    expect(pictures.holders).toEqual([]);
  });

  it("lets go of a viewer that takes nothing for too long", async () => {
    const { port, pictures, views } = await serve({ stallTimeoutMs: 300 });
    const socket = connect(port, "127.0.0.1");
    cleanups.push(() => Promise.resolve(socket.destroy()));
    socket.on("error", () => {});
    socket.pause();
    socket.write(`GET /live/camera0/mjpeg HTTP/1.1\r\nHost: hub\r\nX-API-Key: ${key}\r\n\r\n`);
    await expect.poll(() => views.stats().length).toBe(1);
    await expect
      .poll(
        () => {
          for (let i = 0; i < 10; i++) pictures.push();
          return views.stats().length;
        },
        { timeout: 20_000, interval: 2 },
      )
      .toBe(0);
  });

  it("answers errors before the first picture with a status", async () => {
    const { url } = await serve();
    expect((await fetch(`${url}/live/camera0/mjpeg`)).status).toBe(401);
    const response = await fetch(`${url}/live/camera9/mjpeg`, { headers: { "x-api-key": key } });
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ error: { code: "camera_not_found" } });
  });
});

describe("a live view whose credential ends", () => {
  const routesClock = new FakeClock();
  const soonUs = routesClock.wallUs() + 15_000_000;

  it.each<[string, ReturnType<Authorize>]>([
    ["a token", { role: "viewer", method: "jwt", expiresAtUs: soonUs }],
    [
      "a link of somebody with a token",
      { role: "viewer", method: "link", expiresAtUs: 1, signerExpiresAtUs: soonUs },
    ],
  ])("is cut then, although the camera shows nothing new: %s", async (_what, identity) => {
    routesClock.setWallUs(soonUs - 15_000_000);
    const authorize: Authorize = () => identity;
    const { port, url, native, pictures, views, logged } = await serve({ authorize, routesClock });
    const viewer = watch(port, "/live/camera0/mse");
    native.push();
    await viewer.until(() => viewer.items.length >= 2);
    const response = fetch(`${url}/live/camera0/mjpeg`);
    await expect.poll(() => views.viewersOf("camera0"), { interval: 5 }).toBe(2);
    pictures.push();
    await response;
    routesClock.advance(14_999);
    expect(views.viewersOf("camera0")).toBe(2);
    routesClock.advance(1);
    expect(await viewer.closed).toEqual({ code: 1008, reason: "auth_required" });
    expect(viewer.items.at(-1)).toMatchObject({ type: "error", code: "auth_required" });
    expect(await (await response).text()).toContain("image/jpeg");
    await expect.poll(() => views.stats()).toEqual([]);
    expect(logged).toEqual([]);
  });

  it("goes on when only the link has", async () => {
    const identity: Authorize = () => ({ role: "viewer", method: "link", expiresAtUs: 1 });
    const { port, native } = await serve({ authorize: identity, routesClock });
    const viewer = watch(port, "/live/camera0/mse");
    native.push();
    await viewer.until(() => viewer.items.length >= 2);
    expect(viewer.socket.readyState).toBe(WebSocket.OPEN);
  });
});

describe("GET /live/{camera}/jpeg and /api/live-link", () => {
  it("gives one picture with its capture time", async () => {
    const { url } = await serve();
    const response = await fetch(`${url}/live/camera0/jpeg`, { headers: { "x-api-key": key } });
    expect(response.headers.get("content-type")).toBe("image/jpeg");
    expect(response.headers.get("x-timestamp")).toBe("1736951400.123456");
    expect(await response.text()).toBe("jpeg");
    const late = await fetch(`${url}/live/camera0/jpeg?quality=1`, { headers: { "x-api-key": key } });
    expect(late.status).toBe(504);
    const wrong = await fetch(`${url}/live/camera0/jpeg?quality=high`, { headers: { "x-api-key": key } });
    expect(wrong.status).toBe(400);
  });

  it("hands out links that work without headers", async () => {
    const { url, port, native } = await serve();
    expect((await fetch(`${url}/api/live-link?camera=camera0`)).status).toBe(401);
    const response = await fetch(`${url}/api/live-link?camera=video0`, { headers: { "x-api-key": key } });
    const links = (await response.json()) as {
      camera: string;
      mse: string;
      jpeg: string;
      expires_at: string;
    };
    expect(links.camera).toBe("camera0");
    expect(Date.parse(links.expires_at)).toBeGreaterThan(Date.now());
    expect((await fetch(url + links.jpeg)).status).toBe(200);
    const viewer = watch(port, links.mse, {});
    native.push();
    await viewer.until(() => viewer.items.length >= 2);
  });
});
