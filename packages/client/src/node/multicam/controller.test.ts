import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type CommandType,
  withLength,
  writeError,
  writeFiles,
  writeStatus,
  writeStopped,
} from "@ocelli/protocol/multicam";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { MultiCamController, type MultiCamControllerOptions, MultiCamSession } from "./index.ts";
import { type Answer, Peer } from "./testing/peer.ts";

// Devices of every bad habit; what a good one does is tested against independent peers in test/e2e.

const facts = { deviceId: "dev", timestamp: 1000, isRecording: false, deviceType: "Android:Phone" };
const ready: Answer = (socket) => socket.write(writeStatus(facts, "ready"));
const recording: Answer = (socket) => socket.write(writeStatus({ ...facts, isRecording: true }, "recording"));
/** What some say until the instant they were told has come. */
const waiting: Answer = (socket) => socket.write(writeStatus(facts, "command_received"));
const stopping: Answer = (socket) => socket.write(writeStatus(facts, "stopping"));
const say =
  (text: string): Answer =>
  (socket) =>
    socket.write(text);
const hangUp: Answer = (socket) => socket.destroy();

let folder: string;
const peers: Peer[] = [];
const controllers: MultiCamController[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ocelli-multicam-"));
});
afterEach(async () => {
  for (const controller of controllers.splice(0)) await controller.close();
  for (const peer of peers.splice(0)) await peer.close();
  rmSync(folder, { recursive: true, force: true });
});

async function peer(answers: Partial<Record<CommandType, Answer>>): Promise<{ peer: Peer; port: number }> {
  const made = new Peer(answers);
  peers.push(made);
  return { peer: made, port: await made.open() };
}

function controller(options: MultiCamControllerOptions = {}): MultiCamController {
  const made = new MultiCamController({ retryDelays: [0.01, 0.01], ...options });
  controllers.push(made);
  return made;
}

async function one(
  answers: Partial<Record<CommandType, Answer>>,
  options: MultiCamControllerOptions = {},
): Promise<{ device: Peer; hub: MultiCamController; id: string }> {
  const { peer: device, port } = await peer(answers);
  const hub = controller(options);
  return { device, hub, id: hub.add({ host: "127.0.0.1", port }).id };
}

describe("one command", () => {
  it("is sent in one write, understood by every dialect, and its answer read to the closing brace", async () => {
    const { hub, device, id } = await one({
      DEVICE_STATUS: (socket) => {
        const text = writeStatus({ ...facts, batteryLevel: 71 }, "ready");
        for (const piece of text.match(/.{1,9}/g) ?? []) socket.write(piece);
        // Never closes, as some devices do.
      },
    });
    expect(await hub.status(id)).toMatchObject({ status: "ready", batteryLevel: 71, deviceId: "dev" });
    expect(device.seen[0]?.fields).toMatchObject({ command: "DEVICE_STATUS", deviceId: "controller" });
    expect(hub.device(id)).toMatchObject({ reachable: true, deviceId: "dev", deviceType: "Android:Phone" });
  });

  it.each([
    ["Recording\n", "recording", true],
    ["Ready", "ready", false],
  ])("may be answered in prose: %j", async (text, status, isRecording) => {
    const { hub, id } = await one({ DEVICE_STATUS: (socket) => socket.end(text) });
    expect(await hub.status(id)).toMatchObject({ status, isRecording });
    expect(hub.device(id).speaksV1).toBe(true);
  });

  it("is sent again when the connection broke, and not when the device refused", async () => {
    const { hub, device, id } = await one({
      HEARTBEAT: (socket, _command, count) => {
        if (count < 3) socket.destroy();
        else socket.write(writeStatus(facts, "command_received"));
      },
      LIST_FILES: say(writeError(facts, "error", "Storage is being scanned")),
    });
    expect((await hub.heartbeat(id)).status).toBe("command_received");
    expect(device.countOf("HEARTBEAT")).toBe(3);
    await expect(hub.listFiles(id)).rejects.toMatchObject({
      code: "refused",
      message: expect.stringContaining("Storage is being scanned"),
    });
    expect(device.countOf("LIST_FILES")).toBe(1);
  });

  it("gives up on a device that says nothing, and says so", async () => {
    const { hub, id } = await one({}, { commandTimeout: 0.05, retryDelays: [0.01] });
    await expect(hub.status(id)).rejects.toMatchObject({ code: "timeout", retryable: true });
    expect(hub.device(id)).toMatchObject({ reachable: false, lastError: expect.stringContaining("0.05 s") });
  });

  it("gives up on a device that never comes to the end of its answer, and says how long it had", async () => {
    const { hub, id } = await one(
      {
        DEVICE_STATUS: (socket) => {
          socket.write("{");
          const drip = setInterval(() => socket.write(" "), 20);
          socket.on("close", () => clearInterval(drip));
        },
      },
      { commandTimeout: 0.3, retryDelays: [] },
    );
    await expect(hub.status(id)).rejects.toMatchObject({
      code: "timeout",
      message: expect.stringContaining("within 0.3 s"),
    });
  });

  it.each([
    ["garbage", Buffer.from([0xff, 0xfe, 0x01])],
    ["an enormous length", Buffer.from([0x7f, 0xff, 0xff, 0xff, 0x7b])],
    ["JSON of another kind", Buffer.from('{"status":{}}')],
  ])("survives %s", async (_what, bytes) => {
    const { hub, id } = await one({ DEVICE_STATUS: (socket) => socket.write(bytes) });
    await expect(hub.status(id)).rejects.toMatchObject({ code: "malformed" });
    expect(hub.device(id)).toMatchObject({
      reachable: false,
      lastError: expect.stringContaining("answered"),
    });
  });

  it("survives a device that never stops talking", async () => {
    const { hub, id } = await one({
      DEVICE_STATUS: (socket) => {
        socket.write('{"a":"');
        const more = (): boolean => socket.write("x".repeat(65_536));
        socket.on("drain", more);
        while (more());
      },
    });
    await expect(hub.status(id)).rejects.toMatchObject({ code: "malformed" });
  });

  it("says nothing of a device when it is closed itself", async () => {
    const asked = Promise.withResolvers<void>();
    const { hub, id } = await one({ DEVICE_STATUS: () => asked.resolve() });
    const status = hub.status(id);
    status.catch(() => undefined);
    await asked.promise;
    await hub.close();
    await expect(status).rejects.toThrow("closed");
    expect(hub.device(id).lastError).toBeUndefined();
  });

  it("can be given up", async () => {
    const { hub, id, device } = await one({ DEVICE_STATUS: () => abort.abort(new Error("enough")) });
    const abort = new AbortController();
    await expect(hub.status(id, { signal: abort.signal })).rejects.toThrow("enough");
    expect(device.countOf("DEVICE_STATUS")).toBe(1);
  });
});

