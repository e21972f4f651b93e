import { OcelliError } from "@ocelli/protocol";
import { type MethodName, methods, notifications } from "@ocelli/protocol/camera-service";
import { pino } from "pino";
import { afterEach, describe, expect, it } from "vitest";
import { cameraView, mediaEntry } from "./testing/fakes.ts";
import { startTestServer, type TestServer, type TestServerOptions } from "./testing/server.ts";

let server: TestServer;
const start = async (options?: TestServerOptions): Promise<TestServer> => {
  server = await startTestServer(options);
  return server;
};
afterEach(() => server.close());

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function expectShape(method: MethodName, result: unknown): void {
  expect(methods[method].result.safeParse(result).error).toBeUndefined();
}

describe("JSON-RPC", () => {
  it("answers ping to anybody and echoes ids as they are", async () => {
    const client = await (await start()).connect();
    for (const id of [1, "a", 1.5, -7, "", 0]) {
      client.send({ jsonrpc: "2.0", id, method: "ping" });
      expect(await client.response(id)).toEqual({ jsonrpc: "2.0", id, result: "pong" });
    }
    client.send({ jsonrpc: "2.0", id: null, method: "ping" });
    expect(await client.response(null)).toMatchObject({ result: "pong" });
    client.send(Buffer.from('{"jsonrpc":"2.0","id":"binary","method":"ping"}'));
    expect((await client.response("binary")).result).toBe("pong");
  });

  it.each([
    ["{", -32700, null],
    ["", -32700, null],
    ["5", -32600, null],
    ["null", -32600, null],
    ['"ping"', -32600, null],
    ["[]", -32600, null],
    ['{"id":3}', -32600, 3],
    ['{"jsonrpc":"1.0","id":3,"method":"ping"}', -32600, 3],
    ['{"jsonrpc":"2.0","id":3,"method":""}', -32600, 3],
    ['{"jsonrpc":"2.0","id":3,"method":7}', -32600, 3],
    ['{"jsonrpc":"2.0","id":{},"method":"ping"}', -32600, null],
    ['{"jsonrpc":"2.0","id":3,"method":"nope"}', -32601, 3],
    ['{"jsonrpc":"2.0","id":3,"method":"constructor"}', -32601, 3],
    ['{"jsonrpc":"2.0","id":3,"method":"__proto__"}', -32601, 3],
    ['{"jsonrpc":"2.0","id":3,"method":"ping","params":5}', -32602, 3],
    ['{"jsonrpc":"2.0","id":3,"method":"ping","params":[1]}', -32602, 3],
  ])("answers %s with %i", async (text, code, id) => {
    const client = await (await start()).connect();
    client.send(text);
    const answer = await client.next();
    expect(answer).toMatchObject({ jsonrpc: "2.0", id, error: { code } });
    expect(answer.result).toBeUndefined();
    await client.settle();
  });

  it("names the unknown method, even to strangers, and never answers a notification", async () => {
    const client = await (await start()).connect();
    expect((await client.error("fly")).message).toBe("Method not found: fly");
    client.send({ jsonrpc: "2.0", method: "ping" });
    client.send({ jsonrpc: "2.0", method: "nope" });
    client.send({ jsonrpc: "2.0", method: "get_camera_list" });
    await client.settle();
    expect(client.received).toHaveLength(2);
  });

  it("runs batches: answers in order, none for notifications", async () => {
    const client = await (await start()).connect();
    client.send([
      { jsonrpc: "2.0", id: 1, method: "ping" },
      { jsonrpc: "2.0", method: "ping" },
      { jsonrpc: "2.0", id: 2, method: "nope" },
      7,
    ]);
    const answer = await client.next();
    expect([answer[0]?.id, answer[1]?.id, answer[2]?.id, answer.length]).toEqual([1, 2, null, 3]);
    client.send([{ jsonrpc: "2.0", method: "ping" }]);
    client.send(Array.from({ length: 101 }, () => ({ jsonrpc: "2.0", id: 1, method: "ping" })));
    expect(await client.next()).toMatchObject({ id: null, error: { code: -32600 } });
    client.send(Array.from({ length: 100 }, (_, id) => ({ jsonrpc: "2.0", id, method: "ping" })));
    expect((await client.next()).length).toBe(100);
  });

  it("closes with 1009 on a message of more than 1 MiB, and takes one just below", async () => {
    const { connect, login } = await start();
    const client = await login("viewer");
    const frame = (size: number) =>
      JSON.stringify({ jsonrpc: "2.0", id: "big", method: "ping", params: { pad: "x".repeat(size) } });
    client.send(frame(1024 * 1024 - 100));
    expect((await client.response("big")).result).toBe("pong");
    client.send(frame(1024 * 1024 + 1));
    expect((await client.closed).code).toBe(1009);
    await (await connect()).settle();
  });

  it("answers 3000 requests sent at once, each exactly once", async () => {
    const client = await (await start()).login("viewer");
    const ids = Array.from({ length: 3000 }, (_, index) =>
      client.request(index % 2 === 0 ? "ping" : "get_camera_list"),
    );
    await Promise.all(ids.map((id) => client.response(id)));
    expect(client.received).toHaveLength(3001);
  });
});

