/** The endpoint behind a real WebSocket server on a free port, over the fakes, and a plain client for it. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { pino } from "pino";
import { WebSocket, WebSocketServer } from "ws";
import { Accounts } from "../../../auth/accounts.ts";
import { AnonymousAccess, type AnonymousSettings } from "../../../auth/anonymous.ts";
import { ApiKeys, keyMigrations } from "../../../auth/api-keys.ts";
import { Authenticator } from "../../../auth/authenticator.ts";
import { apiKeyCredentials, tokenCredentials } from "../../../auth/credentials.ts";
import type { GuardOptions } from "../../../auth/guard.ts";
import { Logins } from "../../../auth/logins.ts";
import { Passwords } from "../../../auth/passwords.ts";
import { LinkSigner } from "../../../auth/signed-links.ts";
import { Tokens } from "../../../auth/tokens.ts";
import { Users, userMigrations } from "../../../auth/users.ts";
import { FakeClock } from "../../../clock/fake-clock.ts";
import { EventLog } from "../../../event-log/event-log.ts";
import { eventLogMigrations } from "../../../event-log/store.ts";
import { EventBus } from "../../../events/bus.ts";
import type { EventCatalogue } from "../../../events/catalogue.ts";
import { HealthProblems } from "../../../health/problems.ts";
import { openDatabase } from "../../../store/database.ts";
import { createRpcEndpoint, type RpcEndpointOptions, rpcSocketOptions } from "../endpoint.ts";
import { fakeManagement } from "./fake-management.ts";
import {
  cameraView,
  FakeCameras,
  FakeExports,
  FakeLibrary,
  FakeRecordings,
  FakeSnapshots,
  mediaEntry,
} from "./fakes.ts";

export type Json = { [key: string]: Json } & { [index: number]: Json } & { length: number };

export interface TestServerOptions {
  readonly anonymous?: Partial<AnonymousSettings>;
  readonly endpoint?: Partial<RpcEndpointOptions>;
  readonly guard?: GuardOptions;
}

export async function startTestServer(options: TestServerOptions = {}) {
  const clock = new FakeClock();
  const log = pino({ level: "silent" });
  const bus = new EventBus(log);
  const database = openDatabase(":memory:", [...keyMigrations, ...userMigrations]);
  const eventDatabase = openDatabase(":memory:", eventLogMigrations);
  const events = new EventLog({ database: eventDatabase, bus, clock, log });
  const keys = new ApiKeys({ database, clock });
  const users = new Users({ database, clock });
  const passwords = new Passwords({ n: 16, r: 1, p: 1 });
  const tokens = new Tokens({ secret: new Uint8Array(32).fill(7), clock });
  const links = new LinkSigner({ clock });
  const auth = new Authenticator({
    kinds: [tokenCredentials(tokens, users, keys), apiKeyCredentials(keys, users)],
    anonymous: new AnonymousAccess({
      enabled: false,
      role: "operator",
      networks: ["127.0.0.0/8"],
      ...options.anonymous,
    }),
    links,
    clock,
    log,
    ...(options.guard === undefined ? {} : { guard: options.guard }),
  });
  const cameras = new FakeCameras([cameraView(0), cameraView(1), cameraView(100)]);
  const recordings = new FakeRecordings(bus, clock);
  const library = new FakeLibrary();
  library.entries = [
    mediaEntry("recording", "a b.mp4"),
    mediaEntry("recording", "old.mkv", {
      format: "mkv",
      codec: "mjpeg",
      durationS: undefined,
      cameraId: "camera7",
    }),
    mediaEntry("snapshot", "x.jpg"),
  ];
  const snapshots = new FakeSnapshots();
  const exports = new FakeExports();
  // Judges what the tests tell, but emits on a bus of its own: the tests count the events they make.
  const healthBus = new EventBus(log);
  for (const name of ["camera.status", "capture.state", "storage.level", "clock.step"] as const) {
    bus.on(name, (payload: EventCatalogue[typeof name]) => healthBus.emit(name, payload));
  }
  const health = new HealthProblems({ bus: healthBus, clock });
  const endpoint = createRpcEndpoint({
    cameras,
    recordings,
    snapshots,
    exports,
    library,
    ...fakeManagement(),
    health,
    auth,
    accounts: new Accounts({ keys, users, passwords, clock, log }),
    logins: new Logins({ tokens, users, passwords, auth, clock, log }),
    links,
    events,
    clock,
    log,
    version: "1.2.3",
    ...options.endpoint,
  });
  const http = createServer();
  const webSockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: rpcSocketOptions.maxPayloadBytes,
    handleProtocols: (offered) => rpcSocketOptions.selectProtocol(offered) ?? false,
  });
  http.on("upgrade", (request, socket, head) => {
    webSockets.handleUpgrade(request, socket, head, (webSocket) => endpoint.handle(webSocket, request));
  });
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  const { port } = http.address() as AddressInfo;
  const url = `ws://127.0.0.1:${port}/ws`;
  const clients: TestClient[] = [];
  const key = {
    viewer: keys.create({ name: "v", role: "viewer" }).key,
    operator: keys.create({ name: "o", role: "operator" }).key,
    admin: keys.create({ name: "a", role: "admin" }).key,
  };
  const connect = async (
    more: { query?: string; protocols?: string[]; headers?: Record<string, string> } = {},
  ): Promise<TestClient> => {
    const socket = new WebSocket(url + (more.query ?? ""), more.protocols ?? [], {
      headers: more.headers ?? {},
    });
    const client = new TestClient(socket);
    clients.push(client);
    await once(socket, "open");
    return client;
  };
  return {
    clock,
    bus,
    keys,
    users,
    tokens,
    key,
    links,
    cameras,
    recordings,
    library,
    snapshots,
    exports,
    endpoint,
    events,
    url,
    port,
    connect,
    /** A client that has authenticated in the way that changes nothing about its dialect. */
    async login(role: "viewer" | "operator" | "admin", query = ""): Promise<TestClient> {
      const client = await connect({ query });
      await client.call("authenticate", { auth_token: key[role] });
      return client;
    },
    async close(): Promise<void> {
      for (const client of clients) client.socket.terminate();
      await endpoint.close();
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
      events.close();
      database.close();
    },
  };
}

