import { OcelliError } from "@ocelli/protocol";
import { pino } from "pino";
import { beforeEach, describe, expect, it } from "vitest";
import type { Camera } from "../cameras/contract.ts";
import { FakeClock } from "../clock/fake-clock.ts";
import type { Device, DeviceEvent } from "../devices/device.ts";
import { NetworkProvider } from "../devices/network/provider.ts";
import { EventBus } from "../events/bus.ts";
import type { CameraView, RecordingView } from "../events/catalogue.ts";
import { type Database, openDatabase } from "../store/database.ts";
import { ExternalStreams, type ExternalStreamUsers } from "./external-streams.ts";
import { externalStreamMigrations, externalStreamStore } from "./store.ts";
import type { StreamFacts } from "./stream-probe.ts";

// The rules of added streams over a real provider and database; what ffprobe would say is given by the test.

const log = pino({ level: "silent" });
const facts: StreamFacts = { codec: "h264", width: 640, height: 480, fps: 25, audio: false };
const gone = new OcelliError("capture_failed", "no answer");

let clock: FakeClock;
let database: Database;
let told: string[];

beforeEach(() => {
  clock = new FakeClock();
  database = openDatabase(":memory:", externalStreamMigrations);
  told = [];
});

interface Setup {
  readonly configured?: readonly string[];
  readonly maxStreams?: number;
}

/** A hub's worth of parts around the streams. */
async function start({ configured = [], maxStreams = 200 }: Setup = {}) {
  const bus = new EventBus(log);
  bus.onAny(({ name }) => told.push(name));
  const provider = new NetworkProvider({ cameras: configured.map((url) => ({ url })), clock });
  const devices = new Map<string, Device>();
  const events: DeviceEvent[] = [];
  const probed: string[] = [];
  const recording = new Map<string, RecordingView>();
  const configuredChanges: unknown[] = [];
  const state = {
    outcome: async (_device: Device, _signal: AbortSignal): Promise<StreamFacts> => facts,
    continuous: false,
  };
  const streams = new ExternalStreams({
    ...{ store: externalStreamStore(database), provider, bus, clock, log, maxStreams },
    probe: (device, signal) => {
      probed.push(device.input({ format: "", width: 0, height: 0, fps: 0 }).args.join(" "));
      return state.outcome(device, signal);
    },
  });
  await provider.start((event) => {
    events.push(event);
    if (event.type === "lost") devices.delete(event.device.identity.busPath);
    else devices.set(event.device.identity.busPath, event.device);
  });
  const cameraOf = (device: Device): Camera =>
    ({
      id: `camera:${device.name}`,
      settings: { recordCodec: "copy", continuousRecording: state.continuous },
      view: (): Partial<CameraView> => ({
        ...{ id: `camera:${device.name}`, kind: device.kind, name: device.name, lastSeenUs: 1 },
        busPath: device.identity.busPath,
        status: device.problem === undefined ? "CONNECTED" : "ERROR",
        reason: device.problem?.message,
      }),
    }) as unknown as Camera;
  const find = (id: string): Camera => {
    const device = [...devices.values()].find(({ name }) => id === `camera:${name}`);
    if (device === undefined) throw new OcelliError("camera_not_found", id);
    return cameraOf(device);
  };
  const users: ExternalStreamUsers = {
    cameras: {
      list: () => [...devices.values()].map(cameraOf),
      find,
      configure: (id, change) => {
        configuredChanges.push(change);
        state.continuous = false;
        return find(id);
      },
    },
    recordings: {
      activeOf: (id) => recording.get(id),
      stop: async (target) => {
        const view = [...recording.values()].find(
          (one) => "recordingId" in target && one.id === target.recordingId,
        );
        if (view === undefined) throw new OcelliError("not_recording", "none");
        recording.delete(view.cameraId);
        return view;
      },
    },
  };
  streams.start(users);
  return { streams, provider, devices, events, probed, recording, state, configuredChanges };
}