describe("authentication", () => {
  it("answers who one is", async () => {
    const { connect, key, clock } = await start();
    const client = await connect();
    const result = await client.result("authenticate", { auth_token: key.operator, auth_type: "api_key" });
    expectShape("authenticate", result);
    expect(result).toMatchObject({
      authenticated: true,
      role: "operator",
      permissions: ["view", "control"],
      auth_method: "api_key",
      expires_at: new Date(clock.wallUs() / 1000 + 24 * 3600 * 1000).toISOString(),
    });
  });

  it("refuses with an error, or in-band to those who spell it token", async () => {
    const { connect, key } = await start();
    const plain = await connect();
    expect(await plain.error("authenticate", { auth_token: "wrong" })).toMatchObject({
      code: -32001,
      message: "Invalid or expired JWT token",
      data: { code: "auth_failed" },
    });
    expect((await plain.error("authenticate", {})).message).toBe("Missing auth_token");
    const old = await connect();
    expect((await old.call("authenticate", { token: "wrong", auth_type: "jwt" })).result).toEqual({
      authenticated: false,
      error: "Invalid or expired JWT token",
    });
    expect((await old.call("authenticate", { token: `Bearer ${key.viewer}` })).result).toMatchObject({
      authenticated: true,
    });
  });

  it("is required, checked against the role, and a failed attempt keeps the identity", async () => {
    const { connect, key } = await start();
    const client = await connect();
    expect(await client.error("get_camera_list")).toMatchObject({
      code: -32001,
      message: "Authentication required for get_camera_list - call authenticate or provide auth_token",
      data: { code: "auth_required" },
    });
    await client.result("authenticate", [key.viewer]);
    await client.result("get_camera_list");
    await client.error("authenticate", { auth_token: "wrong" });
    expect(await client.error("take_snapshot", { device: "/dev/video0" })).toMatchObject({
      code: -32003,
      message: "Insufficient permissions - operator role required for take_snapshot",
      data: { required_role: "operator", have_role: "viewer" },
    });
  });

  it("may come with the call itself, and with the handshake", async () => {
    const { connect, key } = await start();
    const client = await connect();
    expect((await client.error("get_camera_list", { auth_token: "wrong" })).message).toBe(
      "Authentication failed: Invalid or expired JWT token",
    );
    const first = client.request("get_camera_list", { auth_token: key.viewer });
    const second = client.request("get_camera_list");
    expect((await client.response(first)).result).toBeDefined();
    expect((await client.response(second)).result).toBeDefined();
    expect((await client.call("get_camera_list", { auth_token: "ignored now" })).result).toBeDefined();
    const header = await connect({ headers: { "X-API-Key": key.viewer } });
    expect((await header.call("get_camera_list")).result).toBeDefined();
    const wrong = await connect({ headers: { Authorization: "Bearer wrong" } });
    expect((await wrong.error("get_camera_list")).code).toBe(-32001);
  });

  it("ends when the key expires", async () => {
    const { connect, keys, clock } = await start();
    const { key } = keys.create({ name: "short", role: "viewer", expiresAtUs: clock.wallUs() + 5_000_000 });
    const client = await connect();
    await client.result("authenticate", { auth_token: key });
    await client.result("get_camera_list");
    clock.advance(5000);
    expect((await client.error("get_camera_list")).message).toBe("Authentication failed: token expired");
    expect((await client.error("get_camera_list")).data?.code).toBe("auth_required");
  });

  it("is not needed from networks that are allowed", async () => {
    const { connect } = await start({ anonymous: { enabled: true } });
    const client = await connect();
    expect((await client.call("get_camera_list")).result).toBeDefined();
  });
});

