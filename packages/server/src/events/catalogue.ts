import type { ErrorCode } from "@ocelli/protocol";

/**
 * Everything that happens in the hub, by name, with plain-JSON payloads (so that a log, a webhook or a bus
 * can carry them). Times are epoch microseconds. `events/` knows nothing of who listens.
 */

/** `reasonCode` of a camera the hub has not yet looked at since its start: in ERROR for now, and no problem so far. */
export const notLookedAt = "not_looked_at";

export type CameraStatus = "CONNECTED" | "DISCONNECTED" | "ERROR";

/** What the outside may know of a camera at one moment. */
export interface CameraView {
  readonly id: string;
  readonly number: number;
  readonly kind: "v4l2" | "rtsp" | "http" | "file" | "virtual";
  readonly name: string;
  /** `/dev/videoN` it is on now, or was on last. */
  readonly node: string | undefined;
  readonly status: CameraStatus;
  /** Why the status is ERROR, in words. */
  readonly reason: string | undefined;
  readonly reasonCode: string | undefined;
  /** The mode chosen (or in use). */
  readonly mode: { format: string; width: number; height: number; fps: number } | undefined;
  /** FourCCs. */
  readonly formats: readonly string[];
  /** `WxH`, largest first. */
  readonly resolutions: readonly string[];
  /** Whole frame rates, highest first. */
  readonly fpsOptions: readonly number[];
  readonly driver: string | undefined;
  readonly busPath: string;
  readonly serial: string | undefined;
  readonly captureState: string;
  readonly connectedAtUs: number | undefined;
  readonly disconnectedAtUs: number | undefined;
  readonly lastSeenUs: number | undefined;
}

export interface RecordingView {
  readonly id: string;
  readonly cameraId: string;
  /** Name of the current (or last) segment's file. */
  readonly filename: string;
  readonly startedAtUs: number;
  readonly endedAtUs: number | undefined;
  /** Requested length in seconds; `undefined` until stopped by hand. */
  readonly requestedDurationS: number | undefined;
  /** Seconds of media so far. */
  readonly durationS: number;
  readonly bytes: number;
  readonly frames: number;
  /** Frames that were missing, since this run of the hub took the recording up. */
  readonly droppedFrames?: number;
  readonly format: string;
  readonly state: "active" | "completed" | "failed";
  readonly segments: readonly string[];
  /** Nothing is recorded yet: the camera is kept ready for this instant, or was when the start was taken back. */
  readonly armedForUs?: number;
}

/** A recording at a later time. See `recording/schedule-store.ts`. */
export interface ScheduleView {
  readonly id: string;
  readonly cameraId: string;
  readonly startAtUs: number;
  readonly durationS: number;
  readonly format: string;
  readonly state: "scheduled" | "armed" | "recording" | "completed" | "missed" | "failed" | "cancelled";
  readonly recordingId?: string;
  readonly startedAtUs?: number;
  readonly endedAtUs?: number;
  readonly files: readonly string[];
  readonly reason?: string;
}

/** A network stream that was added while the hub ran, or that the configuration names. URLs are without credentials. */
export interface ExternalStreamView {
  readonly url: string;
  readonly name: string;
  readonly type: "generic_rtsp" | "skydio_stanag4609";
  readonly source: "added" | "configuration";
  /** `undefined` before the cameras have started. */
  readonly cameraId: string | undefined;
  readonly status: CameraStatus;
  readonly reason: string | undefined;
  readonly addedAtUs: number | undefined;
  readonly lastSeenUs: number | undefined;
  /** What it gave when it was last looked at. */
  readonly facts:
    | {
        readonly codec: string;
        readonly width: number;
        readonly height: number;
        readonly fps: number;
        readonly audio: boolean;
      }
    | undefined;
}

/** A stream, or a camera that tells of none, found in the network by a search. */
export interface DiscoveredStream {
  /** Of the stream; of the camera's own service where the stream's is not told. */
  readonly url: string;
  readonly name: string;
  readonly type: "generic_rtsp" | "skydio_stanag4609";
  readonly status: "DISCOVERED" | "ERROR";
  /** Why there is no stream to be had. */
  readonly reason?: string;
  readonly discoveredAtUs: number;
  readonly lastSeenUs: number;
  readonly capabilities: Readonly<Record<string, unknown>>;
}

