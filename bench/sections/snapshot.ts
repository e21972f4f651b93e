import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { adminKey } from "../../test/harness/hub.ts";
import { clip, ffmpeg } from "../lib/ffmpeg.ts";
import { startFileHub } from "../lib/hubs.ts";
import { keepWarm } from "../lib/viewers.ts";
import type { Section } from "../section.ts";

/** From sending `take_snapshot` to its answer, when the file has its name and is on the disk. */
export const snapshot: Section = {
  name: "snapshot",
  about: "a picture of a running camera, request to file",
  async run({ report, quick, folder }) {
    const runs = quick ? 10 : 40;
    const files = [await clip(folder, "mjpeg"), await clip(folder, "h264")];
    await using hub = await startFileHub(folder, files);
    await using rpc = await hub.rpc();
    const viewers = [await keepWarm("mjpeg", hub, "camera100"), await keepWarm("mse", hub, "camera101")];
    const take = async (device: string): Promise<number> => {
      const startedAt = performance.now();
      const { filename } = await rpc.call<{ filename: string }>("take_snapshot", { device });
      const took = performance.now() - startedAt;
      const picture = readFileSync(hub.file("snapshots", filename));
      if (picture.readUInt16BE(0) !== 0xffd8 || picture.readUInt16BE(picture.length - 2) !== 0xffd9)
        throw new Error(`${filename} is not a whole JPEG`);
      return took;
    };
    const url = `${hub.url}/live/camera100/mjpeg`;
    const still = join(folder, "still.jpg");
    const response = await hub.fetch("/live/camera100/jpeg");
    writeFileSync(still, Buffer.from(await response.arrayBuffer()));

    // In turn, so that whatever else the machine does meets all of them.
    const mjpeg: number[] = [];
    const h264: number[] = [];
    const spawned: number[] = [];
    const decoded: number[] = [];
    const warmUp = 3;
    const every = 4;
    for (let run = -warmUp; run < runs; run++) {
      const took = await take("camera100");
      if (run >= 0) mjpeg.push(took);
      if (run % every !== 0) continue;
      const tookH264 = await take("camera101");
      const out = join(folder, `out.jpg`);
      const live = ["-headers", `X-API-Key: ${adminKey}\r\n`, "-f", "mpjpeg", "-i", url];
      const tookSpawn = await ffmpeg([...live, "-frames:v", "1", "-c:v", "copy", "-f", "image2", out]);
      const tookDecode = await ffmpeg(["-i", still, "-f", "null", "-"]);
      if (run < 0) continue;
      h264.push(tookH264);
      spawned.push(tookSpawn);
      decoded.push(tookDecode);
    }
    for (const viewer of viewers) await viewer.close();

    report.figure({
      what: "snapshot of an MJPEG camera",
      unit: "ms",
      values: mjpeg,
      goal: 10,
      against: { what: "ffmpeg spawned for one frame of the same live stream, copied", values: spawned },
    });
    report.figure({
      what: "snapshot of an MJPEG camera",
      unit: "ms",
      values: mjpeg,
      against: { what: "ffmpeg spawned to decode one JPEG file", values: decoded },
    });
    report.figure({
      what: "snapshot of an H.264 camera (decoded by a short ffmpeg)",
      unit: "ms",
      values: h264,
      against: { what: "ffmpeg spawned to decode one JPEG file", values: decoded },
    });
  },
};
