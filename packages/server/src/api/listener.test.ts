import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { connect, createServer, type Server } from "node:net";
import { promisify } from "node:util";
import pino from "pino";
import { afterEach, describe, expect, it } from "vitest";
import WebSocket from "ws";
import { SystemClock } from "../clock/system-clock.ts";
import { createHttpApp } from "./http-app.ts";
import { Listener, parseListenAddress } from "./listener.ts";
import { Upgrades } from "./upgrades.ts";

const run = promisify(execFile);
const log = pino({ level: "silent" });
const clock = new SystemClock();
const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function make(
  addresses: readonly string[],
  explicit: boolean,
  closeTimeoutMs = 1000,
  more: { readonly maxConnections?: number; readonly stallTimeoutMs?: number } = {},
) {
  const app = createHttpApp({ log });
  app.get("/large", (request) => {
    request.raw.socket.once("close", () => process.emit("ocelli-test-cut" as never));
    return Buffer.alloc(64 * 1024 * 1024);
  });
  app.get("/hello", () => "hello");
  app.get("/slow", async () => await once(process, "ocelli-test-release").then(() => "done"));
  const upgrades = new Upgrades({ clock, log, originAllowed: (origin) => origin !== "http://evil.example" });
  upgrades.add({
    path: "/echo/:word",
    maxPayloadBytes: 100,
    selectProtocol: (offered) => (offered.has("echo-protocol") ? "echo-protocol" : undefined),
    accept: (socket, _request, params) => socket.send(params.word ?? ""),
  });
  const listener = new Listener({ app, upgrades, addresses, explicit, clock, log, closeTimeoutMs, ...more });
  cleanups.push(() => listener.close());
  return listener;
}

