import { type MethodName, methodNames, methods } from "@ocelli/protocol/camera-service";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { EventCatalogue } from "../../events/catalogue.ts";
import { cameraView, mediaEntry } from "./testing/fakes.ts";
import { type Json, startTestServer, type TestClient, type TestServer } from "./testing/server.ts";

// A credential limited to camera0, and everything a client can call: camera1 must not exist for it.

const mine = "camera0";
const hidden = { id: "camera1", node: "/dev/video1", file: "hidden", number: 1 };
const absent = { id: "camera9", node: "/dev/video9", file: "absent", number: 9 };

let server: TestServer;
let key: string;
let hiddenRecording: string;
let hiddenSchedule: string;

beforeEach(async () => {
  server = await startTestServer();
  const cameras = new Set([mine]);
  key = server.keys.create({ name: "limited", role: "admin", cameras }).key;
  server.library.entries.push(
    mediaEntry("recording", "hidden.mp4", { cameraId: hidden.id }),
    mediaEntry("snapshot", "hidden.jpg", { cameraId: hidden.id }),
  );
  const admin = await server.login("admin");
  const started = await admin.result("start_recording", { device: hidden.id, filename: "hidden_now" });
  hiddenRecording = String(started.recording_id);
  const start_time = "2025-01-15T15:00:00Z";
  const schedule = await admin.result("schedule_recording", { device: hidden.id, start_time, duration: 5 });
  hiddenSchedule = String(schedule.schedule_id);
  await admin.result("set_retention_policy", {
    ...{ policy_type: "age", enabled: true, max_age_days: 3, device: hidden.id },
  });
  await admin.result("take_snapshot", { device: hidden.id });
  const failing = cameraView(1, { status: "ERROR", reason: "it is hidden away" });
  server.bus.emit("camera.status", { camera: failing, change: "error", previous: "CONNECTED" });
  expect(JSON.stringify(await admin.result("get_status"))).toContain("hidden away");
});
afterEach(() => server.close());

async function limited(query = ""): Promise<TestClient> {
  const client = await server.connect({ query });
  const answer = await client.result("authenticate", { auth_token: key });
  expect(answer.role).toBe("admin");
  return client;
}

/** Parameters that get each method past its schema, about the camera or file of `other`. */
function paramsOf(method: MethodName, other: typeof hidden, device: string): Record<string, unknown> {
  const { shape } = methods[method].params;
  const isHidden = other === hidden;
  const fitting: Record<string, unknown> = {
    device,
    filename: other.file,
    recording_id: isHidden ? hiddenRecording : "no-such-recording",
    schedule_id: isHidden ? hiddenSchedule : "s99",
    start_time: "2025-01-15T15:00:00Z",
    duration: 5,
    topics: ["camera.status_change", "recording.start", "system.health"],
    control: "brightness",
    policy_type: "age",
    enabled: true,
    max_age_days: 1,
    message: "hello",
  };
  // Where both name the recording, one would hide the other.
  if (method === "stop_recording") delete fitting.recording_id;
  return Object.fromEntries(Object.entries(fitting).filter(([name]) => Object.hasOwn(shape, name)));
}

/** What is left of an answer when its own spelling of the camera or file, ids and times are taken out. */
function comparable(answer: Json, other: typeof hidden): string {
  return JSON.stringify({ result: answer.result, error: answer.error })
    .replaceAll(other.node, "NODE")
    .replaceAll(new RegExp(`${other.id}\\b`, "g"), "ID")
    .replaceAll(new RegExp(`${other.file}\\b`, "g"), "FILE")
    .replaceAll(/"request_id":"[^"]*"/g, "")
    .replaceAll(/\b(s0|s99)\b/g, "SCHEDULE");
}

const touching = methodNames.filter((method) =>
  ["device", "filename", "schedule_id", "recording_id"].some((name) =>
    Object.hasOwn(methods[method].params.shape, name),
  ),
);

