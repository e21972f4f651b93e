import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { root, startHub } from "../../test/harness/hub.ts";
import type { Section } from "../section.ts";

const exec = promisify(execFile);

/** Until `GET /health/ready` answers 200, with a data folder of an earlier start. */
export const startup: Section = {
  name: "startup",
  about: "second start of the hub",
  async run({ report, quick, folder }) {
    const runs = quick ? 2 : 5;
    const dataDir = mkdtempSync(join(folder, "data-"));
    const first = await startHub({ dataDir });
    await first.stop();
    const hubs: number[] = [];
    const npm: number[] = [];
    const bare: number[] = [];
    for (let run = 0; run < runs; run++) {
      hubs.push(await startOnce(dataDir));
      bare.push(await timed(() => exec(process.execPath, ["-e", "0"])));
      npm.push(await npmStart(dataDir));
    }
    report.figure({
      what: "hub process to ready",
      unit: "ms",
      values: hubs,
      against: { what: "node -e 0", values: bare },
    });
    report.figure({ what: "npm start to ready", unit: "ms", values: npm, goal: 2000 });
    rmSync(dataDir, { recursive: true });
  },
};

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}

async function startOnce(dataDir: string): Promise<number> {
  const startedAt = performance.now();
  await using hub = await startHub({ dataDir });
  const response = await fetch(`${hub.url}/health/ready`);
  if (response.status !== 200) throw new Error(`the hub is not ready: ${response.status}`);
  return performance.now() - startedAt;
}

/** All of what a user waits for, `npm` and the look for changed sources included. */
async function npmStart(dataDir: string): Promise<number> {
  const startedAt = performance.now();
  const npm = spawn("npm", ["start", "--", "--listen", "127.0.0.1:0"], {
    cwd: root,
    stdio: ["ignore", "pipe", "ignore"],
    env: { ...process.env, OCELLI_DATA_DIR: dataDir },
    // A group of its own, which gets the signal as a terminal would send it.
    detached: true,
  });
  const ended = once(npm, "exit");
  const ready = new Promise<void>((resolve, reject) => {
    createInterface({ input: npm.stdout }).on("line", (line) => {
      if (line.includes("Ready.")) resolve();
    });
    void ended.then(() => reject(new Error("npm start ended before it was ready")));
  });
  await ready;
  const took = performance.now() - startedAt;
  if (npm.pid !== undefined) process.kill(-npm.pid, "SIGINT");
  await ended;
  return took;
}
