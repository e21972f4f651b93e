import { pino } from "pino";
import { describe, expect, it } from "vitest";
import type { OpenOptions } from "../capture/source.ts";
import type { DeviceCapabilities } from "../devices/device.ts";
import type { CameraView } from "../events/catalogue.ts";
import { CameraSettingsService } from "./camera-settings.ts";
import type { Camera, CameraSettings } from "./contract.ts";
import { chooseMode } from "./mode-choice.ts";

const log = pino({ level: "silent" });
const rate = (fps: number) => ({ numerator: 1, denominator: fps });
const capabilities: DeviceCapabilities = {
  ...{ driver: "uvcvideo", card: "A camera", busInfo: "usb" },
  formats: [
    {
      ...{ fourcc: "MJPG", description: "MJPEG", compressed: true },
      sizes: [
        { width: 1280, height: 720, intervals: [rate(30), rate(15)] },
        { width: 640, height: 480, intervals: [rate(60), rate(30)] },
      ],
    },
    {
      ...{ fourcc: "YUYV", description: "YUYV", compressed: false },
      sizes: [{ width: 640, height: 480, intervals: [rate(30)] }],
    },
  ],
};

function setUp(how: { kind?: CameraView["kind"]; known?: boolean; defaults?: CameraSettings["mode"] } = {}) {
  let own: Partial<CameraSettings> = {};
  let state = "live";
  const leases: string[] = [];
  const opened: OpenOptions[] = [];
  const known = how.known === false ? undefined : capabilities;
  const changes: object[] = [];
  const camera = {
    id: "camera0",
    get settings(): CameraSettings {
      return { recordCodec: "copy", ...(how.defaults && { mode: how.defaults }), ...own };
    },
    capabilities: known,
    view: () => ({
      ...{ id: "camera0", kind: how.kind ?? "v4l2", status: "CONNECTED" },
      ...{ formats: ["MJPG", "YUYV"], resolutions: ["1280x720", "640x480"], fpsOptions: [60, 30, 15] },
    }),
    chosenMode: () => known && chooseMode(known, camera.settings.mode).mode,
    native: () => ({
      get state() {
        return state;
      },
      stats: () => ({ leases }),
      open: async (options: OpenOptions) => {
        opened.push(options);
        return { close: () => undefined };
      },
    }),
  } as unknown as Camera;
  const service = new CameraSettingsService({
    cameras: {
      list: () => [camera],
      find: () => camera,
      configure(_id, change) {
        changes.push(change);
        own = Object.fromEntries(
          Object.entries({ ...own, ...change }).filter(([, value]) => value !== undefined),
        );
        return camera;
      },
    },
    log,
    maxPreRollS: 10,
  });
  return { service, changes, opened, leases, idle: () => (state = "idle"), own: () => own };
}

describe("settings of a camera", () => {
  it("are what was set, and the defaults again with auto", () => {
    const { service, own } = setUp({ defaults: { format: "MJPG" } });
    expect(service.get("camera0")).toMatchObject({
      wishes: { format: "MJPG" },
      nextMode: { format: "MJPG", width: 1280, height: 720, fps: 30 },
      ...{ recordCodec: "copy", continuousRecording: false, preRollS: 0 },
    });
    const set = service.set("camera0", {
      ...{ name: "Door", size: { width: 640, height: 480 }, fps: 60, recordCodec: "h264" },
      ...{ continuousRecording: true, preRollS: 4 },
    });
    expect(set).toMatchObject({
      wishes: { format: "MJPG", width: 640, height: 480, fps: 60 },
      nextMode: { format: "MJPG", width: 640, height: 480, fps: 60 },
      ...{ recordCodec: "h264", continuousRecording: true, preRollS: 4 },
    });
    expect(service.set("camera0", { fps: 30 }).wishes).toEqual({
      ...{ format: "MJPG", width: 640, height: 480, fps: 30 },
    });
    service.set("camera0", {
      ...{ name: "auto", format: "auto", size: "auto", fps: "auto", recordCodec: "auto" },
      ...{ continuousRecording: false, preRollS: 0 },
    });
    expect(own()).toEqual({});
  });

  it("refuse modes the camera does not have, saying which it has", () => {
    const { service, changes } = setUp();
    for (const change of [
      { format: "H264" },
      { size: { width: 1920, height: 1080 } },
      { fps: 25 },
      { format: "YUYV", size: { width: 1280, height: 720 } },
    ]) {
      expect(() => service.set("camera0", change)).toThrowError(
        expect.objectContaining({
          code: "unsupported",
          details: expect.objectContaining({ formats: ["MJPG", "YUYV"] }),
        }),
      );
    }
    expect(() => service.set("camera0", { preRollS: 11 })).toThrow(/ringSeconds/);
    expect(changes).toEqual([]);
  });

  it("leave the mode of network cameras to themselves", () => {
    const { service } = setUp({ kind: "rtsp", known: false });
    expect(() => service.set("camera0", { fps: 10 })).toThrow(/in the camera itself/);
    expect(service.set("camera0", { preRollS: 2 })).toMatchObject({ preRollS: 2, nextMode: undefined });
  });

  it("take any mode of a camera that has never been seen", () => {
    const { service } = setUp({ known: false });
    expect(service.set("camera0", { fps: 10 }).wishes).toEqual({ fps: 10 });
  });

  it("start a capture anew that only lingers, and leave one alone that is used", async () => {
    const lingering = setUp();
    lingering.service.set("camera0", { size: { width: 640, height: 480 } });
    expect(lingering.opened).toMatchObject([{ mode: { width: 640, height: 480, fps: 60 } }]);
    lingering.service.set("camera0", { size: { width: 640, height: 480 }, name: "again" });
    expect(lingering.opened).toHaveLength(1);
    const used = setUp();
    used.leases.push("recording");
    used.service.set("camera0", { fps: 15 });
    expect(used.opened).toEqual([]);
    const idle = setUp();
    idle.idle();
    idle.service.set("camera0", { fps: 15 });
    expect(idle.opened).toEqual([]);
  });
});
