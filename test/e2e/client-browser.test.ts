import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { chromiumMustSkip, launchChromium } from "../harness/chromium.ts";
import { adminKey, type RunningHub, root, startHub, virtualCameras } from "../harness/hub.ts";

// The built client in a real browser, without a bundler: nothing of Node may be left in it, nor a large library.

const importMap = {
  imports: {
    "@ocelli/client": "/test-of-client/client/dist/index.js",
    "@ocelli/protocol/camera-service/errors": "/test-of-client/protocol/dist/camera-service/errors.js",
  },
};
const html = `<!doctype html><script type="importmap">${JSON.stringify(importMap)}</script>
<script type="module">
import { CameraClient, isTokenExpired } from "@ocelli/client";
window.clientOf = (options) => new CameraClient({ host: location.hostname, port: Number(location.port), ...options });
document.title = String(isTokenExpired("x"));
</script>`;

describe.skipIf(chromiumMustSkip())("CameraClient in a browser", () => {
  let hub: RunningHub;
  let browser: Browser;
  let page: Page;
  const problems: string[] = [];
  const served: string[] = [];

  beforeAll(async () => {
    hub = await startHub({
      env: virtualCameras({ size: "320x240", fps: 10 }),
    });
    // A page that does not come from the hub itself may not talk to this machine otherwise.
    browser = await launchChromium(["--disable-features=LocalNetworkAccessChecks"]);
    page = await browser.newPage();
    page.on("pageerror", (error) => problems.push(String(error)));
    await page.route(`${hub.url}/test-of-client/**`, (route) => {
      const path = new URL(route.request().url()).pathname.slice("/test-of-client/".length);
      if (path === "") return route.fulfill({ body: html, contentType: "text/html" });
      served.push(path);
      const file = join(root, "packages", path);
      return route.fulfill({ body: readFileSync(file), contentType: "text/javascript" });
    });
    await page.goto(`${hub.url}/test-of-client/`);
    await page.waitForFunction("document.title === 'true'");
  });
  afterAll(async () => {
    await browser?.close();
    await hub?.stop();
  });

  it("loads little", () => {
    expect(problems).toEqual([]);
    const bytes = served.map((path) => statSync(join(root, "packages", path)).size);
    expect(bytes.reduce((sum, size) => sum + size, 0)).toBeLessThan(120_000);
    expect(served.filter((path) => path.includes("/node/"))).toEqual([]);
  });

  it("takes a snapshot, is told of it all, and downloads it", async () => {
    const result = await page.evaluate(`(async () => {
      const client = clientOf({ apiKey: ${JSON.stringify(adminKey)} });
      await client.connect();
      const [camera] = await client.getCameraList();
      const events = client.events("recording_status_update");
      const recording = await client.startRecording(camera.devicePath, 0.5);
      const states = [];
      for await (const event of events) {
        states.push(event.recording.status);
        if (states.at(-1) !== "active") break;
      }
      const snapshot = await client.takeSnapshot(camera.devicePath);
      const told = [];
      const blob = await client.downloadFile("snapshots", snapshot.filename, {
        onProgress: (bytes, total) => told.push(bytes / total),
      });
      const picture = await createImageBitmap(blob);
      await client.disconnect();
      return {
        filename: recording.filename,
        states,
        size: blob.size === snapshot.file_size,
        picture: [picture.width, picture.height],
        told: told.at(-1),
      };
    })()`);
    expect(result).toEqual({
      filename: expect.stringMatching(/^camera100_.*\.mp4$/),
      states: ["active", "completed"],
      size: true,
      picture: [320, 240],
      told: 1,
    });
  });

  it("tells a refused key and a hub that is not there apart", async () => {
    const names = await page.evaluate(`(async () => {
      const nameOf = (options) => clientOf({ logger: null, maxRetries: 1, ...options }).connect().catch((error) => error.name);
      return [await nameOf({ apiKey: "wrong" }), await nameOf({ port: 9 })];
    })()`);
    expect(names).toEqual(["AuthenticationError", "ConnectionError"]);
    expect(problems).toEqual([]);
  });
});
