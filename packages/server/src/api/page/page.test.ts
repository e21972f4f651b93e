import { execFile } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { OcelliError } from "@ocelli/protocol";
import pino from "pino";
import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { WebSocket } from "ws";
import { chromiumMustSkip, launchChromium } from "../../../../../test/harness/chromium.ts";
import { SystemClock } from "../../clock/system-clock.ts";
import { LiveViews } from "../../live/live-views.ts";
import { type Clip, FakeCamera, FakeCameras, FakeSource, makeClip } from "../../live/testing/fake-camera.ts";
import type { Snapshots } from "../../snapshots/contract.ts";
import type { Authorize } from "../access.ts";
import { createHttpApp } from "../http-app.ts";
import { Listener } from "../listener.ts";
import { registerLiveRoutes } from "../live/routes.ts";
import { Upgrades } from "../upgrades.ts";
import { registerPageRoutes } from "./routes.ts";

const screenshots = process.env.OCELLI_TEST_SCREENSHOTS;
const key = "k".repeat(40);
const noSnapshots = (): Promise<never> => Promise.reject(new OcelliError("unsupported", "not in this test"));
const snapshots: Snapshots = { take: noSnapshots, still: noSnapshots, close: () => Promise.resolve() };
const authorize: Authorize = (request) =>
  request.headers.authorization === `Bearer ${key}` || request.url?.includes("sig=good") === true
    ? { role: "viewer" }
    : undefined;

/** Just enough of the JSON-RPC API for the page; the real one has tests of its own. */
class FakeRpc {
  readonly #sockets = new Set<WebSocket>();
  readonly #cameras: readonly FakeCamera[];
  readonly #recording = new Map<string, number>();

  constructor(cameras: readonly FakeCamera[]) {
    this.#cameras = cameras;
  }

