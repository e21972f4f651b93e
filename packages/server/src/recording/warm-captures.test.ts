import { OcelliError } from "@ocelli/protocol";
import { pino } from "pino";
import { describe, expect, it } from "vitest";
import type { Camera, CameraSettings, Cameras } from "../cameras/contract.ts";
import type { FragmentSource, OpenOptions } from "../capture/source.ts";
import { FakeClock } from "../clock/fake-clock.ts";
import { EventBus } from "../events/bus.ts";
import type { CameraView } from "../events/catalogue.ts";
import { WarmCaptures } from "./warm-captures.ts";

const log = pino({ level: "silent" });
const mode = { format: "MJPG", width: 640, height: 480, fps: 30 };

const settle = async (): Promise<void> => {
  for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
};

function setUp() {
  const clock = new FakeClock();
  const bus = new EventBus(log);
  const opened: OpenOptions[] = [];
  const state = {
    settings: { recordCodec: "copy" } as CameraSettings,
    open: 0,
    fail: undefined as ((options: OpenOptions) => OcelliError | undefined) | undefined,
    endSource: (): void => undefined,
  };
  const source = {
    state: "live",
    async open(options: OpenOptions) {
      const failure = state.fail?.(options);
      if (failure !== undefined) throw failure;
      opened.push(options);
      state.open++;
      const over = Promise.withResolvers<undefined>();
      state.endSource = () => over.resolve(undefined);
      return {
        mode,
        close: () => void state.open--,
        cursor: {
          next: (signal?: AbortSignal) =>
            Promise.race([
              over.promise,
              new Promise<undefined>((_resolve, reject) =>
                signal?.addEventListener("abort", () => reject(signal.reason)),
              ),
            ]),
        },
      };
    },
  } as unknown as FragmentSource;
  const camera = {
    id: "camera0",
    get settings() {
      return state.settings;
    },
    view: () => ({ id: "camera0", status: "CONNECTED", kind: "v4l2" }) as CameraView,
    chosenMode: () => mode,
    native: () => source,
    h264: () => source,
  } as unknown as Camera;
  const cameras = { list: () => [camera] } as unknown as Cameras;
  const warm = new WarmCaptures({ cameras, clock, events: bus, log });
  return {
    ...{ clock, opened, state, warm },
    async set(settings: CameraSettings) {
      state.settings = settings;
      bus.emit("camera.status", {
        camera: camera.view(),
        change: "capability_change",
        previous: "CONNECTED",
      });
      await settle();
    },
  };
}

describe("warm captures", () => {
  it("hold a lease for as long as there is a pre-roll", async () => {
    const { warm, state, set, opened } = setUp();
    warm.start();
    await settle();
    expect(state.open).toBe(0);
    await set({ recordCodec: "copy", preRollS: 5 });
    expect(state.open).toBe(1);
    await set({ recordCodec: "copy", preRollS: 8 });
    expect(opened).toMatchObject([{ holder: "pre-roll", overflow: "skip", mode }]);
    await set({ recordCodec: "copy" });
    expect(state.open).toBe(0);
    await set({ recordCodec: "copy", preRollS: 5 });
    await warm.close();
    expect(state.open).toBe(0);
  });

  it("are opened anew when the source ends, and when the mode changes", async () => {
    const { warm, state, set, clock, opened } = setUp();
    state.settings = { recordCodec: "copy", preRollS: 5 };
    warm.start();
    await settle();
    state.endSource();
    await settle();
    expect(state.open).toBe(0);
    clock.advance(5000);
    await settle();
    expect(state.open).toBe(1);
    await set({ recordCodec: "copy", preRollS: 5, mode: { fps: 15 } });
    expect(state.open).toBe(1);
    expect(opened).toHaveLength(3);
    await warm.close();
  });

  it("take the mode others use, and wait for a camera that does not work", async () => {
    const { warm, state, clock, opened } = setUp();
    state.settings = { recordCodec: "copy", preRollS: 5 };
    state.fail = () => new OcelliError("capture_failed", "broken");
    warm.start();
    await settle();
    state.fail = (options) =>
      options.mode === undefined ? undefined : new OcelliError("camera_busy", "in another mode");
    clock.advance(5000);
    await settle();
    expect(state.open).toBe(1);
    expect(opened[0]?.mode).toBeUndefined();
    await warm.close();
  });
});
