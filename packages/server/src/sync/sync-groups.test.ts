import { OcelliError } from "@ocelli/protocol";
import pino from "pino";
import { beforeEach, describe, expect, it } from "vitest";
import type { Cameras } from "../cameras/contract.ts";
import { FakeClock } from "../clock/fake-clock.ts";
import type { ClockState } from "../clock/sync/state.ts";
import { EventBus } from "../events/bus.ts";
import type { RecordingView } from "../events/catalogue.ts";
import type { MediaEntry } from "../library/contract.ts";
import { openDatabase } from "../store/database.ts";
import type { SyncSession } from "./contract.ts";
import type { GroupListOptions } from "./group-list.ts";
import { cameraDriver } from "./members/camera-member.ts";
import type { MemberDriver } from "./members/members.ts";
import { SessionBook } from "./session-book.ts";
import { syncMigrations, syncStore } from "./store.ts";
import { SyncGroups } from "./sync-groups.ts";

const log = pino({ level: "silent" });
const device = { kind: "multicam", host: "10.0.0.7", port: 8080 } as const;
const camera = (cameraId: string) => ({ kind: "camera", cameraId }) as const;

let clock: FakeClock;
let bus: EventBus;
let calls: string[];
/** Cameras whose recording cannot be armed. */
let broken: Set<string>;
let gone: Set<string>;
let told: string[];
/** Cameras that are not warm before this settles. */
let slow: Map<string, Promise<void>>;

const cameras = {
  find(name: string) {
    const id = name.replace("/dev/video", "camera");
    if (!/^camera[0-3]$/.test(id) || gone.has(id))
      throw new OcelliError("camera_not_found", `There is no camera ${name}.`);
    return { id, view: () => ({ name: `Cam ${id.at(-1)}` }) };
  },
} as unknown as Cameras;

function view(cameraId: string, more: Partial<RecordingView> = {}): RecordingView {
  return {
    id: `rec-${cameraId}`,
    cameraId,
    filename: `${cameraId}.mp4`,
    startedAtUs: 0,
    endedAtUs: undefined,
    requestedDurationS: undefined,
    durationS: 0,
    bytes: 0,
    frames: 1,
    format: "mp4",
    state: "active",
    segments: [`${cameraId}.mp4`],
    ...more,
  };
}

let active: string | undefined;
let activeName: string | undefined;
const recordings = {
  async start({ cameraId, startAtUs }: { cameraId: string; startAtUs?: number }) {
    await slow.get(cameraId);
    if (broken.has("disk")) throw new OcelliError("storage_low", "Storage space is low.");
    if (broken.has(cameraId)) throw new OcelliError("camera_busy", `${cameraId} is held by zoom.`);
    calls.push(`start ${cameraId} at T0${(startAtUs ?? 0) - t0() >= 0 ? "+" : ""}${(startAtUs ?? 0) - t0()}`);
    return view(cameraId);
  },
  rearm(recordingId: string, startAtUs: number) {
    calls.push(`rearm ${recordingId} ${startAtUs - t0()}`);
    return true;
  },
  async stop(target: { cameraId: string } | { recordingId: string }) {
    const id = "recordingId" in target ? target.recordingId.slice(4) : target.cameraId;
    calls.push(`stop ${id}`);
    const ended = view(id, { state: "completed" });
    bus.emit("recording.stopped", { recording: ended, reason: "requested" });
    return ended;
  },
  activeOf: (cameraId: string) =>
    active === cameraId
      ? view(cameraId, activeName === undefined ? {} : { filename: activeName })
      : undefined,
};

/** What the library holds after a crash, by beginning of the name. */
let kept: string | undefined;
const library = {
  get(_kind: "recording" | "snapshot", name: string) {
    if (kept === undefined || !name.endsWith(kept)) throw new OcelliError("file_not_found", `no ${name}`);
    return { filename: `${name}.mp4` } as MediaEntry;
  },
};

