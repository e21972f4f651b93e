import { type RunningHub, startHub } from "../../test/harness/hub.ts";
import { cpuUs } from "../lib/processes.ts";
import { quantile, type Report } from "../lib/report.ts";
import { Fleet } from "../load/fleet.ts";
import { loadedHubEnv, viewerHeaders } from "../load/loaded-hub.ts";
import { probeArgs } from "../load/probed.ts";
import type { Target } from "../load/raw-client.ts";
import { installPythonServer, startBareWs, startPythonServer } from "../load/references.ts";
import type { Context, Section } from "../section.ts";

interface Contender {
  readonly name: string;
  readonly pid: number;
  readonly target: Target;
}

interface Measured {
  readonly perSecond: number[];
  readonly p50: number[];
  readonly p99: number[];
  /** CPU time of the server's process a request, microseconds. */
  readonly cpu: number[];
}

/**
 * Requests over WebSockets, one in flight on each connection, against servers that answer the very same bytes without
 * doing anything for it. The load comes from one process of its own, the same for all, and the rounds take turns.
 */
export const rpc: Section = {
  name: "rpc",
  about:
    "ping and get_camera_list with 1, 50 and 500 clients, against bare servers that answer the same bytes",
  async run(context) {
    const { report } = context;
    const missing = installPythonServer();
    if (missing !== undefined) report.note(`without the Python server: ${missing}`);
    await using hub = await startHub({
      env: { ...loadedHubEnv, OCELLI_VIRTUAL_COUNT: "4" },
      nodeArgs: probeArgs,
    });
    for (const method of ["ping", "get_camera_list"]) {
      const request = JSON.stringify({ jsonrpc: "2.0", id: 1, method });
      await compare(context, hub, method, request, missing === undefined);
    }
  },
};

async function compare(
  { report, quick }: Context,
  hub: RunningHub,
  method: string,
  request: string,
  withPython: boolean,
): Promise<void> {
  const answer = await answerOf(hub, request);
  await using bare = await startBareWs(answer);
  await using python = withPython ? await startPythonServer(answer) : undefined;
  const target = (port: number, path: string): Target => ({
    ...{ host: "127.0.0.1", port, path },
    headers: viewerHeaders,
  });
  const contenders: Contender[] = [
    { name: "hub", pid: hub.pid, target: target(hub.port, "/ws") },
    { name: "bare ws", pid: bare.pid, target: target(bare.port, "/") },
    ...(python ? [{ name: "Python", pid: python.pid, target: target(python.port, "/") }] : []),
  ];
  for (const clients of [1, 50, 500]) {
    const measured = await takeTurns(contenders, clients, request, quick);
    tell(report, `${method}, ${clients} ${clients === 1 ? "client" : "clients"}`, measured);
  }
}

async function takeTurns(
  contenders: readonly Contender[],
  clients: number,
  request: string,
  quick: boolean,
): Promise<Map<string, Measured>> {
  const rounds = quick ? 3 : 7;
  const times = quick ? { warmUpMs: 300, ms: 1000 } : { warmUpMs: 500, ms: 2000 };
  const measured = new Map<string, Measured>();
  for (const { name } of contenders) measured.set(name, { perSecond: [], p50: [], p99: [], cpu: [] });
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < contenders.length; turn++) {
      // Each begins a round as often as the others.
      const contender = contenders[(turn + round) % contenders.length];
      if (contender === undefined) continue;
      await using fleet = new Fleet(1);
      await fleet.connect(contender.target, clients, 50);
      const before = cpuUs(contender.pid);
      const { perSecond, roundTripsMs } = await fleet.converse(request, times);
      // Of the warm-up as well, at the same rate.
      const requests = (perSecond * (times.ms + times.warmUpMs)) / 1000;
      const own = measured.get(contender.name);
      own?.perSecond.push(perSecond);
      own?.p50.push(quantile([...roundTripsMs], 0.5));
      own?.p99.push(quantile([...roundTripsMs], 0.99));
      own?.cpu.push((cpuUs(contender.pid) - before) / requests);
      await fleet.close();
    }
  }
  return measured;
}

function tell(report: Report, what: string, measured: ReadonlyMap<string, Measured>): void {
  const hub = measured.get("hub");
  const bare = measured.get("bare ws");
  const python = measured.get("Python");
  if (hub === undefined || bare === undefined) return;
  const rate = { what: `${what}, rate`, unit: "requests/s", values: hub.perSecond };
  report.figure({ ...rate, against: { what: "bare ws", values: bare.perSecond }, goalRatioAtLeast: 0.6 });
  if (python) {
    report.figure({ ...rate, against: { what: "Python", values: python.perSecond }, goalRatioAtLeast: 1 });
  }
  report.figure({
    what: `${what}, p50`,
    unit: "ms",
    values: hub.p50,
    against: { what: "bare ws", values: bare.p50 },
  });
  const p99 = { what: `${what}, p99`, unit: "ms", values: hub.p99 };
  report.figure({ ...p99, against: { what: "bare ws", values: bare.p99 } });
  if (python) report.figure({ ...p99, against: { what: "Python", values: python.p99 }, goalRatio: 1 });
  report.figure({
    what: `${what}, CPU of the server's process a request`,
    unit: "µs",
    values: hub.cpu,
    against: { what: "bare ws", values: bare.cpu },
  });
}

/** As the hub words it to these clients. */
async function answerOf(hub: RunningHub, request: string): Promise<string> {
  const socket = new WebSocket(`ws://127.0.0.1:${hub.port}/ws`);
  await new Promise((resolve, reject) => {
    socket.addEventListener("open", resolve);
    socket.addEventListener("error", () => reject(new Error("the hub cannot be reached")));
  });
  try {
    return await new Promise((resolve) => {
      socket.addEventListener("message", ({ data }) => {
        if (String(data).includes('"id":1')) resolve(String(data));
      });
      socket.send(request.replace("}", `,"params":{"auth_token":"${viewerHeaders["X-API-Key"]}"}}`));
    });
  } finally {
    socket.close();
  }
}
