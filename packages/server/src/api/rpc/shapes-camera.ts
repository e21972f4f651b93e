/** Cameras as clients read them, in both vocabularies. Pure: from views to plain objects. */
import { type CameraObject, isoOf, type Names, type ValidationState } from "@ocelli/protocol/camera-service";
import type { CameraView, RecordingView } from "../../events/catalogue.ts";

/** The names a camera answers by. `spelled`, the caller's own spelling, is echoed in `device`. */
export function cameraNames(
  camera: { readonly id: string; readonly node: string | undefined },
  names: Names,
  spelled?: string,
): { device: string; device_path?: string; camera_id: string } {
  const path = camera.node ?? camera.id;
  if (names === "logical") return { device: spelled ?? camera.id, camera_id: camera.id };
  return { device: spelled ?? path, device_path: path, camera_id: camera.id };
}

/** What clients may do with the camera now. */
function abilities(camera: CameraView): string[] {
  return camera.status === "CONNECTED" ? ["snapshot", "recording", "streaming"] : [];
}

function common(
  camera: CameraView,
  names: Names,
  active: RecordingView | undefined,
  nowUs: number,
  spelled?: string,
) {
  const connected = camera.status === "CONNECTED";
  // A camera that is kept ready for a start to come is not being recorded.
  const running = active?.armedForUs === undefined ? active : undefined;
  return {
    ...cameraNames(camera, names, spelled),
    device_number: Number(/\d+$/.exec(camera.node ?? "")?.[0] ?? camera.number),
    status: camera.status,
    name: camera.name,
    formats: [...camera.formats],
    streams: {},
    stream_url: null,
    recording: running !== undefined,
    recording_session: running?.id ?? null,
    current_file: running?.filename ?? null,
    elapsed_time: running === undefined ? 0 : elapsedS(running, nowUs),
    last_seen: isoOrNull(camera.lastSeenUs),
    connected_at: isoOrNull(camera.connectedAtUs),
    disconnected_at: isoOrNull(camera.disconnectedAtUs),
    uptime_seconds: connected ? uptimeS(camera, nowUs) : null,
    ...(camera.reason === undefined ? {} : { error_message: camera.reason }),
  };
}

export function cameraObject(
  camera: CameraView,
  names: Names,
  active: RecordingView | undefined,
  nowUs: number,
): CameraObject {
  const { resolution, fps } = chosenMode(camera);
  return {
    ...common(camera, names, active, nowUs),
    resolution,
    fps,
    capabilities: abilities(camera),
  };
}

/** As in a notification: without `resolution` and `fps` while the camera is not connected. */
export function announcedCamera(
  camera: CameraView,
  names: Names,
  active: RecordingView | undefined,
  nowUs: number,
) {
  const { resolution, fps } = chosenMode(camera);
  return {
    ...common(camera, names, active, nowUs),
    ...(resolution === null ? {} : { resolution }),
    ...(fps === null ? {} : { fps }),
    capabilities: abilities(camera),
  };
}

export function cameraStatus(
  camera: CameraView,
  names: Names,
  active: RecordingView | undefined,
  nowUs: number,
  more: { readonly spelled: string; readonly bytesSent: number; readonly readers: number },
) {
  const { resolution, fps } = chosenMode(camera);
  return {
    ...common(camera, names, active, nowUs, more.spelled),
    resolution,
    fps,
    capabilities: {
      formats: [...camera.formats],
      resolutions: [...camera.resolutions],
      fps_options: [...camera.fpsOptions],
      resolution,
      width: resolution === null ? null : (camera.mode?.width ?? null),
      height: resolution === null ? null : (camera.mode?.height ?? null),
      fps,
      controls: {},
    },
    metrics: {
      bytes_sent: more.bytesSent,
      readers: more.readers,
      uptime: Math.floor(uptimeS(camera, nowUs)),
    },
    metadata: {
      kind: camera.kind,
      capture_state: camera.captureState,
      bus_path: camera.busPath,
      ...(camera.driver === undefined ? {} : { driver: camera.driver }),
      ...(camera.serial === undefined ? {} : { serial: camera.serial }),
      ...(camera.reasonCode === undefined ? {} : { error_code: camera.reasonCode }),
    },
    timestamp: isoOf(nowUs),
  };
}

/** The answer about a name nothing is known of, for clients that expect one instead of an error. */
export function unknownCamera(spelled: string, names: Names, nowUs: number) {
  return {
    device: spelled,
    ...(names === "path" ? { device_path: spelled } : {}),
    status: "UNKNOWN" as const,
    name: "",
    message: "Device not found in registry",
    capabilities: { formats: [], resolutions: [], fps_options: [] },
    streams: {},
    stream_url: null,
    timestamp: isoOf(nowUs),
  };
}

export function validationState(camera: CameraView): ValidationState {
  if (camera.status === "DISCONNECTED") return "disconnected";
  if (camera.status === "ERROR") return "error";
  return camera.formats.length > 0 ? "confirmed" : "none";
}

/** Seconds since the start by the clock: what has reached the file lags behind it by up to a fragment. */
export function elapsedS(recording: RecordingView, nowUs: number): number {
  const since = ((recording.endedAtUs ?? nowUs) - recording.startedAtUs) / 1e6;
  return roundedS(Math.max(0, recording.state === "active" ? since : recording.durationS));
}

export function roundedS(seconds: number): number {
  return Math.round(seconds * 1000) / 1000;
}

/** Fractional rates are cut, as older clients expect whole ones. */
function chosenMode(camera: CameraView): { resolution: string | null; fps: number | null } {
  const { mode } = camera;
  if (camera.status !== "CONNECTED" || mode === undefined) return { resolution: null, fps: null };
  // 0: a network camera whose rate has not been measured yet.
  const fps = mode.fps === 0 ? null : Math.max(1, Math.floor(mode.fps + 1e-6));
  return { resolution: `${mode.width}x${mode.height}`, fps };
}

function uptimeS(camera: CameraView, nowUs: number): number {
  if (camera.status !== "CONNECTED" || camera.connectedAtUs === undefined) return 0;
  return roundedS(Math.max(0, (nowUs - camera.connectedAtUs) / 1e6));
}

function isoOrNull(us: number | undefined): string | null {
  return us === undefined ? null : isoOf(us);
}