describe("cameras", () => {
  it("are listed in both vocabularies", async () => {
    const { login, recordings } = await start();
    await recordings.start({ cameraId: "camera1" });
    server.cameras.views[2] = cameraView(100, { status: "DISCONNECTED", mode: undefined });
    const path = await (await login("viewer")).result("get_camera_list");
    expectShape("get_camera_list", path);
    expect(path).toMatchObject({ total: 3, connected: 2 });
    expect(path.cameras?.[0]).toMatchObject({
      device: "/dev/video0",
      device_path: "/dev/video0",
      camera_id: "camera0",
      resolution: "1280x720",
      fps: 29,
      capabilities: ["snapshot", "recording", "streaming"],
      streams: {},
      recording: false,
    });
    expect(path.cameras?.[1]).toMatchObject({
      recording: true,
      current_file: "camera1_2025-01-15_14-30-00.mp4",
    });
    expect(path.cameras?.[2]).toMatchObject({
      device: "camera100",
      resolution: null,
      fps: null,
      capabilities: [],
    });
    const answer = await (await login("viewer", "?names=logical")).call("get_camera_list");
    expect(answer.metadata).toMatchObject({ processing_time_ms: expect.any(Number), request_id: "2" });
    const logical = answer.result as typeof path;
    expectShape("get_camera_list", logical);
    expect(logical.cameras?.[0]?.device).toBe("camera0");
    expect(JSON.stringify(logical)).not.toContain("/dev/");
  });

  it("answer by every name, echoing the caller's", async () => {
    const client = await (await start()).login("viewer");
    for (const device of ["video0", "/dev/video0", "camera100"]) {
      const status = await client.result("get_camera_status", { device });
      expectShape("get_camera_status", status);
      expect(status.device).toBe(device);
      expect(status.metrics).toMatchObject({ bytes_sent: 1234, readers: 1 });
    }
    expect((await client.call("get_camera_list")).metadata).toBeUndefined();
    expect((await client.result("get_camera_status", { camera_id: "camera0" })).device_path).toBeUndefined();
    expect((await client.call("get_camera_list")).metadata).toBeDefined();
  });

  it("that are unknown are told as each dialect wants", async () => {
    const { login, connect, key } = await start();
    const ask = { device: "/dev/video9" };
    const path = await (await login("viewer")).result("get_camera_status", ask);
    expectShape("get_camera_status", path);
    expect(path.status).toBe("UNKNOWN");
    const logical = await login("viewer", "?names=logical");
    expect(await logical.error("get_camera_status", ask)).toMatchObject({
      code: -32010,
      message: "Not found",
      data: { resource: "camera", code: "camera_not_found" },
    });
    const inband = await connect();
    await inband.call("authenticate", { token: key.viewer });
    expect(await inband.call("get_camera_status", ask)).toMatchObject({ result: null });
  });

  it("tell their capabilities", async () => {
    const { login } = await start();
    const path = await (await login("viewer")).result("get_camera_capabilities", { device: "/dev/video0" });
    expectShape("get_camera_capabilities", path);
    expect(path).toMatchObject({
      device: "/dev/video0",
      fps_options: [30, 15],
      validation_status: "confirmed",
    });
    const logical = await (await login("viewer")).result("get_camera_capabilities", { device: "camera0" });
    expect(logical.validation_status).toBe("CONFIRMED");
  });
});

