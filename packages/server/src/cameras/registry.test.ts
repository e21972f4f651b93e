import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { OcelliError } from "@ocelli/protocol";
import pino from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { CaptureState, FragmentSource, Lease, SourceEvents, SourceStats } from "../capture/source.ts";
import { FakeClock } from "../clock/fake-clock.ts";
import type { Device, DeviceEvent, DeviceProvider } from "../devices/device.ts";
import { EventBus } from "../events/bus.ts";
import { type Database, openDatabase } from "../store/database.ts";
import type { NativeRequest, NativeSource, TranscodeRequest } from "./capture-factory.ts";
import { CameraRegistry, type CameraRegistryOptions } from "./registry.ts";
import { cameraMigrations } from "./store.ts";

class FakeProvider implements DeviceProvider {
  readonly name = "fake";
  readonly #first: readonly DeviceEvent[];
  #listener: ((event: DeviceEvent) => void) | undefined;
  started = 0;
  closed = 0;

  constructor(...first: (Device | DeviceEvent)[]) {
    this.#first = first.map((one) => ("type" in one ? one : { type: "found", device: one }));
  }

  async start(listener: (event: DeviceEvent) => void): Promise<void> {
    this.started++;
    this.#listener = listener;
    for (const event of this.#first) listener(event);
  }

  emit(type: DeviceEvent["type"], device: Device): void {
    this.#listener?.({ type, device });
  }

  async rescan(): Promise<void> {}

  async close(): Promise<void> {
    this.closed++;
  }
}

/** Stands for a capture: its state is set by the test. */
class FakeSource implements NativeSource {
  readonly id: string;
  state: CaptureState = "idle";
  readonly timeSource = "kernel" as const;
  codec: FragmentSource["codec"];
  init: FragmentSource["init"];
  readonly frameIntervalUs = 40_000;
  readonly calls: string[] = [];
  lastError: string | undefined;
  readonly request: NativeRequest | TranscodeRequest;
  readonly #listeners = new Set<SourceEvents["state"]>();

  constructor(request: NativeRequest | TranscodeRequest) {
    this.id = request.id;
    this.request = request;
  }

  go(to: CaptureState, reason?: string): void {
    const from = this.state;
    this.state = to;
    for (const listener of this.#listeners) listener({ from, to, ...(reason !== undefined && { reason }) });
  }

  async open(): Promise<Lease> {
    this.calls.push("open");
    const close = (): void => void this.calls.push("lease closed");
    return { close } as unknown as Lease;
  }

  newestGop(): [] {
    return [];
  }

  on<E extends keyof SourceEvents>(event: E, listener: SourceEvents[E]): () => void {
    if (event === "state") this.#listeners.add(listener as SourceEvents["state"]);
    return () => this.#listeners.delete(listener as SourceEvents["state"]);
  }

  stats(): SourceStats {
    return { mode: undefined, lastError: this.lastError } as SourceStats;
  }

  deviceLost(): void {
    this.calls.push("lost");
  }

  deviceBack(): void {
    this.calls.push("back");
  }

  async close(): Promise<void> {
    this.calls.push("close");
  }
}

function usb(node: number, serial: string, more: Partial<Device> = {}): Device {
  return {
    kind: "v4l2",
    name: `cam ${serial}`,
    node: `/dev/video${node}`,
    identity: { serial, vendorProduct: "1:2", busPath: `usb-${serial}`, name: "cam", index: 0 },
    capabilities: {
      driver: "uvcvideo",
      card: "cam",
      busInfo: "",
      formats: [
        {
          fourcc: "MJPG",
          description: "",
          compressed: true,
          sizes: [
            { width: 320, height: 240, intervals: [{ numerator: 1, denominator: 30 }] },
            { width: 1280, height: 720, intervals: [{ numerator: 1001, denominator: 30000 }] },
          ],
        },
      ],
    },
    input: () => ({ args: [], video: "copy", timeSource: "kernel", audio: false }),
    ...more,
  };
}

const rtsp = (url: string, more: Partial<Device> = {}): Device => ({
  kind: "rtsp",
  name: "door",
  identity: { busPath: url, name: "door", index: 0 },
  input: () => ({ args: ["-i", url], video: "copy", timeSource: "arrival", audio: false }),
  ...more,
});

const virtual: Device = {
  kind: "virtual",
  name: "Virtual camera",
  identity: { busPath: "virtual:0", name: "virtual", index: 0 },
  input: () => ({ args: [], video: "copy", timeSource: "arrival", audio: false }),
};

let dir: string;
let database: Database;
const log = pino({ level: "silent" });
const clock = new FakeClock();
let events: string[];
let sources: FakeSource[];
const open: CameraRegistry[] = [];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "ocelli-cameras-"));
  database = openDatabase(join(dir, "db"), cameraMigrations);
  events = [];
  sources = [];
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((registry) => registry.close()));
  database.close();
  rmSync(dir, { recursive: true, force: true });
});

