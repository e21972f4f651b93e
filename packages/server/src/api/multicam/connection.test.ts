import { once } from "node:events";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { OcelliError } from "@ocelli/protocol";
import type { UploadItem } from "@ocelli/protocol/multicam";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FakeClock } from "../../clock/fake-clock.ts";
import type { DeviceActivity, DeviceUploads, RecordingDevice, Uploads } from "../../multicam/contract.ts";
import { MultiCamConnection } from "./connection.ts";

// Time and files of any size, which the tests against a running hub have not.

let folder: string;
let big: string;
let clock: FakeClock;
let server: Server;
let accepted: Promise<Socket>;
let peer: Socket;
let connection: MultiCamConnection;
let asked: string[];
let stopping: PromiseWithResolvers<never>;
/** The camera was taken away for good. */
let isGone: boolean;
let activity: DeviceActivity;
let waiting: DeviceUploads["waiting"];
/** A disk that takes no note of an upload. */
let isFull: boolean;
const gigabytes = 6 * 2 ** 30;

const queued: UploadItem = {
  ...{ fileId: "a", fileName: "a.mp4", fileSize: 1, bytesUploaded: 0, uploadProgress: 0 },
  ...{ uploadSpeed: 0, status: "queued", uploadUrl: undefined, error: undefined },
};
const uploads: Uploads = {
  queue: () => {
    if (isFull) throw new OcelliError("storage_failed", "The disk is full.");
    waiting = [queued];
  },
  of: () => ({ current: undefined, waiting, failed: [] }),
  close: async () => undefined,
};

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "ocelli-connection-"));
  big = join(folder, "big.mp4");
  writeFileSync(big, "");
  // Zeros that take no room on the disk.
  truncateSync(big, gigabytes);
  clock = new FakeClock();
  asked = [];
  isGone = false;
  activity = "idle";
  waiting = [];
  isFull = false;
  stopping = Promise.withResolvers<never>();
  stopping.promise.catch(() => undefined);
  const file = { fileName: "big.mp4", fileSize: gigabytes, creationDate: 1, modificationDate: 1 };
  const device: RecordingDevice = {
    ...{ deviceId: "Ocelli-00000000", cameraId: "camera0" },
    activity: () => {
      if (isGone) throw new OcelliError("camera_not_found", "There is no camera camera0.");
      return activity;
    },
    start: async () => {
      asked.push("start");
      if (activity === "full") throw new OcelliError("storage_low", "Storage space is low.");
      return "recording";
    },
    stop: () => {
      asked.push("stop");
      return stopping.promise;
    },
    files: () => [file],
    file: () => ({ ...file, path: big }),
  };
  server = createServer({ allowHalfOpen: true });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  accepted = once(server, "connection").then(([socket]: Socket[]) => {
    if (socket === undefined) throw new Error("no connection");
    return socket;
  });
  const { port } = server.address() as AddressInfo;
  peer = connect(port, "127.0.0.1");
  peer.on("error", () => undefined);
  connection = new MultiCamConnection(await accepted, {
    ...{ device, uploads, clock, deviceType: "Android:Phone" },
    log: pino({ level: "silent" }),
  });
});
afterEach(async () => {
  stopping.reject(new OcelliError("not_recording", "over"));
  peer.destroy();
  await connection.close(0);
  server.close();
  rmSync(folder, { recursive: true, force: true });
});

const said = (command: string, more: object = {}): string =>
  JSON.stringify({ command, timestamp: 1, fileName: "big.mp4", ...more });
