import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type CommandType, withLength, writeStatus, writeStopped } from "@ocelli/protocol/multicam";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MultiCamController, type MultiCamDevice, MultiCamError } from "./index.ts";
import { type Answer, Peer } from "./testing/peer.ts";

// 64 devices at once, one in nine of which is bad in a way of its own: what any device does, the others and this process
// do not notice.

const goodOnes = 57;
const content = Buffer.from(Array.from({ length: 300_000 }, (_, at) => at % 251));

const facts = { timestamp: 1000, isRecording: false, deviceType: "Android:Phone" };
const say =
  (text: string): Answer =>
  (socket) =>
    socket.write(text);

function good(deviceId: string): Partial<Record<CommandType, Answer>> {
  const self = { ...facts, deviceId };
  const fileName = `${deviceId}_1.mp4`;
  const header = withLength(JSON.stringify({ deviceId, fileName, fileSize: content.length }));
  return {
    START_RECORDING: say(writeStatus(self, "scheduled_recording_accepted")),
    DEVICE_STATUS: say(writeStatus({ ...self, isRecording: true }, "recording")),
    STOP_RECORDING: say(writeStopped(self, { fileName, fileSize: content.length })),
    GET_VIDEO: (socket) => {
      socket.write(header);
      socket.write(content);
    },
  };
}

const all = (answer: Answer): Partial<Record<CommandType, Answer>> => ({
  ...{ START_RECORDING: answer, DEVICE_STATUS: answer, STOP_RECORDING: answer, GET_VIDEO: answer },
});

/** Writes as long as anybody takes it. */
function without(end: Buffer): Answer {
  return (socket) => {
    const more = (): void => {
      while (!socket.destroyed && socket.write(end)) {}
    };
    socket.on("drain", more);
    more();
  };
}

/** One byte after the other of a reply that never ends. */
const drips: Answer = (socket) => {
  socket.write('{"deviceId":"');
  const drip = (): void => void (!socket.destroyed && socket.write("x", () => setTimeout(drip, 10)));
  drip();
};

const bad = {
  garbage: all((socket) => socket.write(Buffer.alloc(100, 0xff))),
  closing: all((socket) => socket.destroy()),
  silent: all(() => undefined),
  dripping: all(drips),
  endless: all(without(Buffer.alloc(65_536, '{"'))),
  // Answers well, and its file breaks off: in the middle, or it never comes.
  breaking: {
    ...good("breaking"),
    GET_VIDEO: ((socket: Socket) =>
      socket.end(
        Buffer.concat([withLength('{"fileName":"a.mp4","fileSize":1000}'), content.subarray(0, 10)]),
      )) satisfies Answer,
  },
};
const codes = {
  garbage: "malformed",
  closing: "unreachable",
  silent: "timeout",
  dripping: "timeout",
  endless: "malformed",
  absent: "unreachable",
};

const peers = new Map<string, Peer>();
const ids = new Map<string, string>();
const warnings: Error[] = [];
let folder: string;
let controller: MultiCamController;
let most = 0;
const before = process.memoryUsage().arrayBuffers;
const note = (): void => {
  most = Math.max(most, process.memoryUsage().arrayBuffers - before);
};
const warned = (warning: Error): void => void warnings.push(warning);

beforeAll(async () => {
  process.on("warning", warned);
  folder = mkdtempSync(join(tmpdir(), "ocelli-fleet-"));
  controller = new MultiCamController({ commandTimeout: 2, stallTimeout: 2, retryDelays: [0.01] });
  controller.on("device", note);
  const kinds = [
    ...Array.from({ length: goodOnes }, (_, at): [string, Peer] => [
      `good-${at}`,
      new Peer(good(`good-${at}`)),
    ]),
    ...Object.entries(bad).map(([name, answers]): [string, Peer] => [name, new Peer(answers)]),
  ];
  // The bad ones come first, where they would be in the way.
  for (const [name, peer] of kinds.reverse()) {
    peers.set(name, peer);
    ids.set(controller.add({ host: "127.0.0.1", port: await peer.open() }).id, name);
  }
  const closed = createServer().listen(0, "127.0.0.1");
  await once(closed, "listening");
  const address = closed.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  await new Promise((resolve) => closed.close(resolve));
  ids.set(controller.add({ host: "127.0.0.1", port: address.port }).id, "absent");
});
afterAll(async () => {
  process.off("warning", warned);
  await controller.close();
  for (const peer of peers.values()) await peer.close();
  rmSync(folder, { recursive: true, force: true });
});

