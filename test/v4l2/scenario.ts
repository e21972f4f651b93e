import { execFile } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { adminKey, alive, type RunningHub, startHub, until } from "../harness/hub.ts";
import { PythonDevice } from "../harness/multicam.ts";
import type { Rpc } from "../harness/rpc.ts";
import { begun, over, reportOf, type SessionObject } from "../harness/sync.ts";
import { listFormats, loadVivid, plugLoopback, unloadLoopback, unplugLoopback } from "./modules.mjs";

// Runs inside the guest: the hub against real kernel drivers. Each step prints one line; the recordings and what
// the hub said of them go to the shared folder, where run.mjs judges them with ffprobe on the host.

const run = promisify(execFile);
const share = process.env.SHARE ?? "/mnt/share";
const dataDir = "/tmp/ocelli-data";
const env = {
  OCELLI_VIRTUAL_CAMERA: "never",
  OCELLI_DEVICES_SIZE: "320x180",
  OCELLI_DEVICES_FPS: "15",
  OCELLI_CAPTURE_START_TIMEOUT_SECONDS: "60",
  OCELLI_CAPTURE_LINGER_SECONDS: "30",
};

interface Sidecar {
  filename: string;
  state: string;
  frames: number;
  firstFrameAtUs: number;
  lastFrameAtUs: number;
  recordingId: string;
  segment: number;
  gaps: { reason: string; fromUs: number; toUs: number }[];
  clockSteps: { stepUs: number }[];
  scheduledStart: { atUs: number; errorUs: number };
  timeSource: string;
  fps: number;
}

/** For the step that records cameras of several kinds together. */
const virtualCamera = {
  OCELLI_VIRTUAL_CAMERA: "always",
  OCELLI_VIRTUAL_SIZE: "320x180",
  OCELLI_VIRTUAL_FPS: "10",
  OCELLI_VIRTUAL_CODEC: "mjpeg",
};

let failed = 0;
/** Only steps whose names have this in them. */
const wanted = process.argv[2] ?? "";
async function step(name: string, work: () => Promise<string | undefined>): Promise<void> {
  if (!name.includes(wanted)) return;
  const started = performance.now();
  try {
    const note = await work();
    console.log(
      `ok   ${name}${note === undefined ? "" : `: ${note}`} (${Math.round(performance.now() - started)} ms)`,
    );
  } catch (error) {
    failed++;
    console.log(`FAIL ${name}: ${error instanceof Error ? error.stack : String(error)}`);
  }
}

function same(what: string, actual: unknown, expected: unknown): void {
  const [a, b] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (a !== b) throw new Error(`${what}: expected ${b}, got ${a}`);
}

