/** What has been recorded and photographed: lists, facts, deleting. */

import { codeOf } from "@ocelli/protocol";
import { defaultLimit, isoOf } from "@ocelli/protocol/camera-service";
import type { MediaEntry, MediaKind } from "../../../library/contract.ts";
import type { RpcServices } from "../services.ts";
import { fileObject, type MediaContext, recordingInfo, snapshotInfo } from "../shapes-media.ts";
import type { Call, MethodImplementation } from "./method.ts";

const lister = (kind: MediaKind): MethodImplementation<"list_recordings"> => ({
  run({ limit, offset, device }, call, services) {
    const wanted = { limit: limit ?? defaultLimit(call.dialect.names), offset: offset ?? 0 };
    const page = services.library.page(kind, {
      ...wanted,
      ...(device === undefined ? {} : { cameraId: cameraOfFiles(kind, device, services) }),
    });
    return {
      files: page.entries.map((entry) => fileObject(entry, contextOf(entry, call, services))),
      total: page.total,
      ...wanted,
    };
  },
});

/** Files outlive their camera: one that was removed can still be named by its id. @throws OcelliError `camera_not_found` */
function cameraOfFiles(kind: MediaKind, device: string, { cameras, library }: RpcServices): string {
  try {
    return cameras.find(device).id;
  } catch (error) {
    const page = { limit: 1, offset: 0, cameraId: device };
    if (/^camera\d+$/.test(device) && library.page(kind, page).total > 0) return device;
    throw error;
  }
}

export const listRecordings = lister("recording");
export const listSnapshots = lister("snapshot");

export const getRecordingInfo: MethodImplementation<"get_recording_info"> = {
  run({ filename }, call, services) {
    const entry = services.library.get("recording", filename);
    return recordingInfo(entry, contextOf(entry, call, services));
  },
};

export const getSnapshotInfo: MethodImplementation<"get_snapshot_info"> = {
  run({ filename }, call, services) {
    const entry = services.library.get("snapshot", filename);
    return snapshotInfo(entry, contextOf(entry, call, services));
  },
};

const deleter = (kind: MediaKind, message: string): MethodImplementation<"delete_recording"> => ({
  lane: ({ filename }) => `${kind}/${filename}`,
  async run({ filename }, _call, { library, clock }) {
    const entry = library.get(kind, filename);
    await library.delete(kind, entry.filename);
    return {
      filename: entry.filename,
      deleted: true,
      status: "deleted",
      message,
      timestamp: isoOf(clock.wallUs()),
    };
  },
});

export const deleteRecording = deleter("recording", "Recording file deleted successfully");
export const deleteSnapshot = deleter("snapshot", "Snapshot file deleted successfully");

function contextOf(
  entry: MediaEntry,
  { dialect }: Call,
  { cameras, clock, links }: RpcServices,
): MediaContext {
  return {
    names: dialect.names,
    nowUs: clock.wallUs(),
    camera: { id: entry.cameraId, node: nodeOf(entry, cameras) },
    sign: (path) => links.sign(path),
  };
}

/** Where the camera is now; the node it had then when it is no longer known. */
function nodeOf(entry: MediaEntry, cameras: RpcServices["cameras"]): string | undefined {
  try {
    return cameras.find(entry.cameraId).view().node;
  } catch (error) {
    if (codeOf(error) !== "camera_not_found") throw error;
    return entry.device.node;
  }
}