export type TestServer = Awaited<ReturnType<typeof startTestServer>>;

/** Keeps everything it receives, in order. */
export class TestClient {
  readonly socket: WebSocket;
  readonly received: Json[] = [];
  readonly closed: Promise<{ code: number; reason: string }>;
  #waiting: (() => void)[] = [];
  #taken = 0;
  #nextId = 1;

  constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on("error", () => undefined);
    socket.on("message", (data) => {
      this.received.push(JSON.parse(data.toString()) as Json);
      for (const wake of this.#waiting.splice(0)) wake();
    });
    this.closed = new Promise((resolve) =>
      socket.once("close", (code, reason) => resolve({ code, reason: reason.toString() })),
    );
  }

  send(value: unknown): void {
    this.socket.send(typeof value === "string" || Buffer.isBuffer(value) ? value : JSON.stringify(value));
  }

  /** Sends a request without waiting; returns its id. */
  request(method: string, params?: unknown): number {
    const id = this.#nextId++;
    this.send({ jsonrpc: "2.0", id, method, ...(params === undefined ? {} : { params }) });
    return id;
  }

  /** The response with this id. */
  async response(id: unknown): Promise<Json> {
    return this.until((message) => message.id === id && message.method === undefined);
  }

  async call(method: string, params?: unknown): Promise<Json> {
    return this.response(this.request(method, params));
  }

  async result(method: string, params?: unknown): Promise<Json> {
    const response = await this.call(method, params);
    if (response.error !== undefined) throw new Error(JSON.stringify(response.error));
    return response.result as Json;
  }

  async error(method: string, params?: unknown): Promise<Json> {
    const response = await this.call(method, params);
    if (response.error === undefined) throw new Error(`no error: ${JSON.stringify(response)}`);
    return response.error;
  }

  /** The first message received at any time that `matches`. */
  async until(matches: (message: Json) => unknown): Promise<Json> {
    for (;;) {
      const found = this.received.find((message) => matches(message));
      if (found !== undefined) return found;
      await new Promise<void>((wake) => this.#waiting.push(wake));
    }
  }

  /** The next message in order. */
  async next(): Promise<Json> {
    const position = this.#taken++;
    while (this.received.length <= position) await new Promise<void>((wake) => this.#waiting.push(wake));
    return this.received[position] as Json;
  }

  /** Everything the server has sent so far has arrived when the answer to this ping is there. */
  async settle(): Promise<void> {
    await this.call("ping");
  }
}
