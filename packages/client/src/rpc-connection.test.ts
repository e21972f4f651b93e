import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { WebSocketServer } from "ws";
import { RpcConnection } from "./index.ts";
import { downloadFile } from "./node/index.ts";

/** What the server answers a request with: members of the response, or text sent as it is. */
type Answer = (request: { id: number; method: string; params: unknown }) => object | string | undefined;

let http: Server;
let sockets: WebSocketServer;
let answer: Answer;
let port: number;
let folder: string;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "ocelli-client-"));
  http = createServer((request, response) => {
    if (request.headers["x-api-key"] !== "key") response.writeHead(401).end();
    else if (request.url === "/files/recordings/a%20%C3%A4.mp4") response.end("content of the file");
    else if (request.url === "/files/snapshots/cut.jpg") {
      response.writeHead(200, { "Content-Length": "100" }).write("only a part");
      setImmediate(() => response.destroy());
    } else response.writeHead(404).end();
  });
  sockets = new WebSocketServer({ server: http, path: "/ws" });
  sockets.on("connection", (socket) =>
    socket.on("message", (data) => {
      const request = JSON.parse(data.toString());
      const given = answer(request);
      if (given === undefined) return;
      socket.send(
        typeof given === "string" ? given : JSON.stringify({ jsonrpc: "2.0", id: request.id, ...given }),
      );
    }),
  );
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  port = (http.address() as AddressInfo).port;
});
afterEach(async () => {
  for (const socket of sockets.clients) socket.terminate();
  sockets.close();
  http.closeAllConnections();
  await new Promise((resolve) => http.close(resolve));
  rmSync(folder, { recursive: true, force: true });
});

const connect = () => RpcConnection.connect({ url: `ws://127.0.0.1:${port}/ws`, requestTimeoutMs: 5000 });