/** When the device's file is here. */
let arrival: Promise<void>;

/** A device that does as it is told. */
const remote: MemberDriver = {
  resume: () => ({}),
  rearm: () => void calls.push("device told again"),
  async arm(session) {
    if (broken.has("device")) throw new OcelliError("device_unreachable", "The device did not answer.");
    calls.push(`device armed at T0+${session.startAtUs - t0()}`);
    return { state: "armed" };
  },
  async stop(_session, { declared }, note) {
    calls.push(declared?.fileName === undefined ? "device stopped" : `fetching ${declared.fileName}`);
    note({ declared: { fileName: "phone.mp4" } });
    await arrival;
    return { state: "completed", files: ["phone.mp4"] };
  },
  async cancel() {
    calls.push("device let go");
  },
};

/** Knows by how much the clock is wrong, also after a step of it. */
class FakeClockSync {
  state: ClockState = {
    ...{ synchronised: true, source: "sntp", offsetUs: 0, uncertaintyUs: 500 },
    ...{ servers: [], measuredAtUs: 0, reason: undefined },
  };
  readonly #listeners = new Set<(state: ClockState) => void>();

  constructor({ onStep }: { onStep: FakeClock["onStep"] }) {
    onStep((stepUs) => this.measure(this.state.offsetUs - stepUs));
  }

