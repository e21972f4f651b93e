/** Lists and states of cameras. Cheap reads: they overtake whatever runs. */
import { codeOf } from "@ocelli/protocol";
import { isoOf, type Names, type ResultOf, validationFor } from "@ocelli/protocol/camera-service";
import type { Camera } from "../../../cameras/contract.ts";
import { sharedResult } from "../answer.ts";
import { cameraObject, cameraStatus, unknownCamera, validationState } from "../shapes-camera.ts";
import type { MethodImplementation } from "./method.ts";

export const getCameraList: MethodImplementation<"get_camera_list"> = {
  run(_params, { dialect: { names } }, { cameras, recordings, clock, events }) {
    const nowUs = clock.wallUs();
    const nowMs = Math.floor(nowUs / 1000);
    const { latestSeq } = events;
    let lists = recentLists.get(cameras);
    if (lists === undefined) {
      lists = new Map();
      recentLists.set(cameras, lists);
    }
    const recent = lists.get(names);
    if (recent?.nowMs === nowMs && recent.latestSeq === latestSeq) return recent.result;
    const list = cameras
      .list()
      .map((camera) => cameraObject(camera.view(), names, recordings.activeOf(camera.id), nowUs));
    const result = sharedResult({
      cameras: list,
      total: list.length,
      connected: list.filter(({ status }) => status === "CONNECTED").length,
      timestamp: isoOf(nowUs),
    });
    lists.set(names, { nowMs, latestSeq, result });
    return result;
  },
};

/**
 * The last list, by the cameras a caller may see and the vocabulary. It is good while nothing has happened since, for
 * its millisecond: the times in it are told in those. Spares the work when hundreds of clients ask at once.
 */
const recentLists = new WeakMap<
  object,
  Map<
    Names,
    { readonly nowMs: number; readonly latestSeq: number; readonly result: ResultOf<"get_camera_list"> }
  >
>();

export const getCameraStatus: MethodImplementation<"get_camera_status"> = {
  run({ device }, { dialect }, { cameras, recordings, clock }) {
    const nowUs = clock.wallUs();
    let camera: Camera;
    try {
      camera = cameras.find(device);
    } catch (error) {
      const wantsAnswer = dialect.names === "path" && dialect.failures === "error";
      if (wantsAnswer && codeOf(error) === "camera_not_found")
        return unknownCamera(device, dialect.names, nowUs);
      throw error;
    }
    return cameraStatus(camera.view(), dialect.names, recordings.activeOf(camera.id), nowUs, {
      spelled: device,
      ...traffic(camera),
    });
  },
};

export const getCameraCapabilities: MethodImplementation<"get_camera_capabilities"> = {
  run({ device }, { dialect }, { cameras }) {
    const view = cameras.find(device).view();
    return {
      device,
      formats: [...view.formats],
      resolutions: [...view.resolutions],
      fps_options: [...view.fpsOptions],
      frame_rates: [...view.fpsOptions],
      capabilities: view.status === "CONNECTED" ? ["snapshot", "recording", "streaming"] : [],
      validation_status: validationFor(dialect.names, validationState(view)),
    };
  },
};

/** Of an absent camera there is no source to ask. */
function traffic(camera: Camera): { bytesSent: number; readers: number } {
  if (camera.view().status !== "CONNECTED") return { bytesSent: 0, readers: 0 };
  try {
    const { bytesTotal, leases } = camera.native().stats();
    return { bytesSent: bytesTotal, readers: leases.length };
  } catch {
    return { bytesSent: 0, readers: 0 };
  }
}
