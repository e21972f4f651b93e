/**
 * Events of the hub as clients read them: which topics an event belongs to, and what each tells. Pure, but for looking
 * up where a camera is; the same event gives the same shape whenever it is asked for.
 */
import { type DottedTopic, isoOf, type Names, type Topic, wordFor } from "@ocelli/protocol/camera-service";
import type { EventRecord } from "../../event-log/contract.ts";
import type {
  CameraView,
  EventName,
  HealthProblem,
  RecordingView,
  ScheduleView,
} from "../../events/catalogue.ts";
import { nodeOf } from "./node-of.ts";
import type { RpcServices } from "./services.ts";
import { announcedCamera, cameraNames, roundedS } from "./shapes-camera.ts";
import { recordingAnnounced } from "./shapes-media.ts";
import { foundStream } from "./shapes-stream.ts";

export interface ShapeContext {
  readonly names: Names;
  readonly services: Pick<RpcServices, "cameras" | "recordings" | "links" | "clock">;
  readonly version: string;
  readonly startedAtMonoUs: number;
  /** The recording to show in a camera's state: known only while the event happens. */
  readonly activeOf: (cameraId: string) => RecordingView | undefined;
}

type Data = Readonly<Record<string, unknown>>;

/** One thing to tell of an event. The dotted topic that stands for the event in the history comes first. */
export interface Told {
  readonly topic: Topic;
  readonly data: Data;
}

/** All an event of this name may be told as. `told` picks. */
const topicsByEvent: Readonly<Record<EventName, readonly [DottedTopic, ...Topic[]]>> = {
  "camera.added": ["camera.added"],
  "camera.status": [
    "camera.status_change",
    "camera.connected",
    "camera.disconnected",
    "camera.capability_detected",
    "camera.capability_error",
    "camera_status_update",
  ],
  "capture.state": ["capture.state"],
  "capture.gap": ["capture.gap"],
  "recording.started": ["recording.start", "recording_status_update"],
  "recording.progress": ["recording.progress"],
  "recording.stopped": ["recording.stop", "recording_status_update"],
  "recording.failed": ["recording.error", "recording_status_update"],
  "recording.recovered": ["recording.recovered"],
  "snapshot.taken": ["snapshot.taken"],
  "snapshot.failed": ["snapshot.error"],
  "storage.level": ["storage.level"],
  "schedule.changed": ["schedule.changed"],
  "schedule.missed": ["schedule.missed"],
  "retention.deleted": ["retention.deleted"],
  "stream.added": ["stream.added"],
  "stream.removed": ["stream.removed"],
  "stream.discovered": ["stream.discovered"],
  "clock.step": ["clock.step"],
  "clock.state": ["clock.state"],
  "sync.session": ["sync.session"],
  "system.startup": ["system.startup"],
  "system.shutdown": ["system.shutdown"],
  "system.health": ["system.health", "system.error", "system_health_update"],
  "export.progress": ["export.progress"],
};

/** The events to look through for these topics. */
export function eventsOf(topics: readonly Topic[]): EventName[] {
  const wanted = new Set<Topic>(topics);
  const names = Object.keys(topicsByEvent) as EventName[];
  return names.filter((name) => topicsByEvent[name].some((topic) => wanted.has(topic)));
}

/** Whether connections that never subscribed may hear of it. */
export function isBroadcast(record: EventRecord): boolean {
  return record.name === "system.health"
    ? record.payload.severity === "critical" || record.payload.previous === "critical"
    : topicsByEvent[record.name].some((topic) => !topic.includes("."));
}

/** The camera an event is about, if it is about one. */
export function cameraOf({ payload }: EventRecord): string | undefined {
  if ("camera" in payload) return payload.camera.id;
  if ("recording" in payload) return payload.recording.cameraId;
  if ("schedule" in payload) return payload.schedule.cameraId;
  if ("stream" in payload) return payload.stream.cameraId;
  return "cameraId" in payload ? payload.cameraId : undefined;
}

export function told(record: EventRecord, context: ShapeContext): Told[] {
  const shape = shapesOf(record, context);
  const common = { timestamp: isoOf(record.atUs), seq: record.seq };
  return shape.map(([topic, data]) => ({ topic, data: { ...data, ...common } }));
}

