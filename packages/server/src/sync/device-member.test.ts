import { once } from "node:events";
import { type AddressInfo, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pino from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FakeClock } from "../clock/fake-clock.ts";
import type { Library } from "../library/contract.ts";
import { checkName } from "../library/names.ts";
import { fileStem } from "./camera-member.ts";
import type { SessionMember, SyncSession } from "./contract.ts";
import { deviceDriver } from "./device-member.ts";

// What becomes of a device whose answers get lost; those that answer are tested with a running hub.

let server: Server;
let heard: string[];
/** The instant it was told to start at, Unix seconds. */
let told: number | undefined;
let isArmed: boolean;
let started: PromiseWithResolvers<void>;
/** What a start is answered with; nothing when undefined. */
let answer: string | undefined;
/** It says that it is idle until it begins. */
let seemsIdle: boolean;
let hasBegun: boolean;
let stopped: PromiseWithResolvers<void>;
let clock: FakeClock;
let driver: ReturnType<typeof deviceDriver>;
let member: SessionMember;

beforeEach(async () => {
  heard = [];
  told = undefined;
  isArmed = false;
  seemsIdle = false;
  hasBegun = false;
  stopped = Promise.withResolvers();
  answer = undefined;
  started = Promise.withResolvers();
  server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.on("data", (chunk) => {
      const { command, timestamp } = JSON.parse(String(chunk)) as { command: string; timestamp: number };
      heard.push(command);
      const reply = (status: string, more = {}): void =>
        void socket.write(JSON.stringify({ deviceId: "phone", status, timestamp: 1, ...more }));
      if (command === "START_RECORDING") {
        told = timestamp;
        isArmed = answer === undefined || seemsIdle;
        if (answer !== undefined) reply(answer, { message: "no" });
        started.resolve();
      } else if (command === "STOP_RECORDING") {
        isArmed = false;
        hasBegun = false;
        reply("error", { message: "cancelled" });
        stopped.resolve();
      } else if (hasBegun) reply("recording", { isRecording: true });
      else reply(isArmed && !seemsIdle ? "command_received" : "ready");
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  clock = new FakeClock();
  driver = deviceDriver({
    ...{ clock, folder: join(tmpdir(), "never-used"), library: {} as Library },
    clockSync: {
      state: {
        ...{ synchronised: true, source: "kernel", offsetUs: 0, uncertaintyUs: 500 },
        ...{ servers: [], measuredAtUs: 0, reason: undefined },
      },
    },
    log: pino({ level: "silent" }),
  });
  const host = "127.0.0.1";
  member = {
    ...{ key: `${host}:${port}`, name: "phone", state: "pending", files: [] },
    member: { kind: "multicam", host, port },
  };
});
afterEach(async () => {
  await driver.close();
  server.close();
});

const session = (): SyncSession => ({
  ...{ id: "s", groupId: "g", name: "lab", startAtUs: clock.wallUs() + 5e6, state: "armed", createdAtUs: 0 },
  ...{ clock: { synchronised: true, source: "kernel", offsetUs: 0 }, members: [member] },
});

describe("a device that is to start", () => {
  it("is stopped when its answer is lost: it may have taken the start", async () => {
    const arming = driver.arm(session(), member, new AbortController().signal);
    arming.catch(() => undefined);
    await started.promise;
    clock.advance(4500);
    await expect(arming).rejects.toMatchObject({ code: "device_unreachable" });
    // Others are let go as soon as this is known, not when the device has been heard of.
    expect(isArmed).toBe(true);
    await stopped.promise;
    expect(isArmed).toBe(false);
  });

  it("is told the instant in true time, as it was when the session began", async () => {
    answer = "scheduled_recording_accepted";
    const { clock: known, ...more } = session();
    const waiting = { ...more, clock: { ...known, offsetUs: 2_000_000 } };
    await driver.arm(waiting, member, new AbortController().signal);
    expect(told).toBe((waiting.startAtUs + 2_000_000) / 1e6);
  });

  it("is left alone when it refused: what it does is somebody else's", async () => {
    answer = "time_not_synchronized";
    const arming = driver.arm(session(), member, new AbortController().signal);
    await expect(arming).rejects.toMatchObject({ code: "clock_not_synchronised" });
    expect(heard).not.toContain("STOP_RECORDING");
  });
});

describe("a device that says it is idle while it waits for its instant", () => {
  beforeEach(() => {
    seemsIdle = true;
    answer = "scheduled_recording_accepted";
  });

  const begin = (): void => {
    clock.advance(5000);
    hasBegun = isArmed;
    clock.advance(2000);
  };

  it.each(["stopped", "called off"])(
    "is stopped once it has begun, in a session that was %s before",
    async (how) => {
      const waiting = session();
      const armed = { ...member, ...(await driver.arm(waiting, member, new AbortController().signal)) };
      await (how === "stopped" ? driver.stop(waiting, armed) : driver.cancel(waiting, armed));
      expect(heard).not.toContain("STOP_RECORDING");
      begin();
      await stopped.promise;
      expect(hasBegun).toBe(false);
      expect(clock.pending).toBe(0);
    },
  );

  it("is left to another session that it was armed for meanwhile", async () => {
    const waiting = session();
    await driver.arm(waiting, member, new AbortController().signal);
    await driver.cancel(waiting, member);
    await driver.arm(session(), member, new AbortController().signal);
    expect(clock.pending).toBe(0);
  });
});

it.each(["../..\\evil", "a..b", `x${"y".repeat(500)}`, "カメラ".repeat(100)])(
  "a file of a session has a name that the library takes: %s",
  (key) => {
    const stem = fileStem({ ...session(), name: key }, { key });
    expect(() => checkName(stem)).not.toThrow();
  },
);
