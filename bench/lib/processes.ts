/** What processes cost, from /proc: nothing is asked of the process itself, so that asking costs it nothing. */
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/**
 * CPU time of all threads that live now, microseconds, from the scheduler's own account: `utime` and `stime` of
 * `/proc/PID/stat` come in steps of 10 ms, too coarse for an idle process.
 */
export function cpuUs(pid: number): number {
  let total = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    total += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ")[0]);
  }
  return total / 1000;
}

/** Share of one core that each process used during `ms`, per cent. The processes must live throughout. */
export async function cpuPercents(pids: readonly number[], ms: number): Promise<number[]> {
  const startedAt = performance.now();
  const before = pids.map(cpuUs);
  await sleep(ms);
  const tookUs = (performance.now() - startedAt) * 1000;
  return pids.map((pid, index) => ((cpuUs(pid) - (before[index] ?? 0)) / tookUs) * 100);
}

export interface Memory {
  /** Resident, with everything that is shared with other processes. MiB. */
  readonly rss: number;
  /** Resident, shared pages divided among those who share them. MiB. */
  readonly pss: number;
}

export function memory(pid: number): Memory {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const kib = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text)?.[1]);
  return { rss: kib("Rss") / 1024, pss: kib("Pss") / 1024 };
}

/** Share of the whole machine that was busy during `ms`, per cent of one core: all cores busy is 100 each. */
export async function machineBusy(ms: number): Promise<number> {
  const idle = (): { idle: number; total: number; cores: number } => {
    const lines = readFileSync("/proc/stat", "utf8").split("\n");
    const [, ...values] = (lines[0] ?? "").split(/\s+/);
    const numbers = values.map(Number);
    return {
      idle: (numbers[3] ?? 0) + (numbers[4] ?? 0),
      total: numbers.slice(0, 8).reduce((sum, one) => sum + one, 0),
      cores: lines.filter((line) => /^cpu\d/.test(line)).length,
    };
  };
  const before = idle();
  await sleep(ms);
  const after = idle();
  const part = (after.idle - before.idle) / (after.total - before.total);
  return (1 - part) * 100 * after.cores;
}