const statusOf = (hub: Awaited<ReturnType<typeof start>>) => hub.streams.list().map(({ status }) => status);
/** Lets promises that are settled run on. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

describe("an added stream", () => {
  const url = "rtsp://admin:s3cret@h/a";

  it("is a camera when it gave pictures, and nothing when it did not", async () => {
    const hub = await start();
    hub.state.outcome = async () => {
      throw gone;
    };
    await expect(hub.streams.add({ url })).rejects.toBe(gone);
    expect([hub.devices.size, hub.streams.list(), told]).toEqual([0, [], []]);
    hub.state.outcome = async () => facts;
    const { stream, wasKnown } = await hub.streams.add({ url, name: "Door" });
    expect(wasKnown).toBe(false);
    expect(stream).toMatchObject({ url: "rtsp://h/a", name: "Door", cameraId: "camera:Door", facts });
    expect(hub.devices.get("rtsp://h/a")).toMatchObject({ kind: "rtsp", name: "Door", seen: facts });
    expect(told).toEqual(["stream.added"]);
  });

  it("takes another password and keeps its name when it is added again", async () => {
    const hub = await start();
    await hub.streams.add({ url, name: "Door", transport: "udp" });
    const { stream, wasKnown } = await hub.streams.add({ url: "rtsp://admin:n3w@h/a" });
    expect([wasKnown, stream.name]).toEqual([true, "Door"]);
    expect(hub.probed.at(-1)).toMatch(/udp.*admin:n3w@h/);
    expect(hub.events.map(({ type }) => type)).toEqual(["found", "changed"]);
    expect(externalStreamStore(database).all()).toMatchObject([
      { url: "rtsp://admin:n3w@h/a", transport: "udp" },
    ]);
  });

  it("that works is not opened again to be called otherwise, or for nothing", async () => {
    const hub = await start();
    await hub.streams.add({ url, name: "Door" });
    await hub.streams.add({ url });
    expect(hub.events.map(({ type }) => type)).toEqual(["found"]);
    const { stream } = await hub.streams.add({ url, name: "Gate" });
    expect([stream.name, stream.facts, hub.devices.get("rtsp://h/a")?.name]).toEqual(["Gate", facts, "Gate"]);
    expect(hub.probed).toHaveLength(1);
    hub.provider.report("rtsp://h/a", { code: "no_frames", message: "gone" });
    expect((await hub.streams.add({ url })).stream.status).toBe("CONNECTED");
    expect(hub.probed).toHaveLength(2);
  });

  it("keeps the old password when the new one does not work", async () => {
    const hub = await start();
    await hub.streams.add({ url });
    hub.state.outcome = async () => {
      throw gone;
    };
    await expect(hub.streams.add({ url: "rtsp://admin:wrong@h/a" })).rejects.toBe(gone);
    expect(externalStreamStore(database).all()).toMatchObject([{ url }]);
    expect(statusOf(hub)).toEqual(["CONNECTED"]);
  });

  it("that two clients add at once is one camera", async () => {
    const hub = await start();
    const results = await Promise.all([hub.streams.add({ url }), hub.streams.add({ url })]);
    expect(results.map(({ wasKnown }) => wasKnown)).toEqual([false, true]);
    expect(hub.streams.list()).toHaveLength(1);
    expect(told).toEqual(["stream.added"]);
  });

  it("of the configuration is the camera there already, and cannot be removed", async () => {
    const hub = await start({ configured: ["rtsp://h/a"] });
    const { stream, wasKnown } = await hub.streams.add({ url });
    expect([wasKnown, stream.source, stream.cameraId]).toEqual([true, "configuration", "camera:h"]);
    expect(hub.probed).toEqual([]);
    await expect(hub.streams.remove(url)).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringContaining("configuration"),
    });
  });

  it.each(["file:///etc/passwd", "udp://h:1", "rtsp://", "nonsense s3cret"])("is not %s", async (bad) => {
    const { streams, probed } = await start();
    await expect(streams.add({ url: bad })).rejects.toMatchObject({
      code: "invalid_params",
      message: expect.not.stringContaining("s3cret"),
    });
    expect(probed).toEqual([]);
  });

  it("is refused when there are as many as there may be, also when they come at once", async () => {
    const { streams } = await start({ maxStreams: 1 });
    const results = await Promise.allSettled(
      ["a", "b"].map((path) => streams.add({ url: `rtsp://h/${path}` })),
    );
    expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);
    await expect(streams.add({ url: "rtsp://h/c" })).rejects.toMatchObject({ code: "invalid_params" });
  });

  it("waits for its turn, and is refused when too many do", async () => {
    const { streams, state, probed } = await start();
    const release = Promise.withResolvers<void>();
    state.outcome = async () => {
      await release.promise;
      return facts;
    };
    const adding = Array.from({ length: 33 }, (_, n) => streams.add({ url: `rtsp://h/${n}` }));
    await expect(adding[32]).rejects.toMatchObject({ code: "rate_limited" });
    expect(probed).toHaveLength(4);
    release.resolve();
    await Promise.all(adding.slice(0, 32));
    expect(streams.list()).toHaveLength(32);
  });

  it("that cannot be written is no camera", async () => {
    const { streams, devices } = await start();
    database.exec("DROP TABLE external_streams");
    await expect(streams.add({ url })).rejects.toMatchObject({ code: "storage_failed" });
    expect(devices.size).toBe(0);
  });
});

describe("after a restart", () => {
  it("a stream is not connected before it has answered", async () => {
    const before = await start();
    await before.streams.add({ url: "rtsp://u:pw1@h/a", name: "Door" });
    await before.streams.close();
    const hub = await start();
    await settle();
    expect(hub.events.map(({ type, device }) => [type, device.problem?.message])).toEqual([
      ["found", expect.stringContaining("since the hub was started")],
      ["changed", undefined],
    ]);
    expect(hub.streams.list()).toMatchObject([{ name: "Door", status: "CONNECTED", facts }]);
  });

  it("a stream that does not answer is tried again, ever more rarely, and tells why", async () => {
    externalStreamStore(database).put({
      ...{ shownUrl: "rtsp://h/a", url: "rtsp://u:pw1@h/a", name: "Door", type: "generic_rtsp" },
      ...{ transport: "tcp", audio: true, addedAtUs: 5 },
    });
    const bus = new EventBus(log);
    const provider = new NetworkProvider({ cameras: [], clock });
    const problems: (string | undefined)[] = [];
    let attempts = 0;
    let there = false;
    const streams = new ExternalStreams({
      ...{ store: externalStreamStore(database), provider, bus, clock, log },
      probe: async () => {
        attempts++;
        if (!there) throw gone;
        return facts;
      },
    });
    await provider.start(({ device }) => problems.push(device.problem?.message));
    streams.start({
      cameras: { list: () => [] } as unknown as ExternalStreamUsers["cameras"],
      recordings: {} as ExternalStreamUsers["recordings"],
    });
    await settle();
    expect(problems.at(-1)).toBe("no answer");
    for (const ms of [5000, 10_000, 20_000, 40_000, 60_000, 60_000]) {
      const before = attempts;
      clock.advance(ms - 1);
      await settle();
      expect([ms, attempts]).toEqual([ms, before]);
      clock.advance(1);
      await settle();
      expect([ms, attempts]).toEqual([ms, before + 1]);
    }
    there = true;
    clock.advance(60_000);
    await settle();
    expect(problems.at(-1)).toBeUndefined();
    const done = attempts;
    clock.advance(600_000);
    await settle();
    expect(attempts).toBe(done);
    await streams.close();
  });

  it("a stream that the configuration names now is the configuration's", async () => {
    const before = await start();
    await before.streams.add({ url: "rtsp://h/a" });
    const hub = await start({ configured: ["rtsp://h/a"] });
    expect(hub.streams.list()).toEqual([]);
    expect(externalStreamStore(database).all()).toEqual([]);
  });

  it("what is being looked at ends with the hub", async () => {
    const hub = await start();
    hub.state.outcome = (_device, signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason));
      });
    const adding = hub.streams.add({ url: "rtsp://h/a" });
    await Promise.all([expect(adding).rejects.toThrow(), hub.streams.close()]);
  });
});

describe("removing", () => {
  const view = { id: "r1", cameraId: "camera:Door", filename: "a.mp4" } as RecordingView;

  it("takes the camera away, and answers no more of it", async () => {
    const hub = await start();
    await hub.streams.add({ url: "rtsp://u:p@h/a" });
    expect(await hub.streams.remove("rtsp://other:user@h/a")).toMatchObject({ url: "rtsp://h/a" });
    expect(hub.devices.size).toBe(0);
    expect(told).toEqual(["stream.added", "stream.removed"]);
    await expect(hub.streams.remove("rtsp://h/a")).rejects.toMatchObject({ code: "file_not_found" });
    expect((await start()).streams.list()).toEqual([]);
  });

  it("is refused while it is recorded, and ends that with force", async () => {
    const hub = await start();
    await hub.streams.add({ url: "rtsp://h/a", name: "Door" });
    hub.recording.set("camera:Door", view);
    hub.state.continuous = true;
    await expect(hub.streams.remove("rtsp://h/a")).rejects.toMatchObject({
      code: "already_recording",
      message: expect.stringContaining("force"),
    });
    expect(hub.devices.size).toBe(1);
    await hub.streams.remove("rtsp://h/a", { force: true });
    expect([hub.recording.size, hub.devices.size]).toEqual([0, 0]);
    expect(hub.configuredChanges).toEqual([{ continuousRecording: undefined }]);
  });
});