function holds(what: string, condition: boolean): void {
  if (!condition) throw new Error(what);
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

function sidecars(): Sidecar[] {
  const folder = join(dataDir, "recordings");
  return readdirSync(folder)
    .filter((name) => name.endsWith(".json"))
    .map((name) => JSON.parse(readFileSync(join(folder, name), "utf8")) as Sidecar);
}

function sidecarOf(filename: string): Sidecar {
  const found = sidecars().find((sidecar) => sidecar.filename === filename);
  if (found === undefined) throw new Error(`no sidecar of ${filename}`);
  return found;
}

async function grows(hub: RunningHub, filename: string, bytes = 20_000): Promise<void> {
  const size = (): number => readFileSync(hub.file("recordings", filename)).length;
  const start = size();
  await until(`${filename} grows`, () => size() > start + bytes, 60_000);
}

/** The MJPEG stream of a camera by a socket that reads on demand only. */
function viewer(hub: RunningHub, camera: string) {
  const socket = connect(hub.port, "127.0.0.1");
  let bytes = 0;
  socket.on("data", (chunk) => (bytes += chunk.length));
  socket.on("error", () => undefined);
  socket.write(`GET /live/${camera}/mjpeg HTTP/1.1\r\nHost: x\r\nX-API-Key: ${adminKey}\r\n\r\n`);
  return {
    bytes: () => bytes,
    stall: () => socket.pause(),
    end: () => socket.destroy(),
  };
}

mkdirSync(dataDir, { recursive: true });
await loadVivid({ devices: 2, first: 0, metadata: true });
await plugLoopback({ number: 10, label: "MJPEG camera", codec: "mjpeg" });
await plugLoopback({ number: 11, label: "H264 camera", codec: "h264" });
await plugLoopback({ number: 12, label: "Second MJPEG camera", codec: "mjpeg" });

let hub = await startHub({ dataDir, env });
let rpc: Rpc = await hub.rpc();

type ListedCamera = { camera_id: string; device: string; status: string; name: string; formats: string[] };

await step("finds the capture nodes and nothing else", async () => {
  const { cameras } = await rpc.call<{ cameras: ListedCamera[] }>("get_camera_list");
  same(
    "cameras",
    cameras.map((camera) => [camera.camera_id, camera.device, camera.status]),
    [0, 1, 10, 11, 12].map((number) => [`camera${number}`, `/dev/video${number}`, "CONNECTED"]),
  );
  const nodes = readdirSync("/dev").filter((name) => /^video\d+$/.test(name));
  holds("there is a metadata node to be left out", nodes.length > cameras.length);
  return `${cameras.length} cameras of ${nodes.length} nodes`;
});

await step("reads the capabilities v4l2-ctl reads", async () => {
  let formats = 0;
  for (const node of ["/dev/video0", "/dev/video10", "/dev/video11"]) {
    const expected = await listFormats(node);
    const actual = await rpc.call<{ formats: string[]; resolutions: string[]; fps_options: number[] }>(
      "get_camera_capabilities",
      { device: node },
    );
    same(
      `formats of ${node}`,
      [...new Set(actual.formats.map((fourcc) => fourcc.trim()))].sort(),
      [...new Set(expected.map((format) => format.fourcc.trim()))].sort(),
    );
    const sizes = new Set(expected.flatMap((format) => format.sizes.map((size) => size.size)));
    same(`sizes of ${node}`, [...actual.resolutions].sort(), [...sizes].sort());
    const rates = new Set(
      expected.flatMap((format) => format.sizes.flatMap((size) => size.fps.map(Math.floor))),
    );
    same(
      `rates of ${node}`,
      [...actual.fps_options].sort((a, b) => a - b),
      [...rates].sort((a, b) => a - b),
    );
    formats += expected.length;
  }
  return `${formats} formats`;
});

type Control = {
  name: string;
  type: string;
  min: number;
  max: number;
  step: number;
  default: number | boolean;
  value: number | boolean | null;
  volatile: boolean;
};

/** What `v4l2-ctl --list-ctrls` says, of the types the hub knows. */
async function listControls(node: string) {
  const { stdout } = await run("v4l2-ctl", ["-d", node, "-l"]);
  const kinds: Record<string, string> = {
    int: "int",
    bool: "bool",
    menu: "menu",
    intmenu: "menu",
    button: "button",
  };
  return stdout.split("\n").flatMap((line) => {
    const [, name, kind = "", facts = ""] = /^\s*(\w+) 0x[0-9a-f]+ \((\w+)\)\s*:(.*)$/.exec(line) ?? [];
    const type = kinds[kind];
    if (name === undefined || type === undefined || facts.includes("has-payload")) return [];
    const fact = (key: string): number | undefined => {
      const found = new RegExp(`\\b${key}=(-?\\d+)`).exec(facts)?.[1];
      return found === undefined ? undefined : Number(found);
    };
    return [
      {
        name,
        type,
        min: fact("min"),
        max: fact("max"),
        step: fact("step"),
        default: fact("default"),
        value: fact("value"),
      },
    ];
  });
}

await step("reads the controls v4l2-ctl reads, and sets them", async () => {
  const node = "/dev/video0";
  const expected = await listControls(node);
  const list = async () =>
    (await rpc.call<{ controls: Control[] }>("get_camera_controls", { device: node })).controls;
  const actual = await list();
  same(
    "names and types",
    actual.map(({ name, type }) => [name, type]),
    expected.map(({ name, type }) => [name, type]),
  );
  for (const [index, control] of actual.entries()) {
    const other = expected[index];
    if (other === undefined || control.type === "button") continue;
    const seen = { ...control, default: Number(control.default), value: Number(control.value) };
    for (const key of ["min", "max", "step", "default", "value"] as const) {
      if (other[key] === undefined || (key === "value" && control.volatile)) continue;
      same(`${key} of ${control.name}`, seen[key], other[key]);
    }
  }
  const value = async (name: string): Promise<number> =>
    Number.parseInt((await run("v4l2-ctl", ["-d", node, "-C", name])).stdout.split(":")[1] ?? "", 10);
  const set = (control: string, to: number | boolean | string) =>
    rpc.call<Control>("set_camera_control", { device: node, control, value: to });
  const wanted: [string, number | boolean, number][] = [
    ["brightness", 17, 17],
    ["horizontal_flip", true, 1],
  ];
  for (const [name, to, is] of wanted) {
    same(`answer of ${name}`, (await set(name, to)).value, to);
    same(`${name} as v4l2-ctl reads it`, await value(name), is);
  }
  const menu = actual.find(({ type }) => type === "menu") as Control & {
    menu: { value: number; name: string }[];
  };
  const entry = menu.menu.find((one) => one.value !== menu.value);
  if (entry === undefined) throw new Error("no menu with two entries");
  same("answer of a menu", (await set(menu.name, entry.name)).value, entry.value);
  same("menu as v4l2-ctl reads it", await value(menu.name), entry.value);
  await rpc.call("set_camera_control", { device: node, control: "button" });
  for (const [control, to] of [
    ["brightness", 256],
    ["brightness", "light"],
    ["nonesuch", 1],
  ] as const) {
    const refused = await set(control, to).then(
      () => undefined,
      (error: unknown) => (error as { code?: number }).code,
    );
    same(`${control} = ${to} is refused`, refused, -32602);
  }
  same("brightness is what it was", await value("brightness"), 17);
  await set("brightness", 128);
  await set("horizontal_flip", false);
  return `${actual.length} controls`;
});

await step("notifies of a node that appears and goes", async () => {
  const appeared: number[] = [];
  const gone: number[] = [];
  for (let round = 0; round < 5; round++) {
    await unplugLoopback(11);
    const before = performance.now();
    await rpc.waitFor(
      "camera_status_update",
      (p) => p.camera_id === "camera11" && p.event === "disconnected",
    );
    gone.push(performance.now() - before);
    await unloadLoopback([11]);
    rpc.notifications.length = 0;
    const at = Promise.withResolvers<number>();
    void rpc
      .waitFor("camera_status_update", (p) => p.camera_id === "camera11" && p.event === "connected")
      .then(() => at.resolve(performance.now()), at.reject);
    await plugLoopback({ number: 11, label: "H264 camera", codec: "h264" });
    const plugged = performance.now();
    appeared.push((await at.promise) - plugged);
    rpc.notifications.length = 0;
  }
  writeFileSync(join(share, "hotplug.json"), JSON.stringify({ appeared, gone }));
  return `appears median ${median(appeared).toFixed(1)} ms, goes median ${median(gone).toFixed(1)} ms`;
});

await step("takes snapshots of MJPEG, H.264 and raw cameras", async () => {
  for (const camera of ["camera10", "camera11", "camera0"]) {
    const taken = await rpc.call<{ filename: string }>("take_snapshot", {
      device: camera,
      filename: `still-${camera}`,
    });
    await run("ffmpeg", [
      "-v",
      "error",
      "-xerror",
      "-i",
      hub.file("snapshots", taken.filename),
      "-f",
      "null",
      "-",
    ]);
  }
  return undefined;
});

await step(
  "THE GATE: recorded, snapshotted, watched by a fast and a stalled viewer, through kill -9 of ffmpeg and of the hub",
  async () => {
    const started = await rpc.call<{ filename: string; recording_id: string }>("start_recording", {
      device: "camera10",
      filename: "gate",
    });
    const fast = viewer(hub, "camera10");
    const stalled = viewer(hub, "camera10");
    await until("both viewers see it", () => fast.bytes() > 10_000 && stalled.bytes() > 0);
    stalled.stall();
    await grows(hub, started.filename);
    same(
      "one ffmpeg serves them all",
      hub.ffmpegs().filter((pid) => commandLine(pid).includes("/dev/video10")).length,
      1,
    );
    await rpc.call("take_snapshot", { device: "camera10", filename: "during-gate" });

    const [ffmpeg] = hub.ffmpegs().filter((pid) => commandLine(pid).includes("/dev/video10"));
    if (ffmpeg === undefined) throw new Error("no ffmpeg");
    process.kill(ffmpeg, "SIGKILL");
    await until("ffmpeg is gone", () => !alive(ffmpeg));
    await until("another ffmpeg has the camera", () =>
      hub.ffmpegs().some((pid) => pid !== ffmpeg && commandLine(pid).includes("/dev/video10")),
    );
    const seen = fast.bytes();
    await until("the fast viewer goes on", () => fast.bytes() > seen + 10_000);
    // The first may still be what came before the gap and waited to be written.
    await grows(hub, started.filename);
    await grows(hub, started.filename);

    await hub.end("SIGKILL");
    fast.end();
    stalled.end();
    hub = await startHub({ dataDir, env });
    rpc = await hub.rpc();
    const next = await until(
      "the recording goes on in a new file",
      () => sidecars().find((s) => s.recordingId === started.recording_id && s.filename !== started.filename),
      60_000,
    );
    await grows(hub, next.filename);
    await rpc.call("stop_recording", { device: "camera10" });
    const first = sidecarOf(started.filename);
    const second = sidecarOf(next.filename);
    same("states", [first.state, second.state], ["recovered", "complete"]);
    same("time source", [first.timeSource, second.timeSource], ["kernel", "kernel"]);
    const outage = (gap: { fromUs: number; toUs: number }) => gap.toUs - gap.fromUs > 200_000;
    holds("the gap of ffmpeg's death is in the first file's sidecar", first.gaps.some(outage));
    holds("the gap of the hub's death is in the second file's sidecar", second.gaps.length >= 1);
    return `${first.frames} + ${second.frames} frames`;
  },
);

await step("starts two cameras at one T0, exact to the frame, and a raw one with them", async () => {
  const t0 = Math.ceil(Date.now() / 1000) + 8;
  const devices = ["camera10", "camera12", "camera0"];
  const started = await Promise.all(
    devices.map((device) =>
      rpc.call<{ filename: string; recording_id: string }>("start_recording", {
        device,
        duration: 2,
        start_at: t0,
        filename: `t0-${device}`,
      }),
    ),
  );
  for (const { recording_id } of started) {
    await rpc.waitFor(
      "recording_status_update",
      (p) => p.recording_id === recording_id && p.status === "STOPPED",
      60_000,
    );
  }
  const errors = started.map(({ filename }) => {
    const { firstFrameAtUs, scheduledStart, fps } = sidecarOf(filename);
    same("T0 in the sidecar", scheduledStart.atUs, t0 * 1e6);
    holds(`${filename} starts at or after T0`, firstFrameAtUs >= t0 * 1e6);
    holds(
      `${filename} starts within a frame interval (${firstFrameAtUs - t0 * 1e6} us)`,
      firstFrameAtUs - t0 * 1e6 < 1.5e6 / fps,
    );
    return ((firstFrameAtUs - t0 * 1e6) / 1000).toFixed(1);
  });
  writeFileSync(
    join(share, "t0.json"),
    JSON.stringify({ t0Us: t0 * 1e6, filenames: started.map((s) => s.filename) }),
  );
  return `start errors ${errors.join(", ")} ms`;
});

await step("keeps media time through steps of the wall clock, and notes them", async () => {
  const started = await rpc.call<{ filename: string }>("start_recording", {
    device: "camera10",
    filename: "clock-step",
  });
  await grows(hub, started.filename);
  await run("date", ["-s", "+1 hour"]);
  await grows(hub, started.filename);
  await run("date", ["-s", "-1 hour"]);
  await grows(hub, started.filename);
  await rpc.call("stop_recording", { device: "camera10" });
  const sidecar = sidecarOf(started.filename);
  // An emulated machine drops frames, some seconds of them under load; a step taken for time passed would be an hour.
  const isShort = (gap: { fromUs: number; toUs: number }) => gap.toUs - gap.fromUs < 60e6;
  holds(`no gap by the steps (${JSON.stringify(sidecar.gaps)})`, sidecar.gaps.every(isShort));
  same(
    "steps in minutes",
    sidecar.clockSteps.map((clockStep) => Math.round(clockStep.stepUs / 60e6)),
    [60, -60],
  );
  return undefined;
});

await step(
  "goes on with a recording when its camera is unplugged and comes back on another node",
  async () => {
    const started = await rpc.call<{ filename: string; recording_id: string }>("start_recording", {
      device: "camera12",
      filename: "replug",
    });
    await grows(hub, started.filename);
    rpc.notifications.length = 0;
    await unplugLoopback(12);
    await rpc.waitFor(
      "camera_status_update",
      (p) => p.camera_id === "camera12" && p.event === "disconnected",
    );
    const absent = await rpc.call<{ status: string; device: string }>("get_camera_status", {
      device: "camera12",
    });
    same("status while away", absent.status, "DISCONNECTED");
    await until("its ffmpeg lets go", () =>
      hub.ffmpegs().every((pid) => !commandLine(pid).includes("/dev/video12")),
    );
    await unloadLoopback([12]);
    await plugLoopback({ number: 12, label: "Second MJPEG camera", codec: "mjpeg" });
    await rpc.waitFor("camera_status_update", (p) => p.camera_id === "camera12" && p.event === "connected");
    await grows(hub, started.filename);
    await rpc.call("stop_recording", { device: "camera12" });
    const sidecar = sidecarOf(started.filename);
    holds(
      "the gap is reported",
      sidecar.gaps.some((gap) => gap.toUs - gap.fromUs > 200_000),
    );
    return `${sidecar.frames} frames`;
  },
);

await step("knows a camera again on another node after a restart", async () => {
  await rpc.close();
  await hub.stop();
  await unplugLoopback(12);
  await unloadLoopback([12]);
  await plugLoopback({ number: 21, label: "Second MJPEG camera", codec: "mjpeg" });
  hub = await startHub({ dataDir, env: { ...env, ...virtualCamera } });
  rpc = await hub.rpc();
  const { cameras } = await rpc.call<{ cameras: ListedCamera[] }>("get_camera_list");
  const again = cameras.find(
    (camera) => camera.name === "Second MJPEG camera" && camera.status === "CONNECTED",
  );
  same("id and node", [again?.camera_id, again?.device], ["camera12", "/dev/video21"]);
  return undefined;
});

await step("records two V4L2 cameras, a virtual one and a MultiCam device in sync, and reports", async () => {
  const { cameras } = await rpc.call<{ cameras: ListedCamera[] }>("get_camera_list");
  if (!cameras.some((camera) => camera.camera_id === "camera100")) {
    await rpc.close();
    await hub.stop();
    hub = await startHub({ dataDir, env: { ...env, ...virtualCamera } });
    rpc = await hub.rpc();
  }
  await using phone = await PythonDevice.start(join(share, "phone.mp4"), { id: "Pixel-01" });
  await rpc.call("create_sync_group", {
    name: "lab",
    members: ["camera10", "camera12", "camera100", { host: "127.0.0.1", port: phone.port, name: "Phone" }],
  });
  const { session_id } = await rpc.call<SessionObject>("start_sync_recording", {
    group: "lab",
    delay: 12,
    duration: 2,
  });
  const session = await over(rpc, session_id, 90_000);
  same(
    "states",
    session.members.map(({ status, error }) => [status, error]),
    session.members.map(() => ["completed", null]),
  );
  const report = await reportOf(rpc, session_id);
  writeFileSync(join(share, "sync.json"), JSON.stringify({ ...report, startAtUs: session.start_at_us }));
  return `${report.verdict}, first frames ${report.skew_ms.toFixed(1)} ms apart`;
});

await step("records in sync though the clock is set, both before T0 and after it", async () => {
  await rpc.call("subscribe_events", { topics: ["sync.session"] });
  await rpc.call("create_sync_group", { name: "stepped", members: ["camera0", "camera10"] });
  const { session_id, start_at_us } = await rpc.call<SessionObject>("start_sync_recording", {
    group: "stepped",
    delay: 300,
  });
  const waitsS = Math.floor(start_at_us / 1e6 - Date.now() / 1000) - 20;
  holds(`the cameras are ready long before T0 (${waitsS} s)`, waitsS > 100);
  let session: SessionObject;
  try {
    // Nobody in the guest knows that the clock is wrong: what it is set to is taken for the truth.
    const waits = performance.now();
    await run("date", ["-s", `+${waitsS} seconds`]);
    await begun(rpc, session_id);
    const waitedS = (performance.now() - waits) / 1000;
    holds(`T0 comes when the clock says so (${waitedS.toFixed(0)} s)`, waitedS < waitsS);
    const recorded = async (frames: number) =>
      until(`${frames} frames of each`, async () => {
        const { members } = await reportOf(rpc, session_id);
        return members.every(({ frames_received }) => frames_received >= frames);
      });
    await recorded(20);
    await run("date", ["-s", "-1 hour"]);
    await recorded(60);
    session = await rpc.call<SessionObject>("stop_sync_recording", { session_id });
  } finally {
    await run("date", ["-s", `+${3600 - waitsS} seconds`]);
  }
  same("T0 by the clock as it was then", session.start_at_us, start_at_us);
  const report = await reportOf(rpc, session_id);
  const said = report.findings.join("\n");
  for (const finding of [/cameras followed, so that T0 came that much sooner/, /during the recording/]) {
    holds(`the report says so: ${said}`, finding.test(said));
  }
  for (const { member, start_error_ms, longest_interval_ms, frame_interval_ms, files } of report.members) {
    holds(
      `${member} begins within a frame after T0 (${start_error_ms} ms)`,
      start_error_ms >= 0 && start_error_ms < 1.5 * frame_interval_ms,
    );
    holds(`no hole by the step (${longest_interval_ms} ms)`, longest_interval_ms < 60_000);
    const steps = sidecarOf(files[0] ?? "").clockSteps;
    holds(
      `the step is in the sidecar (${JSON.stringify(steps)})`,
      steps.some(({ stepUs }) => Math.round(stepUs / 60e6) === -60),
    );
  }
  return `first frames ${report.skew_ms.toFixed(1)} ms apart; ${report.findings.length} findings`;
});

await step("ends cleanly and leaves no ffmpeg", async () => {
  await rpc.call("start_recording", { device: "camera10", filename: "last" });
  const children = hub.ffmpegs();
  await rpc.close();
  same("exit", await hub.end("SIGINT"), { code: 0, signal: null });
  holds(
    "no ffmpeg is left",
    children.every((pid) => !alive(pid)),
  );
  same("state of the last recording", sidecarOf("last.mp4").state, "complete");
  return undefined;
});

await hub.stop();
for (const folder of ["recordings", "snapshots"])
  cpSync(join(dataDir, folder), join(share, folder), { recursive: true });
writeFileSync(join(share, "hub.log"), hub.output.join("\n"));
rmSync(dataDir, { recursive: true });
process.exit(failed === 0 ? 0 : 1);

/** Nothing of a process that has ended since it was listed. */
function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}