describe("snapshots", () => {
  it("are taken under both names", async () => {
    const { login, snapshots } = await start();
    const client = await login("operator");
    const result = await client.result("take_snapshot", {
      device: "/dev/video0",
      filename: "me.png",
      quality: "90",
    });
    expectShape("take_snapshot", result);
    expect(result).toMatchObject({
      success: true,
      status: "completed",
      filename: "me.png",
      file_size: 204_800,
    });
    expect(result.file_path).toBe("snapshots/me.png");
    expect(result.download_url).toBe("/files/snapshots/me.png");
    expect(Object.keys(result)).not.toContain("duration");
    expect(snapshots.lastRequest).toEqual({
      cameraId: "camera0",
      format: "png",
      filename: "me.png",
      quality: 90,
    });
    const other = await client.result("capture_snapshot", { device: "camera1", format: "jpeg" });
    expect(other).toMatchObject({ status: "SUCCESS", device: "camera1", format: "jpg" });
    expect(other.download_url).toMatch(/^\/files\/snapshots\/camera1_snapshot\.jpg\?exp=\d+&sig=/);
    expect(server.links.verify(String(other.download_url))).toMatchObject({ role: "viewer" });
  });

  it("of different cameras overtake each other, and pings overtake all", async () => {
    const { login, snapshots } = await start();
    const client = await login("operator", "?names=path");
    const first = Promise.withResolvers<void>();
    snapshots.pace = (cameraId) => (cameraId === "camera0" ? first.promise : Promise.resolve());
    const slow = client.request("take_snapshot", { device: "camera0" });
    const behind = client.request("take_snapshot", { device: "/dev/video0" });
    const other = client.request("take_snapshot", { device: "camera1" });
    await client.response(other);
    await client.settle();
    expect(client.received.some(({ id }) => (id as unknown) === slow || (id as unknown) === behind)).toBe(
      false,
    );
    first.resolve();
    await client.response(behind);
    const order = client.received.map(({ id }) => id as unknown);
    expect(order.indexOf(slow)).toBeLessThan(order.indexOf(behind));
  });
});

