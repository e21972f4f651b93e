import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { type RunningHub, startHub, until, virtualCameras } from "../harness/hub.ts";
import { makePhoneVideo, PythonController, PythonDevice, PythonTimeServer } from "../harness/multicam.ts";
import { mustSkip } from "../harness/must-skip.ts";
import { begun, readRecording, reportOf, type SessionObject } from "../harness/sync.ts";

// How right the hub's clock is: by chrony, which is good, and by time servers that are not (test/clients/ntp_responder.py).

const env = {
  ...virtualCameras({ size: "320x240", fps: 25 }),
  OCELLI_MULTICAM_ENABLED: "true",
  OCELLI_CLOCK_TRUST_KERNEL: "false",
};
const chronyd = "/usr/sbin/chronyd";
const hasChrony = existsSync(chronyd) && spawnSync(chronyd, ["--version"]).status === 0;

interface ClockStatus {
  readonly synchronised: boolean;
  readonly source: string;
  readonly offset_ms: number;
  readonly uncertainty_ms: number | null;
  readonly servers: readonly string[];
  readonly reason: string | null;
}
interface Problem {
  readonly component: string;
  readonly code: string;
  readonly message: string;
}

async function clockOf(hub: RunningHub): Promise<ClockStatus> {
  await using rpc = await hub.rpc();
  return await rpc.call<ClockStatus>("get_clock_status");
}
const synchronised = (hub: RunningHub): Promise<ClockStatus> =>
  until("the clock is synchronised", async () => {
    const status = await clockOf(hub);
    return status.synchronised && status;
  });
async function problemsOf(hub: RunningHub): Promise<readonly Problem[]> {
  await using rpc = await hub.rpc();
  const { problems } = await rpc.call<{ problems: readonly Problem[] }>("get_status");
  return problems.filter(({ component }) => component === "clock");
}
async function metric(hub: RunningHub, name: string): Promise<number> {
  const text = await (await hub.fetch("/metrics")).text();
  return Number(new RegExp(`^${name} (.*)$`, "m").exec(text)?.[1]);
}
/** A sidecar of a finished recording. */
async function recorded(hub: RunningHub, at?: number) {
  await using controller = new PythonController(hub.port);
  const started = await controller.command("START_RECORDING", at === undefined ? {} : { timestamp: at });
  expect(started.success, JSON.stringify(started)).toBe(true);
  await until("it records", async () => (await controller.command("DEVICE_STATUS")).status === "recording");
  const { fileId } = await controller.command("STOP_RECORDING");
  return {
    fileId: String(fileId),
    sidecar: JSON.parse(readFileSync(hub.file("recordings", `${String(fileId)}.mp4.json`), "utf8")),
  };
}

