import { describe, expect, it } from "vitest";
import { FakeClock } from "../clock/fake-clock.ts";
import { SendWindow } from "./send-window.ts";

function setup(): { clock: FakeClock; window: SendWindow; signal: AbortSignal; abort: AbortController } {
  const clock = new FakeClock();
  const abort = new AbortController();
  const window = new SendWindow({ limitBytes: 100, stallTimeoutMs: 1000, clock });
  return { clock, window, signal: abort.signal, abort };
}

describe("SendWindow", () => {
  it("lets one message larger than the window go alone, and the next wait for it", async () => {
    const { window, signal } = setup();
    const sent = Promise.withResolvers<void>();
    await window.room(500, signal);
    window.add(500, sent.promise);
    expect(window.hasRoom(1)).toBe(false);
    const order: string[] = [];
    const next = window.room(1, signal).then(() => order.push("next"));
    order.push("written");
    sent.resolve();
    await next;
    expect(order).toEqual(["written", "next"]);
    expect(window.inFlightBytes).toBe(0);
  });

  it("gives a viewer up that takes nothing for the stall timeout", async () => {
    const { clock, window, signal } = setup();
    window.add(100, new Promise(() => {}));
    const waiting = window.room(50, signal);
    const failed = expect(waiting).rejects.toMatchObject({ code: "reader_too_slow" });
    clock.advance(1000);
    await failed;
  });

  it("starts the stall timeout anew with every message that is written", async () => {
    const { clock, window, signal } = setup();
    const first = Promise.withResolvers<void>();
    window.add(60, first.promise);
    window.add(60, new Promise(() => {}));
    let given = false;
    const waiting = window.room(60, signal).catch(() => {
      given = true;
    });
    clock.advance(900);
    first.resolve();
    await first.promise;
    await Promise.resolve();
    await Promise.resolve();
    clock.advance(900);
    await Promise.resolve();
    expect(given).toBe(false);
    clock.advance(100);
    await waiting;
    expect(given).toBe(true);
  });

  it("passes on that the connection is gone, and the abort reason", async () => {
    const gone = setup();
    gone.window.add(100, Promise.reject(new Error("socket closed")));
    await expect(gone.window.room(1, gone.signal)).rejects.toThrow("socket closed");
    const aborted = setup();
    aborted.window.add(100, new Promise(() => {}));
    const waiting = aborted.window.room(1, aborted.signal);
    aborted.abort.abort(new Error("left"));
    await expect(waiting).rejects.toThrow("left");
  });
});
