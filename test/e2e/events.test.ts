import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type RunningHub, startHub, until, virtualCameras } from "../harness/hub.ts";
import type { Rpc } from "../harness/rpc.ts";

/** Subscriptions, replay over a crash, and errors of hardware on a running hub. */

type Params = Record<string, unknown>;
const topics = [
  "recording.start",
  "recording.stop",
  "recording.progress",
  "system.startup",
  "system.shutdown",
];

describe("the events of a hub", () => {
  const dataDir = mkdtempSync(join(tmpdir(), "ocelli-events-"));
  let hub: RunningHub;
  /** What the webhook got. */
  const posted: Params[] = [];
  const receiver = createServer(async (request, response) => {
    posted.push(JSON.parse(await text(request)) as Params);
    // Refuses each event once.
    response.writeHead(request.headers["x-ocelli-attempt"] === "1" ? 503 : 204).end();
  });

  const start = async (): Promise<void> => {
    hub = await startHub({
      dataDir,
      env: {
        ...virtualCameras({ size: "320x240", fps: 15 }),
        OCELLI_CAPTURE_START_TIMEOUT_SECONDS: "3",
        OCELLI_WEBHOOKS: JSON.stringify([
          {
            url: `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/hook?token=geheim`,
            secret: "a secret of some length",
            events: ["system.startup"],
          },
        ]),
        // Nobody listens there.
        OCELLI_CAMERAS: '[{"url":"rtsp://user:geheim@127.0.0.1:9/x","name":"Door","number":107}]',
      },
    });
  };
  beforeAll(async () => {
    receiver.listen(0, "127.0.0.1");
    await once(receiver, "listening");
    await start();
  });
  afterAll(async () => {
    await hub.stop();
    receiver.closeAllConnections();
    receiver.close();
    rmSync(dataDir, { recursive: true, force: true });
  });

  const seqs = (rpc: Rpc): number[] => rpc.notifications.map(({ params }) => Number(params.seq));
  const record = async (rpc: Rpc): Promise<void> => {
    await rpc.call("start_recording", { device: "camera100" });
    await rpc.call("stop_recording", { device: "camera100" });
  };

  it("reach a subscriber with ever larger numbers, and are replayed to one that was away", async () => {
    await using rpc = await hub.rpc();
    const { latest_seq } = await rpc.call<{ latest_seq: number }>("subscribe_events", { topics });
    await record(rpc);
    await rpc.waitFor("recording.stop");
    const live = rpc.notifications.filter(({ method }) => method !== "recording.progress");
    expect(live.map(({ method }) => method)).toEqual(["recording.start", "recording.stop"]);
    expect(live[0]?.params).toMatchObject({ device: "camera100", status: "RECORDING" });
    expect(seqs(rpc)).toEqual(seqs(rpc).toSorted((a, b) => a - b));

    await using late = await hub.rpc();
    const answer = await late.call<{ replay: Params }>("subscribe_events", { topics, since: latest_seq });
    expect(answer.replay).toMatchObject({ since: latest_seq, gone: false });
    await late.waitFor("recording.stop");
    expect(late.notifications).toEqual(live);
  });

  it("are kept over a stop and over kill -9, without a gap or a duplicate", async () => {
    const first = await hub.rpc();
    const { latest_seq: seen } = await first.call<{ latest_seq: number }>("subscribe_events", { topics });
    await first.call("start_recording", { device: "camera100" });
    await hub.end();
    await first.close();
    await start();
    const second = await hub.rpc();
    await record(second);
    // Written a moment after they happen.
    await until("the events on the disk", async () => {
      const page = await second.call<{ events: Params[] }>("get_event_history", {
        topics: ["recording.stop"],
      });
      return page.events.length >= 2;
    });
    await second.close();
    await hub.end("SIGKILL");
    await start();
    await using third = await hub.rpc();
    await third.call("subscribe_events", { topics, since: seen });
    await until(
      "the second start",
      () => third.notifications.filter(({ method }) => method === "system.startup").length === 2,
    );
    expect(third.notifications.map(({ method }) => method)).toEqual([
      "recording.start",
      "system.shutdown",
      "recording.stop",
      "system.startup",
      "recording.start",
      "recording.stop",
      "system.startup",
    ]);
    expect(third.notifications[2]?.params).toMatchObject({ reason: "shutdown" });
    const numbers = seqs(third);
    expect(new Set(numbers).size).toBe(numbers.length);
    expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
    const history = await third.call<{ events: Params[]; gone: boolean }>("get_event_history", {
      since: seen,
      topics: topics.filter((topic) => topic !== "recording.progress"),
    });
    expect(history.events.map(({ seq }) => seq)).toEqual(numbers);
  });

  it("tell everybody why a camera fails, and show no password", async () => {
    await using listener = await hub.rpc();
    await using rpc = await hub.rpc();
    await expect(rpc.call("take_snapshot", { device: "camera107" })).rejects.toThrow();
    const health = await listener.waitFor("system_health_update");
    expect(health).toMatchObject({
      status: "degraded",
      severity: "critical",
      components: { camera_monitor: "error" },
      problems: [{ component: "camera", code: "connection_refused", camera_id: "camera107" }],
    });
    const status = await rpc.call<{ status: string; metadata: Params }>("get_camera_status", {
      device: "camera107",
    });
    expect(status).toMatchObject({ status: "ERROR", metadata: { error_code: "connection_refused" } });
    const all = await rpc.call<{ events: Params[] }>("get_event_history", { since: 0, limit: 1000 });
    expect(JSON.stringify(all)).not.toContain("geheim");
    expect(JSON.stringify(all)).toContain("connection_refused");
    expect(all.events.map(({ topic }) => topic)).toContain("snapshot.error");
  });

  it("are posted to a webhook that fails at first, over restarts, and its address is not logged", async () => {
    const taken = () => new Set(posted.map(({ seq }) => seq)).size;
    await until("three starts", () => taken() === 3);
    expect(posted.every(({ event }) => event === "system.startup")).toBe(true);
    const numbers = posted.map(({ seq }) => Number(seq));
    expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
    expect(posted.length).toBeGreaterThan(3);
    expect(hub.output.join("\n")).not.toContain("geheim");
  });
});
