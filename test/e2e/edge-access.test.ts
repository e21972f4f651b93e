import { once } from "node:events";
import { get as httpGet, type IncomingHttpHeaders } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { adminKey, type RunningHub, startHub, until, virtualCameras } from "../harness/hub.ts";

// Who is let in at the edge of the hub: sites, names, proxies, rates, numbers. Each test has addresses of its own.

let hub: RunningHub;
const proxy = "127.0.9.9";

beforeAll(async () => {
  hub = await startHub({
    env: {
      ...virtualCameras({ size: "320x240", fps: 10 }),
      OCELLI_ANONYMOUS_ENABLED: "true",
      OCELLI_ANONYMOUS_ROLE: "viewer",
      OCELLI_ANONYMOUS_NETWORKS: "127.0.1.0/24",
      OCELLI_SECURITY_ALLOWED_ORIGINS: "https://cam.example.org",
      OCELLI_SECURITY_ALLOWED_HOSTS: "cam.example.org",
      OCELLI_SECURITY_TRUSTED_PROXIES: proxy,
      OCELLI_RATE_LIMIT_CONNECTION_PER_MINUTE: "20",
      OCELLI_RATE_LIMIT_ADDRESS_PER_MINUTE: "50",
      OCELLI_CONNECTIONS_MAX: "12",
      OCELLI_CONNECTIONS_UNAUTHENTICATED_PER_ADDRESS: "5",
    },
  });
});
afterAll(async () => {
  await hub?.stop();
});

interface Given {
  /** Address this end has. */
  readonly from?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

function get(path: string, { from = "127.0.0.1", headers = {} }: Given = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = { host: "127.0.0.1", port: hub.port, path, headers, localAddress: from, agent: false };
    httpGet(options, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (text) => (body += text));
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body }),
      );
    }).on("error", reject);
  });
}

interface Reply {
  readonly id?: number;
  readonly result?: unknown;
  readonly error?: {
    readonly code: number;
    readonly message: string;
    readonly data: Record<string, unknown>;
  };
}

/** A WebSocket to the hub, or the status the upgrade was refused with. */
async function enter(given: Given = {}): Promise<{ socket: WebSocket; status: number; body: string }> {
  const { from = "127.0.0.1", headers = {} } = given;
  const socket = new WebSocket(`ws://127.0.0.1:${hub.port}/ws`, { headers, localAddress: from });
  socket.on("error", () => undefined);
  return new Promise((resolve) => {
    socket.once("open", () => resolve({ socket, status: 101, body: "" }));
    socket.once("unexpected-response", (_request, response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (text) => (body += text));
      response.on("end", () => resolve({ socket, status: response.statusCode ?? 0, body }));
    });
  });
}

async function leave(socket: WebSocket): Promise<void> {
  // Refused or gone already.
  if (socket.readyState !== WebSocket.OPEN) return;
  socket.close();
  await once(socket, "close");
}

let lastId = 0;
async function call(socket: WebSocket, method: string, params?: object): Promise<Reply> {
  const id = ++lastId;
  const answer = new Promise<Reply>((resolve, reject) => {
    const onMessage = (data: unknown): void => {
      const reply = JSON.parse(String(data)) as Reply;
      if (reply.id !== id) return;
      socket.off("message", onMessage).off("close", onClose);
      resolve(reply);
    };
    const onClose = (code: number): void => reject(new Error(`closed with ${code}`));
    socket.on("message", onMessage).once("close", onClose);
  });
  socket.send(JSON.stringify({ jsonrpc: "2.0", id, method, ...(params === undefined ? {} : { params }) }));
  return answer;
}

const list = "/api/live-link?camera=camera100";

