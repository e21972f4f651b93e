import { once } from "node:events";
import { connect, createServer, Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Networks } from "../../auth/networks.ts";
import { FakeClock } from "../../clock/fake-clock.ts";
import type { Log } from "../../log/log.ts";
import type { RecordingDevice, Uploads } from "../../multicam/contract.ts";
import { MultiCamServer } from "./server.ts";

let clock: FakeClock;
let lines: { readonly facts: Record<string, unknown>; readonly text: string }[];
let server: MultiCamServer;
let device: RecordingDevice | undefined;
const peers: Socket[] = [];

const uploads: Uploads = {
  queue: () => undefined,
  of: () => ({ current: undefined, waiting: [], failed: [] }),
  close: async () => undefined,
};
const camera = {
  ...{ deviceId: "Ocelli-00000000", cameraId: "camera0" },
  activity: () => "idle",
} as Partial<RecordingDevice> as RecordingDevice;

function make(networks: readonly string[], maxConnections = 256, maxPerClient = 64): MultiCamServer {
  const note = (facts: Record<string, unknown>, text: string): void => void lines.push({ facts, text });
  return new MultiCamServer({
    ...{ uploads, clock, deviceType: "Android:Phone", networks: new Networks(networks) },
    ...{ maxConnections, maxPerClient },
    log: { debug: () => undefined, info: note, warn: note, error: note } as unknown as Log,
    shared: () => device,
    others: [{ device: () => device, host: "127.0.0.1", port: 0 }],
  });
}

beforeEach(() => {
  clock = new FakeClock();
  lines = [];
  device = camera;
});
afterEach(async () => {
  for (const peer of peers.splice(0)) peer.destroy();
  await server.close(0);
  expect(clock.pending).toBe(0);
});

async function open(): Promise<Socket> {
  const peer = connect(server.addresses[0]?.port ?? 0, "127.0.0.1");
  peers.push(peer);
  peer.on("error", () => undefined);
  await once(peer, "connect");
  return peer;
}
/** Opens one that is turned away. */
async function refused(): Promise<void> {
  const peer = await open();
  peer.resume();
  await once(peer, "close");
}
async function answered(peer: Socket): Promise<string> {
  peer.write(JSON.stringify({ command: "DEVICE_STATUS" }));
  const [chunk] = await once(peer, "data");
  return String(chunk);
}

describe("who is turned away", () => {
  it("is told of now and then only, however often he comes", async () => {
    server = make(["10.0.0.0/8"]);
    await server.open();
    for (let i = 0; i < 5; i++) await refused();
    clock.advance(10_000);
    await refused();
    expect(lines.map(({ facts }) => facts.others)).toEqual([0, 4]);
    expect(lines[0]?.text).toContain("not allowed");
  });

  it("is one more than there is room for, and finds a place when another has gone", async () => {
    server = make(["127.0.0.0/8"], 2);
    await server.open();
    const [first, second] = [await open(), await open()];
    await answered(first);
    await answered(second);
    await refused();
    expect(lines[0]?.text).toContain("more than 2");
    first.destroy();
    let third = "";
    while (third === "") {
      const peer = await open();
      third = await Promise.race([answered(peer), once(peer, "close").then(() => "")]);
    }
    expect(third).toContain("ready");
  });

  it("is one more of a client that has his share, however much room there is", async () => {
    server = make(["127.0.0.0/8"], 256, 1);
    await server.open();
    await answered(await open());
    await refused();
    expect(lines[0]?.text).toContain("of one client");
  });

  it("is an IPv4 address by whatever name", async () => {
    server = make(["10.0.0.0/8"]);
    const socket = (remoteAddress: string) => {
      const one = Object.assign(new Socket(), { destroyed: false });
      Object.defineProperty(one, "remoteAddress", { value: remoteAddress });
      return one;
    };
    device = camera;
    const [mapped, foreign] = [socket("::ffff:10.1.2.3"), socket("::ffff:127.0.0.1")];
    for (const one of [mapped, foreign]) server.acceptShared(one);
    expect([mapped.destroyed, foreign.destroyed]).toEqual([false, true]);
  });

  it("comes to a camera that is not there yet, until it is", async () => {
    device = undefined;
    server = make(["127.0.0.0/8"]);
    await server.open();
    await refused();
    device = camera;
    expect(await answered(await open())).toContain("Ocelli-00000000");
  });
});

it("a port that is taken is named, and no other stays open", async () => {
  const holder = createServer().listen(0, "127.0.0.1");
  await once(holder, "listening");
  const address = holder.address();
  const port = address !== null && typeof address === "object" ? address.port : 0;
  server = make(["127.0.0.0/8"]);
  const both = new MultiCamServer({
    ...{ uploads, clock, deviceType: "Oak", networks: new Networks([]), shared: () => undefined },
    log: { warn: () => undefined } as unknown as Log,
    others: [
      { device: () => camera, host: "127.0.0.1", port: 0 },
      { device: () => camera, host: "127.0.0.1", port },
    ],
  });
  await expect(both.open()).rejects.toMatchObject({
    code: "port_in_use",
    message: expect.stringContaining(String(port)),
  });
  expect(both.addresses).toEqual([]);
  holder.close();
});
