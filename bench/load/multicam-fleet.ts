// In a network namespace of its own: 200 devices announce themselves, and are found and started, by our controller and by
// one in Python, in turns. The last line it prints is a `FleetRounds`.
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { MultiCamController } from "@ocelli/client/node";
import { root } from "../../test/harness/hub.ts";

const deviceCount = 200;
const rounds = 5;

/** Milliseconds. */
export interface FleetRound {
  /** From the beginning of the search until the last device was known. */
  readonly found: number;
  /** From then until START has reached the last one. */
  readonly started: number;
}
export interface FleetRounds {
  readonly ours: readonly FleetRound[];
  readonly theirs: readonly FleetRound[];
}

const address = "10.99.0.1";

/** Says one JSON object a line, and another for each line it is given. */
class Asked {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: AsyncIterator<string>;

  constructor(command: string, args: readonly string[]) {
    this.#child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  async said<T>(): Promise<T> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error("it ended");
    return JSON.parse(value) as T;
  }

  ask<T>(): Promise<T> {
    this.#child.stdin.write("\n");
    return this.said<T>();
  }
}

const devices = new Asked(process.execPath, [
  ...[join(root, "bench/load/multicam-devices.ts"), String(deviceCount), address],
]);
const { ports } = await devices.said<{ ports: number[] }>();
const announced = ports.map((port, at) => ({ name: `multiCam-phone-${at}`, port, address }));
const python = "/usr/bin/python3";
const announcer = new Asked(python, [
  ...["-B", join(root, "test/clients/mdns_peer.py"), address, "announce", JSON.stringify(announced)],
]);
await announcer.said();
const reference = new Asked(python, [
  ...["-B", join(root, "bench/load/reference_multicam.py"), address, String(deviceCount)],
]);
await reference.said();

const nowMs = (): number => performance.timeOrigin + performance.now();
let expected = 0;

/** When START has reached the last device, epoch ms. */
async function lastStartMs(accepted: number): Promise<number> {
  expected += deviceCount;
  const { lastStartMs, starts } = await devices.ask<{ lastStartMs: number; starts: number }>();
  if (accepted !== deviceCount || starts !== expected) throw new Error("not every device was started");
  return lastStartMs;
}

async function ours(): Promise<FleetRound> {
  const controller = new MultiCamController();
  try {
    const enough = new AbortController();
    controller.on("device", () => {
      if (controller.devices.length === deviceCount) enough.abort();
    });
    const lookedMs = nowMs();
    await controller.discover({ seconds: 10, signal: enough.signal }).catch((error: unknown) => {
      if (!enough.signal.aborted) throw error;
    });
    const foundMs = nowMs();
    const { results } = await controller.startRecording({ delay: 3 });
    const started = await lastStartMs(results.filter(({ ok }) => ok).length);
    return { found: foundMs - lookedMs, started: started - foundMs };
  } finally {
    await controller.close();
  }
}

async function theirs(): Promise<FleetRound> {
  const { lookedMs, foundMs, beganMs, accepted } = await reference.ask<{
    lookedMs: number;
    foundMs: number;
    beganMs: number;
    accepted: number;
  }>();
  return { found: foundMs - lookedMs, started: (await lastStartMs(accepted)) - beganMs };
}

const ourRounds: FleetRound[] = [];
const theirRounds: FleetRound[] = [];
for (let round = 0; round < rounds; round++) {
  ourRounds.push(await ours());
  theirRounds.push(await theirs());
}
const result: FleetRounds = { ours: ourRounds, theirs: theirRounds };
process.stdout.write(`${JSON.stringify(result)}\n`);
process.exit(0);