describe.skipIf(mustSkip("chrony", hasChrony))("a clock measured against chrony", () => {
  let folder: string;
  let daemon: ChildProcess;
  let hub: RunningHub;
  let address: string;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "ocelli-chrony-"));
    const taken = createSocket("udp4");
    taken.bind(0, "127.0.0.1");
    await once(taken, "listening");
    const { port } = taken.address();
    await new Promise<void>((resolve) => taken.close(() => resolve()));
    address = `127.0.0.1:${port}`;
    const settings = [
      ...[`port ${port}`, "local stratum 3", "allow 127.0.0.0/8", "bindaddress 127.0.0.1"],
      ...["cmdport 0", "bindcmdaddress /", `pidfile ${folder}/chronyd.pid`],
    ];
    writeFileSync(join(folder, "chrony.conf"), `${settings.join("\n")}\n`);
    const user = process.getuid?.() === 0 ? ["-u", "root"] : ["-U"];
    // -x: it does not touch this machine's clock.
    daemon = spawn(chronyd, ["-x", "-d", ...user, "-f", join(folder, "chrony.conf")], { stdio: "ignore" });
    hub = await startHub({ env: { ...env, OCELLI_CLOCK_NTP_SERVERS: address } });
  });
  afterAll(async () => {
    await hub?.stop();
    if (daemon !== undefined && daemon.exitCode === null) {
      daemon.kill();
      await once(daemon, "exit");
    }
    rmSync(folder, { recursive: true, force: true });
  });

  it("is as right as the same clock can be, to within what it says of itself", async () => {
    const status = await synchronised(hub);
    expect(status).toMatchObject({ source: "sntp", servers: [address], reason: null });
    expect(Math.abs(status.offset_ms)).toBeLessThanOrEqual(status.uncertainty_ms ?? 0);
    expect(await problemsOf(hub)).toEqual([]);
    expect(await metric(hub, "ocelli_clock_synchronised")).toBe(1);
    const uncertainty = await metric(hub, "ocelli_clock_uncertainty_seconds");
    expect(uncertainty).toBeGreaterThan(0);
    expect(Math.abs(await metric(hub, "ocelli_clock_offset_seconds"))).toBeLessThanOrEqual(uncertainty);
  });

  it("is written into every sidecar", async () => {
    await synchronised(hub);
    const { sidecar } = await recorded(hub);
    expect(sidecar.clock).toMatchObject({ synchronised: true, source: "sntp" });
    expect(sidecar.clock.uncertaintyUs).toBeGreaterThan(0);
    await using rpc = await hub.rpc();
    const { filename } = await rpc.call("take_snapshot", { device: "camera100" });
    const snapshot = JSON.parse(readFileSync(hub.file("snapshots", `${String(filename)}.json`), "utf8"));
    expect(snapshot.clock).toMatchObject({ synchronised: true, source: "sntp" });
  });
});

describe("a clock that is two seconds behind", () => {
  let time: PythonTimeServer;
  let hub: RunningHub;
  beforeAll(async () => {
    time = await PythonTimeServer.start("--skew", "2", "--dispersion", "0.2");
    hub = await startHub({ env: { ...env, OCELLI_CLOCK_NTP_SERVERS: time.address } });
    await synchronised(hub);
  });
  afterAll(async () => {
    await hub?.stop();
    await time?.[Symbol.asyncDispose]();
  });

  it("is known to be, and that the server itself is not sure", async () => {
    const { offset_ms, uncertainty_ms } = await clockOf(hub);
    expect(Math.abs(offset_ms - 2000)).toBeLessThanOrEqual(uncertainty_ms ?? 0);
    expect(uncertainty_ms).toBeGreaterThan(200);
    expect(Math.abs((await metric(hub, "ocelli_clock_offset_seconds")) - 2)).toBeLessThan(0.5);
    expect(await problemsOf(hub)).toMatchObject([{ code: "clock_uncertain" }]);
  });

  it("starts at the instant that was meant, by true time", async () => {
    const { offset_ms } = await clockOf(hub);
    // True time, as the server tells it.
    const at = Date.now() / 1000 + 2 + 1.5;
    const { fileId, sidecar } = await recorded(hub, at);
    expect(fileId).toMatch(new RegExp(`_${Math.round(at * 1000)}$`));
    const meantUs = at * 1e6 - offset_ms * 1000;
    expect(Math.abs(sidecar.scheduledStart.atUs - meantUs)).toBeLessThan(2000);
    // Frames come every 40 ms.
    expect(sidecar.firstFrameAtUs).toBeGreaterThanOrEqual(sidecar.scheduledStart.atUs);
    expect(sidecar.firstFrameAtUs).toBeLessThan(sidecar.scheduledStart.atUs + 50_000);
    expect(Math.abs(sidecar.clock.offsetUs - 2_000_000)).toBeLessThan(500_000);
  });
});

