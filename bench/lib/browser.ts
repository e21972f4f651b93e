import {
  decodePattern,
  patternHeight,
  patternTimeMs,
  patternWidth,
} from "../../packages/server/src/devices/virtual/pattern.ts";
import { launchChromium } from "../../test/harness/chromium.ts";
import { adminKey, type RunningHub } from "../../test/harness/hub.ts";

interface Shown {
  readonly luma: string;
  /** Epoch milliseconds at which the browser expects the frame to be on the screen. */
  readonly shownMs: number;
}

/** Age of the frames that the hub's own page shows of camera100 when the browser shows them, milliseconds. */
export async function browserLatency(hub: RunningHub, forMs: number): Promise<number[]> {
  const browser = await launchChromium();
  try {
    const page = await browser.newPage({ viewport: { width: 900, height: 700 }, reducedMotion: "reduce" });
    await page.goto(`${hub.url}/`);
    await page.getByLabel("API key").fill(adminKey);
    await page.getByRole("button", { name: "Show cameras" }).click();
    await page.locator("article[data-camera=camera100] .badge.live").waitFor();
    const video = page.locator("article[data-camera=camera100] video");
    // The player has moved to the live edge by then.
    await page.waitForTimeout(3000);
    const shown = await video.evaluate(
      async (node, { width, height, ms }): Promise<Shown[]> => {
        const element = node as HTMLVideoElement;
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [width, height];
        const context = canvas.getContext("2d", { willReadFrequently: true });
        if (context === null) throw new Error("no canvas");
        const found: Shown[] = [];
        const until = performance.now() + ms;
        await new Promise<void>((resolve) => {
          const look = (_now: number, { expectedDisplayTime }: VideoFrameCallbackMetadata): void => {
            context.drawImage(element, 0, 0);
            const pixels = context.getImageData(0, 0, width, height).data;
            let luma = "";
            for (let at = 1; at < pixels.length; at += 4) luma += String.fromCharCode(pixels[at] ?? 0);
            found.push({ luma: btoa(luma), shownMs: performance.timeOrigin + expectedDisplayTime });
            if (performance.now() < until) element.requestVideoFrameCallback(look);
            else resolve();
          };
          element.requestVideoFrameCallback(look);
        });
        return found;
      },
      { width: patternWidth, height: patternHeight, ms: forMs },
    );
    return shown.map(({ luma, shownMs }) => {
      const pattern = decodePattern(Buffer.from(luma, "base64"), patternWidth);
      if (pattern === undefined) throw new Error("the blocks cannot be read in the browser");
      return shownMs - patternTimeMs(pattern, shownMs);
    });
  } finally {
    await browser.close();
  }
}
