/**
 * Loaded into the process that is measured, with `--import` and `--expose-gc`: says over the IPC channel what its
 * memory holds after a collection, and takes CPU profiles. The hub itself knows nothing of it.
 */
import { writeFileSync } from "node:fs";
import { Session } from "node:inspector/promises";
import { getHeapSpaceStatistics } from "node:v8";
import type { ProbeAnswer, ProbeAsk } from "./probed.ts";

const session = new Session();
session.connect();

async function answer(ask: ProbeAsk): Promise<ProbeAnswer> {
  if (ask.kind === "profile") {
    await session.post("Profiler.enable");
    await session.post("Profiler.setSamplingInterval", { interval: 200 });
    await session.post("Profiler.start");
    await new Promise((resolve) => setTimeout(resolve, ask.ms));
    const { profile } = await session.post("Profiler.stop");
    writeFileSync(ask.file, JSON.stringify(profile));
  }
  for (let time = 0; time < 3; time++) {
    globalThis.gc?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { rss, heapUsed, external } = process.memoryUsage();
  const handles: Record<string, number> = {};
  for (const name of process.getActiveResourcesInfo()) handles[name] = (handles[name] ?? 0) + 1;
  const code = getHeapSpaceStatistics()
    .filter(({ space_name }) => /code|trusted/.test(space_name))
    .reduce((sum, { space_used_size }) => sum + space_used_size, 0);
  return { rss, heapUsed, external, code, handles };
}

process.on("message", ({ id, ask }: { id: number; ask: ProbeAsk }) => {
  void answer(ask).then((own) => process.send?.({ id, answer: own }));
});
// The hub's life does not hang on this channel.
process.channel?.unref();