/** One run of the hub on the same database. */
async function run(
  provider: FakeProvider,
  more: Partial<CameraRegistryOptions> = {},
): Promise<CameraRegistry> {
  events = [];
  const bus = new EventBus(log);
  bus.on("camera.added", ({ camera }) => events.push(`added ${camera.id}`));
  bus.on("camera.status", ({ camera, change, previous }) =>
    events.push(`${camera.id} ${change} ${previous ?? "-"}>${camera.status}`),
  );
  const make = (request: NativeRequest | TranscodeRequest): FakeSource => {
    const source = new FakeSource(request);
    sources.push(source);
    return source;
  };
  const registry = new CameraRegistry({
    providers: [provider],
    database,
    bus,
    clock,
    log,
    capture: { makeNative: make, makeTranscode: make },
    ...more,
  });
  open.push(registry);
  await registry.start();
  return registry;
}

const ids = (registry: CameraRegistry): string[] => registry.list().map((camera) => camera.id);
const statuses = (registry: CameraRegistry): string[] =>
  registry.list().map((camera) => `${camera.id} ${camera.view().status} ${camera.view().node}`);

describe("numbers", () => {
  it("are the node's number at first sight if free, else the lowest free; others from 100", async () => {
    const provider = new FakeProvider(
      usb(2, "A"),
      usb(0, "B"),
      rtsp("rtsp://h/1"),
      rtsp("rtsp://h/2", { wantedNumber: 105 }),
    );
    const registry = await run(provider);
    expect(statuses(registry)).toEqual([
      "camera0 CONNECTED /dev/video0",
      "camera2 CONNECTED /dev/video2",
      "camera100 CONNECTED undefined",
      "camera105 CONNECTED undefined",
    ]);
    provider.emit("lost", usb(0, "B"));
    provider.emit("found", usb(0, "C"));
    expect(ids(registry)).toEqual(["camera0", "camera1", "camera2", "camera100", "camera105"]);
  });

  it("stay with the camera after a restart, whichever nodes and order come up", async () => {
    await (await run(new FakeProvider(usb(0, "A"), usb(2, "B")))).close();
    const registry = await run(new FakeProvider(usb(0, "B"), usb(1, "A")));
    expect(statuses(registry)).toEqual(["camera0 CONNECTED /dev/video1", "camera2 CONNECTED /dev/video0"]);
    expect(events).toEqual(["camera0 initial ->CONNECTED", "camera2 initial ->CONNECTED"]);
  });

  it("stay with each of two cameras with one serial, although the other is reported first", async () => {
    const at = (node: number, busPath: string): Device =>
      usb(node, "S", { identity: { serial: "S", vendorProduct: "1:2", busPath, name: "cam", index: 0 } });
    const first = await run(new FakeProvider(at(0, "p1")));
    await first.close();
    const registry = await run(new FakeProvider(at(0, "p2"), at(1, "p1")));
    expect(statuses(registry)).toEqual(["camera0 CONNECTED /dev/video1", "camera1 CONNECTED /dev/video0"]);
  });

  it("given by the configuration stay there when the URL changes", async () => {
    await (await run(new FakeProvider(rtsp("rtsp://h/old", { wantedNumber: 110 })))).close();
    const registry = await run(new FakeProvider(rtsp("rtsp://h/new", { wantedNumber: 110 })));
    expect(ids(registry)).toEqual(["camera110"]);
    expect(registry.find("camera110").view().busPath).toBe("rtsp://h/new");
  });

  it("given by the configuration are not taken by cameras without one that are named before", async () => {
    const registry = await run(
      new FakeProvider(rtsp("rtsp://h/1"), rtsp("rtsp://h/2", { wantedNumber: 100 })),
    );
    expect(registry.find("camera100").view().busPath).toBe("rtsp://h/2");
    expect(ids(registry)).toEqual(["camera100", "camera101"]);
  });

  it("stay over restarts where the one given belongs to another camera", async () => {
    const always = { virtual: { provider: new FakeProvider(virtual), mode: "always" as const } };
    await (await run(new FakeProvider(), always)).close();
    for (let start = 0; start < 3; start++) {
      const registry = await run(new FakeProvider(rtsp("rtsp://h/1", { wantedNumber: 100 })));
      expect(ids(registry)).toEqual(["camera101"]);
      await registry.close();
    }
  });

  it("of network cameras no longer configured are kept, but not listed", async () => {
    await (await run(new FakeProvider(rtsp("rtsp://h/1")))).close();
    const registry = await run(new FakeProvider(rtsp("rtsp://h/2")));
    expect(ids(registry)).toEqual(["camera101"]);
    expect(() => registry.find("camera100")).toThrow(/camera101/);
  });
});

