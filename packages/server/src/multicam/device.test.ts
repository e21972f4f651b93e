import { OcelliError } from "@ocelli/protocol";
import { pino } from "pino";
import { beforeEach, describe, expect, it } from "vitest";
import type { Cameras } from "../cameras/contract.ts";
import { FakeClock } from "../clock/fake-clock.ts";
import type { ClockState, ClockSync } from "../clock/sync/state.ts";
import type { RecordingView } from "../events/catalogue.ts";
import type { Library, MediaEntry, PageOptions, StorageState } from "../library/contract.ts";
import type { Recordings, StartRecordingRequest } from "../recording/contract.ts";
import { CameraDevice } from "./device.ts";

// What time does to a start that waits; files and real recordings are tested with a running hub.

let clock: FakeClock;
let state: ClockState;
let changed: (() => void)[];
let started: StartRecordingRequest[];
let stopped: string[];
/** Instants that a start was moved to. */
let moved: number[];
let running: RecordingView | undefined;
/** What happens before the camera is ready. */
let meanwhile: () => void;
let failure: OcelliError | undefined;
let entries: MediaEntry[];
let device: CameraDevice;

const right: ClockState = {
  ...{ synchronised: true, source: "sntp", offsetUs: 0, uncertaintyUs: 1000, servers: [], measuredAtUs: 0 },
  reason: undefined,
};
const clockSync: ClockSync = {
  get state() {
    return state;
  },
  refresh: async () => state,
  onChange: (listener) => {
    changed.push(() => listener(state));
    return () => undefined;
  },
  close: () => undefined,
};
const recordings = {
  start: async (request: StartRecordingRequest) => {
    if (failure !== undefined) throw failure;
    started.push(request);
    meanwhile();
    running = {
      ...{ id: `r${started.length}`, cameraId: "camera0", filename: `${request.filename}.mp4`, frames: 0 },
      startedAtUs: request.startAtUs ?? clock.wallUs(),
    } as RecordingView;
    return running;
  },
  rearm: (id: string, startAtUs: number) => {
    if (running?.id !== id || running.frames > 0) return false;
    moved.push(startAtUs);
    return true;
  },
  stop: async () => {
    if (running === undefined) throw new OcelliError("not_recording", "no");
    const ended = running;
    stopped.push(ended.id);
    running = undefined;
    return ended;
  },
  activeOf: () => running,
} as Partial<Recordings> as Recordings;
const library = {
  get: (_kind: string, name: string) => {
    const found = entries.find(({ filename }) => filename === name || filename === `${name}.mp4`);
    if (found === undefined) throw new OcelliError("file_not_found", name);
    return found;
  },
} as Partial<Library> as Library;
let isRemoved: boolean;
/** Recordings begun by controllers, as they were written down. */
let kept: string[];
let level: StorageState["level"];
const storage = {
  get state(): StorageState {
    return { level, freeBytes: 0, totalBytes: 0 };
  },
};
const cameras = {
  find: () => {
    if (isRemoved) throw new OcelliError("camera_not_found", "There is no camera camera0.");
    return { view: () => ({ status: "CONNECTED" }) };
  },
} as unknown as Cameras;

beforeEach(() => {
  clock = new FakeClock();
  state = right;
  changed = [];
  started = [];
  stopped = [];
  moved = [];
  running = undefined;
  meanwhile = () => undefined;
  failure = undefined;
  entries = [];
  isRemoved = false;
  level = "ok";
  kept = [];
  device = make(undefined);
});

function make(recordingId: string | undefined): CameraDevice {
  return new CameraDevice({
    kept: { deviceId: "Ocelli-00000000", recordingId, keepRecordingId: (id) => void kept.push(id) },
    ...{ cameraId: "camera0", cameras, recordings, library, storage },
    ...{ clock, clockSync },
    log: pino({ level: "silent" }),
  });
}

function tell(next: Partial<ClockState>): void {
  state = { ...right, ...next };
  for (const one of changed) one();
}

describe("a device whose camera has been taken out of the hub", () => {
  it("is absent", () => {
    expect(device.activity()).toBe("idle");
    isRemoved = true;
    expect(device.activity()).toBe("absent");
  });
});

describe("a device without room for a recording", () => {
  it("is full, as long as it does not record", async () => {
    level = "low";
    expect(device.activity()).toBe("full");
    level = "ok";
    await device.start(0);
    level = "critical";
    expect(device.activity()).toBe("recording");
    await device.stop().catch(() => undefined);
    expect(device.activity()).toBe("full");
  });
});

describe("a camera that others record", () => {
  it("is neither started nor stopped nor cancelled by controllers, and is told to record", async () => {
    for (const startAtUs of [clock.wallUs(), clock.wallUs() + 30_000_000]) {
      await recordings.start({ cameraId: "camera0", filename: "nightly", startAtUs });
      await expect(device.start(startAtUs)).rejects.toMatchObject({
        code: "already_recording",
        message: expect.stringContaining("another client"),
      });
      await expect(device.stop()).rejects.toMatchObject({
        code: "not_recording",
        message: expect.stringContaining("another client"),
      });
      expect(device.activity()).toBe(startAtUs > clock.wallUs() ? "armed" : "recording");
      expect(stopped).toEqual([]);
    }
  });

  it("is stopped by any controller when another one began it, also before the hub was restarted", async () => {
    await device.start(0);
    expect(kept).toEqual(["r1"]);
    if (running === undefined) throw new Error("nothing runs");
    running = { ...running, frames: 5 };
    entries = [{ filename: running.filename, cameraId: "camera0", state: "complete" } as MediaEntry];
    const again = make(kept[0]);
    expect(await again.start(0)).toBe("recording");
    expect(await again.stop()).toMatchObject({ fileName: entries[0]?.filename });
  });
});

