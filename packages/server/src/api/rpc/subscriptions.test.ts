import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { cameraView } from "./testing/fakes.ts";
import { type Json, startTestServer, type TestClient, type TestServer } from "./testing/server.ts";

let server: TestServer;
beforeEach(async () => {
  server = await startTestServer();
});
afterEach(() => server.close());

const told = (client: TestClient): Json[] =>
  client.received.filter((message) => message.method !== undefined);
const says = (value: unknown, wanted: unknown): boolean => value === wanted;
const methods = (client: TestClient): unknown[] => told(client).map((message) => message.method);
const seqs = (client: TestClient): unknown[] => told(client).map((message) => message.params?.seq);

function connected(number: number): void {
  server.bus.emit("camera.status", {
    camera: cameraView(number),
    change: "connected",
    previous: "DISCONNECTED",
  });
}
const step = (stepUs: number): void => server.bus.emit("clock.step", { stepUs });

describe("a connection that never subscribed", () => {
  it("hears the broadcasts and nothing else", async () => {
    const client = await server.login("viewer");
    connected(0);
    step(1);
    server.bus.emit("snapshot.taken", { cameraId: "camera0", filename: "x", bytes: 1, resolution: "1x1" });
    await client.settle();
    expect(methods(client)).toEqual(["camera_status_update"]);
    expect(told(client)[0]?.params).toMatchObject({ event: "connected", device: "/dev/video0", seq: 1 });
  });

  it("hears of health only when it becomes critical, and when that is over", async () => {
    const client = await server.login("viewer");
    const problem = { component: "storage", code: "storage_low", message: "m", sinceUs: 1 } as const;
    server.bus.emit("system.health", {
      ...{ severity: "warning", previous: "ok" },
      problems: [{ ...problem, severity: "warning" }],
    });
    server.bus.emit("system.health", {
      ...{ severity: "critical", previous: "warning" },
      problems: [{ ...problem, severity: "critical" }],
    });
    server.bus.emit("system.health", { severity: "ok", previous: "critical", problems: [] });
    server.bus.emit("system.health", { severity: "warning", previous: "ok", problems: [] });
    await client.settle();
    expect(seqs(client)).toEqual([2, 3]);
    expect(told(client)[0]?.params).toMatchObject({
      status: "degraded",
      problems: [{ code: "storage_low" }],
    });
  });
});

describe("subscribe_events", () => {
  it("switches to what was asked for, and each call adds to it", async () => {
    const client = await server.login("viewer");
    expect(await client.result("subscribe_events", { topics: ["camera.connected"] })).toMatchObject({
      subscribed: true,
      topics: ["camera.connected"],
      filters: {},
    });
    connected(0);
    await client.result("subscribe_events", { topics: ["clock.step", "camera_status_update"] });
    step(1);
    connected(1);
    await client.settle();
    expect(methods(client)).toEqual([
      "camera.connected",
      "clock.step",
      "camera.connected",
      "camera_status_update",
    ]);
    expect(seqs(client)).toEqual([1, 2, 3, 3]);
    // A subscriber speaks the logical vocabulary.
    expect(told(client)[0]?.params).toMatchObject({
      device: "camera0",
      status: "CONNECTED",
      driver: "uvcvideo",
    });
  });

  it("refuses unknown topics and subscribes to nothing then", async () => {
    const client = await server.login("viewer");
    for (const topics of [["camera.connected", "camera.exploded"], [], "camera.connected", undefined]) {
      expect((await client.error("subscribe_events", { topics })).code).toBe(-32602);
    }
    connected(0);
    await client.settle();
    expect(methods(client)).toEqual(["camera_status_update"]);
    expect((await (await server.connect()).error("subscribe_events", { topics: ["clock.step"] })).code).toBe(
      -32001,
    );
  });

  it.each([
    [{ device: "camera1" }, [2]],
    [{ device: "/dev/video1" }, [2]],
    [{ device_path: "video0" }, [1]],
    [{ new_status: "CONNECTED", device: "camera0" }, [1]],
    [{ topic: "camera.status_change" }, [1, 2]],
    [{ topic: "camera.connected" }, []],
    [{ nonsense: "x" }, []],
    [{ timestamp_after: "2025-01-15T14:29:00Z" }, [1, 2]],
    [{ timestamp_before: "2025-01-15T14:29:00Z" }, []],
  ])("applies the filters %j", async (filters, expected) => {
    const client = await server.login("viewer");
    await client.result("subscribe_events", { topics: ["camera.status_change"], filters });
    connected(0);
    connected(1);
    await client.settle();
    expect(seqs(client)).toEqual(expected);
  });

  it("refuses filters that cannot hold", async () => {
    const client = await server.login("viewer");
    for (const filters of [{ timestamp_after: "soon" }, { device: { a: 1 } }, "x"]) {
      const error = await client.error("subscribe_events", { topics: ["clock.step"], filters });
      expect(error).toMatchObject({ code: -32602, data: { param: expect.stringContaining("filters") } });
    }
  });

  it("gives progress of recordings to subscribers only", async () => {
    const listener = await server.login("viewer");
    const client = await server.login("operator");
    await client.result("start_recording", { device: "/dev/video0" });
    await client.result("subscribe_events", { topics: ["recording.progress", "recording.stop"] });
    const [recording] = server.recordings.active();
    if (recording === undefined) throw new Error("nothing is recorded");
    server.bus.emit("recording.progress", { recording: { ...recording, frames: 9 } });
    await client.result("stop_recording", { device: "camera0" });
    await client.settle();
    await listener.settle();
    expect(methods(client)).toEqual(["recording_status_update", "recording.progress", "recording.stop"]);
    expect(methods(listener)).toEqual(["recording_status_update", "recording_status_update"]);
    // The answer comes first.
    const answer = client.received.findIndex((message) => says(message.result?.status, "STOPPED"));
    expect(client.received.findIndex((message) => says(message.method, "recording.stop"))).toBeGreaterThan(
      answer,
    );
  });
});