function shapesOf(record: EventRecord, context: ShapeContext): [Topic, Data][] {
  const { names } = context;
  const named = (cameraId: string): Data =>
    cameraNames({ id: cameraId, node: nodeOf(cameraId, context.services.cameras) }, names);
  switch (record.name) {
    case "camera.added":
      return [["camera.added", cameraFacts(record.payload.camera, names)]];
    case "camera.status":
      return cameraShapes(record.payload, record.atUs, context);
    case "capture.state": {
      const { cameraId, from, to, reason } = record.payload;
      return [
        ["capture.state", { ...named(cameraId), old_state: from, new_state: to, reason: reason ?? null }],
      ];
    }
    case "capture.gap": {
      const { cameraId, fromUs, toUs, reason } = record.payload;
      const times = { from: isoOf(fromUs), to: isoOf(toUs), duration: roundedS((toUs - fromUs) / 1e6) };
      return [["capture.gap", { ...named(cameraId), ...times, reason }]];
    }
    case "recording.started":
    case "recording.stopped":
    case "recording.failed":
    case "recording.progress":
      return recordingShapes(record, context, named(record.payload.recording.cameraId));
    case "recording.recovered": {
      const { cameraId, filename, frames, resumed, gap } = record.payload;
      const hole = gap === undefined ? null : { from: isoOf(gap.fromUs), to: isoOf(gap.toUs) };
      return [["recording.recovered", { ...named(cameraId), filename, frames, resumed, gap: hole }]];
    }
    case "snapshot.taken": {
      const { cameraId, filename, bytes, resolution } = record.payload;
      return [["snapshot.taken", { ...named(cameraId), filename, file_size: bytes, resolution }]];
    }
    case "snapshot.failed": {
      const { cameraId, error } = record.payload;
      return [["snapshot.error", { ...named(cameraId), error: error.message, error_code: error.code }]];
    }
    case "storage.level": {
      const { level, freeBytes, totalBytes } = record.payload;
      return [["storage.level", { level, available_space: freeBytes, total_space: totalBytes }]];
    }
    case "schedule.changed":
    case "schedule.missed": {
      const { schedule } = record.payload;
      return [[record.name, { ...named(schedule.cameraId), ...scheduleFacts(schedule) }]];
    }
    case "retention.deleted": {
      const { recordings, snapshots, bytes, reasons } = record.payload;
      const counts = { recordings_removed: recordings, snapshots_removed: snapshots, space_freed: bytes };
      return [["retention.deleted", { ...counts, reasons }]];
    }
    case "stream.added":
    case "stream.removed": {
      const { stream } = record.payload;
      const { cameraId, url, name, type } = stream;
      const facts = { stream_url: url, stream_name: name, stream_type: type };
      return [[record.name, { ...(cameraId === undefined ? {} : named(cameraId)), ...facts }]];
    }
    case "stream.discovered":
      return [
        ["stream.discovered", { streams: record.payload.streams.map((one) => foundStream(one, undefined)) }],
      ];
    case "clock.step":
      return [["clock.step", { step_seconds: record.payload.stepUs / 1e6 }]];
    case "clock.state": {
      const { synchronised, source, offsetUs, uncertaintyUs, reason } = record.payload.state;
      const offsets = {
        offset_ms: offsetUs / 1000,
        uncertainty_ms: uncertaintyUs === undefined ? null : uncertaintyUs / 1000,
      };
      return [["clock.state", { synchronised, source, ...offsets, reason: reason ?? null }]];
    }
    case "sync.session": {
      const { id, groupId, name, startAtUs, state, members } = record.payload.session;
      const told = members.map(({ key, state, files, error }) => ({
        ...{ member: key, status: state, files },
        ...(error === undefined ? {} : { error }),
      }));
      const session = { session_id: id, group_id: groupId, name, start_at: isoOf(startAtUs), status: state };
      return [["sync.session", { ...session, members: told }]];
    }
    case "system.startup":
      return [["system.startup", { version: record.payload.version, build_info: null }]];
    case "system.shutdown":
      return [["system.shutdown", { reason: record.payload.reason }]];
    case "system.health":
      return healthShapes(record.payload, context);
    case "export.progress": {
      const { exportId, filename, fraction, state, error } = record.payload;
      const data = { export_id: exportId, filename, progress: fraction, status: state };
      return [["export.progress", { ...data, ...(error === undefined ? {} : { error }) }]];
    }
  }
}

function cameraFacts(camera: CameraView, names: Names): Data {
  return {
    ...cameraNames(camera, names),
    name: camera.name,
    status: camera.status,
    driver: camera.driver ?? null,
    card_name: camera.name,
    ...(camera.reason === undefined ? {} : { error_message: camera.reason }),
    ...(camera.reasonCode === undefined ? {} : { error_code: camera.reasonCode }),
  };
}