describe("a connection", () => {
  it("matches answers to calls, whatever their order", async () => {
    const held: string[] = [];
    answer = ({ id, method }) => {
      held.push(JSON.stringify({ jsonrpc: "2.0", id, result: `${method} ${id}` }));
      if (held.length < 3) return undefined;
      for (const text of held.reverse().slice(0, 2)) for (const socket of sockets.clients) socket.send(text);
      return held[2];
    };
    await using connection = await connect();
    const results = await Promise.all(["a", "b", "c"].map((method) => connection.request(method)));
    expect(results).toEqual(["a 1", "b 2", "c 3"]);
  });

  it.each([
    [{ error: { code: -32004, message: "Camera not found: x" } }, "camera_not_found"],
    [
      { error: { code: -1003, message: "x", data: { code: "not_recording" } }, result: null },
      "not_recording",
    ],
    [{ result: { success: false, error: "Camera not found: x", error_code: -32004 } }, "camera_not_found"],
    [{ result: { authenticated: false, error: "no" } }, "auth_failed"],
  ])("throws the error meant by %j", async (given, condition) => {
    answer = () => given;
    await using connection = await connect();
    await expect(connection.call("take_snapshot", { device: "x" })).rejects.toMatchObject({ condition });
  });

  it("says which kind of credential it gives, so that a refusal speaks of that", async () => {
    const given: unknown[] = [];
    answer = ({ params }) => {
      given.push(params);
      return { result: { authenticated: true } };
    };
    await using connection = await connect();
    await connection.authenticate("camera_service_sk_x");
    await connection.authenticate("a.b.c");
    expect(given).toEqual([
      { auth_token: "camera_service_sk_x", auth_type: "api_key" },
      { auth_token: "a.b.c", auth_type: "jwt" },
    ]);
  });

  it("gives up a call in time, and is not confused by its late answer", async () => {
    let late = "";
    answer = ({ id, method }) => {
      if (method === "ping") return { result: "pong" };
      late = JSON.stringify({ jsonrpc: "2.0", id, result: "late" });
      return undefined;
    };
    await using connection = await connect();
    await expect(connection.request("slow", {}, { timeoutMs: 20 })).rejects.toMatchObject({
      condition: "request_timeout",
    });
    for (const socket of sockets.clients)
      for (const text of [late, "no json", "5", "null", "{}"]) socket.send(text);
    expect(await connection.call("ping")).toBe("pong");
  });

  it("ends all calls when it ends, and takes no more", async () => {
    answer = () => undefined;
    const connection = await connect();
    const call = connection.call("ping");
    const checked = expect(call).rejects.toMatchObject({ condition: "connection_lost" });
    for (const socket of sockets.clients) socket.close(1001, "Server shutdown");
    await checked;
    expect(await connection.closed).toEqual({ code: 1001, reason: "Server shutdown" });
    await expect(connection.call("ping")).rejects.toMatchObject({ condition: "connection_lost" });
    await connection.close();
    await connection.close();
  });

  it("gives notifications to its listeners until they unsubscribe", async () => {
    answer = () => ({ result: "pong" });
    await using connection = await connect();
    const seen: unknown[] = [];
    const off = connection.on("camera_status_update", (params) => seen.push(params));
    const tell = (params: unknown): void => {
      const text = JSON.stringify({ jsonrpc: "2.0", method: "camera_status_update", params });
      for (const socket of sockets.clients) socket.send(text);
    };
    tell(1);
    await connection.call("ping");
    off();
    tell(2);
    await connection.call("ping");
    expect(seen).toEqual([1]);
  });

  it("says that nobody answers", async () => {
    const free = createServer();
    free.listen(0, "127.0.0.1");
    await once(free, "listening");
    const url = `ws://127.0.0.1:${(free.address() as AddressInfo).port}/ws`;
    await new Promise((resolve) => free.close(resolve));
    await expect(RpcConnection.connect({ url })).rejects.toMatchObject({ condition: "connect_failed" });
  });

  it("says that the answer takes too long", async () => {
    const silent = createServer();
    const upgraded: Duplex[] = [];
    silent.on("upgrade", (_request, socket) => upgraded.push(socket));
    silent.listen(0, "127.0.0.1");
    await once(silent, "listening");
    const url = `ws://127.0.0.1:${(silent.address() as AddressInfo).port}/ws`;
    await expect(RpcConnection.connect({ url, connectTimeoutMs: 50 })).rejects.toMatchObject({
      condition: "connect_failed",
    });
    for (const socket of upgraded) socket.destroy();
    await new Promise((resolve) => silent.close(resolve));
  });
});

describe("a download", () => {
  const download = (kind: "recording" | "snapshot", filename: string, key = "key") =>
    downloadFile({
      baseUrl: `http://127.0.0.1:${port}`,
      kind,
      filename,
      key,
      retryDelay: 0.01,
      to: join(folder, "file"),
    });

  it("is written whole", async () => {
    await download("recording", "a ä.mp4");
    expect(readFileSync(join(folder, "file"), "utf8")).toBe("content of the file");
  });

  it.each([
    ["recording", "none", "key", "file_not_found"],
    ["recording", "a ä.mp4", "wrong", "auth_required"],
    ["snapshot", "cut.jpg", "key", "connection_lost"],
  ] as const)("of %s %s with %s leaves nothing behind: %s", async (kind, filename, key, condition) => {
    await expect(download(kind, filename, key)).rejects.toMatchObject({ condition });
    expect(readdirSync(folder)).toEqual([]);
  });

  it("says why it could not be written", async () => {
    writeFileSync(join(folder, "no folder"), "");
    const to = join(folder, "no folder", "file");
    await expect(
      downloadFile({
        baseUrl: `http://127.0.0.1:${port}`,
        kind: "recording",
        filename: "a ä.mp4",
        key: "key",
        to,
      }),
    ).rejects.toMatchObject({
      condition: "storage_failed",
      message: expect.stringMatching(/EEXIST|ENOTDIR/),
    });
  });
});