describe("a start", () => {
  it("gives all the same instant, and each its own result", async () => {
    const accepted: Answer = say(writeStatus(facts, "scheduled_recording_accepted"));
    const good = await peer({ START_RECORDING: accepted });
    const unsynchronised = await peer({
      START_RECORDING: say(writeError(facts, "time_not_synchronized", "No NTP yet")),
    });
    const hub = controller();
    const ids = [good.port, unsynchronised.port, 1].map((port) => hub.add({ host: "127.0.0.1", port }).id);
    const { at, results } = await hub.startRecording({ delay: 10 });
    expect(results.map(({ device, ok }) => [device.id, ok])).toEqual([
      [ids[0], true],
      [ids[1], false],
      [ids[2], false],
    ]);
    expect(results[1]).toMatchObject({ error: { code: "time_not_synchronized" } });
    expect(results[2]).toMatchObject({ error: { code: "unreachable" } });
    for (const { peer: device } of [good, unsynchronised]) {
      expect(device.seen.map(({ fields }) => fields.timestamp)).toEqual([at]);
    }
  });

  it.each<[string, Answer]>([
    ["recording", recording],
    ["command_received", waiting],
  ])("whose answer got lost is not given twice: %s", async (status, answer) => {
    const { hub, device } = await one({ START_RECORDING: hangUp, DEVICE_STATUS: answer });
    const { results } = await hub.startRecording({ delay: 60 });
    expect(results).toMatchObject([{ ok: true, value: { status } }]);
    expect(device.countOf("START_RECORDING")).toBe(1);
  });

  it("that got lost itself is given again in time, and not too late", async () => {
    const takesSecond: Answer = (socket, _command, count) => {
      if (count === 1) socket.destroy();
      else socket.write(writeStatus(facts, "scheduled_recording_accepted"));
    };
    const { hub, device } = await one({ START_RECORDING: takesSecond, DEVICE_STATUS: ready });
    expect((await hub.startRecording({ delay: 60 })).results).toMatchObject([{ ok: true }]);
    expect(device.countOf("START_RECORDING")).toBe(2);

    const late = await one({ START_RECORDING: hangUp, DEVICE_STATUS: ready });
    const { results } = await late.hub.startRecording({ delay: -5 });
    expect(results).toMatchObject([{ ok: false, error: { code: "unreachable" } }]);
    expect(late.device.countOf("START_RECORDING")).toBe(1);
  });
});