describe("a start that waits", () => {
  it("is reckoned from true time, however far the hub's clock is off", async () => {
    state = { ...right, offsetUs: 2_000_000 };
    const atUs = clock.wallUs() + 5_000_000;
    expect(await device.start(atUs)).toBe("armed");
    expect(started).toEqual([
      {
        ...{ cameraId: "camera0", startAtUs: atUs - 2_000_000 },
        filename: `Ocelli-00000000_${Math.round(atUs / 1000)}`,
      },
    ]);
    expect(device.activity()).toBe("armed");
  });

  it("is moved when the clock turns out to be off otherwise, and the camera kept ready", async () => {
    const atUs = clock.wallUs() + 60_000_000;
    await device.start(atUs);
    tell({ offsetUs: 500 });
    expect(moved).toEqual([]);
    tell({ offsetUs: -300_000 });
    expect(moved).toEqual([atUs + 300_000]);
    // Nobody is sure any more: what was known last still counts.
    tell({ offsetUs: 0, synchronised: false });
    expect(moved).toHaveLength(1);
    expect([started.length, stopped.length]).toEqual([1, 0]);
    // A controller that repeats itself is told the same.
    tell({ offsetUs: -300_000 });
    expect(await device.start(atUs)).toBe("armed");
    if (running !== undefined) running = { ...running, frames: 1 };
    tell({ offsetUs: 9_000_000 });
    expect(moved).toHaveLength(1);
  });

  it("is moved also when more is known before the camera is ready", async () => {
    const atUs = clock.wallUs() + 60_000_000;
    meanwhile = () => tell({ offsetUs: 250_000 });
    await device.start(atUs);
    expect(started).toMatchObject([{ startAtUs: atUs }]);
    expect(moved).toEqual([atUs - 250_000]);
  });

  it("is not begun while nobody knows the time; one for now is", async () => {
    state = { ...right, synchronised: false, source: "none", reason: "no server answered" };
    await expect(device.start(clock.wallUs() + 20_000)).rejects.toMatchObject({
      code: "clock_not_synchronised",
      message: "no server answered",
    });
    expect(await device.start(clock.wallUs() + 9_000)).toBe("recording");
    expect(started).toMatchObject([{ preRollS: 0 }]);
  });

  it("is known as one that waits also when it was set before the hub was restarted", async () => {
    const atUs = clock.wallUs() + 30_000_000;
    await device.start(atUs);
    device = make(kept[0]);
    expect(device.activity()).toBe("armed");
    await expect(device.start(atUs + 5_000_000)).rejects.toMatchObject({ code: "already_recording" });
    clock.advance(30_001);
    expect(device.activity()).toBe("recording");
  });
});

describe("the list of files", () => {
  it("asks the library for as many as are wanted, of however many there are", () => {
    const asked: PageOptions[] = [];
    library.page = (_kind, options) => {
      asked.push(options);
      const entry = (n: number) => ({ filename: `${n}.mp4`, bytes: 5, createdAtUs: 1e6, modifiedAtUs: 2e6 });
      return { entries: [1, 2, 3].map((n) => entry(n) as MediaEntry), total: 100_000 };
    };
    expect(device.files(3).map(({ fileName }) => fileName)).toEqual(["1.mp4", "2.mp4", "3.mp4"]);
    expect(asked).toEqual([{ limit: 3, offset: 0, cameraId: "camera0" }]);
  });
});

describe("a file", () => {
  it("is found by name, id, and a name of another extension; never that of another camera, never by a path", () => {
    const entry = (filename: string, cameraId: string, state = "complete") =>
      ({
        filename,
        cameraId,
        state,
        path: `/data/${filename}`,
        bytes: 5,
        createdAtUs: 1e6,
        modifiedAtUs: 2e6,
      }) as MediaEntry;
    entries = [
      entry("a_1.mp4", "camera0"),
      entry("b_1.mp4", "camera1"),
      entry("c_1.mp4", "camera0", "recording"),
    ];
    for (const key of ["a_1.mp4", "a_1", "a_1.mov"]) expect(device.file(key).path).toBe("/data/a_1.mp4");
    for (const key of [
      "b_1.mp4",
      "x",
      "../a_1.mp4",
      "..\\a_1",
      "",
      ".",
      "..",
      "a_1.mp4\0",
      "a_1.mp4.json",
      "/etc/passwd",
    ]) {
      expect(() => device.file(key), key).toThrow(expect.objectContaining({ code: "file_not_found" }));
    }
    expect(() => device.file("c_1")).toThrow(expect.objectContaining({ code: "file_in_use" }));
  });
});
