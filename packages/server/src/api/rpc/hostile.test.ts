// Whatever a client sends, the server answers or closes that one connection, and goes on.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { methodNames } from "@ocelli/protocol/camera-service";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startTestServer, type TestClient, type TestServer } from "./testing/server.ts";

let server: TestServer;
const failures: unknown[] = [];
const remember = (error: unknown): void => void failures.push(error);

beforeEach(async () => {
  failures.length = 0;
  process.on("unhandledRejection", remember);
  process.on("uncaughtException", remember);
  server = await startTestServer({
    anonymous: { enabled: true, role: "admin" },
    // Time stands still here, and with it the delay after wrong credentials.
    guard: { freeFailures: Number.POSITIVE_INFINITY },
  });
});
afterEach(async () => {
  await server.close();
  process.off("unhandledRejection", remember);
  process.off("uncaughtException", remember);
  expect(failures).toEqual([]);
});

/** A small generator with a seed, so that a failure can be repeated. */
function randomSource(seed: number) {
  let state = seed;
  const next = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const pick = <T>(values: readonly T[]): T => values[next(values.length)] as T;
  return { next, pick };
}

const oddities: readonly unknown[] = [
  null,
  true,
  false,
  0,
  -1,
  1e308,
  -0.5,
  "",
  " ",
  "camera0",
  "/dev/video0",
  "/dev/video9",
  "../../etc/passwd",
  "a\u0000b",
  "\ud800",
  "💥".repeat(50),
  "x".repeat(5000),
  [],
  {},
  [[[]]],
  { toString: 1, __proto__: 2, constructor: { prototype: 1 } },
  "NaN",
  "99999999999999999999999",
];

describe("hostile clients", () => {
  it("may send 10,000 random byte strings", async () => {
    const { next } = randomSource(20_260_115);
    const client = await server.connect();
    for (let count = 0; count < 10_000; count++) {
      const bytes = Buffer.from(Array.from({ length: next(60) }, () => next(256)));
      client.send(count % 2 === 0 ? bytes : bytes.toString("utf8"));
    }
    await client.settle();
    expect(client.received).toHaveLength(10_001);
    const codes = new Set(client.received.map(({ error }) => error?.code as unknown));
    expect([...codes].every((code) => code === undefined || code === -32700 || code === -32600)).toBe(true);
  });

  it("may call every method with wrong types in every place", async () => {
    const { next, pick } = randomSource(42);
    const client = await server.connect();
    const keys = [
      "device",
      "filename",
      "format",
      "quality",
      "duration",
      "limit",
      "offset",
      "start_at",
      "recording_id",
    ];
    for (let count = 0; count < 5000; count++) {
      const params = pick([
        () => Object.fromEntries(keys.filter(() => next(2) === 0).map((key) => [key, pick(oddities)])),
        () => Array.from({ length: next(6) }, () => pick(oddities)),
        () => pick(oddities),
      ])();
      const request: Record<string, unknown> = {
        jsonrpc: "2.0",
        id: `r${count}`,
        method: next(20) === 0 ? pick(oddities) : pick(methodNames),
        params,
      };
      if (next(30) === 0) request[pick(["jsonrpc", "id", "method", "params"])] = pick(oddities);
      if (next(30) === 0) delete request[pick(["jsonrpc", "method", "params"])];
      client.send(next(40) === 0 ? [request, pick(oddities), request] : request);
    }
    const own = (id: unknown): boolean => typeof id === "number" && id >= 1 && id < 1e6;
    const answersOf = () => client.received.filter(({ method, id }) => method === undefined && !own(id));
    while (answersOf().length < 5000) await client.settle();
    const answers = answersOf();
    expect(answers).toHaveLength(5000);
    const internal = answers.filter(({ error }) => (error?.code as unknown) === -32603);
    expect(internal).toEqual([]);
  });

  it("may nest deeply, in params, ids and batches", async () => {
    const client = await server.connect();
    const deep = "[".repeat(200_000) + "]".repeat(200_000);
    const deepObject = `${'{"a":'.repeat(100_000)}1${"}".repeat(100_000)}`;
    client.send(deep);
    for (const text of [deep, deepObject]) {
      client.send(`{"jsonrpc":"2.0","id":"d","method":"get_camera_status","params":{"device":${text}}}`);
      client.send(`{"jsonrpc":"2.0","id":"d","method":"get_camera_status","params":${text}}`);
      client.send(`{"jsonrpc":"2.0","id":${text},"method":"ping"}`);
      client.send(`{"jsonrpc":"2.0","id":"d","method":${text}}`);
    }
    await client.settle();
    expect(client.received).toHaveLength(10);
  });

  it("may name methods and ids of a million letters", async () => {
    const client = await server.connect();
    const long = "m".repeat(900_000);
    client.send({ jsonrpc: "2.0", id: 1, method: long });
    expect(JSON.stringify(await client.response(1)).length).toBeLessThan(1000);
    client.send({ jsonrpc: "2.0", id: long, method: "ping" });
    expect((await client.response(long)).result).toBe("pong");
    client.send({ jsonrpc: "2.0", id: 2, method: "get_camera_status", params: { device: long } });
    expect(JSON.stringify(await client.response(2)).length).toBeLessThan(2000);
  });

  it("may leave in the middle of everything", async () => {
    const release = Promise.withResolvers<void>();
    server.recordings.pace = () => release.promise;
    const clients: TestClient[] = [];
    for (let count = 0; count < 20; count++) {
      const client = await server.connect();
      client.request("start_recording", { device: "camera0" });
      client.request("take_snapshot", { device: "camera1" });
      client.request("export_recording", { filename: "a b" });
      clients.push(client);
    }
    for (const client of clients) client.socket.terminate();
    release.resolve();
    const last = await server.connect();
    await last.settle();
    while (server.endpoint.connections > 1) await last.settle();
  });
});

