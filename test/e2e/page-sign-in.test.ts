import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { chromiumMustSkip, launchChromium } from "../harness/chromium.ts";
import { type RunningHub, startHub } from "../harness/hub.ts";
import type { Rpc } from "../harness/rpc.ts";

// Somebody with a name and a password signs in to the page, comes back, and is sent away.

const password = "correct horse battery";

describe.skipIf(chromiumMustSkip())("the page, for a user", () => {
  const dataDir = mkdtempSync(join(tmpdir(), "ocelli-sign-in-"));
  let hub: RunningHub;
  let admin: Rpc;
  let browser: Browser;
  let page: Page;
  const sent: string[] = [];

  beforeAll(async () => {
    const env = {
      ...{ OCELLI_DEVICES_V4L2: "false", OCELLI_VIRTUAL_CAMERA: "always", OCELLI_VIRTUAL_SIZE: "320x240" },
      OCELLI_VIRTUAL_COUNT: "2",
    };
    hub = await startHub({ dataDir, env });
    admin = await hub.rpc();
    await admin.call("create_user", { username: "Eve", password, role: "viewer", cameras: ["camera100"] });
    browser = await launchChromium();
    page = await browser.newPage({ viewport: { width: 1280, height: 900 }, reducedMotion: "reduce" });
    page.on("websocket", (socket) => socket.on("framesent", ({ payload }) => sent.push(String(payload))));
    await page.clock.install();
    await page.goto(`${hub.url}/`);
  }, 60_000);
  afterAll(async () => {
    await browser?.close();
    await admin?.[Symbol.asyncDispose]();
    await hub?.stop();
    rmSync(dataDir, { recursive: true, force: true });
  });

  const signIn = async (secret: string): Promise<void> => {
    await page.getByLabel("User name").fill("eve");
    await page.getByLabel("Password").fill(secret);
    await page.getByRole("button", { name: "Sign in" }).click();
  };
  const stored = () => page.evaluate(() => JSON.stringify(localStorage));

  it("takes a name and a password instead of a key, and says when they are wrong", async () => {
    await page.getByRole("button", { name: "Use a name and a password" }).click();
    expect(await page.getByLabel("API key").isVisible()).toBe(false);
    const { OCELLI_TEST_SCREENSHOT: screenshot } = process.env;
    if (screenshot !== undefined) await page.screenshot({ path: `${screenshot}-sign-in.png` });
    await signIn("not the password");
    await page.getByRole("alert").getByText("Wrong user name or password.").waitFor();
    expect(await page.locator("article").count()).toBe(0);
  });

  it("shows the cameras of that user, and keeps no password", async () => {
    await signIn(password);
    await page.locator("article .badge.live").waitFor();
    expect(
      await page.locator("article").evaluateAll((all) => all.map((one) => one.getAttribute("data-camera"))),
    ).toEqual(["camera100"]);
    expect(await stored()).not.toContain(password);
    await page.reload();
    await page.locator("article .badge.live").waitFor();
    expect(await page.getByRole("button", { name: "Sign in" }).isVisible()).toBe(false);
  });

  it("renews the token before it ends", async () => {
    sent.splice(0);
    await page.clock.fastForward("13:00:00");
    await expect.poll(() => sent.join("\n")).toContain('"refresh_token"');
    await expect.poll(() => sent.join("\n")).toContain('"authenticate"');
    expect(await page.locator("article").count()).toBe(1);
  });

  it("asks again, for name and password, when the user may not come in any more", async () => {
    await admin.call("update_user", { username: "Eve", enabled: false });
    await page.reload();
    await page.getByRole("alert").getByText("You are not signed in any more.").waitFor();
    expect(await page.getByLabel("Password").isVisible()).toBe(true);
    expect(await page.locator("article").count()).toBe(0);
  });

  it("forgets who was there when told to", async () => {
    await admin.call("update_user", { username: "Eve", enabled: true });
    await signIn(password);
    await page.locator("article").waitFor();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByLabel("Password").waitFor();
    await page.reload();
    await page.getByLabel("Password").waitFor();
    expect(JSON.parse(await stored())).toEqual({ "ocelli.sign-in": "password" });
  });
});
