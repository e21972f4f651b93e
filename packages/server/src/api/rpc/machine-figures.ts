/** What the process and the machine use, measured between one look and the next. No timer of its own. */
import { cpus, freemem, totalmem } from "node:os";
import type { Clock } from "../../clock/clock.ts";

export interface MachineUse {
  /** Percent of one processor, by this process. */
  readonly processCpu: number;
  /** Percent of all processors, by everything. */
  readonly machineCpu: number;
  readonly processBytes: number;
  readonly memoryBytes: number;
  readonly memoryUsedBytes: number;
}

/** Looks that follow each other faster get the same processor figures, as the time between says too little. */
const shortestUs = 1_000_000;

export class MachineFigures {
  readonly #clock: Clock;
  #process = process.cpuUsage();
  #machine = machineTimes();
  #atMonoUs: number;
  #cpu: { processCpu: number; machineCpu: number } | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#atMonoUs = clock.monoUs();
  }

  measure(): MachineUse {
    const memoryBytes = totalmem();
    return {
      ...this.#cpuNow(),
      processBytes: process.memoryUsage.rss(),
      memoryBytes,
      memoryUsedBytes: memoryBytes - freemem(),
    };
  }

  #cpuNow() {
    const nowUs = this.#clock.monoUs();
    const elapsedUs = nowUs - this.#atMonoUs;
    if (elapsedUs < shortestUs) return this.#cpu ?? { processCpu: 0, machineCpu: 0 };
    const { user, system } = process.cpuUsage(this.#process);
    const machine = machineTimes();
    const total = machine.total - this.#machine.total;
    const busy = machine.busy - this.#machine.busy;
    this.#cpu = {
      processCpu: ((user + system) / elapsedUs) * 100,
      machineCpu: total <= 0 ? 0 : Math.min(100, Math.max(0, (busy / total) * 100)),
    };
    this.#process = process.cpuUsage();
    this.#machine = machine;
    this.#atMonoUs = nowUs;
    return this.#cpu;
  }
}

function machineTimes(): { busy: number; total: number } {
  let busy = 0;
  let total = 0;
  for (const { times } of cpus()) {
    const used = times.user + times.nice + times.sys + times.irq;
    busy += used;
    total += used + times.idle;
  }
  return { busy, total };
}
