import { once } from "node:events";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { OcelliError } from "@ocelli/protocol";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FakeClock } from "../../clock/fake-clock.ts";
import type { RecordingDevice, Uploads } from "../../multicam/contract.ts";
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
const gigabytes = 6 * 2 ** 30;

const uploads: Uploads = {
  queue: () => undefined,
  of: () => ({ current: undefined, waiting: [], failed: [] }),
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
  stopping = Promise.withResolvers<never>();
  stopping.promise.catch(() => undefined);
  const file = { fileName: "big.mp4", fileSize: gigabytes, creationDate: 1, modificationDate: 1 };
  const device: RecordingDevice = {
    ...{ deviceId: "Ocelli-00000000", cameraId: "camera0" },
    activity: () => {
      if (isGone) throw new OcelliError("camera_not_found", "There is no camera camera0.");
      return "idle";
    },
    start: async () => {
      asked.push("start");
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

const say = (command: string): void =>
  void peer.write(JSON.stringify({ command, timestamp: 1, fileName: "big.mp4" }));

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