describe("recordings", () => {
  it("start and stop with the superset shapes", async () => {
    const { login, recordings } = await start();
    const client = await login("operator");
    const started = await client.result("start_recording", {
      device: "/dev/video0",
      duration: "60",
      filename: "mine.mkv",
      pre_roll: 2,
      start_at: "2025-01-15T14:31:00Z",
    });
    expectShape("start_recording", started);
    expect(started).toMatchObject({ status: "STARTED", duration: 60, format: "mkv", resolution: "1280x720" });
    expect(started.recording).toMatchObject({
      status: "active",
      start_time: 1_736_951_400,
      device_path: "/dev/video0",
    });
    expect(recordings.lastRequest).toEqual({
      cameraId: "camera0",
      durationS: 60,
      filename: "mine.mkv",
      format: "mkv",
      preRollS: 2,
      startAtUs: 1_736_951_460_000_000,
    });
    const stopped = await client.result("stop_recording", { device: "/dev/video0" });
    expectShape("stop_recording", stopped);
    expect(stopped).toMatchObject({
      status: "STOPPED",
      duration: 2.5,
      file_size: 5000,
      filename: "mine.mkv",
    });
  });

  it("stop by id, by device, or the only one", async () => {
    const client = await (await start()).login("operator", "?names=path");
    const ids: string[] = [];
    for (const device of ["camera0", "camera1"]) {
      ids.push(String((await client.result("start_recording", { device })).recording_id));
    }
    expect((await client.error("stop_recording")).code).toBe(-32602);
    expect((await client.result("stop_recording", { session_id: ids[1] })).camera_id).toBe("camera1");
    expect((await client.error("stop_recording", { recording_id: ids[1] })).code).toBe(-1003);
    expect((await client.result("stop_recording")).camera_id).toBe("camera0");
    expect((await client.error("stop_recording")).data?.code).toBe("not_recording");
  });

  it("are stopped also when their camera is no longer known", async () => {
    const { login, cameras, recordings } = await start();
    const client = await login("operator", "?names=path");
    for (const named of [{}, { device: "camera100" }]) {
      cameras.views.push(cameraView(100));
      await client.result("start_recording", { device: "camera100" });
      cameras.views.splice(0);
      expect(await client.result("stop_recording", named)).toMatchObject({
        success: true,
        camera_id: "camera100",
      });
      expect(recordings.active()).toEqual([]);
    }
    expect((await client.error("stop_recording", { device: "camera100" })).data?.code).toBe(
      "camera_not_found",
    );
  });

  it("keep the order of commands sent at once, also of one that names no camera", async () => {
    const { login, recordings } = await start();
    const client = await login("operator");
    recordings.pace = () => new Promise((resolve) => setImmediate(resolve));
    client.request("start_recording", { device: "/dev/video0" });
    client.request("stop_recording");
    client.request("start_recording", { device: "/dev/video0" });
    await client.response(client.request("stop_recording", { device: "/dev/video0" }));
    expect(recordings.calls).toEqual(["start camera0", "stop camera0", "start camera0", "stop camera0"]);
  });

  it("send the answer before the notification it causes, in batches too", async () => {
    const { login } = await start();
    const client = await login("operator", "?names=path");
    const watcher = await login("viewer", "?names=logical");
    const id = client.request("start_recording", { device: "camera0" });
    await client.until(({ method }) => (method as unknown) === "recording_status_update");
    const kinds = client.received.slice(1).map((message) => message.method ?? message.id) as unknown[];
    expect(kinds).toEqual([id, "recording_status_update"]);
    client.send([{ jsonrpc: "2.0", id: "stop", method: "stop_recording", params: { device: "camera0" } }]);
    const told = (await client.until((message) => (message.params?.status as unknown) === "STOPPED")).params;
    expect(client.received.at(-2)?.[0]?.id).toBe("stop");
    expect(notifications.recording_status_update.safeParse(told).error).toBeUndefined();
    expect(told).toMatchObject({ device: "/dev/video0", duration: 2.5, recording: { status: "completed" } });
    await watcher.settle();
    const seen = watcher.received.flatMap(({ params }) => (params === undefined ? [] : [params]));
    expect(seen.map(({ status, device }) => [status, device])).toEqual([
      ["RECORDING", "camera0"],
      ["STOPPED", "camera0"],
    ]);
    expect(JSON.stringify(seen)).not.toContain("/dev/");
  });

  it.each([
    [{ device: "/dev/video0", duration: 1, duration_hours: 1 }, "duration_hours"],
    [{ device: "/dev/video0", format: "avi" }, "format"],
  ])("refuse %j before anything happens", async (params, param) => {
    const client = await (await start()).login("operator");
    expect(await client.error("start_recording", params)).toMatchObject({ code: -32602, data: { param } });
    expect(server.recordings.calls).toEqual([]);
  });

  it("fail in each client's own way", async () => {
    const { login, connect, key, recordings } = await start();
    const path = await login("operator");
    await path.result("start_recording", { device: "/dev/video0" });
    const busy = await path.error("start_recording", { device: "/dev/video0" });
    expect(busy).toMatchObject({
      code: -1006,
      message: "Camera is currently recording",
      data: { camera_id: "camera0", session_id: "r9", available_space: 5, suggestion: expect.any(String) },
    });
    expect(JSON.stringify(busy)).not.toContain("/data");
    const inband = await connect();
    await inband.call("authenticate", { token: key.operator });
    const failed = await inband.result("start_recording", { device: "/dev/video0" });
    expectShape("start_recording", failed);
    expect(failed).toMatchObject({
      success: false,
      error_code: -1006,
      error: expect.stringMatching(/^Recording failed: /),
    });
    expect((await inband.result("start_recording", { device: "/dev/video9" })).error).toBe(
      "Camera not found: /dev/video9",
    );
    recordings.startFailure = new OcelliError("capture_failed", "ffmpeg: Encoder not found");
    expect((await inband.result("start_recording", { device: "/dev/video1" })).error).toBe(
      "Recording failed: ffmpeg: Encoder missing",
    );
    recordings.startFailure = undefined;
    const params = await inband.call("start_recording", { device: "/dev/video1", duration: -1 });
    expect(params).toMatchObject({ result: null, error: { code: -32602 } });
    expect((await inband.call("get_recording_info", { filename: "none" })).result).toBeNull();
  });

  it("hide what went wrong inside, but for the request id", async () => {
    const { login, recordings } = await start();
    recordings.startFailure = new Error("secret path /root/x");
    const client = await login("operator");
    const error = await client.error("start_recording", { device: "/dev/video0" });
    expect(error).toMatchObject({ code: -32603, message: "Internal error", data: { request_id: "2" } });
    expect(JSON.stringify(error)).not.toContain("secret");
  });
});

