import { once } from "node:events";
import { connect } from "node:net";
import pino from "pino";
import { afterEach, expect, it } from "vitest";
import { WebSocket } from "ws";
import { SystemClock } from "../clock/system-clock.ts";
import { createHttpApp } from "./http-app.ts";
import { Listener } from "./listener.ts";
import { Upgrades } from "./upgrades.ts";

const log = pino({ level: "silent" });
const clock = new SystemClock();
const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function start(options: Partial<ConstructorParameters<typeof Upgrades>[0]>) {
  const upgrades = new Upgrades({ clock, log, ...options });
  upgrades.add({ path: "/ws", maxPayloadBytes: 100, accept: (socket) => socket.send("welcome") });
  const app = createHttpApp({ log });
  const listener = new Listener({ app, upgrades, addresses: ["127.0.0.1:0"], explicit: true, clock, log });
  cleanups.push(() => listener.close());
  const port = (await listener.open())[0]?.port ?? 0;
  return { upgrades, port };
}

async function enter(port: number, headers: Record<string, string> = {}): Promise<WebSocket> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`, { headers });
  await once(socket, "open");
  cleanups.push(() => socket.terminate());
  return socket;
}

const upgrade = (more = ""): string =>
  `GET /ws HTTP/1.1\r\nHost: hub\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${more}\r\n`;

/** All that comes back until the hub closes. */
async function raw(port: number, ...writes: (string | Buffer)[]): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  let received = "";
  socket.on("data", (chunk) => {
    received += chunk.toString("latin1");
    const next = writes.shift();
    if (next !== undefined) socket.write(next);
  });
  socket.write(writes.shift() ?? "");
  await once(socket, "close");
  return received;
}

it("answers 503 with a reason when all places are taken, and takes the next one in when one is free", async () => {
  const { upgrades, port } = await start({ maxSockets: 1 });
  const first = await enter(port);
  const refusal = await raw(port, upgrade());
  expect(refusal).toMatch(/^HTTP\/1\.1 503 .*\r\n(?:.*\r\n)*Retry-After: 5\r\n/);
  expect(refusal).toContain("All 1 places for connections are taken; try again later");
  first.terminate();
  await expect.poll(() => upgrades.size).toBe(0);
  await enter(port);
});

it("answers 403 with a reason to pages of other sites, and asks the whole request", async () => {
  const seen: (string | undefined)[] = [];
  const { port } = await start({
    originAllowed: (origin, request) => {
      seen.push(request.headers.host);
      return origin === "https://good.example";
    },
  });
  expect(await raw(port, upgrade("Origin: https://evil.example\r\n"))).toMatch(
    /^HTTP\/1\.1 403 [\s\S]*not in the setting security\.allowedOrigins$/,
  );
  await enter(port, { origin: "https://good.example" });
  expect(seen).toEqual(["hub", `127.0.0.1:${port}`]);
});

it("cuts a peer that sends no frames and does not answer the close", async () => {
  const { upgrades, port } = await start({});
  const received = await raw(port, upgrade(), Buffer.alloc(64, 0xff));
  expect(received).toContain("HTTP/1.1 101");
  // 1002, "protocol error", before the end.
  expect(received).toContain("\x88\x02\x03\xea");
  await expect.poll(() => upgrades.size).toBe(0);
});

it("closes a message that comes in too many pieces, however small", async () => {
  const { upgrades, port } = await start({});
  // Text, not final, without a byte; then ever more of the same message.
  const begin = Buffer.from([0x01, 0x80, 0, 0, 0, 0]);
  const more = Buffer.from([0x00, 0x80, 0, 0, 0, 0]);
  const received = await raw(port, upgrade(), Buffer.concat([begin, ...Array<Buffer>(256).fill(more)]));
  // 1008, "policy violation", before the end.
  expect(received).toContain("\x88\x02\x03\xf0");
  await expect.poll(() => upgrades.size).toBe(0);
});