describe("a stop", () => {
  it("brings the file of each device", async () => {
    const { hub } = await one({
      DEVICE_STATUS: recording,
      STOP_RECORDING: say(writeStopped(facts, { fileName: "dev_1.mp4", fileSize: 12 })),
    });
    expect(await hub.stopRecording()).toMatchObject([
      { ok: true, value: { fileId: "dev_1", fileName: "dev_1.mp4", fileSize: 12, inferred: false } },
    ]);
  });

  it("is not sent to a device that does not record: some never answer then", async () => {
    const { hub, device } = await one({ DEVICE_STATUS: ready });
    expect(await hub.stopRecording()).toMatchObject([{ ok: false, error: { code: "refused" } }]);
    expect(device.countOf("STOP_RECORDING")).toBe(0);
  });

  it("whose answer got lost is found in the list of files, once it is finished", async () => {
    const files = [
      { fileName: "old.mp4", fileSize: 1, creationDate: 10, modificationDate: 10 },
      { fileName: "new.mp4", fileSize: 2, creationDate: 20, modificationDate: 20 },
    ];
    const listed = () => (device.countOf("DEVICE_STATUS") < 3 ? files.slice(0, 1) : files);
    const { hub, device } = await one({
      DEVICE_STATUS: (socket, command, count) =>
        ([recording, stopping][count - 1] ?? ready)(socket, command, count),
      STOP_RECORDING: hangUp,
      LIST_FILES: (socket) => socket.write(writeFiles(facts, listed())),
    });
    expect(await hub.stopRecording()).toMatchObject([
      { ok: true, value: { fileName: "new.mp4", inferred: true } },
    ]);
  });
});

const content = Buffer.from(Array.from({ length: 100_000 }, (_, i) => i % 253));
const header = (more: object = {}): Uint8Array =>
  withLength(JSON.stringify({ fileName: "clip.mp4", fileSize: content.length, ...more }));

describe("a session", () => {
  it("keeps the files of those that took part in one folder, with metadata, and makes up for what failed", async () => {
    const file = (name: string) => ({
      DEVICE_STATUS: recording,
      START_RECORDING: say(writeStatus(facts, "scheduled_recording_accepted")),
      STOP_RECORDING: say(writeStopped(facts, { fileName: name, fileSize: 0 })),
    });
    const send =
      (name: string): Answer =>
      (socket) =>
        socket.write(Buffer.concat([header({ fileName: name }), content]));
    const first = await peer({ ...file("a.mp4"), GET_VIDEO: send("a.mp4") });
    const second = await peer({
      ...file("b.mp4"),
      GET_VIDEO: (socket, command, count) =>
        count === 1
          ? socket.write(writeError(facts, "error", "busy"))
          : send("b.mp4")(socket, command, count),
    });
    const third = await peer({ ...file("c.mp4"), GET_VIDEO: send("c.mp4") });
    const broken = await peer({ START_RECORDING: say(writeError(facts, "error", "no camera")) });
    const hub = controller();
    const ids = [first, second, third, broken].map(
      ({ port }) => hub.add({ host: "127.0.0.1", port, name: port === third.port ? "right" : "left" }).id,
    );
    const session = new MultiCamSession(hub, { folder, name: "walk 3", task: "gait" });
    expect((await session.start({ delay: 5 })).map(({ ok }) => ok)).toEqual([true, true, true, false]);
    expect(session.devices).toEqual(ids.slice(0, 3));
    await expect(session.start()).rejects.toMatchObject({ code: "refused" });
    expect((await session.stop()).map(({ ok }) => ok)).toEqual([true, true, true]);
    expect((await session.download()).map(({ ok }) => ok)).toEqual([true, false, true]);
    expect((await session.download()).map(({ ok }) => ok)).toEqual([true]);
    expect(readdirSync(session.folder).toSorted()).toEqual(["a.mp4", "b.mp4", "c.mp4", "metadata.json"]);
    expect(JSON.parse(readFileSync(join(session.folder, "metadata.json"), "utf8"))).toEqual({
      session_name: "walk 3",
      collector_name: "Unknown",
      task: "gait",
      time_collected: `${new Date((session.at ?? 0) * 1000).toISOString().slice(0, -1)}+00:00`,
      local_timezone_offset: expect.stringMatching(/^[+-]\d\d:\d\d$/),
      // Two of one name are told apart by their ids.
      files: { [`127.0.0.1:${first.port}`]: "a.mp4", [`127.0.0.1:${second.port}`]: "b.mp4", right: "c.mp4" },
    });
  });
});