describe("a clock that turns out to be wrong while a sync session waits", () => {
  it("moves the cameras with it, and leaves devices with the true time they were told", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ocelli-clock-phone-"));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const video = join(folder, "phone.mp4");
    makePhoneVideo(video);
    await using time = await PythonTimeServer.start();
    await using phone = await PythonDevice.start(video);
    const asking = { OCELLI_CLOCK_NTP_SERVERS: time.address, OCELLI_CLOCK_INTERVAL_SECONDS: "16" };
    await using hub = await startHub({ env: { ...env, ...asking } });
    await synchronised(hub);
    await using rpc = await hub.rpc();
    await rpc.call("subscribe_events", { topics: ["sync.session"] });
    await rpc.call("create_sync_group", {
      name: "lab",
      members: ["camera100", { host: "127.0.0.1", port: phone.port }],
    });
    const { offset_ms } = await clockOf(hub);
    const armed = await rpc.call<SessionObject>("start_sync_recording", { group: "lab", delay: 30 });
    // The servers change their mind: five seconds less than it was.
    time.send({ skew: -5 });
    await begun(rpc, armed.session_id);
    await until("some frames", async () => {
      const { members } = await reportOf(rpc, armed.session_id);
      return members.some(({ frames_received }) => frames_received > 10);
    });
    const session = await rpc.call<SessionObject>("stop_sync_recording", { session_id: armed.session_id });
    expect(session.members.map(({ status, error }) => [status, error])).toEqual([
      ["completed", null],
      ["completed", null],
    ]);
    const laterMs = (session.start_at_us - armed.start_at_us) / 1000;
    expect(Math.abs(laterMs - 5000)).toBeLessThan(500);
    const starts = phone.lines.flatMap(({ seen }) => {
      const { command, timestamp } = (seen ?? {}) as { command?: string; timestamp?: number };
      return command === "START_RECORDING" ? [Number(timestamp)] : [];
    });
    expect(starts).toHaveLength(1);
    expect(Math.abs((starts[0] ?? 0) * 1000 - armed.start_at_us / 1000 - offset_ms)).toBeLessThan(1);
    const [{ times = [] } = {}] = await Promise.all(
      (session.members[0]?.files ?? []).map((file) => readRecording(hub.file("recordings", file))),
    );
    // Frames come every 40 ms.
    expect((times[0] ?? 0) - session.start_at_us).toBeGreaterThanOrEqual(0);
    expect((times[0] ?? 0) - session.start_at_us).toBeLessThan(60_000);
    const { findings } = await reportOf(rpc, armed.session_id);
    expect(findings.join("\n")).toMatch(
      /ahead of the true one; cameras followed, so that T0 came that much later; devices had been told T0/,
    );
  }, 120_000);
});

describe("a clock nobody synchronises", () => {
  it("is a problem where devices must agree, and says what to do", async () => {
    await using time = await PythonTimeServer.start("--mode", "refuse");
    await using hub = await startHub({ env: { ...env, OCELLI_CLOCK_NTP_SERVERS: time.address } });
    const [problem] = await until("the problem is told", async () => {
      const problems = await problemsOf(hub);
      return problems.some(({ message }) => message.includes("RATE")) && problems;
    });
    expect(problem).toMatchObject({ code: "clock_unsynchronised" });
    expect(problem?.message).toContain("clock.ntpServers");
    expect(await clockOf(hub)).toMatchObject({ synchronised: false, source: "none", uncertainty_ms: null });
    expect(await metric(hub, "ocelli_clock_synchronised")).toBe(0);
    expect(await metric(hub, "ocelli_clock_uncertainty_seconds")).toBeNaN();
    const { sidecar } = await recorded(hub);
    expect(sidecar.clock).toEqual({ synchronised: false, source: "none", offsetUs: 0 });
  });

  it("is none where nothing depends on it", async () => {
    await using hub = await startHub({ env: { ...env, OCELLI_MULTICAM_ENABLED: "false" } });
    expect((await clockOf(hub)).synchronised).toBe(false);
    expect(await problemsOf(hub)).toEqual([]);
  });
});