describe("files", () => {
  it("are listed, described and deleted", async () => {
    const { login, library } = await start();
    const client = await login("operator");
    const list = await client.result("list_recordings", { limit: "10" });
    expectShape("list_recordings", list);
    expect(list).toMatchObject({ total: 2, limit: 10, offset: 0 });
    expect(list.files?.[0]).toMatchObject({
      filename: "a b.mp4",
      download_url: "/files/recordings/a%20b.mp4",
      duration: 2.5,
      device: "/dev/video0",
    });
    expect(list.files?.[1]).toMatchObject({ duration: null, device: "/dev/video0" });
    await client.result("list_snapshots");
    expect(library.lastPage).toEqual({ limit: 100, offset: 0 });
    const info = await client.result("get_recording_info", { filename: "a b" });
    expectShape("get_recording_info", info);
    expect(info).toMatchObject({ browser_playable: true, frames: 75, gaps: [{ missing_frames: 2 }] });
    const other = await client.result("get_recording_info", { filename: "old.mkv" });
    expectShape("get_recording_info", other);
    expect(other).toMatchObject({ browser_playable: false, duration: 0 });
    const growing = { becomes: "new.mkv", durationS: 1 };
    library.entries.push(mediaEntry("recording", "new.mp4", { ...growing, state: "recording" }));
    expect(await client.result("get_recording_info", { filename: "new.mp4" })).toMatchObject({
      ...{ filename: "new.mkv", state: "recording", download_url: "/files/recordings/new.mkv" },
      frame_times_url: "/files/recordings/new.mkv/frames.csv",
    });
    library.entries.pop();
    library.entries.push(mediaEntry("recording", "kept.mp4", growing));
    expect((await client.result("get_recording_info", { filename: "kept.mp4" })).filename).toBe("kept.mp4");
    const snapshot = await client.result("get_snapshot_info", { filename: "x" });
    expectShape("get_snapshot_info", snapshot);
    expect(snapshot.resolution).toBe("1280x720");
    const deleted = await client.result("delete_snapshot", { filename: "x" });
    expectShape("delete_snapshot", deleted);
    expect(deleted).toMatchObject({ filename: "x.jpg", message: "Snapshot file deleted successfully" });
    expect(await client.error("delete_snapshot", { filename: "x.jpg" })).toMatchObject({
      code: -1005,
      message: "Snapshot file not found: x.jpg",
    });
    expect(await client.error("delete_recording", { filename: "../x" })).toMatchObject({ code: -32602 });
  });

  it("are not deleted while they are written, and listed by 50 in the logical vocabulary", async () => {
    const { login, library } = await start();
    library.entries = library.entries.map((entry) => ({ ...entry, state: "recording" }));
    const client = await login("operator", "?names=logical");
    expect(await client.error("delete_recording", { filename: "a b.mp4" })).toMatchObject({
      code: -32020,
      data: { code: "file_in_use" },
    });
    await client.result("list_recordings", { device: "camera0" });
    expect(library.lastPage).toEqual({ limit: 50, offset: 0, cameraId: "camera0" });
  });

  it("are listed by a camera that was removed, as long as there are any", async () => {
    const { login, library } = await start();
    library.entries = library.entries.map((entry) => ({ ...entry, cameraId: "camera105" }));
    const client = await login("viewer");
    expect(await client.result("list_recordings", { device: "camera105" })).toMatchObject({ total: 2 });
    const unknown = { data: { code: "camera_not_found" } };
    expect(await client.error("list_recordings", { device: "camera106" })).toMatchObject(unknown);
    expect(await client.error("list_recordings", { device: "/dev/video105" })).toMatchObject(unknown);
  });

  it("are exported with progress for the caller alone, and given up when it leaves", async () => {
    const { login, exports } = await start();
    const client = await login("operator");
    const bystander = await login("operator");
    const id = client.request("export_recording", { filename: "a b", format: "mkv" });
    const { result } = await client.response(id);
    expectShape("export_recording", result);
    expect(result).toMatchObject({
      filename: "a b_export.mkv",
      source: "a b.mp4",
      codec: "copy",
      file_size: 777,
    });
    const updates = client.received.filter(({ method }) => (method as unknown) === "export_update");
    expect(updates.map(({ params }) => params?.progress)).toEqual([0.1, 1]);
    for (const { params } of updates) {
      expect(notifications.export_update.safeParse(params).error).toBeUndefined();
      expect(params?.request_id).toBe(id);
    }
    await bystander.settle();
    expect(bystander.received).toHaveLength(2);
    exports.fractions = undefined;
    client.request("export_recording", { filename: "a b" });
    await client.settle();
    client.socket.terminate();
    while (!exports.aborted) await turn();
  });
});

