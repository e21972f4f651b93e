import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";
import { CameraClient, CameraNotFoundError, MediaMTXError } from "@ocelli/client";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeSelfSigned } from "../harness/certificates.ts";
import { ffprobe, videoOf } from "../harness/ffprobe.ts";
import { adminKey, type RunningHub, root, startHub, until, virtualCameras } from "../harness/hub.ts";

// Every example of examples/camera-client as a program of its own against a running hub, and CameraClient itself.

const examples = join(root, "examples/camera-client");
let hub: RunningHub;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ocelli-client-"));
  hub = await startHub({
    env: virtualCameras({ count: 2, size: "320x240", fps: 10 }),
  });
});
afterAll(async () => {
  await hub?.stop();
  rmSync(folder, { recursive: true, force: true });
});

interface Run {
  /** What it has written so far, errors included. */
  text: string;
  readonly code: Promise<number | null>;
}

function start(name: string, env: Record<string, string> = {}): Run {
  const child = spawn(join(root, "node_modules/.bin/node"), [join(examples, `${name}.ts`)], {
    cwd: folder,
    stdio: ["ignore", "pipe", "pipe"],
    timeout: 25_000,
    env: {
      PATH: process.env.PATH,
      CAMERA_SERVICE_HOST: "127.0.0.1",
      CAMERA_SERVICE_PORT: String(hub.port),
      CAMERA_SERVICE_API_KEY: adminKey,
      CAMERA_SERVICE_DEVICE: "camera100",
      CAMERA_SERVICE_SECONDS: "1",
      ...env,
    },
  });
  const run: Run = {
    text: "",
    code: new Promise((resolve) => child.on("close", resolve)),
  };
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      run.text += text;
    });
  }
  return run;
}

