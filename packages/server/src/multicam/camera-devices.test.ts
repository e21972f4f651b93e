import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { OcelliError } from "@ocelli/protocol";
import { pino } from "pino";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { Cameras } from "../cameras/contract.ts";
import { FakeClock } from "../clock/fake-clock.ts";
import type { ClockSync } from "../clock/sync/state.ts";
import type { Library } from "../library/contract.ts";
import type { Recordings } from "../recording/contract.ts";
import { type Database, openDatabase } from "../store/database.ts";
import { CameraDevices } from "./camera-devices.ts";
import { deviceIdMigrations } from "./device-ids.ts";

let folder: string;
let database: Database;
let there: string[];
let listeners: number;

const cameras = {
  list: () => there.map((id) => ({ id })),
  find: (name: string) => {
    if (!there.includes(name)) throw new OcelliError("camera_not_found", name);
    return { id: name };
  },
} as unknown as Cameras;
const clockSync = {
  onChange: () => {
    listeners++;
    return () => listeners--;
  },
} as unknown as ClockSync;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ocelli-devices-"));
  database = openDatabase(join(folder, "x.db"), deviceIdMigrations);
  there = [];
  listeners = 0;
});
afterEach(() => {
  database.close();
  rmSync(folder, { recursive: true, force: true });
});

const make = (): CameraDevices =>
  new CameraDevices({
    ...{ database, cameras, clockSync, clock: new FakeClock(), log: pino({ level: "silent" }) },
    ...{ recordings: {} as Recordings, library: {} as Library },
    storage: { state: { level: "ok", freeBytes: 0, totalBytes: 0 } },
  });

it("a camera is a device from when it is there, the same one on every port and after a restart", () => {
  const devices = make();
  const [first, named, other] = [
    devices.finder(undefined),
    devices.finder("camera0"),
    devices.finder("camera1"),
  ];
  expect([first(), named(), other()]).toEqual([undefined, undefined, undefined]);
  there = ["camera0"];
  expect(first()?.cameraId).toBe("camera0");
  expect(named()).toBe(first());
  expect(other()).toBeUndefined();
  // Another one in front of it does not change which it is.
  there = ["camera1", "camera0"];
  expect(first()?.cameraId).toBe("camera0");
  expect(other()?.deviceId).not.toBe(first()?.deviceId);
  expect(listeners).toBe(2);
  devices.close();
  expect(listeners).toBe(0);
  expect(make().finder("camera0")()?.deviceId).toBe(first()?.deviceId);
});