describe("notifications", () => {
  it("tell of cameras to those who may know, in their vocabulary", async () => {
    const { login, connect, bus } = await start();
    const stranger = await connect();
    const path = await login("viewer");
    const logical = await login("viewer", "?names=logical");
    bus.emit("camera.status", { camera: cameraView(0), change: "connected", previous: undefined });
    bus.emit("camera.status", {
      camera: cameraView(0, { status: "ERROR", reason: "Permission denied" }),
      change: "error",
      previous: "CONNECTED",
    });
    for (const client of [stranger, path, logical]) await client.settle();
    expect(stranger.received).toHaveLength(1);
    const [connected, broken] = path.received.flatMap(({ params }) => (params === undefined ? [] : [params]));
    for (const params of [connected, broken]) {
      expect(notifications.camera_status_update.safeParse(params).error).toBeUndefined();
    }
    expect(connected).toMatchObject({
      event: "connected",
      device: "/dev/video0",
      resolution: "1280x720",
      fps: 29,
    });
    expect(connected?.camera).toMatchObject({
      device_path: "/dev/video0",
      capabilities: ["snapshot", "recording", "streaming"],
    });
    expect(Object.keys(broken ?? {})).not.toContain("resolution");
    expect(broken).toMatchObject({ event: "error", error_message: "Permission denied" });
    expect(logical.received.at(1)?.params?.device).toBe("camera0");
    expect(JSON.stringify(logical.received)).not.toContain("/dev/");
  });

  it("tell the states at first only to clients that stay quiet for a second", async () => {
    const { connect, clock } = await start({ anonymous: { enabled: true } });
    const talker = await connect();
    await talker.settle();
    const listener = await connect();
    clock.advance(1000);
    for (const expected of ["/dev/video0", "/dev/video1", "camera100"]) {
      const { params } = await listener.next();
      expect(params).toMatchObject({ event: "initial", device: expected });
      expect(notifications.camera_status_update.safeParse(params).error).toBeUndefined();
    }
    await talker.settle();
    expect(talker.received).toHaveLength(2);
  });

  it("welcome those who negotiated the subprotocol", async () => {
    const { connect } = await start();
    const client = await connect({ protocols: ["chat", "echo-protocol"] });
    expect(client.socket.protocol).toBe("echo-protocol");
    const { method, params } = await client.next();
    expect(method).toBe("server_welcome");
    expect(notifications.server_welcome.safeParse(params).error).toBeUndefined();
  });
});

