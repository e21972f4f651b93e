/**
 * `npm run soak`: a hub lives through clients, recordings, snapshots and viewers that come and go, and must not grow.
 * Between stretches of activity everybody leaves; then, after collections, its memory and what it holds open are
 * measured. Exit code 0: nothing grows by more than the noise of the first minute; 1: something does, or failed.
 */
import { readdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { type RunningHub, startHub, until } from "../../test/harness/hub.ts";
import { loadedHubEnv } from "../load/loaded-hub.ts";
import { askProbe, probeArgs } from "../load/probed.ts";
import { activities } from "./activities.ts";
import { type Sample, trendOf } from "./trend.ts";

const activeMs = 9000;
const mebibyte = 2 ** 20;
/** The hub's code is compiled and its caches fill: not judged at all. */
const warmUpStretches = 2;
const firstMinuteS = 60;

/** What is watched, in which unit, and the noise granted in any case. */
const watched = {
  heap: { unit: "MiB", least: 1 },
  resident: { unit: "MiB", least: 8 },
  handles: { unit: "handles", least: 2 },
  files: { unit: "open files", least: 2 },
} as const;
type Watched = keyof typeof watched;
const names = Object.keys(watched) as Watched[];

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { minutes: { type: "string", default: "10" } } });
  const minutes = Number(values.minutes);
  if (!(minutes >= 3)) {
    console.error("Usage: npm run soak -- [--minutes N]    N: 3 or more, default 10");
    return 2;
  }
  await using hub = await startHub({
    env: {
      ...loadedHubEnv,
      OCELLI_VIRTUAL_COUNT: "2",
      OCELLI_VIRTUAL_SIZE: "320x240",
      OCELLI_VIRTUAL_FPS: "15",
      OCELLI_VIRTUAL_CODEC: "mjpeg",
      OCELLI_CAPTURE_LINGER_SECONDS: "1",
    },
    nodeArgs: probeArgs,
  });
  const series: Record<Watched, Sample[]> = { heap: [], resident: [], handles: [], files: [] };
  const counts = new Map<string, number>();
  let startedAt = performance.now();
  for (let stretch = -warmUpStretches; ; stretch++) {
    await beBusy(hub, counts);
    const now = await measure(hub);
    if (stretch < 0) {
      startedAt = performance.now();
      continue;
    }
    const atS = (performance.now() - startedAt) / 1000;
    for (const name of names) series[name].push({ atS, value: now[name] });
    console.log(
      `${atS.toFixed(0).padStart(5)} s  ${names.map((name) => `${name} ${now[name].toFixed(name === "heap" ? 2 : 0)}`).join("  ")}`,
    );
    if (atS > minutes * 60) break;
  }
  console.log([...counts].map(([name, count]) => `${count} ${name}`).join(", "));
  let grows = false;
  for (const name of names) {
    const { unit, least } = watched[name];
    const trend = trendOf(series[name], firstMinuteS, least);
    grows ||= trend.grows;
    console.log(
      `${name}: ${trend.growth.toFixed(2)} ${unit} over the time after the first minute (${trend.perHour.toFixed(1)} an hour), noise ${trend.noise.toFixed(2)}: ${trend.grows ? "GROWS" : "steady"}`,
    );
  }
  return grows ? 1 : 0;
}

/** All activities side by side; returns when each has come to its end. */
async function beBusy(hub: RunningHub, counts: Map<string, number>): Promise<void> {
  await using admin = await hub.rpc();
  const endsAt = performance.now() + activeMs;
  await Promise.all(
    activities.flatMap(({ name, atOnce, once }) =>
      Array.from({ length: atOnce }, async () => {
        while (performance.now() < endsAt) {
          await once(hub, admin);
          counts.set(name, (counts.get(name) ?? 0) + 1);
        }
      }),
    ),
  );
}

async function measure(hub: RunningHub): Promise<Record<Watched, number>> {
  // Captures linger a second, events are written a moment later.
  await until("the captures end", () => hub.ffmpegs().length === 0);
  await until("the clients are gone", async () => {
    const { handles } = await askProbe(hub.process);
    return (handles.TCPSocketWrap ?? 0) === 0;
  });
  await sleep(500);
  const { rss, heapUsed, external, handles } = await askProbe(hub.process);
  return {
    heap: (heapUsed + external) / mebibyte,
    resident: rss / mebibyte,
    handles: Object.values(handles).reduce((sum, count) => sum + count, 0),
    files: readdirSync(`/proc/${hub.pid}/fd`).length,
  };
}

process.exit(await main());