describe("a replay", () => {
  it("gives what was missed, in order, once, before what happens now", async () => {
    for (let i = 0; i < 1000; i++) step(i);
    const client = await server.login("viewer");
    const id = client.request("subscribe_events", { topics: ["clock.step"], since: 400 });
    // While it runs, more happens.
    let more = 0;
    const timer = setInterval(() => {
      for (let i = 0; i < 7 && more < 500; i++) step(10_000 + more++);
    }, 1);
    await client.until(() => more === 500);
    clearInterval(timer);
    const last = server.events.latestSeq;
    await client.until((message) => says(message.params?.seq, last));
    expect(seqs(client)).toEqual(Array.from({ length: last - 400 }, (_, i) => 401 + i));
    expect((await client.response(id)).result?.replay).toEqual({
      since: 400,
      gone: false,
      complete_after: 0,
    });
    expect(client.received.findIndex((m) => m.method !== undefined)).toBeGreaterThan(
      client.received.findIndex((m) => says(m.id, id)),
    );
  });

  it("keeps to topics and filters", async () => {
    connected(0);
    step(1);
    connected(1);
    const client = await server.login("viewer");
    await client.result("subscribe_events", {
      topics: ["camera.connected", "camera_status_update"],
      filters: { device: "camera1" },
      since: 0,
    });
    await client.settle();
    expect(told(client).map(({ method, params }) => [method, params?.seq])).toEqual([
      ["camera.connected", 3],
      ["camera_status_update", 3],
    ]);
  });

  it("says when the past is gone", async () => {
    for (let i = 0; i < 10; i++) step(i);
    const client = await server.login("viewer");
    const { replay } = await client.result("subscribe_events", { topics: ["clock.step"], since: 5000 });
    expect(replay).toEqual({ since: 5000, gone: true, complete_after: 0 });
    step(11);
    await client.settle();
    expect(seqs(client)).toEqual([11]);
    client.socket.terminate();
    await expect.poll(() => server.endpoint.connections).toBe(0);
    server.clock.advance(31 * 86_400_000);
    const again = await server.login("viewer");
    step(12);
    const answer = await again.result("subscribe_events", { topics: ["clock.step"], since: 3 });
    expect(answer.replay).toEqual({ since: 3, gone: true, complete_after: 11 });
    await again.settle();
    expect(seqs(again)).toEqual([12]);
  });

  it("waits for a client that reads slowly and holds up nobody", async () => {
    const name = "x".repeat(2000);
    for (let i = 0; i < 12_000; i++) {
      server.bus.emit("snapshot.taken", { cameraId: "camera0", filename: name, bytes: i, resolution: "1x1" });
    }
    const slow = await server.login("viewer");
    const quick = await server.login("viewer");
    await quick.result("subscribe_events", { topics: ["clock.step"] });
    await slow.result("subscribe_events", { topics: ["snapshot.taken"], since: 0 });
    slow.socket.pause();
    step(1);
    await quick.until((message) => says(message.method, "clock.step"));
    await quick.settle();
    slow.socket.resume();
    await slow.until((message) => says(message.params?.seq, 12_000));
    expect(seqs(slow)).toHaveLength(12_000);
    expect(slow.socket.readyState).toBe(slow.socket.OPEN);
  });
});