  measure(offsetUs: number): void {
    this.state = { ...this.state, offsetUs };
    for (const listener of this.#listeners) listener(this.state);
  }
  onChange(listener: (state: ClockState) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
let clockSync: FakeClockSync;

let begun = 0;
const t0 = (): number => begun + 5e6;

const allNetworks = { has: () => true };
let deviceNetworks: GroupListOptions["deviceNetworks"];

function open(database = openDatabase(":memory:", syncMigrations)): SyncGroups {
  const store = syncStore(database);
  const groups = new SyncGroups({
    ...{ store, book: new SessionBook({ store, bus, log }) },
    ...{ cameras, deviceNetworks },
    drivers: { camera: cameraDriver(recordings, library), multicam: remote },
    clock,
    clockSync,
    bus,
    log,
  });
  return groups;
}

beforeEach(() => {
  clock = new FakeClock();
  clockSync = new FakeClockSync({ onStep: (listener) => clock.onStep(listener) });
  bus = new EventBus(log);
  calls = [];
  broken = new Set();
  gone = new Set();
  arrival = Promise.resolve();
  deviceNetworks = allNetworks;
  told = [];
  slow = new Map();
  kept = undefined;
  active = undefined;
  activeName = undefined;
  begun = clock.wallUs();
  bus.on("sync.session", ({ session }) => told.push(session.state));
});

describe("a clock that changes while a session waits", () => {
  /** Steps the wall clock, and nobody knows that it was wrong. */
  const stepUnknown = (us: number): void => {
    clockSync.state = { ...clockSync.state, offsetUs: clockSync.state.offsetUs + us };
    clock.step(us);
  };
  const start = async (durationS = 10) => {
    const groups = open();
    groups.create({ name: "lab", members: [camera("camera0"), device] });
    const { id } = await groups.begin({ group: "lab", durationS });
    await clock.advanceAsync(1000);
    return { groups, id };
  };

  it.each([3_600e6, -3_600e6])(
    "by %i µs that are known starts and ends everybody at the moment that was meant",
    async (stepUs) => {
      const { groups, id } = await start();
      clock.step(stepUs);
      expect(calls).toContain(`rearm rec-camera0 ${stepUs}`);
      expect(calls.filter((call) => call.startsWith("rearm"))).toHaveLength(1);
      expect(groups.session(id)).toMatchObject({
        startAtUs: t0() + stepUs,
        clockChanges: [{ stepUs, correctionUs: 0, untilStartUs: 4e6 }],
      });
      expect(told.at(-1)).toBe("armed");
      await clock.advanceAsync(13_999);
      expect(calls).not.toContain("device stopped");
      await clock.advanceAsync(2);
      expect(calls).toContain("device stopped");
    },
  );

  it("without a word moves what is meant with it, and the end too", async () => {
    const { groups, id } = await start();
    stepUnknown(3e6);
    expect(calls.some((call) => call.startsWith("rearm"))).toBe(false);
    expect(groups.session(id)).toMatchObject({
      startAtUs: t0(),
      clockChanges: [{ stepUs: 3e6, correctionUs: 3e6, untilStartUs: 1e6 }],
    });
    await clock.advanceAsync(10_999);
    expect(calls).not.toContain("device stopped");
    await clock.advanceAsync(2);
    expect(calls).toContain("device stopped");
  });

  it("to one in which T0 is past still leaves devices all of their time", async () => {
    const { groups, id } = await start();
    clockSync.measure(60e6);
    expect(calls).toContain("rearm rec-camera0 -60000000");
    expect(groups.session(id).clockChanges).toMatchObject([{ stepUs: 0, untilStartUs: -56e6 }]);
    await clock.advanceAsync(9_999);
    expect(calls).not.toContain("device stopped");
    await clock.advanceAsync(2);
    expect(calls).toContain("device stopped");
  });

  it("reaches a camera that was not ready yet, before it is waited for", async () => {
    const warm = Promise.withResolvers<void>();
    slow.set("camera1", warm.promise);
    const groups = open();
    groups.create({ name: "lab", members: [camera("camera0"), camera("camera1")] });
    const starting = groups.begin({ group: "lab" });
    await clock.advanceAsync(1000);
    clockSync.measure(-2e6);
    warm.resolve();
    const { startAtUs, id } = await starting;
    expect(startAtUs).toBe(t0() + 2e6);
    expect(calls.toSorted()).toEqual([
      "rearm rec-camera0 2000000",
      "rearm rec-camera1 2000000",
      "start camera0 at T0+0",
      "start camera1 at T0+0",
    ]);
    await groups.end(id);
  });

  it("is noted once T0 is past, and changes nothing else", async () => {
    const { groups, id } = await start();
    await clock.advanceAsync(5000);
    bus.emit("recording.started", { recording: view("camera0") });
    stepUnknown(-60e6);
    clockSync.measure(clockSync.state.offsetUs + 5000);
    expect(calls.some((call) => call.startsWith("rearm"))).toBe(false);
    expect(groups.session(id)).toMatchObject({
      ...{ state: "recording", startAtUs: t0() },
      clockChanges: [{ stepUs: -60e6, untilStartUs: -1e6 }],
    });
    await clock.advanceAsync(8_999);
    expect(calls).not.toContain("device stopped");
    await clock.advanceAsync(2);
    expect(calls).toContain("device stopped");
  });

  it("is followed by a session that was taken up after a restart, as soon as the clock is known again", async () => {
    const database = openDatabase(":memory:", syncMigrations);
    clockSync.measure(2e6);
    const before = open(database);
    before.create({ name: "lab", members: [camera("camera0")] });
    const { id } = await before.begin({ group: "lab" });
    before.close();
    active = "camera0";
    clockSync.state = { ...clockSync.state, synchronised: false, source: "none", offsetUs: 0 };
    const after = open(database);
    after.start();
    expect(after.session(id).startAtUs).toBe(t0());
    clockSync.state = { ...clockSync.state, synchronised: true, source: "sntp" };
    clockSync.measure(2_500_000);
    expect(calls).toContain("rearm rec-camera0 -500000");
    after.close();
  });
});

const states = (session: SyncSession): string[] => session.members.map(({ state }) => state);

describe("a sync group", () => {
  it("starts all members at one instant, and is over when all of them are", async () => {
    const groups = open();
    groups.create({ name: "lab", members: [camera("/dev/video0"), camera("camera1"), device] });
    const session = await groups.begin({ group: "lab" });
    expect(session).toMatchObject({ startAtUs: t0(), state: "armed", clock: { uncertaintyUs: 500 } });
    expect(calls.toSorted()).toEqual([
      "device armed at T0+0",
      "start camera0 at T0+0",
      "start camera1 at T0+0",
    ]);

    bus.emit("recording.started", { recording: view("camera0") });
    expect(groups.session(session.id)).toMatchObject({ state: "recording" });
    expect(states(groups.session(session.id))).toEqual(["recording", "armed", "armed"]);
    expect(groups.session(session.id).members[0]?.files).toEqual(["camera0.mp4"]);
    const changes = told.length;
    bus.emit("recording.progress", { recording: view("camera0") });
    expect(told).toHaveLength(changes);
    bus.emit("recording.progress", { recording: view("camera0", { segments: ["camera0.mp4", "more.mp4"] }) });
    expect(groups.session(session.id).members[0]?.files).toEqual(["camera0.mp4", "more.mp4"]);

    const ended = await groups.end(session.id);
    expect(ended).toMatchObject({ state: "completed", endedAtUs: clock.wallUs() });
    expect(ended.members.map(({ files }) => files)).toEqual([
      ["camera0.mp4"],
      ["camera1.mp4"],
      ["phone.mp4"],
    ]);
    expect(told.at(-1)).toBe("completed");
    await expect(groups.end(session.id)).rejects.toMatchObject({ code: "not_recording" });
  });

  it("starts nobody when one cannot take part, and says who and why", async () => {
    broken.add("camera1");
    const groups = open();
    groups.create({ name: "lab", members: [camera("camera0"), camera("camera1"), device] });
    await expect(groups.begin({ group: "lab" })).rejects.toMatchObject({
      code: "camera_busy",
      message: expect.stringContaining("camera1: camera1 is held by zoom."),
      details: { members: [{ member: "camera1", reason: "camera1 is held by zoom." }] },
    });
    expect(calls).toContain("stop camera0");
    expect(calls).toContain("device let go");
    expect(groups.sessions({ limit: 10, offset: 0 })).toEqual({ sessions: [], total: 0 });
    // Nothing is in the way of the next try.
    broken.clear();
    expect((await groups.begin({ group: "lab" })).state).toBe("armed");
  });

  it("says once what keeps several members", async () => {
    broken.add("disk").add("device");
    const groups = open();
    groups.create({ name: "lab", members: [camera("camera0"), camera("camera1"), device] });
    await expect(groups.begin({ group: "lab" })).rejects.toMatchObject({
      code: "storage_low",
      message: `lab cannot start together. camera0, camera1: Storage space is low; 10.0.0.7:8080: The device did not answer.`,
    });
  });

  it("starts those that can when asked to, and one that fails does not end the others", async () => {
    broken.add("device");
    const groups = open();
    groups.create({ name: "lab", members: [camera("camera0"), camera("camera1"), device] });
    const session = await groups.begin({ group: "lab", allowPartial: true });
    expect(states(session)).toEqual(["armed", "armed", "failed"]);
    bus.emit("recording.failed", {
      recording: view("camera0", { state: "failed" }),
      error: { code: "camera_disconnected", message: "It was unplugged." },
    });
    expect(groups.session(session.id).members[0]).toMatchObject({
      state: "failed",
      error: "It was unplugged.",
    });
    const ended = await groups.end(session.id);
    expect(ended.state).toBe("failed");
    expect(states(ended)).toEqual(["failed", "completed", "failed"]);
  });

  it("lets a device take part in one session at a time: not every one would refuse a second start", async () => {
    const groups = open();
    groups.create({ name: "lab", members: [camera("camera0"), device] });
    groups.create({ name: "hall", members: [camera("camera1"), device] });
    const { id } = await groups.begin({ group: "lab" });
    await expect(groups.begin({ group: "hall", delayS: 60 })).rejects.toMatchObject({
      code: "already_recording",
      message: expect.stringContaining(id),
    });
    expect(calls.filter((call) => call.startsWith("device armed"))).toHaveLength(1);
    expect(calls).not.toContain("device let go");
    await groups.end(id);
    expect((await groups.begin({ group: "hall", delayS: 60 })).state).toBe("armed");
  });

  it("speaks with no device outside of the networks that are allowed, now or when the group was made", async () => {
    const groups = open();
    groups.create({ name: "lab", members: [camera("camera0"), device] });
    deviceNetworks = { has: (address) => address !== device.host };
    const since = open();
    expect(() => since.create({ name: "other", members: [device] })).toThrow(
      expect.objectContaining({ code: "permission_denied" }),
    );
    const before = openDatabase(":memory:", syncMigrations);
    syncStore(before).putGroup(groups.group("lab"));
    await expect(open(before).begin({ group: "lab" })).rejects.toMatchObject({ code: "permission_denied" });
    expect(calls).not.toContain("device armed at T0+0");
  });

  it("takes a camera that is gone for a member that cannot take part", async () => {
    const groups = open();
    groups.create({ name: "lab", members: [camera("camera0"), camera("camera1")] });
    gone.add("camera1");
    broken.add("camera1");
    await expect(groups.begin({ group: "lab" })).rejects.toMatchObject({
      message: expect.stringContaining("camera1: "),
    });
    const session = await groups.begin({ group: "lab", allowPartial: true });
    expect(states(session)).toEqual(["armed", "failed"]);
    await groups.end(session.id);
  });

  it("records nobody and stands in nobody's way when the disk takes no note of it", async () => {
    const database = openDatabase(":memory:", syncMigrations);
    const groups = open(database);
    groups.create({ name: "lab", members: [camera("camera0"), camera("camera1")] });
    const forbid = (what: string): void =>
      database.exec(
        `CREATE TRIGGER full BEFORE ${what} ON sync_sessions BEGIN SELECT RAISE(ABORT, 'disk full'); END`,
      );
    forbid("INSERT");
    await expect(groups.begin({ group: "lab" })).rejects.toThrow("disk full");
    expect(calls).toEqual([]);
    database.exec("DROP TRIGGER full");
    forbid("DELETE");
    broken.add("camera1");
    await expect(groups.begin({ group: "lab" })).rejects.toMatchObject({ code: "camera_busy" });
    expect(calls).toContain("stop camera0");
    broken.clear();
    expect((await groups.begin({ group: "lab" })).state).toBe("armed");
  });

  it("tells devices of the end when its time is over, and lets cameras end with their last frame", async () => {
    const groups = open();
    groups.create({ name: "lab", members: [camera("camera0"), device] });
    const session = await groups.begin({ group: "lab", durationS: 10 });
    await clock.advanceAsync(14_999);
    expect(calls).not.toContain("device stopped");
    await clock.advanceAsync(2);
    expect(calls).toContain("device stopped");
    expect(calls).not.toContain("stop camera0");
    expect(states(groups.session(session.id))).toEqual(["armed", "completed"]);
    bus.emit("recording.stopped", { recording: view("camera0", { state: "completed" }), reason: "duration" });
    expect(groups.session(session.id).state).toBe("completed");
    expect(clock.pending).toBe(0);
  });

  it("knows what members that were ready early do while another is not, and when that one was", async () => {
    const groups = open();
    groups.create({ name: "lab", members: [camera("camera0"), camera("camera1"), camera("camera2")] });
    const warm = Promise.withResolvers<void>();
    slow.set("camera2", warm.promise);
    const begun = groups.begin({ group: "lab", durationS: 1 });
    await clock.advanceAsync(5_500);
    bus.emit("recording.started", { recording: view("camera0") });
    bus.emit("recording.stopped", { recording: view("camera1", { state: "completed" }), reason: "duration" });
    await clock.advanceAsync(500);
    warm.resolve();
    const session = await begun;
    expect(session.state).toBe("recording");
    expect(states(session)).toEqual(["recording", "completed", "armed"]);
    expect(session.members.map(({ armedAtUs = 0 }) => armedAtUs - t0())).toEqual([-5e6, -5e6, 1e6]);
    for (const id of ["camera0", "camera2"]) {
      bus.emit("recording.stopped", { recording: view(id, { state: "completed" }), reason: "duration" });
    }
    expect(groups.session(session.id).state).toBe("completed");
  });

  it("lets everybody go when it is stopped while a member is not ready yet", async () => {
    const groups = open();
    groups.create({ name: "lab", members: [camera("camera0"), device, camera("camera2")] });
    const warm = Promise.withResolvers<void>();
    slow.set("camera2", warm.promise);
    const begun = groups.begin({ group: "lab" });
    begun.catch(() => undefined);
    await clock.advanceAsync(100);
    const { id } = groups.runningOf("lab");
    const ended = groups.end(id);
    await clock.advanceAsync(100);
    warm.resolve();
    await expect(begun).rejects.toMatchObject({ code: "not_recording" });
    expect(await ended).toMatchObject({ id, state: "failed" });
    for (const call of ["stop camera0", "stop camera2", "device let go"]) expect(calls).toContain(call);
    expect(calls).not.toContain("device stopped");
    expect(groups.sessions({ limit: 10, offset: 0 })).toEqual({ sessions: [], total: 0 });
  });

  it("calls off after a restart what was not ready, and nobody had been told of", async () => {
    const database = openDatabase(":memory:", syncMigrations);
    const before = open(database);
    before.create({ name: "lab", members: [camera("camera0"), camera("camera2"), device] });
    slow.set("camera2", new Promise(() => undefined));
    void before.begin({ group: "lab" });
    await clock.advanceAsync(100);
    before.close();
    const { startAtUs } = before.runningOf("lab");
    active = "camera0";
    activeName = `lab_${new Date(startAtUs / 1000).toISOString().replaceAll(/[-:]|\.\d+/g, "")}_camera0.mp4`;
    const after = open(database);
    after.start();
    await clock.advanceAsync(100);
    for (const call of ["stop camera0", "device let go"]) expect(calls).toContain(call);
    expect(after.sessions({ limit: 10, offset: 0 }).total).toBe(0);
    expect(() => after.runningOf("lab")).toThrow("not recording");
    after.close();
  });

  it("takes up recordings that began before the hub could note them", async () => {
    const database = openDatabase(":memory:", syncMigrations);
    const before = open(database);
    before.create({ name: "lab", members: [camera("camera0"), camera("camera1"), camera("camera2")] });
    // The hub goes down while the last camera is not warm yet: nothing of the others has been written down.
    slow.set("camera2", new Promise(() => undefined));
    void before.begin({ group: "lab" });
    await clock.advanceAsync(100);
    before.close();
    const { id, startAtUs } = before.runningOf("lab");
    await clock.advanceAsync(5_000);
    const stem = `lab_${new Date(startAtUs / 1000).toISOString().replaceAll(/[-:]|\.\d+/g, "")}_camera`;
    active = "camera0";
    activeName = `${stem}0.mp4`;
    kept = "camera1";
    const after = open(database);
    after.start();
    expect(after.session(id).members).toMatchObject([
      { state: "armed", recordingId: "rec-camera0" },
      { state: "completed", files: [`${stem}1.mp4`] },
      { state: "failed" },
    ]);
    bus.emit("recording.stopped", { recording: view("camera0", { state: "completed" }), reason: "duration" });
    expect(after.session(id).state).toBe("failed");
    after.close();
  });

  it("stops a device once, whoever asks", async () => {
    const groups = open();
    groups.create({ name: "lab", members: [camera("camera0"), device] });
    const { id } = await groups.begin({ group: "lab" });
    const [one, other] = await Promise.all([groups.end(id), groups.end(id)]);
    expect([one.state, other.state]).toEqual(["completed", "completed"]);
    expect(calls.filter((call) => call === "device stopped")).toHaveLength(1);
  });

  it("goes on with a session over a restart", async () => {
    const database = openDatabase(":memory:", syncMigrations);
    const before = open(database);
    before.create({ name: "lab", members: [camera("camera0"), device] });
    const { id } = await before.begin({ group: "lab", durationS: 10 });
    before.close();
    active = "camera0";
    const after = open(database);
    after.start();
    expect(after.runningOf("lab").id).toBe(id);
    await clock.advanceAsync(16_000);
    expect(calls).toContain("device stopped");
    bus.emit("recording.stopped", { recording: view("camera0", { state: "completed" }), reason: "duration" });
    expect(after.session(id).state).toBe("completed");
    after.close();
  });

  it("takes up after a restart what a device was sending, and takes nothing from a hub that goes down for its failure", async () => {
    const database = openDatabase(":memory:", syncMigrations);
    const before = open(database);
    before.create({ name: "lab", members: [device] });
    const { id } = await before.begin({ group: "lab" });
    const transfer = Promise.withResolvers<void>();
    arrival = transfer.promise;
    const ended = before.end(id);
    await clock.advanceAsync(10);
    before.close();
    transfer.resolve();
    await expect(ended).rejects.toThrow("shutting down");
    expect(before.session(id).state).toBe("armed");
    const after = open(database);
    after.start();
    await clock.advanceAsync(10);
    expect(calls.slice(-2)).toEqual(["device stopped", "fetching phone.mp4"]);
    expect(after.session(id)).toMatchObject({ state: "completed", members: [{ files: ["phone.mp4"] }] });
    after.close();
  });

  it("finds out after a restart what became of its members meanwhile", async () => {
    const database = openDatabase(":memory:", syncMigrations);
    const before = open(database);
    before.create({ name: "lab", members: [camera("camera0"), camera("camera1")] });
    const { id } = await before.begin({ group: "lab" });
    before.close();
    kept = "camera0";
    const after = open(database);
    after.start();
    expect(after.session(id)).toMatchObject({ state: "failed" });
    expect(after.session(id).members).toMatchObject([
      { state: "completed", files: [expect.stringMatching(/^lab_.*_camera0\.mp4$/)] },
      { state: "failed", error: expect.stringContaining("not running") },
    ]);
    after.close();
  });

  it.each([
    [{ name: "a", members: [] }, "invalid_params"],
    [{ name: "a", members: [camera("camera0"), camera("/dev/video0")] }, "invalid_params"],
    [{ name: "a", members: [camera("camera9")] }, "camera_not_found"],
  ])("refuses %j", (group, code) => {
    expect(() => open().create(group)).toThrow(expect.objectContaining({ code }));
  });

  it("refuses an instant in the past or a year ahead, and a second start", async () => {
    const groups = open();
    groups.create({ name: "lab", members: [camera("camera0")] });
    for (const aheadS of [-1, 365 * 86_400]) {
      await expect(groups.begin({ group: "lab", atUs: clock.wallUs() + aheadS * 1e6 })).rejects.toMatchObject(
        {
          code: "invalid_params",
        },
      );
    }
    const { id } = await groups.begin({ group: "lab" });
    await expect(groups.begin({ group: "lab" })).rejects.toMatchObject({ code: "already_recording" });
    expect(() => groups.remove("lab")).toThrow(expect.objectContaining({ code: "file_in_use" }));
    await groups.end(id);
    groups.remove("lab");
    expect(groups.session(id).state).toBe("completed");
    await expect(groups.begin({ group: "lab" })).rejects.toMatchObject({ code: "not_found" });
  });
});