describe("sites", () => {
  it("that are listed may read answers; browsers are told so", async () => {
    const from = "127.0.2.1";
    const listed = await get(list, {
      from,
      headers: { origin: "https://cam.example.org", "x-api-key": adminKey },
    });
    expect(listed.status).toBe(200);
    expect(listed.headers).toMatchObject({
      "access-control-allow-origin": "https://cam.example.org",
      vary: "Origin",
    });
    const other = await get(list, {
      from,
      headers: { origin: "https://evil.example", "x-api-key": adminKey },
    });
    expect(other.headers["access-control-allow-origin"]).toBeUndefined();
    expect(other.headers.vary).toBe("Origin");
    // Health tells nothing, to everybody.
    const health = await get("/health", { from, headers: { origin: "https://evil.example" } });
    expect(health.headers["access-control-allow-origin"]).toBe("*");
  });

  it("ask beforehand whether they may send a key", async () => {
    const ask = (origin: string) =>
      fetch(`${hub.url}/files/snapshots/x.jpg`, {
        method: "OPTIONS",
        headers: {
          origin,
          "access-control-request-method": "GET",
          "access-control-request-headers": "x-api-key",
        },
      });
    const allowed = await ask("https://cam.example.org");
    expect(allowed.status).toBe(204);
    expect(allowed.headers.get("access-control-allow-headers")).toContain("X-API-Key");
    expect((await ask("https://evil.example")).headers.get("access-control-allow-origin")).toBeNull();
  });

  it("that are not listed cannot open a WebSocket, even with a key", async () => {
    const from = "127.0.2.2";
    const upgrade = async (headers: Record<string, string>): Promise<number> => {
      const { socket, status } = await enter({ from, headers });
      await leave(socket);
      return status;
    };
    expect(await upgrade({ origin: "https://evil.example", "x-api-key": adminKey })).toBe(403);
    expect(await upgrade({ origin: "null" })).toBe(403);
    expect(await upgrade({ origin: "https://cam.example.org" })).toBe(101);
    expect(await upgrade({ origin: hub.url })).toBe(101);
    expect(await upgrade({})).toBe(101);
    // A name that was made to point here does not make a page the hub's own.
    expect(await upgrade({ origin: "http://evil.example", host: "evil.example" })).toBe(403);
  });
});

describe("clients without a key", () => {
  const inside = "127.0.1.7";
  it("come in from their network by a name of the hub only; others need a key", async () => {
    const status = async (host: string, more: Record<string, string> = {}, from = inside) =>
      (await get(list, { from, headers: { host, ...more } })).status;
    for (const host of ["127.0.0.1:8002", "localhost", "hub.local", "cam.example.org"])
      expect(await status(host), host).toBe(200);
    expect(await status("evil.example")).toBe(401);
    expect(await status("evil.example", { "x-api-key": adminKey })).toBe(200);
    expect(await status("localhost", {}, "127.0.3.7")).toBe(401);
  });

  it("are judged the same at the WebSocket", async () => {
    for (const [host, allowed] of [
      ["hub.local", true],
      ["evil.example", false],
    ] as const) {
      const { socket } = await enter({ from: inside, headers: { host } });
      const { error } = await call(socket, "get_camera_list");
      expect(error === undefined, host).toBe(allowed);
      const wide = await call(socket, "authenticate", { auth_token: adminKey });
      expect(wide.result).toMatchObject({ authenticated: true });
      expect((await call(socket, "get_camera_list")).error).toBeUndefined();
      await leave(socket);
    }
  });

  it("gain nothing by claiming an address, through a trusted proxy or not", async () => {
    const headers = { "x-forwarded-for": inside, "x-real-ip": inside, forwarded: `for=${inside}` };
    expect((await get(list, { from: "127.0.3.8", headers })).status).toBe(401);
    expect((await get(list, { from: proxy, headers })).status).toBe(401);
  });
});