describe("names", () => {
  it("find the camera on a node now, or the last one on it", async () => {
    const provider = new FakeProvider(usb(0, "A"));
    const registry = await run(provider);
    const name = (text: string): string => registry.find(text).id;
    expect(["camera0", "/dev/video0", "video0"].map(name)).toEqual(["camera0", "camera0", "camera0"]);
    provider.emit("lost", usb(0, "A"));
    expect(name("/dev/video0")).toBe("camera0");
    provider.emit("found", usb(0, "B"));
    expect(name("/dev/video0")).toBe("camera1");
    provider.emit("found", usb(7, "A"));
    expect(name("video7")).toBe("camera0");
  });

  it.each([
    "0",
    "",
    "camera00",
    "camera1",
    "CAMERA0",
    "/dev/video1",
    "../video0",
    "/dev/v4l/by-id/none",
    "video",
    "camera99999999999999999999",
  ])("such as %j find nothing", async (name) => {
    const registry = await run(new FakeProvider(usb(0, "A")));
    expect(() => registry.find(name)).toThrow(expect.objectContaining({ code: "camera_not_found" }));
  });
});

describe("status events", () => {
  it("follow plugging in order, without repeating a state", async () => {
    const provider = new FakeProvider();
    const registry = await run(provider);
    const camera = usb(0, "A");
    provider.emit("found", camera);
    provider.emit("changed", camera);
    provider.emit("lost", camera);
    provider.emit("lost", camera);
    provider.emit("found", usb(3, "A"));
    expect(events).toEqual([
      "added camera0",
      "camera0 connected ->CONNECTED",
      "camera0 disconnected CONNECTED>DISCONNECTED",
      "camera0 connected DISCONNECTED>CONNECTED",
    ]);
    expect(registry.find("video3").view()).toMatchObject({
      id: "camera0",
      resolutions: ["1280x720", "320x240"],
      fpsOptions: [30, 29],
    });
  });

  it("tell a problem, its end, and changed capabilities", async () => {
    const provider = new FakeProvider();
    const registry = await run(provider);
    const { capabilities, ...rest } = usb(0, "A");
    const problem = { code: "permission_denied", message: "join the group video" };
    provider.emit("found", { ...rest, problem });
    expect(registry.find("camera0").view()).toMatchObject({
      status: "ERROR",
      reason: problem.message,
      reasonCode: "permission_denied",
    });
    expect(() => registry.find("camera0").native()).toThrow(/join the group/);
    provider.emit("changed", usb(0, "A"));
    provider.emit(
      "changed",
      usb(0, "A", { capabilities: { driver: "x", card: "", busInfo: "", formats: [] } }),
    );
    expect(events).toEqual([
      "added camera0",
      "camera0 error ->ERROR",
      "camera0 connected ERROR>CONNECTED",
      "camera0 capability_change CONNECTED>CONNECTED",
    ]);
    expect(capabilities).toBeDefined();
  });

  it("of the first scan come after all of it, only for what is still there", async () => {
    const gone = usb(1, "B");
    const provider = new FakeProvider(usb(0, "A"), gone, { type: "lost", device: gone });
    await run(provider);
    expect(events).toEqual(["added camera0", "camera0 initial ->CONNECTED"]);
  });
});

