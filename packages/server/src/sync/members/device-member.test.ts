import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { type AddressInfo, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { withLength } from "@ocelli/protocol/multicam";
import pino from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FakeClock } from "../../clock/fake-clock.ts";
import type { Library, Sidecar } from "../../library/contract.ts";
import { checkName } from "../../library/names.ts";
import type { SessionMember, SyncSession } from "../contract.ts";
import { fileStem } from "./camera-member.ts";
import { type DeviceDriverOptions, deviceDriver } from "./device-member.ts";
import type { MemberChange } from "./members.ts";

// What becomes of a device whose answers get lost; those that answer are tested with a running hub.

const garbage = "\xff\xfe";

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
        isArmed = answer === undefined || answer === garbage || seemsIdle;
        if (answer === garbage) socket.write(answer, "latin1");
        else if (answer !== undefined) reply(answer, { message: "no" });
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
  driver = deviceDriver(options());
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

const options = (): DeviceDriverOptions => ({
  ...{ clock, folder: join(tmpdir(), "never-used"), library: {} as Library },
  clockSync: {
    state: {
      ...{ synchronised: true, source: "kernel", offsetUs: 0, uncertaintyUs: 500 },
      ...{ servers: [], measuredAtUs: 0, reason: undefined },
    },
  },
  log: pino({ level: "silent" }),
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

  it("is stopped when its answer is garbage: it may have taken the start", async () => {
    answer = garbage;
    const arming = driver.arm(session(), member, new AbortController().signal);
    await expect(arming).rejects.toMatchObject({ code: "device_failed" });
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
    await expect(arming).rejects.toMatchObject({
      code: "clock_not_synchronised",
      message: expect.stringMatching(/\. Its clock is not right: let it reach a time server first\.$/),
    });
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
      const ended = await (how === "stopped"
        ? driver.stop(waiting, armed, () => undefined)
        : driver.cancel(waiting, armed));
      if (how === "stopped") {
        expect(ended).toMatchObject({ state: "failed", error: "It was stopped before its first frame." });
      }
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

it("is not stopped again when it has ended its recording before the hub went down, and only asked for what is not here", async () => {
  const declared = { deviceId: "Ocelli-00000001", fileId: "a_part2", fileName: "a_part2.mp4" };
  const one = { ...member, declared, files: ["here.mp4"] };
  const ended = await driver.stop(session(), one, () => undefined);
  expect(heard).toEqual(["LIST_FILES"]);
  expect(ended).toMatchObject({ state: "failed", files: ["here.mp4"] });
});

it("two devices that call themselves the same keep what they send apart", async () => {
  const root = mkdtempSync(join(tmpdir(), "ocelli-device-member-"));
  const taken: string[] = [];
  const notes: MemberChange[] = [];
  const library = {
    folder: () => root,
    reserve: (_kind: string, stem: string, extension: string) => `${stem}-${taken.length}.${extension}`,
    release: () => undefined,
    async put({ filename }: Sidecar, { after }: { after?: Promise<unknown> } = {}) {
      await after;
      taken.push(filename);
    },
  } as unknown as Library;
  const fetching = deviceDriver({ ...options(), library, folder: join(root, "in") });
  const firstIsHere = Promise.withResolvers<void>();
  const content = Buffer.alloc(1000, 7);
  const servers = await Promise.all(
    [Promise.resolve(), firstIsHere.promise].map(async (rest) => {
      const one = createServer((socket) => {
        socket.on("error", () => undefined);
        socket.on("data", (chunk) => {
          const { command } = JSON.parse(String(chunk)) as { command: string };
          const said = { deviceId: "twin", timestamp: 1, isRecording: true, status: "recording" };
          const file = { fileName: "scan.zip", fileSize: content.length };
          if (command === "DEVICE_STATUS") socket.write(JSON.stringify(said));
          else if (command === "STOP_RECORDING") {
            socket.write(JSON.stringify({ ...said, ...file, status: "recording_stopped" }));
          } else {
            socket.write(withLength(JSON.stringify({ ...file, status: "ready" })));
            socket.write(content.subarray(0, 500));
            rest.then(() => socket.write(content.subarray(500)));
          }
        });
      });
      one.listen(0, "127.0.0.1");
      await once(one, "listening");
      return one;
    }),
  );
  try {
    const stops = servers.map((one) => {
      const { port } = one.address() as AddressInfo;
      const place = { kind: "multicam", host: "127.0.0.1", port } as const;
      const twin = { ...member, key: `127.0.0.1:${port}`, member: place };
      return fetching.stop(session(), twin, (change) => notes.push(change));
    });
    expect(await stops[0]).toMatchObject({ state: "completed" });
    firstIsHere.resolve();
    expect(await stops[1]).toMatchObject({ state: "completed" });
    expect(taken).toHaveLength(2);
    for (const name of taken) expect(readFileSync(join(root, name)).equals(content)).toBe(true);
    // For a hub that goes down on the way: what was ended before it came, then what has come.
    expect(notes.filter(({ declared }) => declared?.fileName === "scan.zip")).toHaveLength(2);
    expect(notes.flatMap(({ files = [] }) => files)).toEqual(taken);
  } finally {
    await fetching.close();
    for (const one of servers) one.close();
    rmSync(root, { recursive: true, force: true });
  }
});

it.each(["../..\\evil", "a..b", `x${"y".repeat(500)}`, "カメラ".repeat(100)])(
  "a file of a session has a name that the library takes: %s",
  (key) => {
    const stem = fileStem({ ...session(), name: key }, { key });
    expect(() => checkName(stem)).not.toThrow();
  },
);