describe("a credential limited to one camera", () => {
  it.each(touching)("%s answers of another camera as of one that does not exist", async (method) => {
    for (const query of ["", "?names=logical", "?names=path&failures=inband"]) {
      for (const spelling of ["id", "node"] as const) {
        const about = await (await limited(query)).call(method, paramsOf(method, hidden, hidden[spelling]));
        const against = await (await limited(query)).call(method, paramsOf(method, absent, absent[spelling]));
        expect(comparable(about, hidden)).toEqual(comparable(against, absent));
      }
    }
    expect(server.recordings.calls).not.toContain("stop camera1");
    expect(server.recordings.active().map(({ id }) => id)).toContain(hiddenRecording);
    expect(server.library.entries.map(({ filename }) => filename)).toContain("hidden.mp4");
  });

  it("stops no recording of another camera by its id", async () => {
    const client = await limited();
    const refusal = await client.error("stop_recording", { recording_id: hiddenRecording });
    const unknown = await client.error("stop_recording", { recording_id: "r-none" });
    expect(refusal.code).toEqual(unknown.code);
    expect(String(refusal.data?.reason).replace(hiddenRecording, "")).toBe(
      String(unknown.data?.reason).replace("r-none", ""),
    );
    expect((await client.error("stop_recording", {})).data?.code).toBe("not_recording");
  });

  it.each(methodNames)("%s without a camera tells of none but its own", async (method) => {
    const client = await limited();
    const { device: _device, ...params } = paramsOf(method, absent, absent.id);
    const answer = JSON.stringify(await client.call(method, params));
    for (const name of [hidden.id, hidden.node, "hidden", "Camera 1", hiddenRecording, "camera100"]) {
      expect(answer).not.toContain(name);
    }
  });

  it.each([
    "cleanup_old_files",
    "get_storage_info",
    "create_api_key",
    "list_api_keys",
    "revoke_api_key",
    "rotate_api_key",
  ] as const)("%s is for the whole hub, and so refused", async (method) => {
    const params = { name: "x", role: "admin", key_id: "x" };
    const refusal = await (await limited()).error(method, params);
    expect(refusal.data).toMatchObject({ code: "permission_denied" });
    expect(String(refusal.data?.reason)).toContain("credential for all cameras");
  });

  it("sets no policy for every camera", async () => {
    const client = await limited();
    const policy = { policy_type: "age", enabled: true, max_age_days: 1 };
    expect((await client.error("set_retention_policy", policy)).data?.code).toBe("permission_denied");
    await client.result("set_retention_policy", { ...policy, device: mine });
  });

  it("works on its own camera as any other", async () => {
    const client = await limited();
    expect((await client.result("get_camera_list")).total).toBe(1);
    const { files, total } = await client.result("list_recordings");
    expect(total).toBe(1);
    expect(files?.[0]?.filename).toBe("a b.mp4");
    expect((await client.result("list_recordings", { limit: 1, offset: 1 })).files).toEqual([]);
    const started = await client.result("start_recording", { device: "/dev/video0" });
    expect(started.success).toBe(true);
    expect((await client.result("stop_recording", {})).camera_id).toBe(mine);
    expect((await client.result("delete_recording", { filename: "a b.mp4" })).deleted).toBe(true);
  });

  it("gets links that carry the limit", async () => {
    const client = await limited("?names=logical");
    const url = new URL(String((await client.result("get_stream_url", { device: mine })).stream_url));
    const link = url.pathname + url.search;
    expect(server.links.verify(link)?.cameras).toEqual(new Set([mine]));
    const record = server.keys.list().find(({ name }) => name === "limited");
    server.keys.revoke(record?.keyId ?? "");
    expect(server.links.verify(link)).toBe(undefined);
  });
});

const health = (...ids: string[]): EventCatalogue["system.health"] => ({
  severity: "critical",
  previous: "ok",
  problems: ids.map((cameraId) => ({
    ...{ component: "camera" as const, code: "camera_busy", severity: "critical" as const },
    ...{ message: `${cameraId} is busy`, cameraId, sinceUs: 0 },
  })),
});

function emitAll(id: string): void {
  const number = Number(id.slice(6));
  const camera = cameraView(number);
  server.bus.emit("camera.status", { camera, change: "error", previous: "CONNECTED" });
  server.bus.emit("capture.gap", { cameraId: id, fromUs: 0, toUs: 1, reason: "stall" });
  server.bus.emit("snapshot.taken", { cameraId: id, filename: `${id}.jpg`, bytes: 1, resolution: "1x1" });
}

