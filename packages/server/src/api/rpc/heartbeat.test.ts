import { expect, it } from "vitest";
import { FakeClock } from "../../clock/fake-clock.ts";
import { type Beating, Heartbeat } from "./heartbeat.ts";

class Client implements Beating {
  readonly log: string[] = [];
  readonly #clock: FakeClock;
  readonly #startedMs: number;

  constructor(clock: FakeClock) {
    this.#clock = clock;
    this.#startedMs = clock.monoUs() / 1000;
  }

  ping(): void {
    this.log.push(`ping ${this.#clock.monoUs() / 1000 - this.#startedMs}`);
  }

  expectPong(): void {
    this.log.push(`pong ${this.#clock.monoUs() / 1000 - this.#startedMs}`);
  }
}

function start(pingEveryMs: number, pongWithinMs: number) {
  const clock = new FakeClock();
  return { clock, heartbeat: new Heartbeat({ clock, pingEveryMs, pongWithinMs }) };
}

it("pings each connection once an interval and asks for the pong after its time, whenever it came", () => {
  const { clock, heartbeat } = start(20_000, 10_000);
  for (const late of [0, 300, 5000, 19_999]) {
    clock.advance(late);
    const client = new Client(clock);
    heartbeat.add(client);
    clock.advance(60_000);
    heartbeat.remove(client);
    const pings = client.log.filter((line) => line.startsWith("ping")).map((line) => Number(line.slice(5)));
    expect(pings).toHaveLength(3);
    expect(pings[0]).toBeGreaterThan(19_000);
    expect(pings[0]).toBeLessThanOrEqual(20_000);
    expect(pings[1]).toBe((pings[0] ?? 0) + 20_000);
    expect(client.log).toContain(`pong ${(pings[0] ?? 0) + 10_000}`);
  }
});

it("needs one timer for all connections, and none when it is closed", () => {
  const { clock, heartbeat } = start(20_000, 10_000);
  for (let count = 0; count < 1000; count++) heartbeat.add(new Client(clock));
  expect(clock.pending).toBe(1);
  heartbeat.close();
  expect(clock.pending).toBe(0);
});

it("forgets connections that have gone", () => {
  const { clock, heartbeat } = start(20_000, 10_000);
  const client = new Client(clock);
  heartbeat.add(client);
  clock.advance(20_000);
  expect(client.log.filter((line) => line.startsWith("ping"))).toHaveLength(1);
  const { length } = client.log;
  heartbeat.remove(client);
  clock.advance(100_000);
  expect(client.log).toHaveLength(length);
});

it("asks for a pong before the next ping, even where more time was given", () => {
  const { clock, heartbeat } = start(1000, 5000);
  const client = new Client(clock);
  heartbeat.add(client);
  clock.advance(3000);
  const order = client.log.filter((line) => line !== "").map((line) => line.slice(0, 4));
  const first = order.indexOf("ping");
  expect(order.slice(first, first + 4)).toEqual(["ping", "pong", "ping", "pong"]);
});
