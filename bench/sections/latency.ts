import { appendFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  decodePattern,
  patternHeight,
  patternTimeMs,
  patternWidth,
} from "../../packages/server/src/devices/virtual/pattern.ts";
import { hasChromium } from "../../test/harness/chromium.ts";
import { lumaOf } from "../../test/harness/drawn-cameras.ts";
import { browserLatency } from "../lib/browser.ts";
import { startVirtualHub } from "../lib/hubs.ts";
import { quantile } from "../lib/report.ts";
import { MjpegViewer, MseViewer, type Picture } from "../lib/viewers.ts";
import type { Context, Section } from "../section.ts";

const fps = 30;
const intervalMs = 1000 / fps;

/** From the moment a frame is drawn, which the frame itself shows, to the moment a viewer has all of it. */
export const latency: Section = {
  name: "latency",
  about: "age of a picture when a viewer has it, read from the picture",
  async run(context) {
    const { report, quick } = context;
    const frames = quick ? 60 : 240;
    for (const codec of ["mjpeg", "h264"] as const) {
      await using hub = await startVirtualHub(codec, { OCELLI_VIRTUAL_FPS: String(fps) });
      const viewer =
        codec === "mjpeg"
          ? new MjpegViewer(hub, "camera100", { keepBodies: true })
          : new MseViewer(hub, "camera100");
      const pictures = await collect(viewer, frames + fps);
      const ages = await agesOf(context, codec, pictures);
      // The first second holds the frames that were made while the capture started.
      const steady = ages.slice(fps);
      report.figure({
        what: `${codec === "mjpeg" ? "MJPEG" : "H.264 by MSE"}, drawn to received`,
        unit: "ms",
        values: steady,
        against: { what: "one frame interval", values: [intervalMs] },
      });
      const sorted = [...steady].sort((a, b) => a - b);
      const quantiles = [0.05, 0.5, 0.95, 0.99].map(
        (part) => `${part * 100} %: ${quantile(sorted, part).toFixed(1)}`,
      );
      report.note(`distribution in ms: ${quantiles.join(", ")}`);
      await viewer.close();
      if (codec === "mjpeg") continue;
      if (!hasChromium) report.skip("latency on the page: Chromium is not installed");
      else {
        const shown = await browserLatency(hub, quick ? 3000 : 8000);
        report.figure({
          what: "H.264 on the page in Chromium, drawn to shown",
          unit: "ms",
          values: shown,
          against: { what: "one frame interval", values: [intervalMs] },
        });
      }
    }
  },
};

async function collect(viewer: MjpegViewer | MseViewer, count: number): Promise<Picture[]> {
  const pictures: Picture[] = [];
  const done = Promise.withResolvers<void>();
  viewer.listen((picture) => {
    pictures.push(picture);
    if (pictures.length >= count) done.resolve();
  });
  await Promise.race([done.promise, viewer.failed]);
  return pictures.slice(0, count);
}

async function agesOf(
  { folder }: Context,
  codec: "mjpeg" | "h264",
  pictures: readonly Picture[],
): Promise<number[]> {
  const file = join(folder, `latency.${codec}`);
  writeFileSync(file, "");
  for (const picture of pictures) appendFileSync(file, picture.bytes);
  const format = codec === "mjpeg" ? "image2pipe" : "mp4";
  const decoded = await lumaOf(file, format, patternWidth, patternHeight);
  rmSync(file);
  if (decoded.length !== pictures.length)
    throw new Error(`${pictures.length} pictures were received, ${decoded.length} decoded`);
  return decoded.map((luma, index) => {
    const pattern = decodePattern(luma, patternWidth);
    const receivedMs = pictures[index]?.wallMs ?? Number.NaN;
    if (pattern === undefined) throw new Error(`the blocks of picture ${index} cannot be read`);
    return receivedMs - patternTimeMs(pattern, receivedMs);
  });
}
