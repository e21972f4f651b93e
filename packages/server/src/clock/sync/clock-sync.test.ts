import { createSocket } from "node:dgram";
import { once } from "node:events";
import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { FakeClock } from "../fake-clock.ts";
import { SystemClock } from "../system-clock.ts";
import { SystemClockSync } from "./clock-sync.ts";
import { type KernelClock, readKernelClock } from "./kernel.ts";
import type { ClockState } from "./state.ts";
import { ntpAnswer } from "./testing/ntp-answer.ts";

const steered: KernelClock = { synchronised: true, maxErrorUs: 900, daemon: "chrony" };
const adrift: KernelClock = { synchronised: false, maxErrorUs: 16_000_000, daemon: "kernel" };

describe("the state of the clock", () => {
  it("is the kernel's word where no server is named, and follows it", () => {
    const clock = new FakeClock();
    let kernel = adrift;
    const sync = new SystemClockSync({ clock, servers: [], readKernel: () => kernel });
    const told: ClockState[] = [];
    sync.onChange((state) => told.push(state));
    expect(sync.state).toMatchObject({ synchronised: false, source: "none", uncertaintyUs: undefined });
    expect(sync.state.reason).toContain("chrony");
    kernel = steered;
    clock.advance(10_000);
    expect(sync.state).toMatchObject({
      synchronised: true,
      source: "chrony",
      uncertaintyUs: 900,
      offsetUs: 0,
    });
    kernel = { ...steered, maxErrorUs: 1200 };
    clock.advance(10_000);
    expect(told).toHaveLength(1);
    sync.close();
    expect(clock.pending).toBe(0);
  });

  it("is unknown where the kernel cannot be asked", () => {
    const clock = new FakeClock();
    const sync = new SystemClockSync({ clock, servers: [], readKernel: () => undefined });
    expect(sync.state).toMatchObject({ synchronised: false, source: "none" });
    expect(sync.state.reason).toContain("cannot be asked");
    sync.close();
  });

  it("does not take the kernel's word where it is not to be trusted", () => {
    const clock = new FakeClock();
    const options = { clock, trustKernel: false, readKernel: () => steered };
    const alone = new SystemClockSync({ ...options, servers: [] });
    expect(alone.state).toMatchObject({ synchronised: false, reason: expect.stringContaining("ntpServers") });
    const asking = new SystemClockSync({ ...options, servers: [{ host: "127.0.0.1", port: 9 }] });
    expect(asking.state.reason).toContain("not answered yet");
    for (const sync of [alone, asking]) sync.close();
  });

  it("is measured where servers are named, grows old, and falls back to the kernel's", async () => {
    const real = new SystemClock();
    const socket = createSocket("udp4");
    let answers = true;
    socket.on("message", (question, from) => {
      if (!answers) return;
      // Two seconds ahead of the clock under test.
      socket.send(ntpAnswer(question, clock.wallUs() + 2_000_000), from.port, from.address);
    });
    socket.bind(0, "127.0.0.1");
    await once(socket, "listening");
    const clock = new FakeClock();
    const sync = new SystemClockSync({
      clock,
      servers: [{ host: "127.0.0.1", port: socket.address().port }],
      sntp: { samples: 1, timeoutMs: 50 },
      readKernel: () => adrift,
    });
    expect(sync.state.synchronised).toBe(false);
    expect(await sync.refresh()).toMatchObject({ synchronised: true, source: "sntp" });
    expect(Math.abs(sync.state.offsetUs - 2_000_000)).toBeLessThan(5);

    // Nobody answers any more: what was measured serves, ever less surely, until it is too old.
    answers = false;
    const before = sync.state.uncertaintyUs ?? 0;
    clock.advance(20_000);
    expect(sync.state.synchronised).toBe(true);
    clock.advance(600_000);
    expect((sync.state.uncertaintyUs ?? 0) - before).toBeGreaterThan(50_000);

    // A step of the wall clock moves the offset against it.
    clock.step(500_000);
    expect(Math.abs(sync.state.offsetUs - 1_500_000)).toBeLessThan(5);

    clock.advance(3_600_000);
    expect(sync.state).toMatchObject({ synchronised: false, source: "none" });
    sync.close();
    socket.close();
    real.close();
  });
});

it("is asked for again soon where nobody answered at the start, and told once why not", async () => {
  const clock = new FakeClock();
  const socket = createSocket("udp4");
  let asked = 0;
  socket.on("message", (question, from) => {
    if (++asked < 3) return;
    socket.send(ntpAnswer(question, clock.wallUs()), from.port, from.address);
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  const errors: unknown[] = [];
  const sync = new SystemClockSync({
    ...{ clock, servers: [{ host: "127.0.0.1", port: socket.address().port }], intervalMs: 86_400_000 },
    ...{ sntp: { samples: 1, timeoutMs: 5000 }, readKernel: () => adrift },
    onError: (error) => errors.push(error),
  });
  void sync.refresh();
  for (const count of [1, 2]) {
    await expect.poll(() => asked).toBe(count);
    clock.advance(5000);
    await turn();
    expect(sync.state.reason).toContain("no answer");
    clock.advance(54_000);
    await turn();
    expect(asked).toBe(count);
    clock.advance(1000);
  }
  await expect.poll(() => sync.state.synchronised).toBe(true);
  expect(errors).toHaveLength(1);
  sync.close();
  socket.close();
});

it("is measured again when the clock is set between two answers", async () => {
  const clock = new FakeClock();
  const socket = createSocket("udp4");
  const trueAheadUs = clock.wallUs() - clock.monoUs() + 2_000_000;
  let asked = 0;
  socket.on("message", (question, from) => {
    if (++asked === 2) clock.step(60e6);
    socket.send(ntpAnswer(question, clock.monoUs() + trueAheadUs), from.port, from.address);
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  const sync = new SystemClockSync({
    clock,
    servers: [{ host: "127.0.0.1", port: socket.address().port }],
    sntp: { samples: 3, spacingMs: 1, timeoutMs: 60_000 },
  });
  const ticking = setInterval(() => clock.advance(1), 1);
  const { offsetUs, uncertaintyUs = 0 } = await sync.refresh();
  clearInterval(ticking);
  expect(Math.abs(offsetUs - (2e6 - 60e6))).toBeLessThanOrEqual(uncertaintyUs);
  expect(uncertaintyUs).toBeLessThan(1e6);
  expect(asked).toBe(6);
  sync.close();
  socket.close();
});

it("reads the kernel of this machine without changing it", () => {
  const kernel = readKernelClock();
  expect(kernel).toBeDefined();
  expect(kernel?.maxErrorUs).toBeGreaterThanOrEqual(0);
  expect(readKernelClock()?.synchronised).toBe(kernel?.synchronised);
});
