import { setTimeout as sleep } from "node:timers/promises";
import type { RunningHub } from "../../test/harness/hub.ts";
import { startVirtualHub } from "../lib/hubs.ts";
import { cpuPercents, memory } from "../lib/processes.ts";
import { openViewer, type Viewer, type ViewerKind } from "../lib/viewers.ts";
import type { Context, Section } from "../section.ts";

interface Load {
  readonly cpu: number[];
  readonly rss: number[];
  /** Frames that the hub says it left out, of all viewers. */
  readonly lost: number[];
  /** Mean of all viewers. */
  readonly fps: number[];
  /** Of the viewer that got least. */
  readonly worst: number[];
}

/** Many viewers of one camera; all of them are in this one process, which needs CPU of its own. */
export const viewers: Section = {
  name: "viewers",
  about: "1, 10 and 100 viewers of one camera of 640x480 at 30 frames a second",
  async run(context) {
    for (const kind of ["mse", "mjpeg"] as const) await measure(context, kind);
  },
};

async function measure({ report, quick }: Context, kind: ViewerKind): Promise<void> {
  const rounds = quick ? 1 : 2;
  const windowMs = quick ? 2000 : 4000;
  await using hub = await startVirtualHub(kind === "mse" ? "h264" : "mjpeg");
  const loads = new Map<string, Load>();
  for (let round = 0; round < rounds; round++) {
    for (const [count, stalled] of [
      [1, 0],
      [10, 0],
      [10, 1],
      [100, 0],
    ] as const) {
      const key = `${count} viewers${stalled === 0 ? "" : " and a stalled one"}`;
      const load = loads.get(key) ?? { cpu: [], rss: [], lost: [], fps: [], worst: [] };
      loads.set(key, load);
      await watch(hub, kind, count, stalled, windowMs, load);
    }
  }
  const one = loads.get("1 viewers");
  if (one === undefined) return;
  const name = kind === "mse" ? "MSE" : "MJPEG";
  for (const [what, load] of loads) {
    const many = load !== one;
    const label = `${name}, ${many ? what : "1 viewer"}`;
    const against = (values: readonly number[]) => (many ? { against: { what: "1 viewer", values } } : {});
    report.figure({ what: `${label}: hub CPU`, unit: "% of a core", values: load.cpu, ...against(one.cpu) });
    report.figure({
      what: `${label}: hub resident memory`,
      unit: "MiB",
      values: load.rss,
      ...against(one.rss),
    });
    report.figure({
      what: `${label}: pictures a second for each`,
      unit: "fps",
      values: load.fps,
      ...against(one.fps),
    });
    if (many)
      report.figure({
        what: `${label}: pictures a second for the one that got least`,
        unit: "fps",
        values: load.worst,
        ...against(one.worst),
      });
    if (load.lost.some((lost) => lost > 0))
      report.figure({
        what: `${label}: frames the hub left out, all viewers`,
        unit: "frames",
        values: load.lost,
      });
  }
}

async function watch(
  hub: RunningHub,
  kind: ViewerKind,
  count: number,
  stalled: number,
  windowMs: number,
  load: Load,
): Promise<void> {
  const all: Viewer[] = Array.from({ length: count + stalled }, () => openViewer(kind, hub, "camera100"));
  await Promise.all(all.map((viewer) => viewer.next()));
  const watching = all.slice(stalled);
  for (const viewer of all.slice(0, stalled)) viewer.stall();
  await sleep(1500);
  const before = watching.map(({ frames, lost }) => ({ frames, lost }));
  const startedAt = performance.now();
  const [percent = Number.NaN] = await cpuPercents([hub.pid], windowMs);
  const seconds = (performance.now() - startedAt) / 1000;
  const got = watching.map((viewer, index) => viewer.frames - (before[index]?.frames ?? 0));
  load.cpu.push(percent);
  load.rss.push(memory(hub.pid).rss);
  load.fps.push(got.reduce((sum, frames) => sum + frames, 0) / count / seconds);
  load.worst.push(Math.min(...got) / seconds);
  load.lost.push(watching.reduce((sum, viewer, index) => sum + viewer.lost - (before[index]?.lost ?? 0), 0));
  for (const viewer of all) await viewer.close();
}