function cameraShapes(
  { camera, change, previous }: Extract<EventRecord, { name: "camera.status" }>["payload"],
  atUs: number,
  { names, activeOf }: ShapeContext,
): [Topic, Data][] {
  const facts = cameraFacts(camera, names);
  const shapes: [Topic, Data][] = [
    [
      "camera.status_change",
      { ...facts, old_status: previous ?? "UNKNOWN", new_status: camera.status, event: change },
    ],
  ];
  if (change === "connected") shapes.push(["camera.connected", facts]);
  if (change === "disconnected") shapes.push(["camera.disconnected", facts]);
  if (change === "capability_change") {
    const { formats, resolutions, fpsOptions } = camera;
    shapes.push(["camera.capability_detected", { ...facts, formats, resolutions, fps_options: fpsOptions }]);
  }
  if (change === "error") shapes.push(["camera.capability_error", { ...facts, error: camera.reason ?? "" }]);
  const shape = announcedCamera(camera, names, activeOf(camera.id), atUs);
  shapes.push(["camera_status_update", { ...shape, event: change, camera: shape }]);
  return shapes;
}

const recordingWords = {
  "recording.started": ["recording.start", "recordingStarted"],
  "recording.stopped": ["recording.stop", "recordingStopped"],
  "recording.failed": ["recording.error", "recordingFailed"],
} as const;

function recordingShapes(
  record: Extract<EventRecord, { payload: { recording: RecordingView } }>,
  { names, services }: ShapeContext,
  named: Data,
): [Topic, Data][] {
  const { recording } = record.payload;
  // An armed start that was taken back: nobody was told of a recording.
  if (record.name === "recording.stopped" && recording.frames === 0) return [];
  const facts = {
    ...named,
    recording_id: recording.id,
    filename: recording.filename,
    duration: roundedS(recording.durationS),
  };
  if (record.name === "recording.progress") {
    const status = wordFor(names, "recordingStarted");
    const { bytes, frames } = recording;
    return [["recording.progress", { ...facts, status, file_size: bytes, frames }]];
  }
  const [topic, word] = recordingWords[record.name];
  const more =
    record.name === "recording.failed"
      ? { reason: record.payload.error.code, error: record.payload.error.message }
      : record.name === "recording.stopped"
        ? { reason: record.payload.reason }
        : {};
  const update = recordingAnnounced(
    recording,
    word,
    {
      names,
      nowUs: record.atUs,
      camera: { id: recording.cameraId, node: nodeOf(recording.cameraId, services.cameras) },
      // Many read it; should the name be another camera's file one day, the link is none for that.
      sign: (path) =>
        services.links.sign(path, undefined, {
          cameras: new Set([recording.cameraId]),
          ...{ standings: [], expiresAtUs: undefined },
        }),
    },
    more,
  );
  return [
    [topic, { ...facts, status: wordFor(names, word), ...more }],
    ["recording_status_update", update],
  ];
}

function scheduleFacts(schedule: ScheduleView): Data {
  return {
    schedule_id: schedule.id,
    scheduled_for: isoOf(schedule.startAtUs),
    duration: schedule.durationS,
    status: schedule.state,
    recording_id: schedule.recordingId ?? null,
    files: schedule.files,
    reason: schedule.reason ?? null,
  };
}

/** A hub without space does not do its work; one with a camera that fails does the rest of it. */
function overallStatus(problems: readonly HealthProblem[]): "healthy" | "degraded" | "unhealthy" {
  if (problems.some(({ code }) => code === "storage_critical")) return "unhealthy";
  return problems.length > 0 ? "degraded" : "healthy";
}

function healthShapes(
  { severity, problems }: Extract<EventRecord, { name: "system.health" }>["payload"],
  { names, services, version, startedAtMonoUs }: ShapeContext,
): [Topic, Data][] {
  const cased = (word: string): string => (names === "logical" ? word.toUpperCase() : word);
  const status = cased(overallStatus(problems));
  const listed = problems.map(({ cameraId, sinceUs, ...problem }) => ({
    ...problem,
    ...(cameraId === undefined
      ? {}
      : cameraNames({ id: cameraId, node: nodeOf(cameraId, services.cameras) }, names)),
    since: isoOf(sinceUs),
  }));
  const components = {
    websocket_server: cased("running"),
    camera_monitor: cased(problems.some(({ component }) => component === "camera") ? "error" : "running"),
  };
  const views = services.cameras.list().map((camera) => camera.view());
  const shapes: [Topic, Data][] = [
    ["system.health", { status, severity, problems: listed, metrics: { problems: listed.length } }],
  ];
  const worst = listed.find((problem) => problem.severity === "critical");
  if (worst !== undefined) {
    shapes.push(["system.error", { ...worst, error: worst.message }]);
  }
  const update = {
    status,
    severity,
    uptime: Math.floor((services.clock.monoUs() - startedAtMonoUs) / 1e6),
    version,
    components,
    problems: listed,
    available_cameras: views
      .filter((view) => view.status === "CONNECTED")
      .map((view) => cameraNames(view, names).device),
  };
  shapes.push(["system_health_update", update]);
  return shapes;
}