describe("captures", () => {
  function only(index = 0): FakeSource {
    const source = sources[index];
    if (source === undefined) throw new Error("no source");
    return source;
  }

  it("are made once, told of unplugging, and outlive it", async () => {
    const provider = new FakeProvider(usb(0, "A"));
    const registry = await run(provider);
    const camera = registry.find("camera0");
    expect(camera.native()).toBe(camera.native());
    provider.emit("lost", usb(0, "A"));
    expect(() => camera.native()).toThrow(expect.objectContaining({ code: "camera_disconnected" }));
    provider.emit("found", usb(1, "A"));
    expect(only().calls).toEqual(["lost", "back"]);
    expect(camera.native()).toBe(only());
    await registry.close();
    expect(only().calls).toEqual(["lost", "back", "close"]);
    expect(provider.closed).toBe(1);
  });

  it("get the chosen mode, or the one a lease insists on, from the device as it is now", async () => {
    const registry = await run(new FakeProvider(usb(0, "A")));
    const camera = registry.find("camera0");
    camera.native();
    const request = only().request;
    if (!("input" in request)) throw new Error("no native request");
    expect((await request.input(undefined)).mode).toEqual({
      format: "MJPG",
      width: 1280,
      height: 720,
      fps: 29.97,
    });
    const wanted = { format: "MJPG", width: 320, height: 240, fps: 30 };
    expect((await request.input(wanted)).mode).toEqual(wanted);
  });

  it("that fail show as ERROR with the reason until they are live again", async () => {
    const registry = await run(new FakeProvider(usb(0, "A")));
    const camera = registry.find("camera0");
    camera.native();
    only().lastError = "/dev/video0: Device or resource busy";
    only().go("starting");
    only().go("failed");
    expect(camera.view()).toMatchObject({
      status: "ERROR",
      reasonCode: "camera_busy",
      captureState: "failed",
    });
    expect(camera.native()).toBe(only());
    only().go("starting");
    only().go("live");
    expect(events.slice(2)).toEqual(["camera0 error CONNECTED>ERROR", "camera0 connected ERROR>CONNECTED"]);
  });

  it("that another program holds say which one", async () => {
    const asked: string[] = [];
    const registry = await run(new FakeProvider(usb(0, "A")), {
      holdersOf: async (node) => {
        asked.push(node);
        return [{ pid: 42, command: "cheese" }];
      },
    });
    const camera = registry.find("camera0");
    camera.native();
    only().lastError = "camera0: ffmpeg ended with exit code 1: /dev/video0: Device or resource busy";
    only().go("failed");
    await expect.poll(() => camera.view().reason).toContain("held by cheese (pid 42)");
    expect(asked).toEqual(["/dev/video0"]);
    expect(camera.view().reasonCode).toBe("camera_busy");
    expect(events.slice(2)).toEqual(["camera0 error CONNECTED>ERROR", "camera0 error ERROR>ERROR"]);
    only().go("live");
    expect(camera.view().reason).toBeUndefined();
  });

  it("that keep trying to recover show as ERROR after a while only", async () => {
    await run(new FakeProvider(usb(0, "A"))).then((registry) => registry.find("camera0").native());
    only().go("live");
    only().go("stalled");
    only().go("recovering", "no frame for 5 s");
    clock.advance(1000);
    only().go("live");
    clock.advance(60_000);
    expect(events.slice(2)).toEqual([]);
    only().go("recovering", "no frame for 5 s");
    clock.advance(5000);
    expect(events.slice(2)).toEqual(["camera0 error CONNECTED>ERROR"]);
  });

  it("are transcoded only into what they do not give themselves", async () => {
    const registry = await run(new FakeProvider(usb(0, "A")));
    const camera = registry.find("camera0");
    expect(camera.mjpeg()).toBe(camera.native());
    const h264 = camera.h264();
    expect(h264.id).toBe("camera0/h264");
    expect(camera.h264()).toBe(h264);
    expect(sources.map((source) => source.id)).toEqual(["camera0", "camera0/h264"]);
  });

  it("of a camera that tells its codec only when live decide then", async () => {
    const registry = await run(new FakeProvider(rtsp("rtsp://h/1")));
    const camera = registry.find("camera100");
    const h264 = camera.h264();
    const mjpeg = camera.mjpeg();
    expect(sources.map((source) => source.id)).toEqual(["camera100"]);
    only().codec = "h264";
    const options = { holder: "test", from: "next", overflow: "skip" } as const;
    await h264.open(options);
    expect(only().calls).toEqual(["open", "open", "lease closed"]);
    expect(sources).toHaveLength(1);
    await mjpeg.open(options);
    expect(only(1)).toMatchObject({ id: "camera100/mjpeg", calls: ["open"] });
    expect(camera.h264()).toBe(camera.native());
  });

  it("teach what a network camera gives, for the next run too", async () => {
    const registry = await run(new FakeProvider(rtsp("rtsp://h/1")));
    registry.find("camera100").native();
    const track = {
      kind: "video",
      id: 1,
      codec: "hevc",
      codecString: "",
      width: 800,
      height: 600,
      timescale: 1,
    } as const;
    only().init = { bytes: Buffer.alloc(0), tracks: [track], fingerprint: "" };
    only().go("live");
    expect(events.at(-1)).toBe("camera100 capability_change CONNECTED>CONNECTED");
    await registry.close();
    const again = await run(new FakeProvider(rtsp("rtsp://h/1")));
    expect(again.find("camera100").view()).toMatchObject({
      formats: ["HEVC"],
      resolutions: ["800x600"],
      fpsOptions: [25],
      mode: { format: "HEVC", width: 800, height: 600, fps: 25 },
    });
  });
});

