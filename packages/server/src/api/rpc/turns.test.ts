// What one client may take of the hub: neither its time nor its memory, whoever it is.
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import WebSocket from "ws";
import { startTestServer, type TestServer } from "./testing/server.ts";

let server: TestServer;
beforeEach(async () => {
  server = await startTestServer();
});
afterEach(() => server.close());

describe("a client with much to ask", () => {
  const calls = 40;

  it.each(["one after the other", "in a batch"])("lets others have their turn: %s", async (how) => {
    const busy = await server.login("viewer");
    const other = await server.login("viewer");
    const page = server.library.page.bind(server.library);
    let done = 0;
    let pong: number | undefined;
    let doneAtPong = 0;
    server.library.page = (kind, options) => {
      server.clock.advance(20);
      // From now on both are waiting.
      pong ??= other.request("ping");
      done++;
      return page(kind, options);
    };
    const request = (id: number) => ({ jsonrpc: "2.0", id: `l${id}`, method: "list_recordings" });
    const requests = Array.from({ length: calls }, (_, id) => request(id));
    if (how === "in a batch") busy.send(requests);
    else for (const one of requests) busy.send(one);
    await other.until(({ id }) => pong !== undefined && Number(id) === pong);
    doneAtPong = done;
    while (done < calls) await busy.settle();
    expect(doneAtPong).toBeLessThan(calls / 2);
    const last = `l${calls - 1}`;
    const answered = await busy.until((message) =>
      Array.isArray(message) ? message.length === calls : String(message.id) === last,
    );
    expect(JSON.stringify(answered)).toContain(last);
  });
});

describe("a client that has not shown who it is", () => {
  const long = { jsonrpc: "2.0", id: "x".repeat(100_000), method: "ping" };

  it.each(["whole", "never to be"])("may not have a long message kept: %s", async (kind) => {
    const stranger = await server.connect();
    if (kind === "whole") stranger.send(long);
    else for (let n = 0; n < 10; n++) stranger.socket.send("x".repeat(50_000), { fin: false });
    // The close is out; what else the other end sends is not looked at, its answer neither.
    await expect.poll(() => stranger.socket.readyState).not.toBe(WebSocket.OPEN);
    server.clock.advance(2000);
    expect(await stranger.closed).toEqual({ code: 1009, reason: expect.stringContaining("authenticate") });
  });

  it("may send as many short ones as it likes", async () => {
    const stranger = await server.connect();
    for (let count = 0; count < 300; count++)
      stranger.send({ jsonrpc: "2.0", id: `${count}${"x".repeat(1000)}`, method: "ping" });
    await stranger.settle();
    expect(stranger.received).toHaveLength(301);
  });

  it("may, once it has, also in one go and with a header", async () => {
    const token = server.key.viewer;
    const known = await server.connect();
    known.request("authenticate", { auth_token: token });
    known.send(long);
    expect((await known.response(long.id)).result).toBe("pong");
    const byHeader = await server.connect({ headers: { "x-api-key": token } });
    byHeader.send(long);
    expect((await byHeader.response(long.id)).result).toBe("pong");
  });
});
