import { EventEmitter } from "node:events";
import pino from "pino";
import { afterEach, expect, it, vi } from "vitest";
import { FakeClock } from "../clock/fake-clock.ts";
import { Announcer } from "./announcer.ts";

// The network itself is tested in test/e2e/multicam-discovery.test.ts.

class Network extends EventEmitter {
  readonly query = vi.fn();
  readonly respond = vi.fn((_packet: unknown, sent?: () => void) => sent?.());
  readonly destroy = (done: () => void): void => done();
}
const network = vi.hoisted(() => ({ now: undefined as unknown }));
vi.mock("multicast-dns", () => ({ default: () => network.now }));
afterEach(() => vi.restoreAllMocks());

it("answers a question once in a while, however often it is asked", async () => {
  const [mdns, clock] = [new Network(), new FakeClock()];
  network.now = mdns;
  const announcer = new Announcer({
    ...{ network: { address: "10.0.0.1", prefix: 24 }, clock, log: pino({ level: "silent" }) },
    devices: [{ deviceId: "Ocelli-1", port: 8081, suffix: "" }],
    ...{ isOwn: () => false, onConflict: () => undefined },
  });
  // Three probes; the second announcement is a second after the first, the third three more.
  clock.advance(3 * 250 + 1500);
  const answersTo = (question: { readonly name: string; readonly type: string }): number => {
    mdns.respond.mockClear();
    const questions = [question, { ...question, name: question.name.toUpperCase() }, question];
    for (let i = 0; i < 100; i++) mdns.emit("query", { questions });
    clock.advance(200);
    return mdns.respond.mock.calls.length;
  };
  const pointer = { name: "_multicam._tcp.local", type: "PTR" };
  const address = { name: "Ocelli-1.local", type: "A" };
  expect([answersTo(pointer), answersTo(address), answersTo(pointer)]).toEqual([1, 1, 0]);
  clock.advance(700);
  expect([answersTo(pointer), answersTo({ name: "Other.local", type: "A" })]).toEqual([1, 0]);
  // Who wants the name for himself waits no longer than that.
  const probe = { name: "Ocelli-1.local", type: "ANY" };
  expect([answersTo(probe), answersTo(probe)]).toEqual([1, 0]);
  clock.advance(50);
  expect(answersTo(probe)).toBe(1);
  await announcer.close();
});