describe("a download", () => {
  it("arrives whole, with progress, under its own name, and stops at the size promised", async () => {
    const { hub, id, device } = await one({
      GET_VIDEO: (socket) =>
        socket.write(Buffer.concat([header(), content, Buffer.from("more that is not the file")])),
    });
    const seen: number[] = [];
    const got = await hub.download(id, "clip", { folder, onProgress: (bytes) => seen.push(bytes) });
    expect(got).toEqual({ path: join(folder, "clip.mp4"), fileName: "clip.mp4", bytes: content.length });
    expect(readFileSync(got.path).equals(content)).toBe(true);
    expect(seen.at(-1)).toBe(content.length);
    expect(readdirSync(folder)).toEqual(["clip.mp4"]);
    expect(device.seen[0]?.fields).toMatchObject({ command: "GET_VIDEO", fileId: "clip" });
  });

  it("that breaks begins again", async () => {
    const { hub, id } = await one({
      GET_VIDEO: (socket, _command, count) => {
        if (count === 1) socket.end(Buffer.concat([header(), content.subarray(0, 777)]));
        else socket.write(Buffer.concat([header(), content]));
      },
    });
    const { path } = await hub.download(id, "clip", { folder });
    expect(readFileSync(path).equals(content)).toBe(true);
  });

  it("of a device that goes silent is given up", async () => {
    const { hub, id } = await one(
      { GET_VIDEO: (socket) => socket.write(Buffer.concat([header(), content.subarray(0, 10)])) },
      { stallTimeout: 0.05, retryDelays: [] },
    );
    await expect(hub.download(id, "clip", { folder })).rejects.toMatchObject({
      code: "stalled",
      message: expect.stringContaining("10 of 100000 bytes"),
    });
    expect(readdirSync(folder)).toEqual([]);
  });

  it.each([
    ["its file", header(), { code: "stalled", message: expect.stringContaining("bytes came in") }],
    [
      "what comes before it",
      header().subarray(0, 5),
      { code: "timeout", message: expect.stringContaining("within 0.3 s") },
    ],
  ])("of a device that lets %s drip is given up", async (_what, begin, refusal) => {
    const { hub, id } = await one(
      {
        GET_VIDEO: (socket) => {
          socket.write(begin);
          const drip = setInterval(() => socket.write(" "), 20);
          socket.on("close", () => clearInterval(drip));
        },
      },
      { stallTimeout: 0.3, retryDelays: [] },
    );
    await expect(hub.download(id, "clip", { folder })).rejects.toMatchObject(refusal);
    expect(readdirSync(folder)).toEqual([]);
  });

  it("that is said to be larger than the disk is refused, and nothing is kept", async () => {
    const { hub, id } = await one({ GET_VIDEO: (socket) => socket.end(header({ fileSize: 2 ** 52 })) });
    await expect(hub.download(id, "clip", { folder })).rejects.toMatchObject({ code: "storage_failed" });
    expect(readdirSync(folder)).toEqual([]);
  });

  it("of 1 TB whose device closes ends as broken", async () => {
    const { hub, id } = await one(
      { GET_VIDEO: (socket) => socket.end(Buffer.concat([header({ fileSize: 5e9 }), content])) },
      { retryDelays: [] },
    );
    await expect(hub.download(id, "clip", { folder })).rejects.toMatchObject({
      code: expect.stringMatching(/unreachable|storage_failed/),
    });
    expect(readdirSync(folder)).toEqual([]);
  });

  it.each([
    ["../../etc/cron.d/evil.mp4", "evil.mp4"],
    ["C:\\Users\\me\\..\\clip.mp4", "clip.mp4"],
    ["..hidden.mp4", "hidden.mp4"],
  ])("named %j by the device becomes %s here", async (fileName, saved) => {
    const { hub, id } = await one({
      GET_VIDEO: (socket) => socket.write(Buffer.concat([header({ fileName }), content])),
    });
    expect((await hub.download(id, "clip", { folder })).path).toBe(join(folder, saved));
  });

  it("never takes the place of a file that is here", async () => {
    const { hub, id } = await one({
      GET_VIDEO: (socket) => socket.write(Buffer.concat([header(), content])),
    });
    const first = await hub.download(id, "clip", { folder });
    const second = await hub.download(id, "clip", { folder });
    expect([first.path, second.path]).toEqual([join(folder, "clip.mp4"), join(folder, "clip-2.mp4")]);
    expect(readFileSync(second.path).equals(content)).toBe(true);
  });

  it("of a file that is not there says so at once, in every dialect", async () => {
    const { hub, id } = await one({ GET_VIDEO: say(writeError(facts, "file_not_found", "No file clip")) });
    await expect(hub.download(id, "clip", { folder })).rejects.toMatchObject({ code: "file_not_found" });
    await expect(hub.download("nobody", "clip", { folder })).rejects.toMatchObject({
      code: "unknown_device",
    });
  });
});