/** What is known of the wall clock's error. */
export interface ClockView {
  readonly synchronised: boolean;
  readonly source: string;
  readonly offsetUs: number;
  readonly uncertaintyUs: number | undefined;
  readonly reason: string | undefined;
}

/** Cameras and devices that record together. See `sync/contract.ts`. */
export interface SyncSessionView {
  readonly id: string;
  readonly groupId: string;
  readonly name: string;
  readonly startAtUs: number;
  readonly state: "armed" | "recording" | "completed" | "failed";
  readonly members: readonly {
    /** `camera0`, or `host:port` of a device. */
    readonly key: string;
    readonly state: string;
    readonly files: readonly string[];
    readonly error?: string;
  }[];
}

export type Severity = "ok" | "warning" | "critical";

/** Something that is wrong with the hub's surroundings, for as long as it is. */
export interface HealthProblem {
  readonly component: "camera" | "storage" | "clock";
  /** Stable: `camera_busy`, `usb_bandwidth`, `storage_critical`, … */
  readonly code: string;
  readonly severity: "warning" | "critical";
  readonly message: string;
  readonly cameraId?: string;
  readonly sinceUs: number;
}

export interface EventCatalogue {
  "camera.added": { camera: CameraView };
  "camera.status": {
    camera: CameraView;
    change: "connected" | "disconnected" | "error" | "capability_change" | "initial";
    previous: CameraStatus | undefined;
  };
  "capture.state": { cameraId: string; from: string; to: string; reason?: string };
  "capture.gap": { cameraId: string; fromUs: number; toUs: number; reason: string };
  "recording.started": { recording: RecordingView };
  "recording.progress": { recording: RecordingView };
  /**
   * `reason` says why it ended: `requested`, `duration`, `storage_critical`, `shutdown`, … Without a frame it is an armed
   * start that was taken back: there has been no `recording.started`, and there is no file.
   */
  "recording.stopped": { recording: RecordingView; reason: string };
  "recording.failed": { recording: RecordingView; error: { code: ErrorCode; message: string } };
  /** A crash left this file; it has been finished. `gap` when the recording then went on in a new segment. */
  "recording.recovered": {
    filename: string;
    cameraId: string;
    frames: number;
    resumed: boolean;
    gap?: { fromUs: number; toUs: number };
  };
  "snapshot.taken": { cameraId: string; filename: string; bytes: number; resolution: string };
  /** It was asked for, and the camera or the disk did not let it be made. */
  "snapshot.failed": { cameraId: string; error: { code: ErrorCode; message: string } };
  "storage.level": { level: "ok" | "low" | "critical"; freeBytes: number; totalBytes: number };
  "schedule.changed": { schedule: ScheduleView };
  /** Nothing was recorded in its time; or it could never have worked: state `failed`. */
  "schedule.missed": { schedule: ScheduleView };
  /** What one pass deleted, and which limits asked for it: `age`, `size`, `free`. */
  "retention.deleted": { recordings: number; snapshots: number; bytes: number; reasons: readonly string[] };
  "stream.added": { stream: ExternalStreamView };
  "stream.removed": { stream: ExternalStreamView };
  /** A search found these, which the one before it had not. */
  "stream.discovered": { streams: readonly DiscoveredStream[] };
  "clock.step": { stepUs: number };
  /** How far the wall clock may be trusted has changed. See `clock/sync/state.ts`. */
  "clock.state": { state: ClockView };
  /** A session of a sync group began, changed, or is over. */
  "sync.session": { session: SyncSessionView };
  /** Ready: the first scan of cameras is done and every address is served. */
  "system.startup": { version: string };
  /** About to close every connection. */
  "system.shutdown": { reason: string };
  /** The problems changed. `severity` is that of the worst one now, `previous` before. */
  "system.health": { severity: Severity; previous: Severity; problems: readonly HealthProblem[] };
  "export.progress": {
    exportId: string;
    filename: string;
    fraction: number;
    state: "running" | "done" | "failed";
    error?: string;
  };
}

export type EventName = keyof EventCatalogue;

/** An event as one value, told apart by `name`. */
export type HubEvent = {
  [E in EventName]: { readonly name: E; readonly payload: EventCatalogue[E] };
}[EventName];
