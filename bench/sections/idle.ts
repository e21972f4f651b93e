import { setTimeout as sleep } from "node:timers/promises";
import { clip } from "../lib/ffmpeg.ts";
import { startFileHub } from "../lib/hubs.ts";
import { cpuPercents, memory } from "../lib/processes.ts";
import { keepWarm, type Viewer } from "../lib/viewers.ts";
import type { Section } from "../section.ts";

/** A hub that has four cameras, first with nobody watching, then with one viewer each. */
export const idle: Section = {
  name: "idle",
  about: "four cameras attached, nobody watching; then what each captured one takes",
  async run({ report, quick, folder }) {
    const windows = quick ? 1 : 3;
    const windowMs = quick ? 5000 : 20_000;
    const file = await clip(folder, "h264");
    await using hub = await startFileHub(folder, [file, file, file, file]);
    // A client of the API, as a console that waits for news.
    await using _rpc = await hub.rpc();
    await sleep(3000);
    const cpu: number[] = [];
    const rss: number[] = [];
    const pss: number[] = [];
    for (let run = 0; run < windows; run++) {
      const [percent = Number.NaN] = await cpuPercents([hub.pid], windowMs);
      cpu.push(percent);
      const now = memory(hub.pid);
      rss.push(now.rss);
      pss.push(now.pss);
    }
    report.figure({ what: "hub, idle, CPU", unit: "% of a core", values: cpu, goal: 0.5 });
    report.figure({ what: "hub, idle, resident memory", unit: "MiB", values: rss, goal: 90 });
    report.figure({ what: "hub, idle, proportional memory", unit: "MiB", values: pss });

    const viewers: Viewer[] = [];
    const perCamera: number[] = [];
    const perFfmpeg: number[] = [];
    let before = memory(hub.pid).pss;
    const settleMs = quick ? 4000 : 12_000;
    for (const cameras of [["camera100"], ["camera101", "camera102", "camera103"]]) {
      for (const camera of cameras) viewers.push(await keepWarm("mse", hub, camera));
      // Until the ring is full: 10 s of media.
      await sleep(settleMs);
      const now = memory(hub.pid).pss;
      perCamera.push((now - before) / cameras.length);
      before = now;
    }
    for (const pid of hub.ffmpegs()) perFfmpeg.push(memory(pid).pss);
    const bytes = viewers.reduce((sum, viewer) => sum + viewer.bytes, 0);
    for (const viewer of viewers) await viewer.close();
    const [first = Number.NaN, later = Number.NaN] = perCamera;
    report.figure({
      what: "first captured camera, proportional memory of the hub",
      unit: "MiB",
      values: [first],
    });
    report.figure({
      what: "each further captured camera, proportional memory of the hub",
      unit: "MiB",
      values: [later],
    });
    report.figure({
      what: "each captured camera, proportional memory of its ffmpeg",
      unit: "MiB",
      values: perFfmpeg,
    });
    report.note(
      `the cameras give about ${((bytes / 2 ** 20 / (settleMs * 5)) * 1e4).toFixed(1)} MiB of media in 10 s, which the ring holds`,
    );
  },
};