describe("an independent client", () => {
  // Frames written by hand: Python's standard library has no WebSocket.
  const script = String.raw`
import base64, json, os, socket, struct, sys
port, key = int(sys.argv[1]), sys.argv[2]

def connect(extra=""):
    s = socket.create_connection(("127.0.0.1", port), timeout=20)
    nonce = base64.b64encode(os.urandom(16)).decode()
    s.sendall((f"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
               f"Sec-WebSocket-Key: {nonce}\r\nSec-WebSocket-Version: 13\r\n{extra}\r\n").encode())
    head = b""
    while b"\r\n\r\n" not in head: head += s.recv(1)
    assert head.startswith(b"HTTP/1.1 101"), head
    return s

def frame(opcode, payload, fin=True):
    mask = os.urandom(4)
    size = len(payload)
    head = bytes([(0x80 if fin else 0) | opcode])
    if size < 126: head += bytes([0x80 | size])
    elif size < 65536: head += bytes([0xFE]) + struct.pack(">H", size)
    else: head += bytes([0xFF]) + struct.pack(">Q", size)
    return head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))

def exactly(s, n):
    data = b""
    while len(data) < n:
        part = s.recv(n - len(data))
        if not part: raise EOFError
        data += part
    return data

def receive(s):
    first, second = exactly(s, 2)
    size = second & 0x7F
    assert not second & 0x80, "a server must not mask"
    if size == 126: size = struct.unpack(">H", exactly(s, 2))[0]
    elif size == 127: size = struct.unpack(">Q", exactly(s, 8))[0]
    return first & 0x0F, exactly(s, size)

def call(s, method, params=None, id=1):
    s.sendall(frame(1, json.dumps({"jsonrpc": "2.0", "id": id, "method": method, "params": params or {}}).encode()))
    opcode, payload = receive(s)
    assert opcode == 1
    return json.loads(payload)

s = connect()
assert call(s, "ping") == {"jsonrpc": "2.0", "id": 1, "result": "pong"}
# The older clients wait for both id and result, and read these fields.
answer = call(s, "authenticate", {"token": key, "auth_type": "api_key"})
assert answer["result"]["authenticated"] is True, answer
cameras = call(s, "get_camera_list")["result"]["cameras"]
for camera in cameras: camera["device"], camera["name"], camera["status"], ", ".join(camera["capabilities"])
started = call(s, "start_recording", {"device": cameras[0]["device"], "duration": 5})["result"]
assert started["success"] is True and isinstance(started["recording"]["start_time"], (int, float))
note = json.loads(receive(s)[1])
assert note["method"] == "recording_status_update" and note["params"]["recording"]["filename"] == started["filename"]
refused = call(s, "start_recording", {"device": cameras[0]["device"]})
assert refused["result"]["success"] is False and "not found" not in refused["result"]["error"].lower()
gone = call(s, "stop_recording", {"device": "/dev/video77"})
assert "not found" in gone["result"]["error"].lower()
stopped = call(s, "stop_recording", {"device": cameras[0]["device"]})["result"]
assert f"{stopped['duration']:.2f}" == "2.50" and stopped["file_size"] == 5000
json.loads(receive(s)[1])
files = call(s, "list_recordings", {"limit": 5})["result"]["files"]
for file in files: file["filename"], file["file_size"], file["modified_time"], file["download_url"]
broken = call(s, "get_recording_info", {"filename": "nothing"})
assert broken["result"] is None and broken["error"]["code"] == -1005

# A message in pieces with a ping between them.
text = json.dumps({"jsonrpc": "2.0", "id": 9, "method": "ping"}).encode()
s.sendall(frame(1, text[:10], fin=False) + frame(9, b"hello") + frame(0, text[10:]))
assert receive(s) == (10, b"hello")
assert json.loads(receive(s)[1])["id"] == 9

# Text that is not UTF-8 is 1007, an unmasked frame 1002, too big 1009; the others go on.
def code_after(data):
    t = connect()
    try:
        t.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        pass
    opcode, payload = receive(t)
    assert opcode == 8, opcode
    return struct.unpack(">H", payload[:2])[0]
assert code_after(frame(1, b"\xff\xfe")) == 1007
assert code_after(b"\x81\x02{}") == 1002
assert code_after(bytes([0x81, 0xFF]) + struct.pack(">Q", 1 << 40) + b"abcd") == 1009
assert call(s, "ping", id=3)["id"] == 3
print("ok", files[0]["filename"], len(cameras))
`;

  it("made of Python sockets does everything the older clients do", async () => {
    const child = spawn("/usr/bin/python3", ["-c", script, String(server.port), server.key.operator]);
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (output += String(data)));
    const [code] = await once(child, "close");
    expect([output.trim(), code]).toEqual(["ok a b.mp4 3", 0]);
  });

  it("made of the platform's WebSocket works too", async () => {
    const socket = new globalThis.WebSocket(server.url);
    await once(socket, "open");
    socket.send(JSON.stringify({ jsonrpc: "2.0", id: "x", method: "get_camera_list" }));
    const [event] = (await once(socket, "message")) as [MessageEvent];
    expect(JSON.parse(String(event.data))).toMatchObject({ id: "x", result: { total: 3 } });
    socket.close();
    await once(socket, "close");
  });
});