describe("events for a credential limited to one camera", () => {
  const everyTopic = [
    ...["camera.status_change", "capture.gap", "snapshot.taken", "system.health", "camera_status_update"],
    ...["export.progress", "retention.deleted", "storage.level", "system_health_update"],
  ];
  const emit = (): void => {
    emitAll(hidden.id);
    server.bus.emit("export.progress", { exportId: "e", filename: "hidden.ts", fraction: 1, state: "done" });
    server.bus.emit("retention.deleted", { recordings: 7, snapshots: 0, bytes: 5, reasons: ["age"] });
    server.bus.emit("system.health", health(hidden.id));
    server.bus.emit("system.health", health(hidden.id, mine));
    server.bus.emit("storage.level", { level: "low", freeBytes: 1, totalBytes: 2 });
    emitAll(mine);
  };
  const expectOnlyMine = (client: TestClient, more: readonly string[]): void => {
    const text = JSON.stringify(client.received);
    for (const name of [hidden.id, hidden.node, "hidden", "recordings_removed"]) {
      expect(text).not.toContain(name);
    }
    for (const name of more) expect(text).toContain(name);
    const told = client.received
      .filter(({ method }) => String(method) === "system.health")
      .map(({ params }) => JSON.stringify(params?.problems));
    expect(told.filter((problems, index) => problems === told[index - 1])).toEqual([]);
  };

  it("tells broadcasts of its own camera only, at first and later", async () => {
    const client = await limited();
    emit();
    await client.settle();
    expectOnlyMine(client, ["camera_status_update", "system_health_update", "camera0 is busy"]);
    const quiet = await server.connect({ headers: { "x-api-key": key } });
    for (let done = false; !done; ) {
      server.clock.advance(1000);
      await new Promise((resolve) => setImmediate(resolve));
      done = quiet.received.length > 0;
    }
    await quiet.settle();
    expect(JSON.stringify(quiet.received)).not.toMatch(/camera1/);
  });

  it("tells subscribers, replays and lists the same", async () => {
    const live = await limited();
    await live.result("subscribe_events", { topics: everyTopic });
    emit();
    await live.settle();
    expectOnlyMine(live, ["capture.gap", "system.health", "storage.level", "camera0.jpg"]);
    const late = await limited();
    await late.result("subscribe_events", { topics: everyTopic, since: 0 });
    await late.until(({ method, params }) => String(method) === "snapshot.taken" && params);
    await late.settle();
    expectOnlyMine(late, ["capture.gap", "system.health", "storage.level", "camera0.jpg"]);
    for (const range of [{}, { since: 0 }]) {
      const history = await limited();
      await history.result("get_event_history", range);
      expectOnlyMine(history, ["capture.gap", "system.health", "storage.level", "camera0.jpg"]);
    }
  });

  it("does not tell the limited of trouble that begins and ends elsewhere", async () => {
    const client = await limited();
    server.bus.emit("system.health", health(hidden.id));
    server.bus.emit("system.health", { severity: "ok", previous: "critical", problems: [] });
    await client.settle();
    expect(client.received.filter(({ method }) => method !== undefined)).toEqual([]);
  });

  it("follows who the connection is now", async () => {
    const client = await server.login("admin");
    emitAll(hidden.id);
    await client.until(({ params }) => String(params?.camera_id) === hidden.id);
    await client.result("authenticate", { auth_token: key });
    const before = client.received.length;
    emitAll(hidden.id);
    emitAll(mine);
    await client.settle();
    expect(JSON.stringify(client.received.slice(before))).not.toContain(hidden.id);
    expect(JSON.stringify(client.received.slice(before))).toContain(mine);
  });
});

describe("a token that ends while the connection is open", () => {
  it("ends the notifications; the next call says so, and the one after is of nobody", async () => {
    const { token } = await server.tokens.issue({ userId: "guest", role: "viewer", lifetimeS: 5 });
    const client = await server.connect();
    expect((await client.result("authenticate", { auth_token: token })).cameras).toBe(null);
    emitAll(mine);
    await client.settle();
    const told = client.received.length;
    server.clock.advance(5000);
    emitAll(mine);
    await client.settle();
    expect(client.received.length).toBe(told + 1);
    expect(await client.error("get_camera_list")).toMatchObject({
      ...{ code: -32001, message: "Authentication failed: token expired", data: { code: "token_expired" } },
    });
    expect(String((await client.error("get_camera_list")).message)).toContain("Authentication required");
    const { token: next } = await server.tokens.issue({ userId: "guest", role: "viewer", lifetimeS: 5 });
    await client.result("get_camera_list", { auth_token: next });
  });
});

describe("a revoked credential", () => {
  it("ends on open connections: no notifications, and the next call says so", async () => {
    const client = await server.connect();
    const { key: doomed, record } = server.keys.create({ name: "doomed", role: "viewer" });
    await client.result("authenticate", { auth_token: doomed });
    emitAll(mine);
    await client.settle();
    const told = client.received.length;
    server.keys.revoke(record.keyId);
    emitAll(mine);
    await client.settle();
    expect(client.received.length).toBe(told + 1);
    const refusal = await client.error("get_camera_list");
    expect(refusal).toMatchObject({ code: -32001, data: { code: "auth_failed" } });
    expect(String(refusal.message)).toContain("revoked");
    expect(String((await client.error("get_camera_list")).message)).toContain("Authentication required");
  });

  it("does not get to work that waited for its turn", async () => {
    const { key: doomed, record } = server.keys.create({ name: "doomed", role: "operator" });
    const client = await server.connect();
    await client.result("authenticate", { auth_token: doomed });
    const gate = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    server.recordings.pace = () => {
      begun.resolve();
      return gate.promise;
    };
    const first = client.request("start_recording", { device: mine });
    const second = client.request("take_snapshot", { device: mine });
    await begun.promise;
    await client.settle();
    server.keys.revoke(record.keyId);
    gate.resolve();
    expect((await client.response(first)).error).toBe(undefined);
    expect((await client.response(second)).error).toMatchObject({ code: -32001 });
  });
});
