import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
} from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { MultiCamController } from "@ocelli/client/node";
import { root, until } from "../../test/harness/hub.ts";
import { startVirtualHub } from "../lib/hubs.ts";
import type { Report } from "../lib/report.ts";
import type { Section } from "../section.ts";

/** Many devices at once, and one big file. */
export const multicam: Section = {
  name: "multicam",
  about: "a file over MultiCam against nc, and 200 devices started at once",
  async run({ report, quick, folder }) {
    await download(report, quick, folder);
    await start(report, quick);
  },
};

const megabytes = 512;
const nc = "/bin/nc.openbsd";

async function download(report: Report, quick: boolean, folder: string): Promise<void> {
  if (!existsSync(nc)) {
    report.skip(`${nc} is not here (apt-get install netcat-openbsd)`);
    return;
  }
  // In memory, so that it is the way of the bytes that is measured, and no disk.
  const memory = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : folder, "ocelli-bench-"));
  const controller = new MultiCamController();
  try {
    await using hub = await startVirtualHub("mjpeg", {
      OCELLI_MULTICAM_ENABLED: "true",
      OCELLI_DATA_DIR: memory,
      OCELLI_VIRTUAL_FPS: "10",
    });
    const { id } = controller.add({ host: "127.0.0.1", port: hub.port });
    await using rpc = await hub.rpc();
    await rpc.call("start_recording", { device: "camera100", filename: "big", duration: 1 });
    const file = join(memory, "recordings", "big.mp4");
    await until("the recording", async () => {
      const { total } = await rpc.call<{ total: number }>("list_recordings");
      return total === 1;
    });
    truncateSync(file, megabytes * 2 ** 20);
    const ours: number[] = [];
    const theirs: number[] = [];
    for (let round = 0; round < (quick ? 3 : 7); round++) {
      const startedAt = performance.now();
      const { path } = await controller.download(
        id,
        { fileId: "big", fileName: "big.mp4" },
        { folder: memory },
      );
      ours.push(megabytes / ((performance.now() - startedAt) / 1000));
      rmSync(path);
      theirs.push(megabytes / (await netcat(file, join(memory, "nc.out"))));
    }
    report.figure({
      what: `GET_VIDEO of ${megabytes} MiB, hub to controller`,
      unit: "MiB/s",
      values: ours,
      against: { what: "nc (netcat-openbsd), the same file", values: theirs },
      goalRatioAtLeast: 0.8,
    });
  } finally {
    await controller.close();
    rmSync(memory, { recursive: true, force: true });
  }
}

/** Seconds from the connection to the last byte in the other file. */
async function netcat(source: string, target: string): Promise<number> {
  const port = 20_000 + Math.floor(Math.random() * 10_000);
  const out = openSync(target, "w");
  const receiver = spawn(nc, ["-l", "127.0.0.1", String(port)], {
    // An input that ends would end it.
    stdio: ["pipe", out, "inherit"],
  });
  await until("nc to listen", async () => {
    const tables = readFileSync("/proc/net/tcp", "utf8") + readFileSync("/proc/net/tcp6", "utf8");
    const hex = port.toString(16).toUpperCase().padStart(4, "0");
    return new RegExp(`:${hex} \\S+ 0A `).test(tables);
  });
  const from = openSync(source, "r");
  const startedAt = performance.now();
  const sender = spawn(nc, ["-N", "127.0.0.1", String(port)], { stdio: [from, "ignore", "inherit"] });
  await once(receiver, "close");
  for (const opened of [from, out]) closeSync(opened);
  const took = (performance.now() - startedAt) / 1000;
  sender.kill();
  if (statSync(target).size !== megabytes * 2 ** 20) throw new Error("nc did not bring the whole file");
  rmSync(target);
  return took;
}

async function start(report: Report, quick: boolean): Promise<void> {
  const devices = 200;
  const child = spawn(process.execPath, [join(root, "bench/load/multicam-devices.ts"), String(devices)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const said = async () => JSON.parse(String((await lines.next()).value));
  const controller = new MultiCamController();
  try {
    const { ports } = (await said()) as { ports: number[] };
    for (const port of ports) controller.add({ host: "127.0.0.1", port });
    const values: number[] = [];
    for (let round = 1; round <= (quick ? 3 : 10); round++) {
      const beganMs = performance.timeOrigin + performance.now();
      const { results } = await controller.startRecording({ delay: 3 });
      child.stdin.write("\n");
      const { lastStartMs, starts } = (await said()) as { lastStartMs: number; starts: number };
      if (starts !== devices * round || results.some(({ ok }) => !ok))
        throw new Error("not every device was started");
      values.push(lastStartMs - beganMs);
    }
    report.figure({ what: `${devices} devices: the last START has arrived`, unit: "ms", values });
  } finally {
    await controller.close();
    child.stdin.end();
    child.kill();
  }
}
