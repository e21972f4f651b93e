import { chmodSync, mkdirSync, mkdtempSync, renameSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import pino from "pino";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Clock } from "../../clock/clock.ts";
import { FakeClock } from "../../clock/fake-clock.ts";
import { SystemClock } from "../../clock/system-clock.ts";
import type { DeviceEvent } from "../device.ts";
import type { NodeAnswer } from "./ask-node.ts";
import { V4l2Provider, type V4l2ProviderOptions } from "./provider.ts";

let dev: string;
let sys: string;
let provider: V4l2Provider | undefined;
/** What each node answers; a node not listed is a camera. */
let answers: Map<string, () => NodeAnswer | Promise<NodeAnswer>>;
let asked: string[];
const events: string[] = [];
let devices: DeviceEvent[];

beforeEach(() => {
  dev = mkdtempSync(join(tmpdir(), "ocelli-dev-"));
  sys = mkdtempSync(join(tmpdir(), "ocelli-sys-"));
  answers = new Map();
  asked = [];
  events.length = 0;
  devices = [];
});
afterEach(async () => {
  await provider?.close();
  provider = undefined;
  rmSync(dev, { recursive: true, force: true });
  rmSync(sys, { recursive: true, force: true });
});

function camera(name: string, driver = "uvcvideo"): NodeAnswer {
  return {
    kind: "camera",
    multiplanar: false,
    capabilities: { driver, card: `card of ${name}`, busInfo: `usb-${name}`, formats: [] },
  };
}

const failure = (errno: number): NodeAnswer => ({ kind: "failed", errno, operation: "open" });

function plug(name: string): void {
  writeFileSync(join(dev, name), "");
}

function make(clock: Clock, options: Partial<V4l2ProviderOptions> = {}): V4l2Provider {
  provider = new V4l2Provider({
    clock,
    log: pino({ level: "silent" }),
    devDir: dev,
    sysDir: sys,
    query: async (path) => {
      const name = path.slice(dev.length + 1);
      asked.push(name);
      return answers.get(name)?.() ?? camera(name);
    },
    ...options,
  });
  return provider;
}

function listen(event: DeviceEvent): void {
  devices.push(event);
  const { device, type } = event;
  events.push(
    `${type} ${device.node?.slice(dev.length + 1)}${device.problem ? ` ${device.problem.code}` : ""}`,
  );
}

const seen = (...expected: string[]) => vi.waitFor(() => expect(events).toEqual(expected));

it.each([true, false])(
  "has a thread ready for the first node only where drivers are loaded: %s",
  async (loaded) => {
    if (loaded) mkdirSync(join(sys, "class/video4linux"), { recursive: true });
    let threads = 0;
    const count = (): void => {
      threads++;
    };
    process.on("worker", count);
    try {
      provider = new V4l2Provider({
        ...{ clock: new SystemClock(), log: pino({ level: "silent" }) },
        ...{ devDir: dev, sysDir: sys },
      });
      await provider.start(() => undefined);
      // Node tells of a new thread after the work in hand.
      await new Promise((resolve) => setImmediate(resolve));
      expect(threads).toBe(loaded ? 1 : 0);
    } finally {
      process.off("worker", count);
    }
  },
);