describe("many replays", () => {
  it("come one after the other, and too many are refused", async () => {
    for (let i = 0; i < 600; i++) step(i);
    const client = await server.login("viewer");
    const ids = Array.from({ length: 20 }, () =>
      client.request("subscribe_events", { topics: ["clock.step"], since: 0 }),
    );
    const answers = await Promise.all(ids.map((id) => client.response(id)));
    const refused = answers.filter(({ error }) => error !== undefined);
    expect(refused.length).toBeGreaterThan(0);
    expect(refused[0]?.error).toMatchObject({ data: { code: "rate_limited" } });
    const accepted = answers.length - refused.length;
    await client.until(() => told(client).length >= 600 * accepted);
    const oneReplay = Array.from({ length: 600 }, (_, i) => i + 1);
    expect(seqs(client)).toEqual(Array.from({ length: accepted }, () => oneReplay).flat());
    step(9);
    await client.settle();
    expect(seqs(client)).toHaveLength(600 * accepted + 1);
    expect((await client.result("subscribe_events", { topics: ["clock.step"], since: 0 })).subscribed).toBe(
      true,
    );
  });

  it("end with their connection", async () => {
    for (let i = 0; i < 5000; i++) step(i);
    const client = await server.login("viewer");
    await client.result("subscribe_events", { topics: ["clock.step"], since: 0, filters: { no: "such" } });
    client.socket.close();
    await client.closed;
    await expect.poll(() => server.endpoint.connections).toBe(0);
  });
});

describe("unsubscribe_events", () => {
  it("takes topics back, and with none named all", async () => {
    const client = await server.login("viewer");
    await client.result("subscribe_events", { topics: ["clock.step", "camera.connected"] });
    const other = await server.login("viewer");
    await other.result("subscribe_events", { topics: ["clock.step"] });
    expect(await client.result("get_subscription_stats")).toMatchObject({
      global_stats: {
        total_subscriptions: 3,
        active_clients: 2,
        topic_counts: { "clock.step": 2, "camera.connected": 1 },
      },
      client_topics: ["clock.step", "camera.connected"],
    });
    expect(await client.result("unsubscribe_events", { topics: ["clock.step", "system.health"] })).toEqual({
      unsubscribed: true,
      topics: ["clock.step"],
    });
    step(1);
    connected(0);
    expect(await client.result("unsubscribe_events")).toEqual({
      unsubscribed: true,
      topics: ["camera.connected"],
    });
    connected(1);
    await client.settle();
    expect(methods(client)).toEqual(["camera.connected"]);
    other.socket.terminate();
    await expect
      .poll(async () => (await client.result("get_subscription_stats")).global_stats)
      .toEqual({ total_subscriptions: 0, active_clients: 0, topic_counts: {} });
  });
});

describe("get_event_history", () => {
  it("pages through what happened, as it was told", async () => {
    connected(0);
    step(1_500_000);
    connected(1);
    const client = await server.login("viewer");
    const all = await client.result("get_event_history");
    expect(all.events?.length).toBe(3);
    expect(all).toMatchObject({
      events: [
        { seq: 1, topic: "camera.status_change", data: { device: "/dev/video0", new_status: "CONNECTED" } },
        { seq: 2, topic: "clock.step", data: { step_seconds: 1.5 } },
        { seq: 3 },
      ],
      latest_seq: 3,
      complete_after: 0,
      gone: false,
      next_since: null,
    });
    expect((await client.result("get_event_history", { limit: 1 })).events?.[0]?.seq).toBe(3);
    const first = await client.result("get_event_history", { since: 0, limit: 2 });
    expect(first.next_since).toBe(2);
    const second = await client.result("get_event_history", { since: first.next_since, limit: 2 });
    expect(second).toMatchObject({ events: [{ seq: 3 }], next_since: null });
    const ofCamera = await client.result("get_event_history", { device: "/dev/video1" });
    expect(ofCamera).toMatchObject({ events: [{ seq: 3 }] });
    const ofTopic = await client.result("get_event_history", { topics: ["camera.connected"], since: 1 });
    expect(ofTopic).toMatchObject({ events: [{ seq: 3, topic: "camera.connected" }] });
    expect((await client.result("get_event_history", { start_time: "2030-01-01T00:00:00Z" })).events).toEqual(
      [],
    );
    expect((await client.result("get_event_history", { end_time: "2020-01-01T00:00:00Z" })).events).toEqual(
      [],
    );
  });
});