const say = (command: string, more: object = {}): void => void peer.write(said(command, more));
async function answer(): Promise<Record<string, unknown>> {
  return JSON.parse(String((await once(peer, "data"))[0]));
}
/** Until the hub waits for the peer, and reads no more meanwhile. */
async function stuck(socket: Socket): Promise<void> {
  let [before, looks] = ["", 0];
  while (looks < 10) {
    const now = `${socket.bytesRead} ${socket.bytesWritten}`;
    looks = now === before && socket.isPaused() && socket.writableNeedDrain ? looks + 1 : 0;
    before = now;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

describe("a connection", () => {
  it("without a command is closed after two minutes, not before, and each command counts anew", async () => {
    const socket = await accepted;
    clock.advance(119_000);
    say("HEARTBEAT");
    await once(peer, "data");
    clock.advance(119_000);
    expect(socket.destroyed).toBe(false);
    clock.advance(1000);
    expect(socket.destroyed).toBe(true);
    await connection.closed;
    expect(clock.pending).toBe(0);
  });

  it("that sends a command byte by byte is closed as if it sent nothing", async () => {
    const socket = await accepted;
    for (const byte of said("HEARTBEAT").slice(0, 10)) {
      const { bytesRead } = socket;
      peer.write(byte);
      while (socket.bytesRead === bytesRead) await new Promise((resolve) => setImmediate(resolve));
      clock.advance(11_000);
      expect(socket.destroyed).toBe(false);
    }
    clock.advance(11_000);
    expect(socket.destroyed).toBe(true);
  });

  it("whose answers nobody reads keeps a few of them in memory, and is closed after two minutes", async () => {
    const socket = await accepted;
    peer.pause();
    // Each asks for an answer of some hundred times its own size.
    const command = '{"command":"LIST_FILES"}';
    for (let i = 0; i < 64; i++) peer.write(command.repeat(4000));
    await stuck(socket);
    expect(socket.writableLength).toBeLessThan(100_000);
    clock.advance(119_000);
    expect(socket.destroyed).toBe(false);
    clock.advance(1000);
    expect(socket.destroyed).toBe(true);
    await connection.closed;
    expect(clock.pending).toBe(0);
  });

  it("whose command takes long is not idle", async () => {
    say("STOP_RECORDING");
    while (asked.length === 0) await new Promise((resolve) => setImmediate(resolve));
    clock.advance(600_000);
    expect((await accepted).destroyed).toBe(false);
    stopping.reject(new OcelliError("not_recording", "nothing to stop"));
    expect(String(await once(peer, "data"))).toContain("nothing to stop");
  });

  it("closes within its bound although a command hangs", async () => {
    say("STOP_RECORDING");
    while (asked.length === 0) await new Promise((resolve) => setImmediate(resolve));
    const closed = connection.close(1000);
    clock.advance(1000);
    await closed;
    expect(clock.pending).toBe(0);
  });

  it("answers although the device cannot even say what it does", async () => {
    isGone = true;
    say("DEVICE_STATUS");
    expect(JSON.parse(String(await once(peer, "data")))).toMatchObject({
      status: "camera_disconnected",
      isRecording: false,
    });
  });

  it("does what was whole before garbage, then says what is wrong, and does nothing behind it", async () => {
    const heartbeat = JSON.stringify({ command: "HEARTBEAT", timestamp: 1 });
    const start = JSON.stringify({ command: "START_RECORDING", timestamp: 1 });
    let text = "";
    peer.on("data", (chunk) => {
      text += String(chunk);
    });
    peer.write(`${heartbeat}}garbage${start}`);
    await once(peer, "end");
    const [first = "", second = ""] = text.split("\n");
    expect(JSON.parse(first)).toMatchObject({ status: "ready" });
    expect(JSON.parse(second)).toMatchObject({ status: "error" });
    expect(asked).toEqual([]);
  });
});

describe("a disk without room for a recording", () => {
  it("is an error with words: the protocol knows no other, and controllers begin when a device is ready", async () => {
    activity = "full";
    say("DEVICE_STATUS");
    expect(await answer()).toMatchObject({
      ...{ status: "error", isRecording: false, uploadQueue: [] },
      message: expect.stringContaining("no room"),
    });
    say("START_RECORDING");
    expect(await answer()).toMatchObject({
      ...{ status: "error", isRecording: false },
      message: expect.stringContaining("low"),
    });
  });

  it("that is being emptied by uploads tells of these", async () => {
    activity = "full";
    waiting = [queued];
    say("DEVICE_STATUS");
    const reply = await answer();
    expect(reply).toMatchObject({ status: "uploading", uploadQueue: [{ fileName: "a.mp4" }] });
    expect(reply).not.toHaveProperty("message");
  });

  it("cannot take note of an upload: it failed", async () => {
    const uploadUrl = "https://bucket.example.org/a";
    isFull = true;
    say("UPLOAD_TO_CLOUD", { uploadUrl });
    expect(await answer()).toMatchObject({ status: "upload_failed", message: "The disk is full." });
    isFull = false;
    say("UPLOAD_TO_CLOUD", { uploadUrl });
    expect(await answer()).toMatchObject({
      ...{ status: "upload_queued", fileName: "big.mp4", uploadQueue: [{ fileName: "a.mp4" }] },
    });
  });
});

describe("a file of many gigabytes", () => {
  it("waits for a reader that does not read, with a few pieces in memory, until he is given up", async () => {
    const socket = await accepted;
    peer.pause();
    say("GET_VIDEO");
    let written = -1;
    // Until the system takes no more.
    while (socket.bytesWritten !== written || written === 0) {
      written = socket.bytesWritten;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(socket.writableLength).toBeLessThanOrEqual(2 * 2 ** 18);
    clock.advance(599_000);
    expect(socket.destroyed).toBe(false);
    clock.advance(1000);
    expect(socket.destroyed).toBe(true);
    await connection.closed;
  });

  it("that cannot be read ends with the connection, not with words among its bytes", async () => {
    // Opens, has a size, and cannot be read.
    big = folder;
    let received = Buffer.alloc(0);
    peer.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
    });
    say("GET_VIDEO");
    await once(peer, "close");
    expect(received.length).toBe(4 + received.readUInt32BE(0));
  });

  it("goes on with a reader that reads now and then", async () => {
    const socket = await accepted;
    let received = 0;
    peer.on("data", (chunk: Buffer) => {
      received += chunk.length;
      peer.pause();
      setImmediate(() => peer.resume());
    });
    say("GET_VIDEO");
    while (received < 2 ** 26) {
      await once(peer, "data");
      // Each piece that is taken on counts anew.
      clock.advance(1000);
      expect(socket.writableLength).toBeLessThanOrEqual(2 * 2 ** 18);
    }
    expect(socket.destroyed).toBe(false);
  });
});
