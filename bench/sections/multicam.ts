import { closeSync, existsSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { MultiCamController } from "@ocelli/client/node";
import { until } from "../../test/harness/hub.ts";
import { namespacesMustSkip, playScene } from "../../test/harness/namespace.ts";
import { startVirtualHub } from "../lib/hubs.ts";
import { installNetcat, netcat } from "../lib/netcat.ts";
import type { Report } from "../lib/report.ts";
import type { FleetRound, FleetRounds } from "../load/multicam-fleet.ts";
import type { Section } from "../section.ts";

/** Files, and many devices at once. */
export const multicam: Section = {
  name: "multicam",
  about: "files over MultiCam against nc, and 200 devices found and started at once",
  async run({ report, quick, folder }) {
    await files(report, quick, folder);
    await fleet(report);
  },
};

const fileMiB = 512;
const atOnce = 8;

async function files(report: Report, quick: boolean, folder: string): Promise<void> {
  const missing = installNetcat();
  if (missing !== undefined) {
    report.skip(missing);
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
    await until("the recording", async () => {
      const { total } = await rpc.call<{ total: number }>("list_recordings");
      return total === 1;
    });
    const file = join(memory, "recordings", "big.mp4");
    const folders = Array.from({ length: atOnce }, (_, at) => join(memory, String(at)));
    const ours = async (folder: string): Promise<void> => {
      const { path } = await controller.download(id, { fileId: "big", fileName: "big.mp4" }, { folder });
      rmSync(path);
    };
    const compare = async (count: number, mebibytes: number): Promise<void> => {
      fill(file, mebibytes);
      const total = count * mebibytes;
      const [our, their]: [number[], number[]] = [[], []];
      for (let round = 0; round < (quick ? 3 : 7); round++) {
        const startedAt = performance.now();
        await Promise.all(folders.slice(0, count).map(ours));
        our.push(total / ((performance.now() - startedAt) / 1000));
        const targets = folders.slice(0, count).map((folder) => `${folder}.nc`);
        their.push(total / (await netcat(file, targets)));
      }
      report.figure({
        what: `GET_VIDEO of ${count === 1 ? "" : `${count} times at once `}${mebibytes} MiB, hub to controller`,
        unit: "MiB/s",
        values: our,
        against: { what: "nc (netcat-openbsd), the same file", values: their },
        goalRatioAtLeast: 0.8,
      });
    };
    await compare(1, fileMiB);
    await compare(atOnce, fileMiB / atOnce);
  } finally {
    await controller.close();
    rmSync(memory, { recursive: true, force: true });
  }
}

/** Bytes that are there: a file with holes costs less to read. */
function fill(path: string, mebibytes: number): void {
  const file = openSync(path, "w");
  const piece = Buffer.alloc(2 ** 20, "a recording");
  for (let done = 0; done < mebibytes; done++) writeSync(file, piece);
  closeSync(file);
}

async function fleet(report: Report): Promise<void> {
  if (namespacesMustSkip()) {
    report.skip("no network namespace can be made here (unshare, ip)");
    return;
  }
  const also = ["ip route add 224.0.0.0/4 dev hub0"];
  const scene = "../../bench/load/multicam-fleet.ts";
  const { ours, theirs } = await playScene<FleetRounds>(scene, { also, timeoutMs: 120_000 });
  const figure = (what: string, of: (round: FleetRound) => number): void => {
    const against = { what: "a Python controller on asyncio", values: theirs.map(of) };
    report.figure({ what, unit: "ms", values: ours.map(of), against });
  };
  figure("200 devices found by mDNS (they answer within 20 to 120 ms)", ({ found }) => found);
  figure("200 devices told to start: START has reached the last", ({ started }) => started);
  figure("both", ({ found, started }) => found + started);
}
