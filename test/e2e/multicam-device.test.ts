import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TLSSocket, connect as tlsConnect } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeAuthority, makeCertificate } from "../harness/certificates.ts";
import { ffprobe, videoOf } from "../harness/ffprobe.ts";
import { type RunningHub, startHub, until, virtualCameras } from "../harness/hub.ts";
import { PythonController, PythonTimeServer, RawConnection } from "../harness/multicam.ts";

// The hub's cameras as MultiCam devices, driven by a controller of other make (test/clients/multicam_controller.py).

const env = {
  ...virtualCameras({ count: 2, size: "320x240", fps: 25 }),
  OCELLI_MULTICAM_ENABLED: "true",
  OCELLI_MULTICAM_DEVICES: JSON.stringify([{ camera: "camera101", port: 0 }]),
  OCELLI_CLOCK_TRUST_KERNEL: "false",
};
let folder: string;
let time: PythonTimeServer;
let hub: RunningHub;
let controller: PythonController;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ocelli-multicam-"));
  time = await PythonTimeServer.start();
  hub = await startHub({ env: { ...env, OCELLI_CLOCK_NTP_SERVERS: time.address } });
  controller = new PythonController(hub.port);
  await synchronised(hub);
});
afterAll(async () => {
  for (const peer of [controller, time, hub]) await peer?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

async function synchronised(one: RunningHub): Promise<void> {
  await using rpc = await one.rpc();
  await until("the clock is synchronised", async () => {
    const { synchronised } = await rpc.call("get_clock_status");
    return synchronised === true;
  });
}

const sha256 = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");
const now = (): number => Date.now() / 1000;
const command = (name: string, more: object = {}): string =>
  JSON.stringify({ command: name, timestamp: now(), deviceId: "raw", ...more });

async function status(one: PythonController, wanted: string): Promise<Record<string, unknown>> {
  return until(`the device is ${wanted}`, async () => {
    const reply = await one.command("DEVICE_STATUS");
    return reply.status === wanted && reply;
  });
}
/** Until the newest file of a hub, of so many at least, has some frames on the disk. */
async function grown(one: RunningHub, bytes = 20_000, count = 1): Promise<void> {
  const recordings = join(one.dataDir, "recordings");
  await until("the recording has grown", () => {
    const files = readdirSync(recordings)
      .filter((name) => name.endsWith(".mp4"))
      .map((name) => statSync(join(recordings, name)))
      .sort((a, b) => b.ctimeMs - a.ctimeMs);
    return files.length >= count && (files[0]?.size ?? 0) >= bytes;
  });
}
async function record(one: PythonController, where = hub): Promise<Record<string, unknown>> {
  const started = await one.command("START_RECORDING");
  expect(started).toMatchObject({ status: "recording", isRecording: true, success: true });
  await grown(where);
  const stopped = await one.command("STOP_RECORDING");
  expect(stopped).toMatchObject({ status: "recording_stopped", isRecording: false, success: true });
  return stopped;
}
/** The port of the second camera, from the log. */
function secondPort(one: RunningHub): Promise<number> {
  return until("the second camera's port", () => {
    const line = one.output.find((text) => text.includes("a MultiCam device is served")) ?? "";
    const [, port] = /"port":(\d+)/.exec(line) ?? [];
    return port === undefined ? undefined : Number(port);
  });
}

describe("a controller written from the seed alone", () => {
  it("records at once, lists, and fetches the very file of the library", async () => {
    const idle = await status(controller, "ready");
    expect(idle).toMatchObject({ isRecording: false, success: true });
    const stopped = await record(controller);
    const { files } = (await controller.ask({ do: "list" })) as {
      files: { fileId: string; fileSize: number }[];
    };
    expect(files[0]).toMatchObject({ fileId: stopped.fileId, fileSize: stopped.fileSize });
    const path = join(folder, "fetched.mp4");
    const header = await controller.ask({ do: "download", fileId: stopped.fileId, path });
    expect(header).toMatchObject({ fileId: stopped.fileId, fileSize: stopped.fileSize, status: "ready" });
    expect(sha256(path)).toBe(sha256(hub.file("recordings", String(header.fileName))));
    const fetched = videoOf(await ffprobe(path));
    expect(fetched).toMatchObject({ codec_type: "video", width: 320, height: 240 });
    expect(fetched.nb_read_frames).toBeGreaterThan(3);
  });

  it("records from an instant ahead: the first frame is the first one after it", async () => {
    const at = now() + 1.5;
    expect(await controller.command("START_RECORDING", { timestamp: at })).toMatchObject({
      status: "scheduled_recording_accepted",
      isRecording: false,
    });
    // What waits is not ready for another recording, and does not record.
    expect(await controller.command("DEVICE_STATUS")).toMatchObject({
      status: "command_received",
      isRecording: false,
    });
    // Told twice, it waits once.
    expect(await controller.command("START_RECORDING", { timestamp: at })).toMatchObject({
      status: "scheduled_recording_accepted",
    });
    expect(await controller.command("START_RECORDING", { timestamp: at + 60 })).toMatchObject({
      status: "error",
      success: false,
    });
    await status(controller, "recording");
    const stopped = await controller.command("STOP_RECORDING");
    expect(stopped.fileId).toMatch(new RegExp(`_${Math.round(at * 1000)}$`));
    const sidecar = JSON.parse(
      readFileSync(hub.file("recordings", `${String(stopped.fileId)}.mp4.json`), "utf8"),
    );
    expect(sidecar.scheduledStart.errorUs).toBeGreaterThanOrEqual(0);
    // Frames come every 40 ms.
    expect(sidecar.scheduledStart.errorUs).toBeLessThan(40_000 + 10_000);
    const startedAtUs = sidecar.firstFrameAtUs;
    expect(Math.abs(startedAtUs - at * 1e6)).toBeLessThan(100_000);
  });

  it("cancels a start that waits by a stop", async () => {
    await controller.command("START_RECORDING", { timestamp: now() + 3600 });
    const cancelled = await controller.command("STOP_RECORDING");
    expect(cancelled).toMatchObject({ status: "error", success: false });
    expect(cancelled.message).toContain("cancelled");
    await status(controller, "ready");
    expect(await controller.command("STOP_RECORDING")).toMatchObject({ status: "error" });
  });

  it("is refused an instant that is absurd, and starts at once for one in the past", async () => {
    const far = await controller.command("START_RECORDING", { timestamp: now() + 366 * 86_400 });
    expect(far).toMatchObject({ status: "error", success: false });
    await status(controller, "ready");
    const past = await controller.command("START_RECORDING", { timestamp: now() - 3600 });
    expect(past).toMatchObject({ status: "recording" });
    // A recording that runs is what a second start asks for.
    expect(await controller.command("START_RECORDING")).toMatchObject({ status: "recording" });
    await grown(hub);
    const stopped = await controller.command("STOP_RECORDING");
    expect(stopped.status).toBe("recording_stopped");
    // Named by the moment it began, not by the wish.
    const named = Number(String(stopped.fileId).split("_").at(-1));
    expect(Math.abs(named / 1000 - now())).toBeLessThan(60);
  });

  it("fails fast for a file that is not there, and for the file of another camera", async () => {
    await using second = new PythonController(await secondPort(hub));
    const stopped = await record(second);
    for (const fileId of ["nothing", "../../etc/passwd", String(stopped.fileId)]) {
      const answer = await controller.ask({ do: "download", fileId, path: join(folder, "none") });
      // Its own words for JSON where a length should be; what counts is that it does not hang.
      expect(answer.error, fileId).toBeDefined();
      const asked = await RawConnection.open(hub.port);
      asked.socket.write(command("GET_VIDEO", { fileId }));
      await asked.ended;
      expect(JSON.parse(asked.received.toString())).toMatchObject({ status: "file_not_found" });
    }
  });

  it("finds each further camera on a port of its own, as another device", async () => {
    await using second = new PythonController(await secondPort(hub));
    const one = await controller.command("DEVICE_STATUS");
    const two = await second.command("DEVICE_STATUS");
    expect(one.deviceId).toMatch(/^Ocelli-[0-9A-F]{8}$/);
    expect(two.deviceId).not.toBe(one.deviceId);
    await second.command("START_RECORDING");
    expect(await controller.command("DEVICE_STATUS")).toMatchObject({ status: "ready" });
    await status(second, "recording");
    await second.command("STOP_RECORDING");
    const { files } = (await second.ask({ do: "list" })) as { files: { fileId: string }[] };
    expect(files.every(({ fileId }) => fileId.startsWith(String(two.deviceId)))).toBe(true);
  });

  it("may be two at once: one recording, one file, and both can fetch it", async () => {
    await using other = new PythonController(hub.port);
    const both = [controller, other];
    const started = await Promise.all(both.map((one) => one.command("START_RECORDING")));
    expect(started.map((reply) => reply.status)).toEqual(["recording", "recording"]);
    await grown(hub);
    const stopped = await Promise.all(both.map((one) => one.command("STOP_RECORDING")));
    expect(stopped.map((reply) => reply.status).sort()).toEqual(["error", "recording_stopped"]);
    const fileId = stopped.find((reply) => reply.fileId !== null)?.fileId;
    const paths = both.map((_, at) => join(folder, `both-${at}.mp4`));
    await Promise.all(both.map((one, at) => one.ask({ do: "download", fileId, path: paths[at] })));
    expect(new Set(paths.map(sha256)).size).toBe(1);
  });
});

describe("a camera that a user of the hub records", () => {
  it("is told to record, takes no part in a start, and no controller ends it", async () => {
    await using rpc = await hub.rpc();
    await rpc.call("start_recording", { device: "camera100", filename: "by-hand" });
    expect(await controller.command("DEVICE_STATUS")).toMatchObject({
      status: "recording",
      isRecording: true,
    });
    for (const name of ["START_RECORDING", "STOP_RECORDING"]) {
      const refused = await controller.command(name);
      expect(refused, name).toMatchObject({ status: "error", success: false, isRecording: true });
      expect(refused.message).toContain("another client of the hub");
    }
    const stopped = await rpc.call<{ filename: string }>("stop_recording", { device: "camera100" });
    // A file of this camera like any other.
    const { files } = (await controller.ask({ do: "list" })) as { files: { fileName: string }[] };
    expect(files[0]?.fileName).toBe(stopped.filename);
    await status(controller, "ready");
  });
});

describe("the wire", () => {
  it("takes a command in single bytes, and two in one segment, in order", async () => {
    await using raw = await RawConnection.open(hub.port);
    for (const byte of Buffer.from(command("DEVICE_STATUS"))) {
      raw.socket.write(Uint8Array.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    raw.socket.write(`${command("LIST_FILES")}\r\n\0 ${command("HEARTBEAT")}`);
    const [first, second, third] = await raw.replies(3);
    expect(first).toMatchObject({ status: "ready", uploadQueue: [], failedUploadQueue: [] });
    expect(second).toHaveProperty("files");
    expect(third).toMatchObject({ status: "ready" });
    // No message, no fileName: controllers of the second dialect tell answers apart by these.
    expect(first).not.toHaveProperty("message");
    expect(first).not.toHaveProperty("fileName");
  });

  it("speaks with a length before each message to those who do", async () => {
    await using raw = await RawConnection.open(hub.port);
    const body = Buffer.from('{"command":"DEVICE_STATUS"}');
    const length = Buffer.alloc(4);
    length.writeUInt32BE(body.length);
    raw.socket.write(Buffer.concat([length, body, length, body]));
    /** Answers may differ by a digit of their time. */
    const answers = (bytes: Buffer): string[] => {
      const size = bytes.length < 4 ? Number.POSITIVE_INFINITY : bytes.readUInt32BE(0);
      if (bytes.length < 4 + size) return [];
      return [bytes.subarray(4, 4 + size).toString(), ...answers(bytes.subarray(4 + size))];
    };
    const received = await raw.until((bytes) => answers(bytes).length === 2);
    for (const text of answers(received)) expect(JSON.parse(text)).toMatchObject({ status: "ready" });
  });

  it("answers one who has closed his side already", async () => {
    await using raw = await RawConnection.open(hub.port);
    raw.socket.end(command("DEVICE_STATUS"));
    await raw.ended;
    expect(JSON.parse(raw.received.toString())).toMatchObject({ status: "ready" });
  });

  it.each([
    ["an object that is no command", '{"hello":"there"}', "error"],
    ["a command nobody knows", command("FORMAT_DISK"), "error"],
    ["braces that close too often", "{}}}}", "error"],
    ["zeros and nonsense", Buffer.concat([Buffer.from([0, 0, 0, 9]), Buffer.from("nonsense!")]), "error"],
  ])(
    "says what is wrong with %s, closes, and does nothing of what follows",
    async (_what, bytes, expected) => {
      await using raw = await RawConnection.open(hub.port);
      raw.socket.write(bytes);
      await raw.until((received) => received.includes("}"));
      raw.socket.write(command("START_RECORDING"));
      await raw.ended;
      const text = raw.received.toString();
      expect(JSON.parse(text.slice(text.indexOf("{")))).toMatchObject({
        status: expected,
        message: expect.any(String),
      });
      await status(controller, "ready");
    },
  );

  it("refuses 100 MB that begin as a command, with bounded memory, and serves on", async () => {
    const rss = (): number =>
      Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${hub.pid}/status`, "utf8"))?.[1]);
    const before = rss();
    await using raw = await RawConnection.open(hub.port);
    const piece = Buffer.alloc(2 ** 20, "x");
    raw.socket.write('{"command":"');
    let over = false;
    void raw.ended.then(() => {
      over = true;
    });
    for (let sent = 0; sent < 100 && !over; sent++) {
      await new Promise((resolve) => raw.socket.write(piece, resolve));
    }
    await raw.ended;
    expect(rss() - before).toBeLessThan(80_000);
    await status(controller, "ready");
  });

  it("closes a connection that goes on talking after it was refused", async () => {
    await using raw = await RawConnection.open(hub.port);
    raw.socket.write("{}");
    await raw.ended;
    const closed = new Promise((resolve) => raw.socket.on("close", resolve));
    const talk = setInterval(() => raw.socket.write(" "), 20);
    await closed;
    clearInterval(talk);
  });

  it("leaves HTTP and WebSocket on the same port as they were", async () => {
    const health = await hub.fetch("/health/live");
    expect(health.status).toBe(200);
    await using rpc = await hub.rpc();
    expect(await rpc.call("ping")).toBe("pong");
    const byOne = await RawConnection.open(hub.port);
    for (const byte of Buffer.from(
      "GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    )) {
      byOne.socket.write(Uint8Array.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await byOne.ended;
    expect(byOne.received.toString()).toContain("200 OK");
  });
});

describe("a file on its way", () => {
  let name: string;
  let size: number;

  beforeAll(async () => {
    await controller.command("START_RECORDING");
    // More than the system takes on at once for a reader that does not read.
    await grown(hub, 300_000);
    const stopped = await controller.command("STOP_RECORDING");
    name = String(stopped.fileId);
    size = Number(stopped.fileSize);
  });

  it("does no harm when its controller goes away in the middle", async () => {
    const open = (): number => handles(hub.pid, name);
    const raw = await RawConnection.open(hub.port);
    raw.socket.write(command("GET_VIDEO", { fileName: `${name}.mp4` }));
    await raw.until((bytes) => bytes.length > 100);
    raw.socket.resetAndDestroy();
    await until("the file is closed", () => open() === 0);
    const path = join(folder, "after.mp4");
    await controller.ask({ do: "download", fileId: name, path });
    expect(readFileSync(path)).toHaveLength(size);
  });

  it("may be followed by commands on the same connection", async () => {
    await using raw = await RawConnection.open(hub.port);
    raw.socket.write(command("GET_VIDEO", { fileId: name }) + command("DEVICE_STATUS"));
    const header = await raw.until((bytes) => bytes.length > 4 && bytes.length >= 4 + bytes.readUInt32BE(0));
    const end = 4 + header.readUInt32BE(0) + size;
    const all = await raw.until((bytes) => bytes.length > end && bytes.at(-1) === 0x0a);
    expect(JSON.parse(all.subarray(end).toString())).toMatchObject({ status: "ready" });
    const sent = createHash("sha256")
      .update(all.subarray(end - size, end))
      .digest("hex");
    expect(sent).toBe(sha256(hub.file("recordings", `${name}.mp4`)));
  });
});

/** How often a process has a file open. */
function handles(pid: number, name: string): number {
  return readdirSync(`/proc/${pid}/fd`).filter((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`).includes(name);
    } catch {
      return false;
    }
  }).length;
}

describe("a hub whose clock is not synchronised", () => {
  it("refuses to start at an instant, and starts at once when told to", async () => {
    await using deaf = await PythonTimeServer.start("--mode", "unsynchronised");
    await using other = await startHub({ env: { ...env, OCELLI_CLOCK_NTP_SERVERS: deaf.address } });
    await using driver = new PythonController(other.port);
    await deaf.line("a question", (facts) => "asked" in facts);
    const refused = await driver.command("START_RECORDING", { timestamp: now() + 5 });
    expect(refused).toMatchObject({ status: "time_not_synchronized", success: false, isRecording: false });
    expect(await driver.command("DEVICE_STATUS")).toMatchObject({ status: "ready" });
    await record(driver, other);
  });
});

describe("a hub that speaks TLS", () => {
  it("serves MultiCam in the clear on the same port, to its networks alone, and nothing else", async () => {
    const authority = makeAuthority(folder);
    const { certFile, keyFile } = makeCertificate(folder, "hub", authority);
    const tls = { ...env, OCELLI_TLS_CERT_FILE: certFile, OCELLI_TLS_KEY_FILE: keyFile };
    {
      await using other = await startHub({ env: tls });
      await using driver = new PythonController(other.port);
      const stopped = await record(driver, other);
      const path = join(folder, "by-tls.mp4");
      await driver.ask({ do: "download", fileId: stopped.fileId, path });
      expect(sha256(path)).toBe(sha256(other.file("recordings", `${String(stopped.fileId)}.mp4`)));

      const secure = await new Promise<TLSSocket>((resolve, reject) => {
        const ca = readFileSync(authority.certFile);
        const socket = tlsConnect({ host: "127.0.0.1", port: other.port, ca }, () => resolve(socket));
        socket.on("error", reject);
      });
      let answer = "";
      secure.on("data", (chunk) => (answer += String(chunk)));
      secure.write("GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
      await once(secure, "close");
      expect(answer).toContain("200 OK");

      await using clear = await RawConnection.open(other.port);
      clear.socket.write("GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n");
      await clear.ended;
      expect(clear.received.toString()).not.toContain("200");
    }
    await using closed = await startHub({ env: { ...tls, OCELLI_MULTICAM_NETWORKS: "10.1.2.0/24" } });
    await using raw = await RawConnection.open(closed.port);
    raw.socket.write(command("DEVICE_STATUS"));
    await raw.ended;
    expect(raw.received).toHaveLength(0);
  });
});

describe("networks that are not allowed", () => {
  it("are turned away at once; HTTP is not MultiCam's to refuse", async () => {
    await using other = await startHub({
      env: { ...env, OCELLI_MULTICAM_NETWORKS: "10.1.2.0/24" },
    });
    for (const port of [other.port, await secondPort(other)]) {
      await using raw = await RawConnection.open(port);
      raw.socket.write(command("DEVICE_STATUS"));
      await raw.ended;
      expect(raw.received).toHaveLength(0);
    }
    expect((await other.fetch("/health/live")).status).toBe(200);
  });

  it("come to nothing where MultiCam is off, as it is by default", async () => {
    await using other = await startHub({ env: { ...env, OCELLI_MULTICAM_ENABLED: undefined } });
    await using raw = await RawConnection.open(other.port);
    raw.socket.write(command("DEVICE_STATUS"));
    await raw.ended;
    expect(raw.received.toString()).not.toContain("deviceId");
    expect(other.output.join("\n")).not.toContain("a MultiCam device is served");
  });
});

it("a hub stops in time although connections of every kind are open", async () => {
  const other = await startHub({ env: { ...env, OCELLI_SHUTDOWN_SECONDS: "10" } });
  const idle = await RawConnection.open(other.port);
  idle.socket.write(command("DEVICE_STATUS"));
  await idle.replies(1);
  const half = await RawConnection.open(other.port);
  half.socket.write('{"comm');
  const silent = await RawConnection.open(other.port);
  const web = await RawConnection.open(other.port);
  web.socket.write("GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n");
  await web.until((bytes) => bytes.includes("200 OK"));
  // 1 when something did not end within the bound.
  expect(await other.end()).toEqual({ code: 0, signal: null });
  await Promise.all([idle, half, silent, web].map((one) => one.ended));
  await other.stop();
});

describe("a hub that is killed", () => {
  it("while a start waits, waits on; while it records, records on, and every file is whole", async () => {
    const dataDir = mkdtempSync(join(tmpdir(), "ocelli-killed-"));
    const killed = { ...env, OCELLI_CLOCK_NTP_SERVERS: time.address };
    try {
      const first = await startHub({ env: killed, dataDir });
      await synchronised(first);
      await using one = new PythonController(first.port);
      const { deviceId } = await one.command("DEVICE_STATUS");
      expect(await one.command("START_RECORDING", { timestamp: now() + 3600 })).toMatchObject({
        success: true,
      });
      await first.end("SIGKILL");

      const second = await startHub({ env: killed, dataDir });
      await using two = new PythonController(second.port);
      expect(await two.command("DEVICE_STATUS")).toMatchObject({ deviceId, status: "command_received" });
      expect((await two.command("STOP_RECORDING")).message).toContain("cancelled");
      await status(two, "ready");
      await two.command("START_RECORDING");
      await grown(second);
      await second.end("SIGKILL");

      await using third = await startHub({ env: killed, dataDir });
      await using three = new PythonController(third.port);
      // Finished what was cut off, in a file of its own.
      await until("the second file", async () => {
        const { files } = (await three.ask({ do: "list" })) as { files: unknown[] };
        return files.length === 1;
      });
      await status(three, "recording");
      await grown(third, 20_000, 2);
      expect(await three.command("STOP_RECORDING")).toMatchObject({ status: "recording_stopped" });
      const { files } = (await three.ask({ do: "list" })) as { files: { fileId: string }[] };
      expect(files).toHaveLength(2);
      for (const { fileId } of files) {
        const path = join(folder, `${fileId}.mp4`);
        await three.ask({ do: "download", fileId, path });
        expect(videoOf(await ffprobe(path)).nb_read_frames).toBeGreaterThan(1);
      }
    } finally {
      rmSync(dataDir, { recursive: true, force: true });
    }
  });
});