describe("connections", () => {
  it("are limited in number", async () => {
    const { connect, endpoint } = await start({ endpoint: { maxConnections: 1 } });
    await connect();
    expect(await (await connect()).closed).toEqual({ code: 1013, reason: "Connection limit reached" });
    expect(endpoint.dropped).toEqual({ slow: 0, silent: 0, refused: 1 });
  });

  it("end with 1001 at shutdown, within a bound even if the client does not answer", async () => {
    const { connect, endpoint, clock } = await start();
    const client = await connect();
    const silent = await connect();
    await silent.settle();
    silent.socket.pause();
    const closing = endpoint.close();
    expect(endpoint.close()).toBe(closing);
    expect(await client.closed).toEqual({ code: 1001, reason: "Server shutdown" });
    clock.advance(2000);
    await closing;
    expect(endpoint.connections).toBe(0);
    expect(await (await connect()).closed).toMatchObject({ code: 1001 });
  });

  it("that answer no ping are cut", async () => {
    const { connect, endpoint, clock } = await start();
    const alive = await connect();
    const dead = await connect();
    dead.socket.pause();
    const pinged = new Promise((resolve) => alive.socket.once("ping", resolve));
    clock.advance(20_000);
    await pinged;
    await alive.settle();
    clock.advance(10_000);
    while (endpoint.connections > 1) await turn();
    await alive.settle();
    expect(endpoint.dropped).toEqual({ slow: 0, silent: 1, refused: 0 });
  });

  it("that do not read are dropped, without delay for the others", async () => {
    const lines: string[] = [];
    const log = pino({ level: "warn" }, { write: (line: string) => void lines.push(line) });
    const { login, endpoint, bus, clock } = await start({ endpoint: { log } });
    const reader = await login("viewer");
    const stalled = await login("viewer");
    stalled.socket.pause();
    const big = cameraView(0, { reason: "x".repeat(100_000) });
    let sent = 0;
    while (lines.length === 0) {
      bus.emit("camera.status", { camera: big, change: "error", previous: undefined });
      sent++;
      await reader.settle();
    }
    const line = JSON.parse(lines[0] ?? "") as { msg: string; bufferedBytes: number };
    expect(line.msg).toBe("a client that does not read is dropped");
    expect(line.bufferedBytes).toBeLessThan(4 * 1024 * 1024 + 300_000);
    clock.advance(2000);
    while (endpoint.connections > 1) await turn();
    await reader.settle();
    const updates = reader.received.filter(({ method }) => (method as unknown) === "camera_status_update");
    expect(updates).toHaveLength(sent);
    expect(endpoint.dropped).toEqual({ slow: 1, silent: 0, refused: 0 });
  });

  it("that ask for more than they read are made to wait, not dropped", async () => {
    const { login, library } = await start();
    const [first] = library.entries;
    if (first === undefined) throw new Error("no entry");
    library.entries = Array.from({ length: 1000 }, (_, index) => ({ ...first, filename: `${index}.mp4` }));
    const client = await login("viewer");
    const other = await login("viewer");
    client.socket.pause();
    const ids = Array.from({ length: 200 }, () => client.request("list_recordings", { limit: 1000 }));
    for (let before = -1; before < library.pages; await other.settle()) before = library.pages;
    for (let round = 0; round < 50; round++) await other.settle();
    expect(library.pages).toBeGreaterThan(0);
    expect(library.pages).toBeLessThan(200);
    client.socket.resume();
    await Promise.all(ids.map((id) => client.response(id)));
    expect(library.pages).toBe(200);
  });
});
