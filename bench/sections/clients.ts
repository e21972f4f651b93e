import { type RunningHub, startHub } from "../../test/harness/hub.ts";
import { quantile, type Report } from "../lib/report.ts";
import { Fleet } from "../load/fleet.ts";
import { loadedHubEnv, viewerHeaders } from "../load/loaded-hub.ts";
import { limitOfFiles } from "../load/open-files.ts";
import { askProbe, type ProbeAnswer, probeArgs } from "../load/probed.ts";
import type { Target } from "../load/raw-client.ts";
import { startBareWs } from "../load/references.ts";
import type { Section } from "../section.ts";

/** The hub opens some files of its own. */
const filesBesides = 200;
const processes = 2;
const handshakesAtATime = 100;

/** Many WebSocket clients that wait for news: what they cost, and how fast news reach all of them. */
export const clients: Section = {
  name: "clients",
  about: "10,000 idle WebSocket clients: connect rate, memory, and how fast an event of a camera reaches all",
  async run({ report, quick }) {
    const room = limitOfFiles() - filesBesides;
    const many = Math.min(10_000, Math.floor(room / 1000) * 1000);
    if (many < 10_000) {
      report.note(
        `a process may open ${limitOfFiles()} files here, so ${many} clients instead of 10,000; ulimit -n 11000 for all`,
      );
    }
    if (many < 1000) {
      report.skip("fewer than 1,200 files may be open: ulimit -n 11000");
      return;
    }
    const events = quick ? 10 : 30;
    for (const count of [1000, many]) await broadcasts(report, count, events);
    await memoryOf(report, many);
  },
};

async function broadcasts(report: Report, count: number, events: number): Promise<void> {
  await using hub = await startHub({ env: loadedHubEnv, nodeArgs: probeArgs });
  await using fleet = new Fleet(processes);
  await fleet.connect(targetOf(hub.port, "/ws"), count, handshakesAtATime);
  await quiet(fleet, hub);
  const goal = count <= 1000 ? 50 : 500;
  // The first ones meet code that has not been compiled yet.
  await news(fleet, hub, 5, "warm-up");
  const undisturbed = await news(fleet, hub, events, "all read");
  report.figure({
    what: `event of a camera to ${count} clients, p99 over the clients`,
    unit: "ms",
    values: undisturbed.map(({ p99 }) => p99),
    goal,
  });
  report.figure({
    what: `event of a camera to ${count} clients, the last one`,
    unit: "ms",
    values: undisturbed.map(({ last }) => last),
  });
  let stalled = 0;
  for (const stall of [1, 100]) {
    // Asked for more than the hub lets wait for one client: then nothing more is taken up, and news come on top.
    await fleet.stall(
      stall - stalled,
      JSON.stringify({ jsonrpc: "2.0", id: 1, method: "get_supported_methods" }),
      6000,
    );
    stalled = stall;
    await quiet(fleet, hub);
    const disturbed = await news(fleet, hub, events, `${stall} stalled`);
    report.figure({
      what: `the same with ${stall} of them stalled, p99 over the others`,
      unit: "ms",
      values: disturbed.map(({ p99 }) => p99),
      against: { what: "none stalled", values: undisturbed.map(({ p99 }) => p99) },
    });
  }
}

async function memoryOf(report: Report, count: number): Promise<void> {
  await using hub = await startHub({ env: loadedHubEnv, nodeArgs: probeArgs });
  await using bare = await startBareWs("");
  const perHub = await costOf(count, targetOf(hub.port, "/ws"), () => askProbe(hub.process));
  const perBare = await costOf(count, targetOf(bare.port, "/"), () => askProbe(bare.process));
  report.figure({
    what: `clients that can connect a second (${handshakesAtATime} handshakes at a time, key checked)`,
    unit: "clients/s",
    values: [perHub.perSecond],
    against: { what: "bare ws, no key", values: [perBare.perSecond] },
  });
  report.figure({
    what: `memory a client of ${count}, resident`,
    unit: "KiB",
    values: [perHub.rss],
    goal: 10,
    against: { what: "bare ws", values: [perBare.rss] },
  });
  report.figure({
    what: `memory a client of ${count}, heap and buffers of JavaScript`,
    unit: "KiB",
    values: [perHub.heap],
    goal: 10,
    against: { what: "bare ws", values: [perBare.heap] },
  });
}

