import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { adminKey, type RunningHub, startHub, until, virtualCameras } from "../harness/hub.ts";
import type { Rpc } from "../harness/rpc.ts";

// Whatever comes to the ports of the running hub: each is answered or closed, and the hub goes on as before.

const secret = "what is outside the media folders is nobody's business";

let hub: RunningHub;
/** A well-behaved client that is there all the time. */
let rpc: Rpc;
let beforeMegabytes = 0;
const snapshot = "still.jpg";

beforeAll(async () => {
  hub = await startHub({
    env: {
      ...virtualCameras({ size: "320x240", fps: 10 }),
      OCELLI_LOG_LEVEL: "warn",
    },
  });
  writeFileSync(join(hub.dataDir, "secret.txt"), secret);
  rpc = await hub.rpc();
  await rpc.call("take_snapshot", { device: "camera100", filename: snapshot });
  beforeMegabytes = residentMegabytes();
});
afterAll(async () => {
  await rpc?.close();
  await hub?.stop();
});

function residentMegabytes(): number {
  const kilobytes = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${hub.pid}/status`, "utf8"))?.[1];
  return Number(kilobytes) / 1024;
}

interface Answer {
  readonly id?: unknown;
  readonly result?: unknown;
  readonly error?: { readonly code: number; readonly message: string };
}

/** A WebSocket that may say anything; keeps what comes back and how it ends. */
class Stranger {
  readonly socket: WebSocket;
  readonly answers: (Answer | Answer[])[] = [];
  readonly closed: Promise<number>;

  private constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on("message", (data) => this.answers.push(JSON.parse(String(data))));
    socket.on("error", () => undefined);
    this.closed = new Promise((resolve) => socket.on("close", (code) => resolve(code)));
  }

  static async enter(key?: string): Promise<Stranger> {
    const headers = key === undefined ? {} : { "x-api-key": key };
    const stranger = new Stranger(new WebSocket(`ws://127.0.0.1:${hub.port}/ws?failures=error`, { headers }));
    await new Promise<void>((resolve, reject) => {
      stranger.socket.once("open", resolve);
      stranger.socket.once("error", reject);
    });
    return stranger;
  }

  send(message: unknown): void {
    const raw = typeof message === "string" || Buffer.isBuffer(message);
    this.socket.send(raw ? message : JSON.stringify(message));
  }

  /** What the hub answers to everything sent so far, sorted out by a last request. */
  async settled(): Promise<Answer[]> {
    this.send({ jsonrpc: "2.0", id: "the last one", method: "ping" });
    const all = () => this.answers.flat();
    await until("the last answer", () => all().some(({ id }) => id === "the last one"));
    return all().filter(({ id }) => id !== "the last one");
  }

  leave(): Promise<number> {
    this.socket.close();
    return this.closed;
  }
}

/** A small generator with a seed, so that a failure can be repeated. */
function randomBytes(seed: number): (length: number) => Buffer {
  let state = seed;
  const next = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state >>> 24;
  };
  return (length) => Buffer.from(Array.from({ length }, next));
}

/** Bytes as they are, to the port; what came back until the hub closed the connection or was silent. */
function raw(bytes: string | Buffer): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(hub.port, "127.0.0.1");
    let received = "";
    socket.on("data", (chunk) => (received += chunk.toString("latin1")));
    socket.on("error", () => undefined);
    socket.on("close", () => resolve(received));
    socket.setTimeout(10_000, () => socket.destroy());
    socket.write(bytes);
  });
}

const request = (target: string, more = "", method = "GET"): string =>
  `${method} ${target} HTTP/1.1\r\nHost: hub\r\nX-API-Key: ${adminKey}\r\nConnection: close\r\n${more}\r\n`;
const statusOf = (response: string): number => Number(/^HTTP\/1\.1 (\d{3})/.exec(response)?.[1] ?? 0);

