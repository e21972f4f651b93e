import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { lumaOf } from "../../test/harness/drawn-cameras.ts";
import type { RunningHub } from "../../test/harness/hub.ts";
import { clip } from "../lib/ffmpeg.ts";
import { startFileHub } from "../lib/hubs.ts";
import { keepWarm, openViewer, type ViewerKind } from "../lib/viewers.ts";
import type { Section } from "../section.ts";

/** From opening the connection to the last byte of the first picture, which is then decoded to be sure. */
export const firstPicture: Section = {
  name: "first-picture",
  about: "connecting to the first whole picture",
  async run({ report, quick, folder }) {
    const runs = quick ? 5 : 20;
    const coldRuns = quick ? 1 : 3;
    const h264 = await clip(folder, "h264");
    const mjpeg = await clip(folder, "mjpeg");
    // camera100 H.264, camera101 MJPEG; the others are cold until they are looked at.
    const cold = Array.from({ length: coldRuns }, () => [h264, mjpeg]).flat();
    await using hub = await startFileHub(folder, [h264, mjpeg, ...cold]);
    const viewers = [
      await keepWarm("mse", hub, "camera100"),
      await keepWarm("mjpeg", hub, "camera101"),
      await keepWarm("mse", hub, "camera101"),
    ];
    const mse: number[] = [];
    const parts: number[] = [];
    const transcoded: number[] = [];
    for (let run = 0; run < runs; run++) {
      mse.push(await look("mse", hub, "camera100", folder));
      parts.push(await look("mjpeg", hub, "camera101", folder));
      transcoded.push(await look("mse", hub, "camera101", folder));
      // Not in step with the keyframes, which come once a second.
      await sleep(70);
    }
    for (const viewer of viewers) await viewer.close();
    const coldMse: number[] = [];
    const coldParts: number[] = [];
    for (let run = 0; run < coldRuns; run++) {
      coldMse.push(await look("mse", hub, `camera${102 + 2 * run}`, folder));
      coldParts.push(await look("mjpeg", hub, `camera${103 + 2 * run}`, folder));
    }
    report.figure({
      what: "MSE, H.264 camera that is running",
      unit: "ms",
      values: mse,
      goal: 300,
      against: { what: "one that has to be started", values: coldMse },
    });
    report.figure({
      what: "MJPEG, MJPEG camera that is running",
      unit: "ms",
      values: parts,
      goal: 300,
      against: { what: "one that has to be started", values: coldParts },
    });
    report.figure({
      what: "MSE, MJPEG camera that is watched as H.264 by another",
      unit: "ms",
      values: transcoded,
      goal: 300,
    });
  },
};

async function look(kind: ViewerKind, hub: RunningHub, camera: string, folder: string): Promise<number> {
  const startedAt = performance.now();
  const viewer = openViewer(kind, hub, camera);
  const picture = await viewer.next();
  await viewer.close();
  if (picture.bytes.length > 0) {
    const file = join(folder, "first.mp4");
    writeFileSync(file, picture.bytes);
    const frames = await lumaOf(file, "mp4", 16, 16);
    if (frames.length !== 1) throw new Error(`the first picture of ${camera} cannot be decoded`);
  }
  return picture.atMs - startedAt;
}
