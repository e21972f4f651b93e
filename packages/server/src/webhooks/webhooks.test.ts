import { createHmac } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SystemClock } from "../clock/system-clock.ts";
import { EventLog } from "../event-log/event-log.ts";
import { eventLogMigrations } from "../event-log/store.ts";
import { EventBus } from "../events/bus.ts";
import { type Database, openDatabase } from "../store/database.ts";
import { Webhooks, type WebhooksOptions, webhookMigrations } from "./webhooks.ts";

const log = pino({ level: "silent" });
const secret = "a secret of some length";

interface Delivery {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

let clock: SystemClock;
let bus: EventBus;
let database: Database;
let events: EventLog;
let receiver: Server;
let url: string;
let deliveries: Delivery[];
/** Status for the next deliveries; 200 afterwards. `undefined`: no answer. */
let answers: (number | undefined)[];
let running: Webhooks[];

beforeEach(async () => {
  clock = new SystemClock();
  bus = new EventBus(log);
  database = openDatabase(":memory:", [...eventLogMigrations, ...webhookMigrations]);
  events = new EventLog({ database, bus, clock, log });
  deliveries = [];
  answers = [];
  running = [];
  receiver = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    deliveries.push({ headers: request.headers, body: Buffer.concat(chunks).toString() });
    const [status] = answers.length > 0 ? answers.splice(0, 1) : [200];
    if (status !== undefined) response.writeHead(status, { location: "/elsewhere" }).end("thanks");
  });
  receiver.listen(0, "127.0.0.1");
  await once(receiver, "listening");
  url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/hook`;
});
afterEach(async () => {
  await Promise.all(running.map((one) => one.close()));
  receiver.closeAllConnections();
  receiver.close();
  events.close();
  clock.close();
});

function start(wanted: readonly string[] = [], more: Partial<WebhooksOptions> = {}): Webhooks {
  const webhooks = new Webhooks({
    webhooks: [{ url, secret, events: wanted }],
    ...{ events, database, clock, log, version: "1.2.3" },
    firstRetryMs: 1,
    maxRetryMs: 5,
    ...more,
  });
  running.push(webhooks);
  return webhooks;
}
const step = (stepUs: number): void => bus.emit("clock.step", { stepUs });
const bodies = (): { seq: number; event: string; missed?: boolean; data: unknown }[] =>
  deliveries.map(({ body }) => JSON.parse(body));
const arrived = (count: number) => expect.poll(() => deliveries.length).toBeGreaterThanOrEqual(count);

describe("a webhook", () => {
  it("gets each event from now on, in order, signed", async () => {
    step(1);
    start();
    step(2);
    bus.emit("recording.recovered", { filename: "x.mp4", cameraId: "camera0", frames: 3, resumed: false });
    bus.emit("export.progress", { exportId: "e", filename: "x", fraction: 1, state: "done" });
    step(3);
    await arrived(3);
    expect(bodies().map(({ seq, event }) => [seq, event])).toEqual([
      [2, "clock.step"],
      [3, "recording.recovered"],
      [5, "clock.step"],
    ]);
    const { headers, body } = deliveries[0] ?? { headers: {}, body: "" };
    const signed = `${headers["x-ocelli-timestamp"]}.${body}`;
    expect(headers["x-ocelli-signature"]).toBe(
      `sha256=${createHmac("sha256", secret).update(signed).digest("hex")}`,
    );
    expect(Math.abs(Number(headers["x-ocelli-timestamp"]) - clock.wallUs() / 1e6)).toBeLessThan(60);
    expect(headers).toMatchObject({ "content-type": "application/json", "x-ocelli-event": "clock.step" });
    expect(bodies()[0]).toMatchObject({ version: 1, data: { stepUs: 2 } });
  });

  it("gets only what it asked for", async () => {
    start(["recording.*", "system.startup"]);
    step(1);
    bus.emit("recording.recovered", { filename: "x.mp4", cameraId: "camera0", frames: 3, resumed: false });
    bus.emit("system.shutdown", { reason: "r" });
    bus.emit("system.startup", { version: "1" });
    await arrived(2);
    expect(bodies().map(({ event }) => event)).toEqual(["recording.recovered", "system.startup"]);
  });

  it("is tried again, in order, until it takes the event; a redirect is no delivery", async () => {
    answers = [500, 404, 302, undefined];
    start([], { timeoutMs: 100 });
    step(1);
    step(2);
    await arrived(6);
    expect(bodies().map(({ seq }) => seq)).toEqual([1, 1, 1, 1, 1, 2]);
    expect(deliveries.map(({ headers }) => headers["x-ocelli-attempt"])).toEqual([
      "1",
      "2",
      "3",
      "4",
      "5",
      "1",
    ]);
  });

  it("goes on after a restart where it was, also when the receiver was away", async () => {
    const first = start();
    step(1);
    await arrived(1);
    await first.close();
    step(2);
    answers = [503];
    const second = start([], { firstRetryMs: 60_000, maxRetryMs: 60_000 });
    await arrived(2);
    // It waits a minute for its next try, and stops at once all the same.
    await second.close();
    step(3);
    start();
    await arrived(4);
    expect(bodies().map(({ seq }) => seq)).toEqual([1, 2, 2, 3]);
  });

  it("is told when events were dropped before it could get them", async () => {
    await start().close();
    events.close();
    const path = ":memory:";
    database = openDatabase(path, [...eventLogMigrations, ...webhookMigrations]);
    events = new EventLog({ database, bus, clock, log });
    await start().close();
    for (let i = 0; i < 5; i++) step(i);
    events.read({ after: 0, limit: 1 });
    database.exec("DELETE FROM events WHERE seq <= 3");
    database.exec("INSERT INTO event_log_state VALUES ('complete_after', 3)");
    const later = new EventLog({ database, bus: new EventBus(log), clock, log });
    start([], { events: later });
    await arrived(2);
    expect(bodies().map(({ seq, missed }) => [seq, missed])).toEqual([
      [4, true],
      [5, undefined],
    ]);
  });

  it("that hangs holds up neither others nor the end", async () => {
    const hanging = createServer(() => undefined);
    hanging.listen(0, "127.0.0.1");
    await once(hanging, "listening");
    const webhooks = start([], {
      webhooks: [
        { url: `http://127.0.0.1:${(hanging.address() as AddressInfo).port}/`, secret, events: [] },
        { url, secret, events: [] },
      ],
    });
    step(1);
    await arrived(1);
    await webhooks.close();
    hanging.closeAllConnections();
    hanging.close();
  });
});