describe("at the WebSocket", () => {
  it.each([
    ["{", -32700],
    ["", -32700],
    ["\u0000\u0000", -32700],
    ['{"jsonrpc":"2.0","id":1,"method":"ping"', -32700],
    ["null", -32600],
    ["42", -32600],
    ['"ping"', -32600],
    ["[]", -32600],
    ["{}", -32600],
    ['{"jsonrpc":"1.0","id":1,"method":"ping"}', -32600],
    ['{"jsonrpc":"2.0","id":{},"method":"ping"}', -32600],
    ['{"jsonrpc":"2.0","id":1,"method":7}', -32600],
    ['{"jsonrpc":"2.0","id":1,"method":"get_everything"}', -32601],
    ['{"jsonrpc":"2.0","id":1,"method":"constructor"}', -32601],
    ['{"jsonrpc":"2.0","id":1,"method":"__proto__"}', -32601],
    ['{"jsonrpc":"2.0","id":1,"method":"ping","params":"now"}', -32602],
    ['{"jsonrpc":"2.0","id":1,"method":"get_camera_status","params":{"device":{"a":1}}}', -32602],
    ['{"jsonrpc":"2.0","id":1,"method":"get_camera_status","params":{"device":"../../etc/passwd"}}', -32602],
    [
      '{"jsonrpc":"2.0","id":1,"method":"start_recording","params":{"device":"camera100","duration":-1}}',
      -32602,
    ],
    ['{"jsonrpc":"2.0","id":1,"method":"start_recording","params":["camera100",[[]]]}', -32602],
    ['{"jsonrpc":"2.0","id":1,"method":"list_recordings","params":{"limit":1e308}}', -32602],
    [
      '{"jsonrpc":"2.0","id":1,"method":"take_snapshot","params":{"device":"camera100","filename":"../x"}}',
      -32602,
    ],
    ['{"jsonrpc":"2.0","id":1,"method":"delete_recording","params":{"filename":"/etc/passwd"}}', -32602],
    [
      '{"jsonrpc":"2.0","id":1,"method":"get_recording_info","params":{"filename":"../state/ocelli.db"}}',
      -32602,
    ],
  ])("answers %s with %i", async (text, code) => {
    const stranger = await Stranger.enter(adminKey);
    stranger.send(text);
    const answers = await stranger.settled();
    expect(answers).toMatchObject([{ error: { code } }]);
    expect(JSON.stringify(answers).length).toBeLessThan(2000);
    await stranger.leave();
  });

  it("answers 10,000 random byte strings, or closes, and nothing else", async () => {
    const bytes = randomBytes(20_260_117);
    const stranger = await Stranger.enter(adminKey);
    for (let count = 0; count < 10_000; count++) {
      const message = bytes(1 + (count % 61));
      stranger.send(count % 2 === 0 ? message : message.toString("utf8"));
    }
    const answers = await stranger.settled();
    expect(answers).toHaveLength(10_000);
    for (const { error } of answers) expect([-32700, -32600]).toContain(error?.code);
    await stranger.leave();
    // As raw frames: bytes that are no UTF-8, no frame, no handshake at all.
    const upgrade = `GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${bytes(16).toString("base64")}\r\n\r\n`;
    const responses = await Promise.all(
      Array.from({ length: 100 }, (_, index) =>
        raw(
          index % 2 === 0
            ? Buffer.concat([Buffer.from(upgrade), bytes(300)])
            : Buffer.concat([bytes(300), Buffer.from("\r\n\r\n")]),
        ),
      ),
    );
    for (const response of responses) expect([101, 400]).toContain(statusOf(response));
  });

  it("takes deep nesting and names of a megabyte", async () => {
    const stranger = await Stranger.enter(adminKey);
    const deep = "[".repeat(400_000) + "]".repeat(400_000);
    stranger.send(deep);
    stranger.send(`{"jsonrpc":"2.0","id":1,"method":"get_camera_status","params":${deep}}`);
    stranger.send(`{"jsonrpc":"2.0","id":2,"method":"get_camera_status","params":{"device":${deep}}}`);
    stranger.send({ jsonrpc: "2.0", id: 3, method: "m".repeat(1_000_000) });
    stranger.send({
      jsonrpc: "2.0",
      id: 4,
      method: "get_camera_status",
      params: { device: "d".repeat(1_000_000) },
    });
    const answers = await stranger.settled();
    expect(answers.every(({ error }) => error !== undefined)).toBe(true);
    expect(answers.filter(({ id }) => typeof id === "number")).toHaveLength(4);
    for (const answer of answers) expect(JSON.stringify(answer).length).toBeLessThan(3000);
    await stranger.leave();
  });

  it("takes batches of 100 and refuses those of 101", async () => {
    const stranger = await Stranger.enter(adminKey);
    const batch = (length: number) =>
      Array.from({ length }, (_, id) => ({ jsonrpc: "2.0", id, method: "get_camera_list" }));
    stranger.send(batch(100));
    expect(await stranger.settled()).toHaveLength(100);
    stranger.send(batch(101));
    await until("the refusal", () => stranger.answers.length === 3);
    expect(stranger.answers[2]).toMatchObject({ error: { code: -32600 } });
    await stranger.leave();
  });

  it("closes a message of 2 MiB with 1009, an unknown path with 1008", async () => {
    const stranger = await Stranger.enter();
    stranger.send(`"${"x".repeat(2 ** 21)}"`);
    expect(await stranger.closed).toBe(1009);
    const patient = await Stranger.enter();
    for (let piece = 0; piece < 40; piece++) patient.socket.send("x".repeat(2 ** 16), { fin: false });
    expect(await patient.closed).toBe(1009);
    const lost = new WebSocket(`ws://127.0.0.1:${hub.port}/nowhere`);
    expect(await new Promise((resolve) => lost.on("close", resolve))).toBe(1008);
  });

  it("tells a stranger without a key nothing but that one is needed", async () => {
    const stranger = await Stranger.enter();
    const methods = [
      "get_camera_list",
      "start_recording",
      "delete_recording",
      "list_recordings",
      "export_recording",
    ];
    methods.forEach((method, id) => {
      stranger.send({ jsonrpc: "2.0", id, method, params: { device: "camera100", filename: "x" } });
    });
    const answers = await stranger.settled();
    expect(answers.map(({ error }) => error?.code)).toEqual(methods.map(() => -32001));
    expect(JSON.stringify(answers)).not.toContain("320x240");
    await stranger.leave();
  });

  it("lets 1000 connections come and go, some in the middle of a request", async () => {
    for (let round = 0; round < 10; round++) {
      const strangers = await Promise.all(Array.from({ length: 100 }, () => Stranger.enter(adminKey)));
      strangers.forEach((stranger, index) => {
        if (index % 3 !== 0) stranger.send({ jsonrpc: "2.0", id: 1, method: "get_camera_list" });
        if (index % 3 === 1) stranger.socket.terminate();
      });
      await Promise.all(strangers.map((stranger) => stranger.leave()));
    }
    expect(await rpc.call("ping")).toBe("pong");
  });
});

