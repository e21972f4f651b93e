import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { chromiumMustSkip, launchChromium } from "../harness/chromium.ts";
import { ffprobe, videoOf } from "../harness/ffprobe.ts";
import { adminKey, type RunningHub, startHub, virtualCameras } from "../harness/hub.ts";

// The page of the real hub in a real browser: what a new user does in the first five minutes.

/** Where to save what the user sees at the end, for the documentation. */
const screenshot = process.env.OCELLI_TEST_SCREENSHOT;

interface Played {
  readonly frames: number;
  readonly seconds: number;
  /** Of the picture's bright pixels, in a coarse grid: changes when the picture moves. */
  readonly print: string;
}

describe.skipIf(chromiumMustSkip()).each(["h264", "mjpeg"])(
  "the page of a hub with a virtual %s camera",
  (codec) => {
    let hub: RunningHub;
    let browser: Browser;
    let page: Page;
    const problems: string[] = [];
    const dataDir = mkdtempSync(join(tmpdir(), "ocelli-page-"));
    const env = virtualCameras({ codec, fps: 25 });

    beforeAll(async () => {
      hub = await startHub({ dataDir, env });
      browser = await launchChromium();
      page = await browser.newPage({ viewport: { width: 1280, height: 900 }, reducedMotion: "reduce" });
      page.on("pageerror", (error) => problems.push(String(error)));
      page.on("console", (message) => {
        if (message.type() === "error") problems.push(message.text());
      });
      await page.goto(`${hub.url}/`);
    });
    afterAll(async () => {
      await browser?.close();
      await hub?.stop();
      rmSync(dataDir, { recursive: true, force: true });
    });

    const card = () => page.locator("article[data-camera=camera100]");

    function played(): Promise<Played> {
      return card()
        .locator("video")
        .evaluate((node) => {
          const video = node as HTMLVideoElement;
          const canvas = document.createElement("canvas");
          [canvas.width, canvas.height] = [64, 48];
          const context = canvas.getContext("2d");
          context?.drawImage(video, 0, 0, 64, 48);
          const pixels = context?.getImageData(0, 0, 64, 48).data ?? new Uint8ClampedArray();
          return {
            frames: video.getVideoPlaybackQuality().totalVideoFrames,
            seconds: video.currentTime,
            print: Array.from(pixels, (value) => (value > 127 ? 1 : 0)).join(""),
          };
        });
    }

    it("does not call itself connected before anybody has signed in", async () => {
      await page.getByLabel("API key").waitFor();
      expect(await page.locator("#connection").textContent()).toBe("Not signed in");
    });

    it("says that a wrong key is wrong and asks again", async () => {
      await page.getByLabel("API key").fill("camera_service_sk_wrong");
      await page.getByRole("button", { name: "Show cameras" }).click();
      await page.getByRole("alert").getByText("The hub does not know this key").waitFor();
      expect(await page.locator("article").count()).toBe(0);
    });

    it("shows the live picture after signing in, and it moves", async () => {
      await page.getByLabel("API key").fill(adminKey);
      await page.getByRole("button", { name: "Show cameras" }).click();
      await card().locator(".badge.live").waitFor();
      expect(await page.locator("#connection").textContent()).toBe("Connected");
      const first = await played();
      await expect.poll(async () => (await played()).seconds).toBeGreaterThan(first.seconds + 1.5);
      const later = await played();
      expect(later.frames).toBeGreaterThan(first.frames + 20);
      expect(later.print).not.toBe(first.print);
      expect(new Set(later.print).size, "a picture of one colour").toBe(2);
      await card()
        .getByText(codec === "h264" ? "H.264, as the camera sends it" : "H.264, converted for this browser")
        .waitFor();
      await expect.poll(() => card().locator(".details").textContent()).toMatch(/\d+ ms behind/);
    });

    it("makes a snapshot with its button and lists it", async () => {
      await card().getByRole("button", { name: "Snapshot" }).click();
      const link = page.locator("#snapshots a").first();
      await link.waitFor();
      const name = String(await link.textContent());
      expect(videoOf(await ffprobe(hub.file("snapshots", name)))).toMatchObject({ width: 640, height: 480 });
      const thumbnail = page.locator("#snapshots img").first();
      await expect
        .poll(() => thumbnail.evaluate((image) => (image as HTMLImageElement).naturalWidth))
        .toBe(640);
    });

    it("makes a recording with its button, which plays from the link", async () => {
      await card().getByRole("button", { name: "Record" }).click();
      await expect.poll(() => card().locator(".badge.rec").textContent()).toMatch(/^00:0[2-9]$/);
      await card().getByRole("button", { name: "Stop recording" }).click();
      const link = page.locator("#recordings a").first();
      await link.waitFor();
      const name = String(await link.textContent());
      const file = hub.file("recordings", name);
      const probed = await ffprobe(file);
      expect(videoOf(probed)).toMatchObject({ codec_name: codec, width: 640, height: 480 });
      expect(probed.format.duration).toBeGreaterThan(1.5);
      // As the browser itself would download it, without any header.
      const response = await fetch(new URL(String(await link.getAttribute("href")), hub.url));
      expect(Buffer.from(await response.arrayBuffer()).equals(readFileSync(file))).toBe(true);
      if (screenshot !== undefined) {
        await page.mouse.move(0, 0);
        await page.screenshot({ path: `${screenshot}-${codec}.png` });
      }
    });

    it("gives a lone camera the width, covers nothing of its picture, and fits a phone", async () => {
      const boxOf = async (selector: string) => {
        const box = await page.locator(selector).boundingBox();
        if (box === null) throw new Error(`${selector} is not there`);
        return box;
      };
      expect((await boxOf("article")).width).toBeCloseTo((await boxOf("#cameras")).width, 0);
      const picture = await boxOf(".picture");
      expect((await boxOf(".badge.live")).x).toBeGreaterThan(picture.x + picture.width);
      await page.setViewportSize({ width: 390, height: 844 });
      const narrow = await boxOf(".picture");
      expect((await boxOf(".badge.live")).y).toBeGreaterThan(narrow.y + narrow.height);
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(390);
      await page.setViewportSize({ width: 1280, height: 900 });
    });

    it("goes on by itself, without asking for the key, when the hub was restarted", async () => {
      // The wrong key of the first test is a refusal of the hub's, not an error of the page.
      expect(problems).toEqual([]);
      await hub.end();
      await page.getByText("The hub cannot be reached; trying again").waitFor();
      hub = await startHub({ dataDir, env: { ...env, OCELLI_LISTEN: `127.0.0.1:${hub.port}` } });
      await card().locator(".badge.live").waitFor();
      const first = await played();
      await expect.poll(async () => (await played()).frames).toBeGreaterThan(first.frames);
      expect(await page.getByLabel("API key").isVisible()).toBe(false);
      expect(await page.locator("#recordings a").count()).toBe(1);
      // Links of the hub before are void: the page fetches new ones.
      const statusOfLink = async (): Promise<number> => {
        const href = await page.locator("#snapshots a").first().getAttribute("href");
        return (await fetch(new URL(String(href), hub.url))).status;
      };
      await expect.poll(statusOfLink).toBe(200);
    });
  },
);