describe("V4l2Provider", () => {
  it("finds at the start all cameras of any number, and nothing else", async () => {
    for (const name of ["video0", "video1", "video63", "videoX", "null"]) plug(name);
    answers.set("video1", () => ({ kind: "other", driver: "uvcvideo" }));
    await make(new SystemClock()).start(listen);
    expect(events.toSorted()).toEqual(["found video0", "found video63"]);
    expect(asked.toSorted()).toEqual(["video0", "video1", "video63"]);
  });

  it("reports plugging and unplugging by the events of the folder alone", async () => {
    await make(new SystemClock(), { rescanIntervalMs: 0 }).start(listen);
    plug("video3");
    await seen("found video3");
    unlinkSync(join(dev, "video3"));
    await seen("found video3", "lost video3");
    plug("video4");
    await seen("found video3", "lost video3", "found video4");
  });

  it("reports a node that was taken away and made again between two looks as lost and found", async () => {
    plug("video0");
    const cameras = make(new FakeClock(), { rescanIntervalMs: 0 });
    await cameras.start(listen);
    plug("other");
    renameSync(join(dev, "other"), join(dev, "video0"));
    await cameras.rescan();
    expect(events).toEqual(["found video0", "lost video0", "found video0"]);
  });

  it("does not ask a known camera again, nor report it twice", async () => {
    plug("video0");
    const cameras = make(new FakeClock());
    await cameras.start(listen);
    await cameras.rescan();
    writeFileSync(join(dev, "video0"), "written to");
    await cameras.rescan();
    expect(asked).toEqual(["video0"]);
    expect(events).toEqual(["found video0"]);
  });

  it("tries a new node again until it opens, without a word about it", async () => {
    const clock = new FakeClock();
    const cameras = make(clock, { rescanIntervalMs: 0 });
    await cameras.start(listen);
    let opens = false;
    answers.set("video0", () => (opens ? camera("video0") : failure(constants.errno.EACCES)));
    plug("video0");
    await vi.waitFor(() => expect(asked.length).toBe(1));
    clock.advance(15);
    await vi.waitFor(() => expect(asked.length).toBeGreaterThan(1));
    opens = true;
    await vi.waitFor(() => {
      clock.advance(50);
      expect(events).toEqual(["found video0"]);
    });
  });

  it("tries at once when the permissions change", async () => {
    const clock = new FakeClock();
    await make(clock, { rescanIntervalMs: 0 }).start(listen);
    answers.set("video0", () => failure(constants.errno.EACCES));
    plug("video0");
    await vi.waitFor(() => expect(asked.length).toBe(1));
    answers.delete("video0");
    chmodSync(join(dev, "video0"), 0o600);
    await seen("found video0");
  });

  it("reports a lasting problem once, and that it is gone", async () => {
    const clock = new FakeClock();
    const cameras = make(clock, { rescanIntervalMs: 0 });
    await cameras.start(listen);
    answers.set("video0", () => failure(constants.errno.EACCES));
    plug("video0");
    await vi.waitFor(() => expect(asked).toHaveLength(1));
    for (let i = 0; i < 100; i++) {
      clock.advance(100);
      await new Promise(setImmediate);
    }
    expect(events).toEqual(["found video0 permission_denied"]);
    // Back-off: far fewer tries than the hundred steps.
    expect(asked.length).toBeLessThan(20);
    answers.delete("video0");
    clock.advance(10_000);
    await seen("found video0 permission_denied", "changed video0");
  });

  it("reports at once what cannot be opened when the hub starts", async () => {
    plug("video0");
    answers.set("video0", () => failure(constants.errno.EBUSY));
    await make(new FakeClock()).start(listen);
    expect(events).toEqual(["found video0 camera_busy"]);
  });

  it("reports the loss of a camera while its driver still thinks, and drops the late answer", async () => {
    const clock = new FakeClock();
    await make(clock, { rescanIntervalMs: 0 }).start(listen);
    let answer: ((answer: NodeAnswer) => void) | undefined;
    answers.set("video0", () => new Promise((resolve) => (answer = resolve)));
    plug("video0");
    await vi.waitFor(() => expect(answer).toBeDefined());
    unlinkSync(join(dev, "video0"));
    plug("video1");
    await seen("found video1");
    answer?.(camera("video0"));
    await new Promise(setImmediate);
    expect(events).toEqual(["found video1"]);
  });

  it("looks again by itself at loopback nodes, which become cameras without any event", async () => {
    const clock = new FakeClock();
    plug("video9");
    answers.set("video9", () => ({ kind: "other", driver: "v4l2 loopback" }));
    await make(clock, { rescanIntervalMs: 0 }).start(listen);
    expect(events).toEqual([]);
    answers.set("video9", () => camera("video9", "v4l2 loopback"));
    clock.advance(2000);
    await seen("found video9");
    answers.set("video9", () => ({ kind: "other", driver: "v4l2 loopback" }));
    clock.advance(2000);
    await seen("found video9", "lost video9");
  });

  it("catches by its rescan what the watch missed, and watches again when the folder comes back", async () => {
    rmSync(dev, { recursive: true });
    const clock = new FakeClock();
    await make(clock, { rescanIntervalMs: 30_000 }).start(listen);
    mkdirSync(dev);
    plug("video0");
    clock.advance(30_000);
    await seen("found video0");
    plug("video1");
    await seen("found video0", "found video1");
  });

  it("says that multi-planar cameras cannot be captured", async () => {
    plug("video0");
    answers.set("video0", () => ({ ...camera("video0"), multiplanar: true }) as NodeAnswer);
    await make(new FakeClock()).start(listen);
    expect(events).toEqual(["found video0 unsupported"]);
  });

  it("is silent after close", async () => {
    const cameras = make(new SystemClock());
    await cameras.start(listen);
    expect(cameras.close()).toBe(cameras.close());
    await cameras.close();
    plug("video0");
    await cameras.rescan();
    expect(events).toEqual([]);
  });
});

describe("a V4L2 camera's input", () => {
  async function device() {
    plug("video0");
    await make(new FakeClock()).start(listen);
    const [event] = devices;
    if (event === undefined) throw new Error("no device");
    return event.device;
  }
  const size = { width: 641, height: 480, fps: 29.97 };

  it("copies encoded formats and encodes raw ones once, by the kernel's stamps", async () => {
    const mjpeg = (await device()).input({ format: "MJPG", ...size });
    expect(mjpeg.video).toBe("copy");
    expect(mjpeg.timeSource).toBe("kernel");
    expect(mjpeg.args.join(" ")).toContain("-input_format mjpeg -video_size 641x480 -framerate 29.97");
    expect(mjpeg.args.slice(-2)).toEqual(["-i", join(dev, "video0")]);
    const raw = (await device()).input({ format: "YUYV", ...size });
    expect(raw.video).toMatchObject({ encodeArgs: expect.arrayContaining(["libx264", "-vf"]) });
  });

  it("refuses a format ffmpeg cannot read", async () => {
    const camera = await device();
    expect(() => camera.input({ format: "HEVC", ...size })).toThrow(
      expect.objectContaining({ code: "unsupported" }),
    );
  });
});