describe("at HTTP", () => {
  it("gives nothing from outside the media folders, however the way there is written", async () => {
    const ways = [
      "../",
      "..%2f",
      "..%2F",
      "%2e%2e/",
      "%2e%2e%2f",
      "..%5c",
      "..\\",
      "..%252f",
      "%252e%252e%252f",
    ];
    const overlong = [
      "..%c0%af",
      "%c0%ae%c0%ae/",
      "..%ef%bc%8f",
      "....//",
      "..;/",
      ".%00./",
      "%u002e%u002e/",
    ];
    const targets = [...ways, ...overlong].flatMap((way) =>
      ["recordings", "snapshots"].flatMap((kind) => [
        `/files/${kind}/${way}secret.txt`,
        `/files/${kind}/${way}${way}${way}${way}${way}${way}etc/passwd`,
        `/files/${kind}/x/${way}${way}secret.txt`,
        `/files/${kind}/${way}secret.txt/frames.csv`,
      ]),
    );
    const absolute = [
      `/files/snapshots/${join(hub.dataDir, "secret.txt")}`,
      `/files/snapshots/${encodeURIComponent(join(hub.dataDir, "secret.txt"))}`,
      `/files/recordings//etc/passwd`,
      `/files/snapshots/${snapshot}%00.txt`,
      `/files/snapshots/${snapshot}.json`,
      "/files/../state/ocelli.db",
      "/assets/..%2f..%2fpackage.json",
      "/js/..%2f..%2f..%2fserver%2fdist%2fmain.js",
      "/live/..%2f..%2fetc%2fpasswd/jpeg",
      "http://hub/files/snapshots/../secret.txt",
      "/%",
      "/files/recordings/%",
      "/files/recordings/%ff%fe",
    ];
    for (const target of [...targets, ...absolute]) {
      const response = await raw(request(target));
      expect([400, 404], `${target}:\n${response.slice(0, 300)}`).toContain(statusOf(response));
      expect(response, target).not.toContain(secret);
      expect(response, target).not.toContain("root:");
      expect(response, "a path of the server").not.toContain(hub.dataDir);
    }
  });

  it("answers bad ranges as the standard says and never more than the file", async () => {
    const bytes = readFileSync(hub.file("snapshots", snapshot));
    const target = `/files/snapshots/${snapshot}`;
    const answer = async (range: string): Promise<[number, number]> => {
      const response = await hub.fetch(target, { headers: { range } });
      return [response.status, (await response.arrayBuffer()).byteLength];
    };
    const size = bytes.length;
    expect(await answer("bytes=0-0")).toEqual([206, 1]);
    expect(await answer("bytes=-5")).toEqual([206, 5]);
    expect(await answer(`bytes=10-${size * 10}`)).toEqual([206, size - 10]);
    for (const range of [`bytes=${size}-`, "bytes=99999999999999999999-", `bytes=${size + 5}-${size + 9}`])
      expect((await answer(range))[0], range).toBe(416);
    const odd = [
      "bytes=5-2",
      "bytes=-0",
      "bytes=a-b",
      "bytes=",
      "bytes",
      "lines=0-5",
      "bytes=--1",
      "bytes=1-2-3",
    ];
    const many = `bytes=${Array.from({ length: 1000 }, (_, index) => `${index}-${index}`).join(",")}`;
    for (const range of [...odd, many]) {
      const [status, length] = await answer(range);
      expect([200, 206, 416], range.slice(0, 40)).toContain(status);
      expect(length).toBeLessThanOrEqual(size);
    }
  });

  it("refuses huge headers, wrong methods and what is no HTTP", async () => {
    const target = `/files/snapshots/${snapshot}`;
    expect(statusOf(await raw(request(target, `X-Large: ${"x".repeat(200_000)}\r\n`)))).toBe(431);
    const many = Array.from({ length: 5000 }, (_, index) => `X-${index}: 1\r\n`).join("");
    expect([200, 400, 431]).toContain(statusOf(await raw(request(target, many))));
    expect([404, 414, 431]).toContain(
      statusOf(await raw(request(`/files/snapshots/${"x".repeat(100_000)}`))),
    );
    for (const method of ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"]) {
      expect(statusOf(await raw(request(target, "Content-Length: 0\r\n", method))), method).toBe(405);
    }
    for (const method of ["TRACE", "PROPFIND", "BREW", "get"]) {
      expect([400, 404, 405], method).toContain(statusOf(await raw(request(target, "", method))));
    }
    const smuggled = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n";
    expect(statusOf(await raw(request("/health", smuggled, "POST")))).toBe(400);
    expect(statusOf(await raw("this is no HTTP\r\n\r\n"))).toBe(400);
    expect(
      statusOf(await raw(request("/health", `Content-Length: ${2 ** 40}\r\n`, "POST"))),
    ).toBeGreaterThanOrEqual(400);
  });

  it("is not held up by connections that say nothing or half of something", async () => {
    const halves = ["", "G", "GET / HTTP/1.1\r\nHost: ", request("/health").slice(0, -2)];
    const sockets = Array.from({ length: 400 }, (_, index) => {
      const socket = connect(hub.port, "127.0.0.1").on("error", () => undefined);
      socket.write(halves[index % halves.length] ?? "");
      return socket;
    });
    await Promise.all(sockets.map((socket) => (socket.connecting ? once(socket, "connect") : undefined)));
    expect((await fetch(`${hub.url}/health/ready`)).status).toBe(200);
    expect(await rpc.call("ping")).toBe("pong");
    for (const socket of sockets) socket.destroy();
  });

  it("wants a key for everything that shows or tells something", async () => {
    const link = (await (await hub.fetch("/api/live-link?camera=camera100")).json()) as { jpeg: string };
    const forged = [
      link.jpeg.replace(/exp=\d+/, "exp=99999999999"),
      link.jpeg.replace(/sig=.*/, "sig="),
      link.jpeg.replace("/jpeg?", "/mjpeg?"),
    ];
    for (const path of [
      `/files/snapshots/${snapshot}`,
      "/live/camera100/jpeg",
      "/live/camera100/mjpeg",
      "/api/live-link?camera=camera100",
      ...forged,
    ]) {
      const response = await fetch(`${hub.url}${path}`);
      expect(response.status, path).toBe(401);
      await response.body?.cancel();
    }
    expect((await fetch(`${hub.url}${link.jpeg}`)).status).toBe(200);
  });
});

describe("the hub after all that", () => {
  it("answers its old client, takes a picture, and has neither grown nor complained", async () => {
    expect(await rpc.call("ping")).toBe("pong");
    expect(await rpc.call("take_snapshot", { device: "camera100" })).toMatchObject({ success: true });
    expect(hub.process.exitCode).toBeNull();
    // Bounded rather than exact: the collector of the engine comes when it likes.
    await until("memory to settle", () => residentMegabytes() < beforeMegabytes + 150, 10_000);
    const complaints = hub.output.filter((line) =>
      /unhandled|uncaught|"level":(50|60)|MaxListeners/i.test(line),
    );
    expect(complaints).toEqual([]);
    await rpc.close();
    expect(await hub.end("SIGTERM")).toEqual({ code: 0, signal: null });
  });
});
