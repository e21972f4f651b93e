/**
 * Cameras and what works on them, as somebody limited to some cameras sees them: the others do not exist. Whoever is
 * given these instead of the real ones cannot reach past the limit, in whatever he calls.
 */
import { OcelliError } from "@ocelli/protocol";
import type { CameraSettingsService } from "../cameras/camera-settings.ts";
import type { Cameras } from "../cameras/contract.ts";
import { cameraNotFound } from "../cameras/not-found.ts";
import type { Recordings } from "../recording/contract.ts";
import { noSuchSchedule, type Schedules } from "../recording/schedules.ts";
import type { Snapshots } from "../snapshots/contract.ts";
import { assertMaySee, type Limited, maySee } from "./camera-limit.ts";

export function limitedCameras(who: Limited, cameras: Cameras): Cameras {
  if (who?.cameras === undefined) return cameras;
  const list: Cameras["list"] = () => cameras.list().filter(({ id }) => maySee(who, id));
  return {
    list,
    find(name) {
      const camera = found(name, cameras);
      if (camera !== undefined && maySee(who, camera.id)) return camera;
      throw cameraNotFound(
        name,
        list().map(({ id }) => id),
      );
    },
  };
}

function found(name: string, cameras: Cameras) {
  try {
    return cameras.find(name);
  } catch (error) {
    // The original names every camera.
    if (error instanceof OcelliError && error.code === "camera_not_found") return undefined;
    throw error;
  }
}

export function limitedCameraSettings(
  cameras: Cameras,
  settings: Pick<CameraSettingsService, "get" | "set">,
): Pick<CameraSettingsService, "get" | "set"> {
  return {
    get: (name) => settings.get(cameras.find(name).id),
    set: (name, change) => settings.set(cameras.find(name).id, change),
  };
}

/** What adapters may do with recordings. */
export type RecordingControl = Pick<Recordings, "start" | "stop" | "active" | "activeOf">;

export function limitedRecordings(who: Limited, recordings: RecordingControl): RecordingControl {
  if (who?.cameras === undefined) return recordings;
  const active: Recordings["active"] = () =>
    recordings.active().filter(({ cameraId }) => maySee(who, cameraId));
  return {
    active,
    activeOf: (cameraId) => (maySee(who, cameraId) ? recordings.activeOf(cameraId) : undefined),
    async start(request) {
      assertMaySee(who, request.cameraId);
      return recordings.start(request);
    },
    async stop(target) {
      if ("cameraId" in target) {
        assertMaySee(who, target.cameraId);
      } else if (!active().some(({ id }) => id === target.recordingId)) {
        throw new OcelliError("not_recording", `No recording ${target.recordingId} is running.`);
      }
      return recordings.stop(target);
    },
  };
}

type ScheduleControl = Pick<Schedules, "add" | "list" | "cancel">;

export function limitedSchedules(who: Limited, schedules: ScheduleControl): ScheduleControl {
  if (who?.cameras === undefined) return schedules;
  const list: ScheduleControl["list"] = (options) =>
    schedules.list(options).filter(({ cameraId }) => maySee(who, cameraId));
  return {
    list,
    add(request) {
      assertMaySee(who, request.cameraId);
      return schedules.add(request);
    },
    async cancel(id) {
      const known = [...list({ over: false }), ...list({ over: true })].some((one) => one.id === id);
      if (!known) throw noSuchSchedule(id);
      return schedules.cancel(id);
    },
  };
}

export type SnapshotControl = Pick<Snapshots, "take" | "still">;

export function limitedSnapshots(who: Limited, snapshots: SnapshotControl): SnapshotControl {
  if (who?.cameras === undefined) return snapshots;
  return {
    async take(request) {
      assertMaySee(who, request.cameraId);
      return snapshots.take(request);
    },
    async still(request) {
      assertMaySee(who, request.cameraId);
      return snapshots.still(request);
    },
  };
}
