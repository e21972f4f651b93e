import { pino } from "pino";
import { beforeEach, describe, expect, it } from "vitest";
import { FakeClock } from "../clock/fake-clock.ts";
import { EventBus } from "../events/bus.ts";
import { type CameraStatus, type CameraView, notLookedAt } from "../events/catalogue.ts";
import { HealthProblems } from "./problems.ts";

let clock: FakeClock;
let bus: EventBus;
let health: HealthProblems;
let told: string[];

beforeEach(() => {
  clock = new FakeClock();
  bus = new EventBus(pino({ level: "silent" }));
  health = new HealthProblems({ bus, clock });
  told = [];
  bus.on("system.health", ({ severity, problems }) =>
    told.push([severity, ...problems.map(({ code }) => code)].join(" ")),
  );
});

function camera(status: CameraStatus, reasonCode?: string, reason = "words"): void {
  const view = { id: "camera0", name: "Door", status, reason, reasonCode } as CameraView;
  bus.emit("camera.status", { camera: view, change: "error", previous: undefined });
}
const interrupt = (): void => {
  bus.emit("capture.state", { cameraId: "camera0", from: "live", to: "stalled" });
  bus.emit("capture.state", { cameraId: "camera0", from: "stalled", to: "recovering" });
};

describe("health", () => {
  it("tells of a camera in error, once, and of its end", () => {
    camera("CONNECTED");
    camera("ERROR", "usb_bandwidth");
    camera("ERROR", "usb_bandwidth");
    expect(health.problems).toMatchObject([
      {
        component: "camera",
        code: "usb_bandwidth",
        severity: "critical",
        message: "Door: words",
        cameraId: "camera0",
      },
    ]);
    const since = health.problems[0]?.sinceUs;
    clock.advance(1000);
    camera("ERROR", "usb_bandwidth", "more words");
    expect(health.problems[0]?.sinceUs).toBe(since);
    camera("CONNECTED");
    expect(told).toEqual(["critical usb_bandwidth", "critical usb_bandwidth", "ok"]);
    expect(health.severity).toBe("ok");
  });

  it("waits until a camera has been looked at", () => {
    camera("ERROR", notLookedAt);
    expect([told, health.problems]).toEqual([[], []]);
    camera("ERROR", "unreachable");
    camera("ERROR", notLookedAt);
    expect(told).toEqual(["critical unreachable", "ok"]);
  });

  it("tells of the disk by its level", () => {
    for (const level of ["low", "critical", "low", "ok"] as const) {
      bus.emit("storage.level", { level, freeBytes: 5 * 2 ** 20, totalBytes: 10 });
    }
    expect(told).toEqual(["warning storage_low", "critical storage_critical", "warning storage_low", "ok"]);
  });

  it("tells of a clock that was set, for a while", () => {
    bus.emit("clock.step", { stepUs: -2_000_000 });
    expect(health.problems[0]?.message).toContain("-2.000 s");
    clock.advance(599_000);
    expect(health.severity).toBe("warning");
    clock.advance(20_000);
    expect(told).toEqual(["warning clock_step", "ok"]);
  });

  it("tells of a clock that cannot be trusted, where others must agree with it", () => {
    const state = { synchronised: true, source: "sntp", offsetUs: 0, uncertaintyUs: 1000, reason: undefined };
    const unsynchronised = { ...state, synchronised: false, source: "none", reason: "Nobody answered." };
    bus.emit("clock.state", { state: unsynchronised });
    expect(health.problems).toEqual([]);
    health.close();

    health = new HealthProblems({ bus, clock, judgeClock: true });
    health.judgeClock(unsynchronised);
    expect(health.problems).toMatchObject([
      { component: "clock", code: "clock_unsynchronised", severity: "warning", message: "Nobody answered." },
    ]);
    bus.emit("clock.state", { state: { ...state, uncertaintyUs: 50_001 } });
    bus.emit("clock.step", { stepUs: 1_000_000 });
    bus.emit("clock.state", { state: { ...state, uncertaintyUs: 50_000 } });
    // The bound the kernel keeps is no measurement.
    bus.emit("clock.state", { state: { ...state, source: "chrony", uncertaintyUs: 400_000 } });
    expect(told).toEqual([
      "warning clock_unsynchronised",
      "ok",
      "warning clock_uncertain",
      "warning clock_uncertain clock_step",
      "warning clock_step",
    ]);
  });

  it("tells of captures that are interrupted repeatedly, until they hold", () => {
    interrupt();
    clock.advance(700_000);
    interrupt();
    interrupt();
    expect(told).toEqual([]);
    interrupt();
    interrupt();
    expect(told).toEqual(["warning repeated_stalls"]);
    clock.advance(620_000);
    expect(told).toEqual(["warning repeated_stalls", "ok"]);
    interrupt();
    interrupt();
    interrupt();
    camera("DISCONNECTED");
    expect(health.problems).toEqual([]);
  });

  it("listens no more once closed", () => {
    health.close();
    camera("ERROR", "camera_busy");
    expect(told).toEqual([]);
    expect(clock.pending).toBe(0);
  });
});