const nameOf = ({ id }: MultiCamDevice): string => ids.get(id) ?? id;
const codeOf = (error: unknown): string => (error instanceof MultiCamError ? error.code : String(error));

/** One connection a device, beside one that has ended and which it has not noticed yet; and none any more. */
async function connectionsAreBounded(): Promise<void> {
  for (const [name, { connections }] of peers) expect(connections.most, name).toBeLessThanOrEqual(2);
  const open = (): number => [...peers.values()].reduce((sum, { connections }) => sum + connections.now, 0);
  await expect.poll(open, { timeout: 10_000 }).toBe(0);
}

describe("a fleet of 64 devices, 7 of them bad", () => {
  it("starts: each has its own result", async () => {
    expect(controller.devices).toHaveLength(64);
    const { results } = await controller.startRecording({ delay: 60 });
    const failed = results.filter(({ ok }) => !ok);
    expect(results.filter(({ ok }) => ok).map(({ device }) => nameOf(device))).toHaveLength(goodOnes + 1);
    expect(
      Object.fromEntries(failed.map((one) => [nameOf(one.device), one.ok ? "" : codeOf(one.error)])),
    ).toEqual(codes);
    for (const [name, peer] of peers)
      if (name.startsWith("good")) expect(peer.countOf("START_RECORDING")).toBe(1);
    await connectionsAreBounded();
  });

  it("stops, and gives its files", async () => {
    const stopped = (await controller.stopRecording()).flatMap((one) =>
      one.ok ? [{ id: one.device.id, file: one.value }] : [],
    );
    expect(stopped).toHaveLength(goodOnes + 1);
    const files = new Map(stopped.map(({ id, file }) => [id, file]));
    const results = await controller.each(
      (device) => controller.download(device.id, files.get(device.id) ?? "none", { folder }),
      { devices: stopped.map(({ id }) => id) },
    );
    const failed = results.filter(({ ok }) => !ok);
    expect(failed.map((one) => [nameOf(one.device), one.ok ? "" : codeOf(one.error)])).toEqual([
      ["breaking", "unreachable"],
    ]);
    expect(readdirSync(folder)).toHaveLength(goodOnes);
    for (const name of readdirSync(folder))
      expect(readFileSync(join(folder, name)).equals(content)).toBe(true);
    await connectionsAreBounded();
  });

  it("is heard from all the time, however long one of them takes to answer", async () => {
    const silent = peers.get("silent");
    const goodPeers = [...peers].filter(([name]) => name.startsWith("good")).map(([, peer]) => peer);
    const asked = (peer: Peer | undefined): number => peer?.countOf("DEVICE_STATUS") ?? 0;
    const waits = asked(silent);
    const heard = goodPeers.map(asked);
    controller.startPolling(0.05);
    // Meanwhile the silent one is still being waited for.
    await expect
      .poll(
        () =>
          asked(silent) === waits + 1 && goodPeers.every((peer, at) => asked(peer) >= (heard[at] ?? 0) + 3),
        {
          timeout: 30_000,
          interval: 10,
        },
      )
      .toBe(true);
    await controller.close();
    await connectionsAreBounded();
  });

  it("took a bounded memory, and made Node warn of nothing", () => {
    // A MiB for each of the files that came at once, the devices' own, and what waits to be collected. The one that
    // sends without end would fill this in a moment.
    expect(most).toBeLessThan(2 ** 27);
    expect(warnings).toEqual([]);
  });
});