  accept(socket: WebSocket): void {
    let known = false;
    this.#sockets.add(socket);
    socket.on("message", (data) => {
      const { id, method, params } = JSON.parse(String(data));
      const answer = (body: object): void => socket.send(JSON.stringify({ jsonrpc: "2.0", id, ...body }));
      if (method === "authenticate") known = params.auth_token === key;
      if (!known) answer({ error: { code: -32001, message: "Authentication required" } });
      else answer(this.#run(method, params));
    });
  }

  /** As when the hub ends a recording by itself. */
  notify(method: string, params: object): void {
    for (const socket of this.#sockets) socket.send(JSON.stringify({ jsonrpc: "2.0", method, params }));
  }

  #run(method: string, params: { device: string }): object {
    switch (method) {
      case "authenticate":
        return { result: { authenticated: true } };
      case "get_camera_list":
        return { result: { cameras: this.#cameras.map((camera) => this.#cameraObject(camera)) } };
      case "take_snapshot":
        return params.device === "camera1"
          ? {
              error: {
                code: -32050,
                message: "Storage full",
                data: { reason: "Disk is full: delete recordings" },
              },
            }
          : { result: { success: true, filename: "camera0_snapshot.jpg" } };
      case "start_recording":
        this.#recording.set(params.device, Date.now());
        return { result: { success: true, filename: "camera0_now.mp4" } };
      case "stop_recording":
        this.#recording.delete(params.device);
        return { result: { success: true, filename: "camera0_now.mp4" } };
      case "list_recordings":
        return {
          result: {
            files: [
              {
                filename: "camera0_<b>bold</b>.mp4",
                file_size: 1_234_567,
                modified_time: "2025-01-15T14:30:00.000Z",
                download_url: "/files/recordings/x.mp4?exp=1&sig=good",
                duration: 61.5,
              },
            ],
          },
        };
      default:
        return { result: { files: [] } };
    }
  }

  #cameraObject(camera: FakeCamera): object {
    const since = this.#recording.get(camera.id);
    return {
      camera_id: camera.id,
      device: camera.id,
      name: camera.view().name,
      status: "CONNECTED",
      resolution: "320x240",
      fps: 30,
      recording: since !== undefined,
      elapsed_time: since === undefined ? 0 : (Date.now() - since) / 1000,
    };
  }
}

describe.skipIf(chromiumMustSkip())("the page in Chromium", () => {
  let browser: Browser;
  let h264: Clip;
  let mjpeg: Clip;
  const cleanups: (() => unknown)[] = [];

  beforeAll(async () => {
    const root = fileURLToPath(new URL("../../../../../", import.meta.url));
    await promisify(execFile)("tsc", ["-b", "packages/web"], { cwd: root });
    [h264, mjpeg] = await Promise.all([makeClip("h264"), makeClip("mjpeg", { seconds: 1 })]);
    browser = await launchChromium();
  });

  afterAll(async () => {
    await browser.close();
  });

  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  async function open(options: { scheme?: "dark" | "light"; width?: number; withoutMse?: boolean } = {}) {
    const log = pino({ level: "silent" });
    const clock = new SystemClock();
    const sources = [new FakeSource("camera0", h264), new FakeSource("camera1", mjpeg)] as const;
    const transcode = new FakeSource("camera1/h264", h264);
    const cameras = [
      new FakeCamera("camera0", { native: sources[0], mjpeg: sources[1] }, "Front door"),
      new FakeCamera("camera1", { native: sources[1], h264: transcode }, "Laboratory bench"),
    ];
    for (const source of [...sources, transcode]) source.play();
    const registry = new FakeCameras(cameras);
    const views = new LiveViews({ cameras: registry, clock });
    const upgrades = new Upgrades({ clock, log });
    const app = createHttpApp({ log });
    const rpc = new FakeRpc(cameras);
    const signLink = (path: string): string => `${path}?exp=1&sig=good`;
    upgrades.add({ path: "/ws", maxPayloadBytes: 1e6, accept: (socket) => rpc.accept(socket) });
    registerLiveRoutes({
      app,
      upgrades,
      views,
      cameras: registry,
      snapshots,
      authorize,
      signLink,
      clock,
      log,
    });
    registerPageRoutes({ app });
    const listener = new Listener({ app, upgrades, addresses: ["127.0.0.1:0"], explicit: true, clock, log });
    const port = (await listener.open())[0]?.port ?? 0;
    const context = await browser.newContext({
      viewport: { width: options.width ?? 1280, height: 860 },
      colorScheme: options.scheme ?? "light",
      reducedMotion: "reduce",
    });
    const page = await context.newPage();
    const problems: string[] = [];
    page.on("pageerror", (error) => problems.push(String(error)));
    page.on("console", (message) => {
      if (message.type() === "error") problems.push(message.text());
    });
    if (options.withoutMse === true) await page.addInitScript("delete window.MediaSource");
    await page.goto(`http://127.0.0.1:${port}/`);
    cleanups.push(async () => {
      await context.close();
      await Promise.all([...sources, transcode].map((source) => source.close()));
      await views.close();
      await listener.close();
      clock.close();
    });
    return { page, rpc, views, sources, problems };
  }

  async function signIn(page: Page): Promise<void> {
    await page.getByLabel("API key").fill(key);
    await page.getByRole("button", { name: "Show cameras" }).click();
    await page.locator("article[data-camera=camera1]").waitFor();
  }

  async function screenshot(page: Page, name: string): Promise<void> {
    if (screenshots === undefined) return;
    await mkdir(screenshots, { recursive: true });
    await page.screenshot({ path: `${screenshots}/${name}.png` });
  }

  /** Seconds of the clock of a camera's video. */
  function currentTime(page: Page, camera: string): Promise<number> {
    return page
      .locator(`article[data-camera=${camera}] video`)
      .evaluate((video) => (video as HTMLVideoElement).currentTime);
  }

  it("asks for the key once, says when it is wrong, and then plays every camera live", async () => {
    const { page, views, problems } = await open();
    await page.getByLabel("API key").fill("not the key");
    await page.getByRole("button", { name: "Show cameras" }).click();
    await page.getByText("The hub does not know this key").waitFor();
    await screenshot(page, "sign-in");
    await signIn(page);
    for (const camera of ["camera0", "camera1"]) {
      await page.locator(`article[data-camera=${camera}] .badge.live`).waitFor();
      const before = await currentTime(page, camera);
      await expect.poll(() => currentTime(page, camera)).toBeGreaterThan(before + 1);
      const frames = await page
        .locator(`article[data-camera=${camera}] video`)
        .evaluate((video) => (video as HTMLVideoElement).getVideoPlaybackQuality().totalVideoFrames);
      expect(frames).toBeGreaterThan(20);
    }
    await page.getByText("H.264, as the camera sends it").waitFor();
    await page.getByText("H.264, converted for this browser").waitFor();
    await expect.poll(() => page.locator(".details").first().textContent()).toMatch(/\d+ ms behind/);
    expect(views.stats().map(({ kind }) => kind)).toEqual(["mse", "mse"]);
    expect(await page.locator("#recordings b").count()).toBe(0);
    await screenshot(page, "live-light");
    await page.reload();
    await page.locator("article[data-camera=camera0] .badge.live").waitFor();
    expect(await page.locator("#sign-in").isVisible()).toBe(false);
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByLabel("API key").waitFor();
    expect(problems).toEqual([]);
  });

  it("takes snapshots and records, shows the time, and shows errors with what to do", async () => {
    const { page, rpc } = await open({ scheme: "dark" });
    await signIn(page);
    const first = page.locator("article[data-camera=camera0]");
    await first.getByRole("button", { name: "Snapshot" }).click();
    await first.getByText("Saved camera0_snapshot.jpg").waitFor();
    await page.locator("article[data-camera=camera1]").getByRole("button", { name: "Snapshot" }).click();
    await page.getByText("Disk is full: delete recordings").waitFor();
    await first.getByRole("button", { name: "Record" }).click();
    await first.getByRole("button", { name: "Stop recording" }).waitFor();
    await expect.poll(() => first.locator(".badge.rec").textContent()).toMatch(/^00:0[2-9]$/);
    await screenshot(page, "live-dark");
    await first.getByRole("button", { name: "Stop recording" }).click();
    await first.getByText("Recorded camera0_now.mp4").waitFor();
    rpc.notify("recording_status_update", { camera_id: "camera1", status: "RECORDING", duration: 0 });
    await page.locator("article[data-camera=camera1] .badge.rec").waitFor();
    rpc.notify("recording_status_update", {
      camera_id: "camera1",
      status: "ERROR",
      reason: "storage_critical",
    });
    await page.getByText("The recording ended early: storage_critical").waitFor();
  });

  it("keeps the delay flat across a gap and after a pause", async () => {
    const { page, sources } = await open();
    await signIn(page);
    const card = page.locator("article[data-camera=camera0]");
    await card.locator(".badge.live").waitFor();
    const before = await currentTime(page, "camera0");
    sources[0].gap(30_000_000);
    await expect.poll(() => currentTime(page, "camera0")).toBeGreaterThan(before + 30);
    await card.locator("video").evaluate((video) => (video as HTMLVideoElement).pause());
    const behind = (): Promise<number> =>
      card.locator("video").evaluate((node) => {
        const video = node as HTMLVideoElement;
        return video.buffered.end(video.buffered.length - 1) - video.currentTime;
      });
    // Even a picture that stands still is not allowed to fall behind.
    await expect.poll(() => currentTime(page, "camera0")).toBeGreaterThan(before + 33);
    await card.locator("video").evaluate((video) => (video as HTMLVideoElement).play());
    await expect.poll(behind).toBeLessThan(0.6);
  });

  it("shows JPEG pictures where the browser has no Media Source Extensions", async () => {
    const { page, views } = await open({ withoutMse: true, width: 420 });
    await signIn(page);
    const picture = page.locator("article[data-camera=camera0] .picture img");
    await expect.poll(() => picture.evaluate((image) => (image as HTMLImageElement).naturalWidth)).toBe(320);
    expect(views.stats().map(({ kind }) => kind)).toContain("mjpeg");
    await screenshot(page, "phone");
  });
});

describe("the page's files", () => {
  it("come with the right types, validators and a strict policy, and nothing else does", async () => {
    const app = createHttpApp({ log: pino({ level: "silent" }) });
    registerPageRoutes({ app });
    const page = await app.inject("/");
    expect(page.headers).toMatchObject({
      "content-type": "text/html; charset=utf-8",
      "cache-control": "no-cache",
      "content-security-policy": expect.stringContaining("default-src 'self'"),
    });
    const etag = String(page.headers.etag);
    expect((await app.inject({ url: "/", headers: { "if-none-match": etag } })).statusCode).toBe(304);
    const style = await app.inject("/assets/page.css");
    expect(style.headers["content-type"]).toBe("text/css; charset=utf-8");
    for (const url of [
      "/assets/..%2fpackage.json",
      "/js/..%2f..%2fpackage.json",
      "/js/main.d.ts",
      "/assets/",
      "/js/no.js",
    ]) {
      expect((await app.inject(url)).statusCode, url).toBe(404);
    }
  });
});