describe("what a proxy says", () => {
  const forwarded = {
    "x-forwarded-proto": "https",
    "x-forwarded-host": "cam.example.org",
    "x-forwarded-for": "203.0.113.5",
  };
  const streamUrl = async (from: string): Promise<unknown> => {
    const { socket } = await enter({ from, headers: { ...forwarded, "x-api-key": adminKey } });
    const { result } = await call(socket, "get_stream_url", { device: "camera100" });
    await leave(socket);
    return (result as { stream_url: string }).stream_url;
  };

  it("shapes addresses when the proxy is trusted, and not when anybody else says it", async () => {
    expect(await streamUrl(proxy)).toMatch(/^https:\/\/cam\.example\.org\/live\//);
    expect(await streamUrl("127.0.4.1")).toMatch(new RegExp(`^http://127\\.0\\.0\\.1:${hub.port}/live/`));
  });

  it("is the address that is counted and written down", async () => {
    const { socket } = await enter({ from: proxy, headers: forwarded });
    await until("the log names the client", () =>
      hub.output.some((line) => line.includes("client connected") && line.includes("203.0.113.5")),
    );
    await leave(socket);
    // Each client behind the proxy has an allowance of its own; a stranger cannot make up others.
    const ask = (from: string, n: number) =>
      get("/", { from, headers: { "x-forwarded-for": `198.51.100.${n % 250}` } });
    for (let n = 0; n < 120; n++) expect((await ask(proxy, n)).status).toBe(200);
    let asked = 0;
    while (asked < 500 && (await ask("127.0.4.2", asked)).status === 200) asked++;
    expect(asked).toBeLessThan(500);
  });
});

describe("rates", () => {
  it("of a connection are limited: 20 calls, then an error that says how long to wait", async () => {
    const { socket } = await enter({ from: "127.0.5.1" });
    const answers: Reply[] = [];
    // A slow machine gets some more in the meantime.
    while (answers.length < 200 && answers.at(-1)?.error === undefined)
      answers.push(await call(socket, "ping"));
    expect(answers.slice(0, 20).every(({ result }) => result === "pong")).toBe(true);
    const refused = answers.filter(({ error }) => error !== undefined);
    expect(refused.length).toBeGreaterThan(0);
    for (const { error } of refused) {
      expect(error).toMatchObject({ code: -32002, data: { code: "rate_limited" } });
      expect(error?.data.retry_after_ms).toBeGreaterThan(0);
      expect(error?.data.retry_after_ms).toBeLessThanOrEqual(3000);
    }
    // Each member of a batch counts.
    const members = Array.from({ length: 10 }, (_, id) => ({ jsonrpc: "2.0", id: `b${id}`, method: "ping" }));
    const batch = new Promise<Reply[]>((resolve) =>
      socket.on("message", (data) => {
        const reply: unknown = JSON.parse(String(data));
        if (Array.isArray(reply)) resolve(reply);
      }),
    );
    socket.send(JSON.stringify(members));
    expect((await batch).filter(({ error }) => error?.data.code === "rate_limited").length).toBeGreaterThan(
      7,
    );
    // The admin is let in, and is not limited.
    expect((await call(socket, "authenticate", { auth_token: adminKey })).result).toMatchObject({
      role: "admin",
    });
    for (let n = 0; n < 40; n++) expect((await call(socket, "ping")).result).toBe("pong");
    await leave(socket);
  });

  it("of an address are limited over HTTP: 429 with Retry-After; health and admins are not", async () => {
    const from = "127.0.5.2";
    const answers: Answer[] = [];
    while (answers.length < 500 && answers.at(-1)?.status !== 429) answers.push(await get("/", { from }));
    expect(answers.slice(0, 50).every(({ status }) => status === 200)).toBe(true);
    const refused = answers.find(({ status }) => status === 429);
    expect(Number(refused?.headers["retry-after"])).toBeGreaterThan(0);
    expect(refused?.body).toContain("Rate limit exceeded");
    expect((await get("/health/ready", { from })).status).toBe(200);
    expect((await get(list, { from, headers: { "x-api-key": adminKey } })).status).toBe(200);
    // The same allowance as the calls of that address.
    const { socket } = await enter({ from });
    const replies: Reply[] = [];
    while (replies.length < 100 && replies.at(-1)?.error === undefined)
      replies.push(await call(socket, "ping"));
    expect(replies.length).toBeLessThan(20);
    expect(replies.at(-1)?.error?.data.code).toBe("rate_limited");
    await leave(socket);
  });
});

describe("places", () => {
  it("of one address without rights are limited; who shows a key makes room", async () => {
    const from = "127.0.6.1";
    const sockets = await Promise.all(Array.from({ length: 5 }, () => enter({ from })));
    const [first] = sockets;
    const refused = (await enter({ from })).socket;
    const [code, reason] = await once(refused, "close");
    expect([code, String(reason)]).toEqual([
      1013,
      "Too many connections from this address have not authenticated",
    ]);
    if (first !== undefined) await call(first.socket, "authenticate", { auth_token: adminKey });
    const { socket } = await enter({ from });
    expect((await call(socket, "ping")).result).toBe("pong");
    for (const one of [...sockets, { socket }]) await leave(one.socket);
  });

  it("are limited in all, and an admin still comes in", async () => {
    const headers = { "x-api-key": adminKey };
    const inside = "127.0.1.8";
    const sockets = await Promise.all(Array.from({ length: 12 }, () => enter({ from: inside })));
    const [code, reason] = await once((await enter({ from: inside })).socket, "close");
    expect([code, String(reason)]).toEqual([1013, "Connection limit reached"]);
    const wrong = await enter({
      from: inside,
      headers: { "x-api-key": "no_key_of_this_hub_0123456789_0123" },
    });
    expect((await once(wrong.socket, "close"))[0]).toBe(1013);
    const admin = await enter({ from: inside, headers });
    expect((await call(admin.socket, "get_metrics")).error).toBeUndefined();
    for (const { socket } of [...sockets, admin]) await leave(socket);
  });
});
