import { createServer } from "node:net";
import { describe, expect, it } from "vitest";
import {
  AuthenticationError,
  CameraClient,
  type CameraClientOptions,
  ConnectionError,
  ConnectionPool,
  isTokenExpired,
  TimeoutError,
} from "./node/index.ts";
import { type Script, ScriptedServer } from "./testing/scripted-server.ts";

// How the client keeps its connection, its subscriptions and its promises.

const fast = { host: "127.0.0.1", retryDelay: 0.01, reconnectDelay: 0.01, maxReconnectDelay: 0.05 } as const;
const authentic: Script = { authenticate: { result: { authenticated: true } } };

function clientOf(server: ScriptedServer, more: CameraClientOptions = {}): CameraClient {
  return new CameraClient({ ...fast, port: server.port, logger: null, ...more });
}

function jwt(claims: object): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "HS256" })}.${part(claims)}.c2lnbmF0dXJl`;
}
const inSeconds = (seconds: number) => Math.floor(Date.now() / 1000) + seconds;

async function errorOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error: unknown) => error,
  );
}

describe("connecting", () => {
  it("says how often it tried and why it failed", async () => {
    const free = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => free.once("listening", resolve));
    const { port } = free.address() as { port: number };
    await new Promise((resolve) => free.close(resolve));
    const client = new CameraClient({ ...fast, port, maxRetries: 2, logger: null });
    const error = await errorOf(client.connect());
    expect(error).toBeInstanceOf(ConnectionError);
    expect(error).toMatchObject({
      message: expect.stringMatching(/^Failed to connect after 2 attempts: .*ECONNREFUSED/),
      condition: "connect_failed",
      cause: expect.any(ConnectionError),
    });
  });

  it("tries again after a failed attempt", async () => {
    await using server = await ScriptedServer.start({});
    let pings = 0;
    server.script.ping = () =>
      ++pings < 3 ? { error: { code: -32603, message: "Internal error" } } : { result: "pong" };
    await using client = clientOf(server);
    await client.connect();
    expect(server.upgrades).toHaveLength(3);
    expect(server.connections).toBe(1);
  });

  it("is one attempt for all who ask, and none when connected", async () => {
    await using server = await ScriptedServer.start({});
    await using client = clientOf(server);
    await Promise.all([client.connect(), client.connect(), client.connect()]);
    await client.connect();
    expect(server.upgrades).toHaveLength(1);
  });

  it.each([
    [{ authType: "jwt", apiKey: "k" }, /^No authentication token provided/],
    [{ authType: "api_key", authToken: "t" }, /^No authentication token provided/],
  ] as const)("with %j needs another credential", async (options, message) => {
    await using server = await ScriptedServer.start(authentic);
    const error = await errorOf(clientOf(server, options).connect());
    expect(error).toBeInstanceOf(AuthenticationError);
    expect(error).toMatchObject({ message: expect.stringMatching(message) });
    expect(server.requests).toEqual([]);
  });

  it.each([
    [{ apiKey: "k" }, "api_key"],
    [{ auth_type: "api_key", api_key: "k", auth_token: "t" }, "api_key"],
    [{ authToken: "t", apiKey: "k" }, "jwt"],
  ] as const)("with %j authenticates by %s", async (options, type) => {
    await using server = await ScriptedServer.start(authentic);
    await using client = new CameraClient({ ...fast, port: server.port, ...options });
    await client.connect();
    expect(server.asked("authenticate")[0]?.params.auth_type).toBe(type);
  });

  it("is given up when its signal is aborted, or by disconnect", async () => {
    await using server = await ScriptedServer.start({ ping: undefined });
    const client = clientOf(server);
    const abort = new AbortController();
    const attempt = client.connect({ signal: abort.signal });
    abort.abort(new Error("enough"));
    await expect(attempt).rejects.toThrow("enough");
    const second = errorOf(client.connect());
    await client.disconnect();
    expect(await second).toBeInstanceOf(ConnectionError);
    await expect(client.ping()).rejects.toThrow("Not connected to camera service");
  });

  it("fails at once when the upgrade is refused for its credential", async () => {
    await using server = await ScriptedServer.start({});
    server.refuse = 401;
    expect(await errorOf(clientOf(server).connect())).toBeInstanceOf(AuthenticationError);
    expect(server.upgrades).toHaveLength(1);
  });

  it("refuses options that cannot be right", () => {
    expect(() => new CameraClient({ port: 70_000 })).toThrow("port");
    expect(() => new CameraClient({ retryDelay: Number.NaN })).toThrow("retryDelay");
    // @ts-expect-error verification cannot be switched off
    expect(() => new CameraClient({ rejectUnauthorized: false })).toThrow("always verified");
  });
});

describe("a call", () => {
  it("can be aborted, and times out", async () => {
    await using server = await ScriptedServer.start({ slow: undefined });
    await using client = clientOf(server, { requestTimeout: 0.05 });
    await client.connect();
    const abort = new AbortController();
    const call = client.call("slow", {}, { signal: abort.signal, timeout: 0 });
    abort.abort(new Error("enough"));
    await expect(call).rejects.toThrow("enough");
    await expect(client.call("slow", {}, { signal: abort.signal })).rejects.toThrow("enough");
    const late = await errorOf(client.call("slow"));
    expect(late).toBeInstanceOf(TimeoutError);
    expect(late).toMatchObject({ message: "Request timeout: slow" });
    expect(await client.ping()).toBe("pong");
  });

  it("of many in parallel gets its own answer", async () => {
    await using server = await ScriptedServer.start({
      take_snapshot: ({ params }, socket) => {
        void socket;
        return { result: { filename: `${params.device}.jpg`, file_size: 1 } };
      },
    });
    await using client = clientOf(server);
    await client.connect();
    const names = Array.from({ length: 50 }, (_, index) => `camera${index}`);
    const files = await Promise.all(names.map((name) => client.take_snapshot(name)));
    expect(files.map(({ filename }) => filename)).toEqual(names.map((name) => `${name}.jpg`));
  });

  it("under way fails when the connection is lost", async () => {
    await using server = await ScriptedServer.start({ slow: undefined });
    await using client = clientOf(server, { autoReconnect: false });
    await client.connect();
    const call = errorOf(client.call("slow"));
    server.drop();
    expect(await call).toMatchObject({ name: "ConnectionError", condition: "connection_lost" });
  });
});

describe("a lost connection", () => {
  it("is told once and made again: authenticated, subscribed, from the last event on", async () => {
    const script: Script = {
      ...authentic,
      subscribe_events: ({ params }) => ({ result: { subscribed: true, topics: params.topics } }),
    };
    await using server = await ScriptedServer.start(script);
    await using client = clientOf(server, { authToken: "t" });
    let lost = 0;
    client.setConnectionLostCallback(() => lost++);
    await client.connect();
    await client.subscribeEvents(["camera.connected", "recording.stop"], { filters: { device: "camera0" } });
    const event = client.once("notification");
    server.tell("camera.connected", { device: "camera0", seq: 41 });
    expect((await event).params).toMatchObject({ seq: 41 });
    const again = client.once("connected");
    server.drop();
    expect(await again).toEqual({ reconnected: true });
    expect(lost).toBe(1);
    expect(server.requests.map(({ method }) => method)).toEqual([
      "authenticate",
      "ping",
      "subscribe_events",
      "authenticate",
      "ping",
      "subscribe_events",
    ]);
    expect(server.asked("subscribe_events")[1]?.params).toEqual({
      topics: ["camera.connected", "recording.stop"],
      filters: { device: "camera0" },
      since: 41,
    });
    expect(await client.ping()).toBe("pong");
  });

  it("is subscribed again without replay where the server refuses one", async () => {
    await using server = await ScriptedServer.start({
      subscribe_events: ({ params }) =>
        "since" in params ? { error: { code: -32602, message: "Invalid parameters" } } : { result: {} },
    });
    await using client = clientOf(server);
    await client.connect();
    await client.subscribeEvents(["camera_status_update"]);
    const event = client.once("camera_status_update");
    server.tell("camera_status_update", { device: "camera0", seq: 1 });
    await event;
    const again = client.once("connected");
    server.drop();
    await again;
    expect(server.asked("subscribe_events").map(({ params }) => params)).toEqual([
      { topics: ["camera_status_update"] },
      { topics: ["camera_status_update"], since: 1 },
      { topics: ["camera_status_update"] },
    ]);
  });

  it("brings what was missed of the broadcasts, in the same vocabulary, to who never subscribed", async () => {
    await using server = await ScriptedServer.start({
      unsubscribe_events: { result: { unsubscribed: true } },
      subscribe_events: ({ params: { since } }) => ({
        result: {
          subscribed: true,
          latest_seq: 90,
          ...(since === undefined ? {} : { replay: { since, gone: since === 7, complete_after: 50 } }),
        },
      }),
    });
    await using client = clientOf(server);
    await client.connect();
    const event = client.once("camera_status_update");
    server.tell("camera_status_update", { device: "/dev/video0", device_path: "/dev/video0", seq: 7 });
    await event;
    const again = client.once("connected");
    const lost = client.once("eventsLost");
    server.drop();
    await again;
    const topics = ["camera_status_update", "recording_status_update", "system_health_update"];
    expect(await lost).toEqual({ topics, since: 7, completeAfter: 50 });
    expect(server.asked("subscribe_events").map(({ params }) => params)).toEqual([{ topics, since: 7 }]);
    expect(server.upgrades.map(({ url }) => url)).toEqual(["/ws", "/ws?names=path"]);
    // What its user then subscribes to is all there is.
    await client.subscribeEvents(["recording_status_update", "clock.step"]);
    expect(server.asked("unsubscribe_events").map(({ params }) => params)).toEqual([
      { topics: ["camera_status_update", "system_health_update"] },
    ]);
    // A subscription that has seen nothing yet goes on from when it was made.
    const third = client.once("connected");
    server.drop();
    await third;
    expect(server.asked("subscribe_events").at(-1)?.params).toEqual({
      topics: ["recording_status_update", "clock.step"],
      since: 90,
    });
    // And what is unsubscribed stays so.
    await client.unsubscribeEvents();
    const fourth = client.once("connected");
    server.drop();
    await fourth;
    expect(server.requests.at(-1)).toMatchObject({ method: "unsubscribe_events", params: {} });
  });

  it("is tried again until the server is back; connect() joins and hurries", async () => {
    await using server = await ScriptedServer.start({});
    await using client = clientOf(server, { reconnectDelay: 3600, maxReconnectDelay: 3600 });
    await client.connect();
    const lost = client.once("connectionLost");
    server.drop();
    expect(await lost).toMatchObject({ willReconnect: true });
    await Promise.all([client.connect(), client.connect()]);
    expect(server.upgrades).toHaveLength(2);
    expect(client.isConnected).toBe(true);
  });

  it("may be answered by a callback that connects", async () => {
    await using server = await ScriptedServer.start({});
    await using client = clientOf(server, { autoReconnect: false });
    const connected = client.events("connected");
    client.setConnectionLostCallback(async () => {
      await client.connect();
    });
    await client.connect();
    const again = client.once("connected");
    server.drop();
    await again;
    expect(await client.ping()).toBe("pong");
    expect((await connected.next()).value).toEqual({ reconnected: false });
  });

  it("is given up after so many attempts, or when the credential is refused", async () => {
    await using server = await ScriptedServer.start(authentic);
    await using client = clientOf(server, { authToken: "t", maxReconnectAttempts: 2 });
    await client.connect();
    const failed = client.once("reconnectFailed");
    server.refuse = 503;
    server.drop();
    expect((await failed).error.message).toMatch(/^Failed to reconnect after 2 attempts: .*503/);
    expect(server.upgrades).toHaveLength(3);

    server.refuse = undefined;
    await client.connect();
    server.script.authenticate = { result: { authenticated: false, error: "revoked" } };
    const refused = client.once("reconnectFailed");
    server.drop();
    expect((await refused).error).toBeInstanceOf(AuthenticationError);
    expect(client.isConnected).toBe(false);
  });

  it("is not made again after disconnect(), which tells nobody that it is lost", async () => {
    await using server = await ScriptedServer.start({});
    const client = clientOf(server);
    let lost = 0;
    client.setConnectionLostCallback(() => lost++);
    await client.connect();
    await client.disconnect();
    await client.disconnect();
    expect(lost).toBe(0);
    await client.connect();
    const told = client.once("connectionLost");
    server.drop();
    await told;
    await client.disconnect();
    await expect(client.ping()).rejects.toThrow("Not connected");
    expect(server.upgrades).toHaveLength(2);
  });

  it("is noticed when the server says nothing any more", async () => {
    let silent = false;
    await using server = await ScriptedServer.start({
      ping: () => (silent ? undefined : { result: "pong" }),
    });
    await using client = clientOf(server, { heartbeatInterval: 0.05, autoReconnect: false });
    await client.connect();
    const lost = client.once("connectionLost");
    silent = true;
    expect(await lost).toMatchObject({ willReconnect: false });
    expect(server.asked("ping").length).toBeGreaterThan(1);
  });
});

describe("listeners", () => {
  it("that fail are logged and disturb nobody", async () => {
    await using server = await ScriptedServer.start({});
    const lines: string[] = [];
    await using client = clientOf(server, { logger: { error: (line) => lines.push(line) } });
    await client.connect();
    client.setCameraStatusCallback(() => {
      throw new Error("in a callback");
    });
    client.on("camera_status_update", async () => {
      throw new Error("in a promise");
    });
    const seen: unknown[] = [];
    client.on("camera_status_update", (params) => seen.push(params.device));
    server.tell("camera_status_update", { device: "camera0" });
    server.tell("something_new", 5);
    expect(await client.ping()).toBe("pong");
    expect(seen).toEqual(["camera0"]);
    expect(lines).toEqual([
      expect.stringContaining("in a callback"),
      expect.stringContaining("in a promise"),
    ]);
  });

  it("stop when told to; iterations hold a bounded number and end with the client", async () => {
    await using server = await ScriptedServer.start({});
    await using client = clientOf(server);
    await client.connect();
    const seen: unknown[] = [];
    const off = client.on("recording.progress", ({ n }) => seen.push(n));
    const stream = client.events("recording.progress", { bufferSize: 3 });
    for (let n = 0; n < 5; n++) server.tell("recording.progress", { n });
    await client.ping();
    off();
    server.tell("recording.progress", { n: 5 });
    await client.ping();
    expect(seen).toEqual([0, 1, 2, 3, 4]);
    await client.disconnect();
    const read: unknown[] = [];
    for await (const { n } of stream) read.push(n);
    expect(read).toEqual([3, 4, 5]);
  });
});

describe("a token", () => {
  it.each([
    [jwt({ exp: inSeconds(60) }), false],
    [jwt({ exp: inSeconds(-1) }), true],
    [jwt({ user_id: "ä" }), false],
    [jwt({ exp: "soon" }), true],
    ["opaque", true],
    ["a.b.c", true],
    ["", true],
  ])("%s is expired: %s", (token, expired) => expect(isTokenExpired(token)).toBe(expired));

  it("about to expire is refreshed before it is used", async () => {
    await using server = await ScriptedServer.start(authentic);
    const fresh = jwt({ exp: inSeconds(600) });
    await using client = clientOf(server, {
      authToken: jwt({ exp: inSeconds(-5) }),
      refreshToken: async () => fresh,
    });
    await client.connect();
    expect(server.asked("authenticate").map(({ params }) => params.auth_token)).toEqual([fresh]);
    expect(server.upgrades[0]?.headers.authorization).toBe(`Bearer ${fresh}`);
  });

  it("refused while connected is refreshed once for all calls, which then go through", async () => {
    const old = jwt({ exp: inSeconds(600), n: 1 });
    const fresh = jwt({ exp: inSeconds(600), n: 2 });
    let valid = old;
    await using server = await ScriptedServer.start({
      authenticate: ({ params }) => ({
        result: { authenticated: params.auth_token === valid, error: "expired" },
      }),
      get_status: () =>
        server.asked("authenticate").at(-1)?.params.auth_token === valid
          ? { result: "fine" }
          : { error: { code: -32001, message: "Authentication failed: token expired" } },
    });
    let refreshed = 0;
    await using client = clientOf(server, {
      authToken: old,
      refreshToken: () => {
        refreshed++;
        return fresh;
      },
    });
    await client.connect();
    valid = fresh;
    expect(await Promise.all([client.call("get_status"), client.call("get_status")])).toEqual([
      "fine",
      "fine",
    ]);
    expect(refreshed).toBe(1);
  });

  it("never reaches the log", async () => {
    const token = jwt({ exp: inSeconds(600) });
    await using server = await ScriptedServer.start({
      authenticate: { result: { authenticated: true } },
      broken: { error: { code: -32001, message: `token ${token} refused` } },
    });
    const lines: string[] = [];
    const write = (line: string) => lines.push(line);
    await using client = clientOf(server, {
      authToken: token,
      refreshToken: () => Promise.reject(new Error(`no token for ${token}`)),
      logger: { debug: write, info: write, warn: write, error: write },
    });
    client.on("camera_status_update", () => {
      throw new Error(`with ${token}`);
    });
    await client.connect();
    server.tell("camera_status_update", { device: "camera0" });
    expect(await errorOf(client.call("broken"))).toBeInstanceOf(AuthenticationError);
    server.drop();
    await client.once("connected");
    expect(lines.length).toBeGreaterThan(4);
    expect(lines.filter((line) => line.includes(token))).toEqual([]);
  });
});

describe("a pool", () => {
  it("lends each client to one at a time, and connects those that lost theirs", async () => {
    await using server = await ScriptedServer.start({});
    await using pool = new ConnectionPool({
      size: 2,
      create: () => clientOf(server, { autoReconnect: false }),
    });
    await pool.initialize();
    expect(server.connections).toBe(2);
    let busy = 0;
    let most = 0;
    const answers = await Promise.all(
      Array.from({ length: 10 }, () =>
        pool.use(async (client) => {
          most = Math.max(most, ++busy);
          const answer = await client.ping();
          busy--;
          return answer;
        }),
      ),
    );
    expect(answers).toEqual(Array(10).fill("pong"));
    expect(most).toBe(2);
    const client = await pool.getClient();
    const lost = client.once("connectionLost");
    server.drop();
    await lost;
    pool.returnClient(client);
    expect(await pool.use((other) => other.ping())).toBe("pong");
  });

  it("lets nobody wait for ever", async () => {
    await using server = await ScriptedServer.start({});
    const pool = new ConnectionPool({ size: 1, create: () => clientOf(server) });
    await pool.getClient();
    const abort = new AbortController();
    const aborted = errorOf(pool.getClient(abort.signal));
    abort.abort(new Error("enough"));
    expect(await aborted).toMatchObject({ message: "enough" });
    const waiting = errorOf(pool.getClient());
    await pool.close();
    expect(await waiting).toBeInstanceOf(ConnectionError);
    expect(await errorOf(pool.getClient())).toBeInstanceOf(ConnectionError);
    expect(server.connections).toBe(0);
  });
});
