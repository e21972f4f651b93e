import { once } from "node:events";
import { createServer, type Server as HttpServer } from "node:http";
import { type AddressInfo, connect, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FakeClock } from "../clock/fake-clock.ts";
import { type SharedPort, sharePort } from "./first-bytes.ts";

let clock: FakeClock;
let http: HttpServer;
let front: Server;
let shared: SharedPort;
let others: Promise<string>[];
let wanted: boolean;
const peers: Socket[] = [];

beforeEach(async () => {
  clock = new FakeClock();
  others = [];
  wanted = true;
  http = createServer(
    { headersTimeout: 200, requestTimeout: 200, connectionsCheckingInterval: 20 },
    (_, response) => response.end("hello"),
  );
  await share(false);
});

async function share(secure: boolean): Promise<void> {
  shared = sharePort({ http, secure, other, clock });
  front = shared.server;
  front.listen(0, "127.0.0.1");
  await once(front, "listening");
}
afterEach(async () => {
  for (const peer of peers.splice(0)) peer.destroy();
  http.close();
  await new Promise((resolve) => front.close(resolve));
  expect(clock.pending).toBe(0);
});

function other(socket: Socket): boolean {
  if (wanted) {
    peers.push(socket);
    others.push(once(socket, "data").then(([chunk]) => String(chunk)));
  }
  return wanted;
}

async function open(): Promise<Socket> {
  const { port } = front.address() as AddressInfo;
  const peer = connect(port, "127.0.0.1");
  peers.push(peer);
  peer.on("error", () => undefined);
  await once(peer, "connect");
  return peer;
}
async function all(peer: Socket): Promise<string> {
  let text = "";
  peer.on("data", (chunk) => {
    text += String(chunk);
  });
  await once(peer, "close");
  return text;
}

describe("a port that is shared", () => {
  it("gives HTTP what begins with a letter, whole, and the rest to whom it wants", async () => {
    const web = await open();
    web.write("G");
    web.write("ET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    expect(await all(web)).toMatch(/^HTTP\/1\.1 200 OK[\s\S]*hello/);
    for (const bytes of ['{"command":', "\0\0\0\x02{}", " \r\n{"]) {
      const peer = await open();
      peer.write(bytes);
    }
    while (others.length < 3) await new Promise((resolve) => setImmediate(resolve));
    expect((await Promise.all(others)).sort()).toEqual(["\0\0\0\x02{}", " \r\n{", '{"command":']);
  });

  it("closes what nobody wants, and who says nothing", async () => {
    wanted = false;
    const unwanted = await open();
    unwanted.write("\x16\x03\x01");
    expect(await all(unwanted)).toBe("");
    const accepted = once(front, "connection");
    const silent = await open();
    await accepted;
    const closed = all(silent);
    clock.advance(30_000);
    expect(await closed).toBe("");
  });

  it("gives TLS, and requests in the clear, to a server that speaks it", async () => {
    await new Promise((resolve) => front.close(resolve));
    await share(true);
    let count = 0;
    http.on("connection", () => count++);
    for (const bytes of ["\x16\x03\x01", "GET / HTTP/1.1\r\n\r\n"]) {
      const peer = await open();
      peer.write(bytes);
      await all(peer);
    }
    expect(count).toBe(2);
    const device = await open();
    device.write('{"command":');
    while (others.length === 0) await new Promise((resolve) => setImmediate(resolve));
    expect(await others[0]).toBe('{"command":');
  });

  it("lets go of who has not said anything when it closes", async () => {
    const accepted = once(front, "connection");
    const silent = await open();
    await accepted;
    const closed = new Promise((resolve) => front.close(resolve));
    const ended = all(silent);
    shared.dropSilent();
    await Promise.all([closed, ended]);
  });

  it("ends HTTP requests that do not arrive, and idle connections when it closes", async () => {
    const slow = await open();
    slow.write("GET / HTTP/1.1\r\nX:");
    expect(await all(slow)).toContain("408 Request Timeout");
    const idle = await open();
    idle.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    await once(idle, "data");
    const closed = once(idle, "close");
    http.closeIdleConnections();
    await closed;
  });
});
