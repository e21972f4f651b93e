/** The methods under the names of the Python guide, for programs ported from it line by line. */
import { CameraClientCore } from "./camera-client-core.ts";

type Args<K extends "getCameraStatus" | "takeSnapshot" | "startRecording" | "stopRecording"> = Parameters<
  CameraClientCore[K]
>;

export abstract class GuideNames extends CameraClientCore {
  get_camera_list(...args: Parameters<CameraClientCore["getCameraList"]>) {
    return this.getCameraList(...args);
  }
  get_camera_status(...args: Args<"getCameraStatus">) {
    return this.getCameraStatus(...args);
  }
  take_snapshot(...args: Args<"takeSnapshot">) {
    return this.takeSnapshot(...args);
  }
  start_recording(...args: Args<"startRecording">) {
    return this.startRecording(...args);
  }
  stop_recording(...args: Args<"stopRecording">) {
    return this.stopRecording(...args);
  }
  list_recordings(...args: Parameters<CameraClientCore["listRecordings"]>) {
    return this.listRecordings(...args);
  }
  list_snapshots(...args: Parameters<CameraClientCore["listSnapshots"]>) {
    return this.listSnapshots(...args);
  }
  set_camera_status_callback(...args: Parameters<CameraClientCore["setCameraStatusCallback"]>) {
    this.setCameraStatusCallback(...args);
  }
  set_recording_status_callback(...args: Parameters<CameraClientCore["setRecordingStatusCallback"]>) {
    this.setRecordingStatusCallback(...args);
  }
  set_connection_lost_callback(...args: Parameters<CameraClientCore["setConnectionLostCallback"]>) {
    this.setConnectionLostCallback(...args);
  }
}