async function listening(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

const forward = (socket: Socket): void => {
  const onwards = connect(hub.port, "127.0.0.1");
  socket.on("error", () => onwards.destroy()).pipe(onwards);
  onwards.on("error", () => socket.destroy()).pipe(socket);
  socket.on("close", () => onwards.destroy());
};

/** What each example must write, in this order. */
const expected: Record<string, RegExp> = {
  authentication: /^API key accepted: admin\n$/,
  connection: /^Connected successfully\n$/,
  dispose: /^2 cameras\nDisconnected\n$/,
  cameras:
    /^Found 2 cameras:\n {2}- Virtual camera.* \(camera100\)\n {4}Status: CONNECTED\n {4}Capabilities: snapshot.*Camera status: CONNECTED\nCapabilities: \w+.*\nCamera not found\n$/s,
  snapshot: /^Snapshot saved: camera100_snapshot_.*\.jpg\nFile size: [1-9]\d* bytes\n$/,
  recording:
    /^Recording started: my_recording(_\d+)?\.mp4\nRecording ID: [\w-]+\nRecording stopped: my_recording(_\d+)?\.mp4\nDuration: (0\.[5-9]|1)[\d.]* seconds\n$/,
  notifications:
    /Recording camera100_.*\.mp4 status: active\n.*Notification recording_status_update\n.*status: completed\n.*s recorded\nNotification recording_status_update\n$/s,
  "error-handling":
    /^Snapshot: .*\.jpg\nRecording: .*\.mp4\nMediaMTX operation failed: Stop recording failed: .*\nCamera not found - check device path\nAuthentication failed - check your credentials\n(.*\n)*Connection failed - check server status\n$/,
  retry: /^Connected: pong\n$/,
  logging: /^\S+Z - camera-client - INFO - Connected to ws:\/\/127\.0\.0\.1:\d+\n/,
  timeouts: /^Recording: .*\.mp4\nStopped\n$/,
  pool: /^Cameras: 2\n20 answers\n$/,
  batch: /^Snapshot Virtual camera.*: .*\.jpg\nSnapshot Virtual camera.*: .*\.jpg\n$/,
  tokens: /^Authenticated\n$/,
  files:
    /^Found [1-9]\d* recordings \(total: [1-9]\d*\)\n📹 .*✅ Downloaded: \S+\.jpg\n.*✅ Downloaded: \.\/downloads\/\S+\.mp4\n❌ Download failed: MediaMTXError: File not found: snapshot_2025-01-15_14-30-00\.jpg\n$/s,
  monitor:
    /^✅ Connected.*📸 Snapshot: .*🎥 Recording demo_recording\.mp4: active\n.*⏹️ Recording stopped: demo_recording\.mp4\n.*✅ Downloaded snapshot: .*✅ Disconnected\n$/s,
};

describe("the example", () => {
  it.each(Object.entries(expected))("%s does what it says", async (name, text) => {
    const run = start(name);
    expect([await run.code, run.text]).toEqual([0, expect.stringMatching(text)]);
  });

  it("tls verifies the server", async () => {
    const { certFile, keyFile } = makeSelfSigned(folder, "hub", { alsoFor: ["IP:127.0.0.1"] });
    const proxy = createTlsServer({ key: readFileSync(keyFile), cert: readFileSync(certFile) }, forward);
    const port = String(await listening(proxy));
    const trusting = start("tls", { CAMERA_SERVICE_PORT: port, CAMERA_SERVICE_CA: certFile });
    expect([await trusting.code, trusting.text]).toEqual([0, "Connected securely: pong\n"]);
    const strange = start("tls", { CAMERA_SERVICE_PORT: port });
    expect([await strange.code, strange.text]).toEqual([1, expect.stringMatching(/self.signed/i)]);
    await new Promise((resolve) => proxy.close(resolve));
  });

  it("connection-loss comes back", async () => {
    const sockets = new Set<Socket>();
    const proxy = createServer((socket) => {
      sockets.add(socket);
      forward(socket);
    });
    const run = start("connection-loss", { CAMERA_SERVICE_PORT: String(await listening(proxy)) });
    await until("the example to connect", () => run.text.includes("Connected."));
    for (const socket of sockets) socket.destroy();
    expect([await run.code, run.text]).toEqual([
      0,
      expect.stringMatching(
        /Connection lost - attempting to reconnect\.\.\.\n(.*\n)*Reconnected successfully\nThe service answers: pong\n$/,
      ),
    ]);
    await new Promise((resolve) => proxy.close(resolve));
  });

  it("is tested here, each of them", () => {
    const named = [...Object.keys(expected), "tls", "connection-loss", "settings"].sort();
    expect(
      readdirSync(examples)
        .filter((file) => file.endsWith(".ts"))
        .map((file) => file.slice(0, -3))
        .sort(),
    ).toEqual(named);
  });
});

describe("CameraClient", () => {
  const clientOf = () =>
    new CameraClient({
      host: "127.0.0.1",
      port: hub.port,
      apiKey: adminKey,
      logger: null,
      reconnectDelay: 0.05,
    });

  it("records, lists, downloads and deletes", async () => {
    await using client = clientOf();
    await client.connect();
    expect(client.session).toMatchObject({ role: "admin" });
    const done = client.events("recording_status_update");
    const recording = await client.startRecording("camera101", { duration: 1, customFilename: "by client" });
    expect(recording).toMatchObject({
      devicePath: "camera101",
      filename: "by client.mp4",
      duration: 1,
      status: "active",
      recordingId: expect.stringMatching(/./),
    });
    expect(Math.abs(recording.startTime - Date.now() / 1000)).toBeLessThan(60);
    await expect(client.startRecording("camera101")).rejects.toThrow(MediaMTXError);
    for await (const { recording: state } of done) if (state.status === "completed") break;
    const { files } = await client.listRecordings({ device: "camera101", limit: 1 });
    expect(files[0]?.filename).toBe("by client.mp4");
    const path = await client.downloadFile("recordings", "by client.mp4", join(folder, "by client.mp4"));
    expect(statSync(path).size).toBe(files[0]?.file_size);
    expect(videoOf(await ffprobe(path))).toMatchObject({ width: 320, height: 240 });
    expect(await client.api.deleteRecording({ filename: "by client.mp4" })).toMatchObject({ deleted: true });
    await expect(client.downloadFile("recordings", "by client.mp4", path)).rejects.toThrow("File not found");
    await expect(client.getCameraStatus("/dev/video77")).rejects.toThrow(CameraNotFoundError);
  });

  it.each([
    ["broadcasts", undefined],
    ["a subscription", ["recording.start", "recording.stop"]],
  ])("is told of %s what it missed, once and in order", async (_what, topics) => {
    const sockets = new Set<Socket>();
    let open = true;
    const proxy = createServer((socket) => {
      sockets.add(socket);
      if (open) forward(socket);
      else socket.destroy();
    });
    const port = await listening(proxy);
    await using client = new CameraClient({
      host: "127.0.0.1",
      port,
      apiKey: adminKey,
      logger: null,
      reconnectDelay: 0.05,
      maxReconnectDelay: 0.1,
    });
    await using other = clientOf();
    await other.connect();
    await client.connect();
    if (topics !== undefined) await client.subscribeEvents(topics);
    const seen: { seq: unknown; filename: unknown }[] = [];
    client.on("notification", ({ method, params }) => {
      if (method.startsWith("recording")) seen.push({ seq: params.seq, filename: params.filename });
    });
    const record = async () => {
      const { filename } = await other.startRecording("camera100");
      await other.stopRecording("camera100");
      return filename;
    };
    const both = (...filenames: string[]) => filenames.flatMap((filename) => [filename, filename]);
    const first = await record();
    await until("the live events", () => seen.length === 2);
    open = false;
    const lost = client.once("connectionLost");
    for (const socket of sockets) socket.destroy();
    await lost;
    const missed = await record();
    open = true;
    await client.connect();
    const last = await record();
    await until("the last event", () => seen.length >= 6);
    expect(seen.map(({ filename }) => filename)).toEqual(both(first, missed, last));
    const order = seen.map(({ seq }) => Number(seq));
    expect(order).toEqual([...new Set(order)].sort((a, b) => a - b));
    await client.disconnect();
    await new Promise((resolve) => proxy.close(resolve));
  });

  it("is there again after the hub was", async () => {
    const dataDir = mkdtempSync(join(tmpdir(), "ocelli-client-data-"));
    const env = { OCELLI_DEVICES_V4L2: "false", OCELLI_VIRTUAL_CAMERA: "always" };
    const first = await startHub({ dataDir, env });
    try {
      await using client = new CameraClient({
        host: "127.0.0.1",
        port: first.port,
        apiKey: adminKey,
        logger: null,
        reconnectDelay: 0.05,
        maxReconnectDelay: 0.2,
      });
      await client.connect();
      const lost = client.once("connectionLost");
      await first.stop();
      expect(await lost).toMatchObject({ code: 1001, willReconnect: true });
      const back = client.once("connected");
      const second = await startHub({ dataDir, env: { ...env, OCELLI_LISTEN: `127.0.0.1:${first.port}` } });
      try {
        expect(await back).toEqual({ reconnected: true });
        expect((await client.getCameraList()).length).toBeGreaterThan(0);
      } finally {
        await second.stop();
      }
    } finally {
      await first.stop();
      rmSync(dataDir, { recursive: true, force: true });
    }
  });
});