/**
 * What each client more takes, after collections: of two halves the second one, for with the first the heap grows to
 * its working size.
 */
async function costOf(
  count: number,
  target: Target,
  memory: () => Promise<ProbeAnswer>,
): Promise<{ perSecond: number; rss: number; heap: number }> {
  await using fleet = new Fleet(processes);
  const half = count / 2;
  const settled = async (): Promise<ProbeAnswer> => {
    // The hub tells those that say nothing for a second of its cameras.
    await new Promise((resolve) => setTimeout(resolve, 3000));
    return memory();
  };
  const first = await fleet.connect(target, half, handshakesAtATime);
  const before = await settled();
  const second = await fleet.connect(target, half, handshakesAtATime);
  const after = await settled();
  const kib = (bytes: (answer: ProbeAnswer) => number): number =>
    (bytes(after) - bytes(before)) / half / 1024;
  await fleet.close();
  return {
    perSecond: (count / (first.ms + second.ms)) * 1000,
    rss: kib(({ rss }) => rss),
    heap: kib(({ heapUsed, external }) => heapUsed + external),
  };
}

interface Arrival {
  readonly p99: number;
  readonly last: number;
}

/** Renames the camera again and again; each time everybody is told. */
async function news(fleet: Fleet, hub: RunningHub, events: number, label: string): Promise<Arrival[]> {
  await using admin = await hub.rpc();
  const { open } = await fleet.count();
  const arrivals: Arrival[] = [];
  for (let event = 0; event < events; event++) {
    const word = `${label} ${event} of ${Math.random()}`;
    await fleet.watch([word]);
    await admin.call("set_camera_settings", { device: "camera100", name: word });
    const [seen] = await all(fleet, open);
    if (seen === undefined) continue;
    const emittedAt = monotonic(timeIn(seen.sample));
    const times = seen.atMs.map((at) => at - emittedAt).sort((a, b) => a - b);
    arrivals.push({ p99: quantile(times, 0.99), last: times.at(-1) ?? Number.NaN });
  }
  return arrivals;
}

/** Waits until the word watched for has come to every client. */
async function all(fleet: Fleet, open: number) {
  const deadline = performance.now() + 30_000;
  for (;;) {
    const arrived = await fleet.arrived();
    if (arrived >= open) return fleet.seen();
    if (performance.now() > deadline) {
      const { open: now, ended } = await fleet.count();
      throw new Error(
        `news came to ${arrived} of ${open} clients within 30 s; ${now} are open, closed were ${JSON.stringify(ended)}`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Until the first word to silent clients is out and the hub has nothing left to do. */
async function quiet(fleet: Fleet, hub: RunningHub): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 2500));
  await askProbe(hub.process);
  await fleet.count();
}

/** The event's own time, cut to the millisecond, as all clients read it. */
function timeIn(message: string): number {
  const { params } = JSON.parse(message) as { params: { timestamp: string } };
  return Date.parse(params.timestamp);
}

/** From wall time to the monotonic clock all processes of the machine share. */
function monotonic(wallMs: number): number {
  const wallNow = performance.timeOrigin + performance.now();
  if (Math.abs(wallNow - Date.now()) > 5) throw new Error("the wall clock was stepped: measure again");
  return wallMs - wallNow + Number(process.hrtime.bigint()) / 1e6;
}

function targetOf(port: number, path: string): Target {
  return { host: "127.0.0.1", port, path, headers: viewerHeaders };
}