/** A port held by this process. */
async function takenPort(): Promise<number> {
  const server: Server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanups.push(() => server.close());
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

describe("Listener", () => {
  it("serves the same on every address", async () => {
    const bound = await make(["127.0.0.1:0", "[::1]:0"], true).open();
    expect(bound).toHaveLength(2);
    expect(await (await fetch(`http://127.0.0.1:${bound[0]?.port}/hello`)).text()).toBe("hello");
    expect(await (await fetch(`http://[::1]:${bound[1]?.port}/hello`)).text()).toBe("hello");
    expect((await fetch(`http://127.0.0.1:${bound[0]?.port}/nothing`)).status).toBe(404);
  });

  it("cuts connections beyond its limit, of all addresses together, and takes the next when one is gone", async () => {
    const bound = await make(["127.0.0.1:0", "127.0.0.1:0"], true, 1000, { maxConnections: 2 }).open();
    const [first = 0, second = 0] = bound.map(({ port }) => port);
    const silent = [connect(first, "127.0.0.1"), connect(second, "127.0.0.1")];
    cleanups.push(() => silent.map((socket) => socket.destroy()));
    await Promise.all(silent.map((socket) => once(socket, "connect")));
    const hello = () =>
      fetch(`http://127.0.0.1:${second}/hello`, { headers: { connection: "close" } }).then(
        (response) => response.text(),
        () => "cut",
      );
    expect(await hello()).toBe("cut");
    silent[0]?.destroy();
    await expect.poll(hello).toBe("hello");
  });

  it("cuts a client that takes nothing of its answer, and leaves a silent WebSocket alone", async () => {
    const port = (await make(["127.0.0.1:0"], true, 1000, { stallTimeoutMs: 200 }).open())[0]?.port ?? 0;
    const quiet = new WebSocket(`ws://127.0.0.1:${port}/echo/hello`);
    cleanups.push(() => quiet.terminate());
    await once(quiet, "message");
    const cut = once(process, "ocelli-test-cut");
    const stalled = connect(port, "127.0.0.1").pause();
    cleanups.push(() => stalled.destroy());
    stalled.on("error", () => {});
    stalled.write("GET /large HTTP/1.1\r\nHost: hub\r\n\r\n");
    await cut;
    expect(quiet.readyState).toBe(WebSocket.OPEN);
  });

  it("answers a plain request that also offers HTTP/2", async () => {
    const port = (await make(["127.0.0.1:0"], true).open())[0]?.port;
    const { stdout } = await run("curl", ["-sSf", "--http2", `http://127.0.0.1:${port}/hello`]);
    expect(stdout).toBe("hello");
  });

  it("refuses a named port that is taken, says by whom, and leaves nothing open", async () => {
    const port = await takenPort();
    const listener = make(["127.0.0.1:0", `127.0.0.1:${port}`], true);
    const failure = await listener.open().then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(failure).toMatchObject({ code: "port_in_use", details: { port, holder: { pid: process.pid } } });
    expect(String(failure)).toContain(`process ${process.pid} (`);
    expect(listener.addresses).toEqual([]);
  });

  it("names another process too", async () => {
    const script =
      "import socket,sys,time\ns=socket.socket();s.bind(('0.0.0.0',0));s.listen();print(s.getsockname()[1],flush=True);sys.stdin.read()";
    const child = spawn("python3", ["-c", script], { stdio: ["pipe", "pipe", "inherit"] });
    cleanups.push(() => child.stdin.end());
    const port = Number(String((await once(child.stdout, "data"))[0]));
    await expect(make([`127.0.0.1:${port}`], true).open()).rejects.toMatchObject({
      details: { holder: { pid: child.pid, command: "python3" } },
    });
  });

  it("only warns about a taken port of the default list while another is up", async () => {
    const port = await takenPort();
    const listener = make([`127.0.0.1:${port}`, "127.0.0.1:0"], false);
    expect(await listener.open()).toHaveLength(1);
    expect(listener.warnings[0]).toContain(String(port));
    await expect(make([`127.0.0.1:${port}`], false).open()).rejects.toMatchObject({ code: "port_in_use" });
  });

  it("refuses addresses that cannot be", async () => {
    expect(parseListenAddress("[::]:8002")).toEqual({ host: "::", port: 8002 });
    expect(() => parseListenAddress("8002")).toThrow(/host:port/);
    expect(() => parseListenAddress("a:70000")).toThrow(/host:port/);
    await expect(make(["192.0.2.1:0"], true).open()).rejects.toMatchObject({ code: "config_invalid" });
  });

  it("routes upgrades by path, with subprotocol and size limit", async () => {
    const port = (await make(["127.0.0.1:0"], true).open())[0]?.port;
    const socket = new WebSocket(`ws://127.0.0.1:${port}/echo/caf%C3%A9?x=1`, "echo-protocol");
    expect(String((await once(socket, "message"))[0])).toBe("café");
    expect(socket.protocol).toBe("echo-protocol");
    socket.send("x".repeat(101));
    expect((await once(socket, "close"))[0]).toBe(1009);
    const evil = new WebSocket(`ws://127.0.0.1:${port}/echo/a`, { origin: "http://evil.example" });
    expect(String((await once(evil, "error"))[0])).toContain("403");
    const bad = new WebSocket(`ws://127.0.0.1:${port}/echo/%ff`);
    expect((await once(bad, "close"))[0]).toBe(1008);
  });

  it("lets a running request finish at the end, and ends idle connections and sockets", async () => {
    const listener = make(["127.0.0.1:0"], true, 5000);
    const port = (await listener.open())[0]?.port;
    const socket = new WebSocket(`ws://127.0.0.1:${port}/echo/a`);
    const gone = once(socket, "close");
    await once(socket, "message");
    const slow = fetch(`http://127.0.0.1:${port}/slow`);
    await expect.poll(() => process.listenerCount("ocelli-test-release" as "exit")).toBe(1);
    const closing = listener.close();
    expect(listener.close()).toBe(closing);
    expect(await gone).toMatchObject([1001, Buffer.from("Server shutdown")]);
    process.emit("ocelli-test-release" as "disconnect");
    expect(await (await slow).text()).toBe("done");
    await closing;
    await expect(fetch(`http://127.0.0.1:${port}/hello`)).rejects.toThrow();
  });

  it("cuts what does not end in time", async () => {
    const listener = make(["127.0.0.1:0"], true, 50);
    const port = (await listener.open())[0]?.port;
    const slow = fetch(`http://127.0.0.1:${port}/slow`).then(
      () => "answered",
      () => "cut",
    );
    const mute = new WebSocket(`ws://127.0.0.1:${port}/echo/a`);
    await once(mute, "message");
    (mute as unknown as { _socket: { pause(): void } })._socket.pause();
    await expect.poll(() => process.listenerCount("ocelli-test-release" as "exit")).toBe(1);
    await listener.close();
    expect(await slow).toBe("cut");
    process.emit("ocelli-test-release" as "disconnect");
    mute.terminate();
  });
});
