/**
 * `npm run soak`: a hub lives through clients, recordings, viewers, MultiCam controllers and sync sessions that come and
 * go, and must not grow. Between stretches of activity everybody leaves; then nothing of them may be left, and after
 * collections the hub's memory and what it holds open are measured. Exit code 0: nothing grows by more than the noise of the
 * first minute; 1: something does, is left, or failed.
 */
import { readdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { begunFor } from "../../test/harness/begun-processes.ts";
import { type RunningHub, until } from "../../test/harness/hub.ts";
import { askProbe } from "../load/probed.ts";
import { activities } from "./activities.ts";
import { contentsOf, leftovers } from "./leftovers.ts";
import { Stage } from "./stage.ts";
import { type Sample, trendOf } from "./trend.ts";

const activeMs = 9000;
const mebibyte = 2 ** 20;
/** The hub's code is compiled and its caches fill: not judged at all. */
const warmUpStretches = 2;
const firstMinuteS = 60;
/** What was told to end may take so long for it: a device that is gone is looked for again. */
const leaveMs = 30_000;

/** What is watched, in which unit, and the noise granted in any case. */
const watched = {
  heap: { unit: "MiB", least: 1 },
  // The C library keeps what was freed and gives it back once a minute.
  resident: { unit: "MiB", least: 24 },
  handles: { unit: "handles", least: 2 },
  files: { unit: "open files", least: 2 },
} as const;
type Watched = keyof typeof watched;
const names = Object.keys(watched) as Watched[];

/** How often an activity was told. */
interface Told {
  readonly times: number;
  readonly longestMs: number;
}

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { minutes: { type: "string", default: "10" } } });
  const minutes = Number(values.minutes);
  if (!(minutes >= 3)) {
    console.error("Usage: npm run soak -- [--minutes N]    N: 3 or more, default 10");
    return 2;
  }
  await using stage = await Stage.open();
  const { hub } = stage;
  const before = contentsOf(hub.dataDir);
  const series: Record<Watched, Sample[]> = { heap: [], resident: [], handles: [], files: [] };
  const told = new Map<string, Told>();
  let startedAt = performance.now();
  for (let stretch = -warmUpStretches; ; stretch++) {
    await beBusy(stage, told);
    await nothingLeft(stage, before);
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
  for (const [name, { times, longestMs }] of told) {
    console.log(`${times} ${name}, the longest ${(longestMs / 1000).toFixed(1)} s`);
  }
  let grows = false;
  for (const name of names) {
    const { unit, least } = watched[name];
    const trend = trendOf(series[name], firstMinuteS, least);
    grows ||= trend.grows;
    console.log(
      `${name}: ${trend.growth.toFixed(2)} ${unit} over the time after the first minute (${trend.perHour.toFixed(1)} an hour), noise ${trend.noise.toFixed(2)}: ${trend.grows ? "GROWS" : "steady"}`,
    );
  }
  const { code, signal } = await hub.end();
  const processes = begunFor(hub.dataDir);
  const isClean = code === 0 && processes.length === 0;
  console.log(
    isClean ? "nothing is left" : `the hub ended with ${code ?? signal}; left: ${JSON.stringify(processes)}`,
  );
  return grows || !isClean ? 1 : 0;
}

/** All activities side by side; returns when each has come to its end. */
async function beBusy(stage: Stage, told: Map<string, Told>): Promise<void> {
  await using admin = await stage.hub.rpc();
  const endsAt = performance.now() + activeMs;
  await Promise.all(
    activities.flatMap(({ name, atOnce, once }) =>
      Array.from({ length: atOnce }, async (_, turn) => {
        while (performance.now() < endsAt) {
          const from = performance.now();
          await once(stage, admin, turn).catch((cause: unknown) => {
            throw new Error(`one of the ${name} failed`, { cause });
          });
          const { times, longestMs } = told.get(name) ?? { times: 0, longestMs: 0 };
          told.set(name, {
            times: times + 1,
            longestMs: Math.max(longestMs, performance.now() - from),
          });
        }
      }),
    ),
  );
}

/** @throws Error that names what is */
async function nothingLeft(stage: Stage, before: ReadonlySet<string>): Promise<void> {
  await using admin = await stage.hub.rpc();
  let left: readonly string[] = [];
  try {
    await until("nothing is left", async () => {
      left = await leftovers(stage, before, admin);
      return left.length === 0;
    });
  } catch (cause) {
    throw new Error(`left behind: ${left.join(", ")}`, { cause });
  }
}

let fewestHandles = Number.POSITIVE_INFINITY;

async function measure(hub: RunningHub): Promise<Record<Watched, number>> {
  await until("the clients are gone", async () => {
    const { handles } = await askProbe(hub.process);
    return (handles.TCPSocketWrap ?? 0) === 0;
  });
  // Events are written a moment later; who looks for a device that is gone gives it up after some tries.
  await sleep(500);
  const quietBy = performance.now() + leaveMs;
  for (;;) {
    const { rss, heapUsed, external, code, handles } = await askProbe(hub.process);
    const count = Object.values(handles).reduce((sum, one) => sum + one, 0);
    fewestHandles = Math.min(fewestHandles, count);
    if (count > fewestHandles && performance.now() < quietBy) {
      await sleep(500);
      continue;
    }
    return {
      // V8 goes on compiling what is seldom done for as long as anybody has watched it.
      heap: (heapUsed - code + external) / mebibyte,
      resident: rss / mebibyte,
      handles: count,
      files: readdirSync(`/proc/${hub.pid}/fd`).length,
    };
  }
}

process.exit(await main());
