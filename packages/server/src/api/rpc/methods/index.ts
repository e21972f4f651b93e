/** Every method of the protocol has its implementation here; the compiler holds the two lists equal. */
import { authenticate, ping } from "./access.ts";
import { accountImplementations } from "./accounts.ts";
import { cameraSettingsImplementations } from "./camera-settings.ts";
import { getCameraCapabilities, getCameraList, getCameraStatus } from "./cameras.ts";
import { configurationImplementations } from "./configuration.ts";
import { controlImplementations } from "./controls.ts";
import { discover } from "./discover.ts";
import { eventImplementations } from "./events.ts";
import { exportRecording } from "./exports.ts";
import { externalStreamImplementations } from "./external-streams.ts";
import {
  deleteRecording,
  deleteSnapshot,
  getRecordingInfo,
  getSnapshotInfo,
  listRecordings,
  listSnapshots,
} from "./files.ts";
import type { MethodTable } from "./method.ts";
import { startRecording, stopRecording } from "./recordings.ts";
import { scheduleImplementations } from "./schedules.ts";
import { takeSnapshot } from "./snapshots.ts";
import { storageImplementations } from "./storage.ts";
import { streamImplementations } from "./streams.ts";
import { syncImplementations } from "./sync.ts";
import { systemImplementations } from "./system.ts";

export const implementations: MethodTable = {
  ping,
  authenticate,
  get_camera_list: getCameraList,
  get_camera_status: getCameraStatus,
  get_camera_capabilities: getCameraCapabilities,
  take_snapshot: takeSnapshot,
  capture_snapshot: takeSnapshot,
  start_recording: startRecording,
  stop_recording: stopRecording,
  list_recordings: listRecordings,
  list_snapshots: listSnapshots,
  get_recording_info: getRecordingInfo,
  get_snapshot_info: getSnapshotInfo,
  delete_recording: deleteRecording,
  delete_snapshot: deleteSnapshot,
  export_recording: exportRecording,
  "rpc.discover": discover,
  ...accountImplementations,
  ...cameraSettingsImplementations,
  ...configurationImplementations,
  ...controlImplementations,
  ...eventImplementations,
  ...externalStreamImplementations,
  ...scheduleImplementations,
  ...storageImplementations,
  ...streamImplementations,
  ...syncImplementations,
  ...systemImplementations,
};