describe("virtual cameras", () => {
  const cases = [
    ["auto", [], ["camera100"]],
    ["auto", [usb(0, "A")], ["camera0"]],
    ["auto", [rtsp("rtsp://h/1")], ["camera100"]],
    ["always", [usb(0, "A")], ["camera0", "camera100"]],
    ["never", [], []],
  ] as const;
  it.each(cases)("with mode %s beside %j", async (mode, devices, listed) => {
    const registry = await run(new FakeProvider(...devices), {
      virtual: { provider: new FakeProvider(virtual), mode },
    });
    expect(ids(registry)).toEqual(listed);
    if (mode !== "auto" || devices.length > 0) return;
    expect(registry.find("camera100").view().kind).toBe("virtual");
  });

  it("stay when a real camera comes, and are not listed once they are no longer offered", async () => {
    const offer = () => ({ virtual: { provider: new FakeProvider(virtual), mode: "auto" as const } });
    const provider = new FakeProvider();
    const registry = await run(provider, offer());
    provider.emit("found", usb(0, "A"));
    expect(ids(registry)).toEqual(["camera0", "camera100"]);
    await registry.close();
    expect(ids(await run(new FakeProvider(usb(0, "A")), offer()))).toEqual(["camera0"]);
  });
});

describe("settings", () => {
  it("are kept, and go back to their defaults", async () => {
    const first = await run(new FakeProvider(usb(0, "A")));
    first.configure("camera0", { name: "left", mode: { width: 320, height: 240 }, recordCodec: "h264" });
    await first.close();
    const registry = await run(new FakeProvider(usb(0, "A")), { recordCodec: "copy" });
    const camera = registry.find("camera0");
    expect(camera.view()).toMatchObject({ name: "left", mode: { width: 320, height: 240 } });
    expect(camera.settings.recordCodec).toBe("h264");
    registry.configure("camera0", { name: undefined, recordCodec: undefined });
    expect(camera.view().name).toBe("cam A");
    expect(camera.settings.recordCodec).toBe("copy");
    expect(() => registry.configure("camera5", {})).toThrow(OcelliError);
  });
});

describe("the configured mode", () => {
  it("holds for cameras without one of their own, where they have it", async () => {
    const registry = await run(new FakeProvider(usb(0, "A")), {
      usbMode: { width: 320, height: 240, fps: 15 },
    });
    const { mode } = registry.find("camera0").view();
    expect(mode).toEqual({ format: "MJPG", width: 320, height: 240, fps: 30 });
    registry.configure("camera0", { mode: { width: 1280 } });
    expect(registry.find("camera0").view().mode?.width).toBe(1280);
  });
});

describe("a provider that fails", () => {
  it("does not keep the others' cameras away", async () => {
    const broken = new FakeProvider();
    broken.start = () => Promise.reject(new Error("no bus"));
    const registry = await run(new FakeProvider(), { providers: [broken, new FakeProvider(usb(0, "A"))] });
    expect(ids(registry)).toEqual(["camera0"]);
  });
});
