/** What is being recorded, and what is to be recorded later. */
import { codeOf } from "@ocelli/protocol";
import { isoOf, type Names, type ScheduleObject } from "@ocelli/protocol/camera-service";
import type { ScheduleView } from "../../../events/catalogue.ts";
import { cameraLane } from "../lanes.ts";
import type { RpcServices } from "../services.ts";
import { cameraNames, elapsedS } from "../shapes-camera.ts";
import { recordingObject } from "../shapes-media.ts";
import type { MethodImplementation, MethodTable } from "./method.ts";

const getRecordingStatus: MethodImplementation<"get_recording_status"> = {
  run({ device }, { dialect }, { cameras, recordings, clock, links }) {
    const camera = cameras.find(device);
    const recording = recordings.activeOf(camera.id);
    // A camera that is kept ready for a start to come is not being recorded.
    if (recording === undefined || recording.armedForUs !== undefined) return null;
    const nowUs = clock.wallUs();
    const context = {
      names: dialect.names,
      nowUs,
      camera: camera.view(),
      spelled: device,
      sign: (path: string) => links.sign(path),
    };
    return { ...recordingObject(recording, context, elapsedS(recording, nowUs)), status: "active" as const };
  },
};

const scheduleRecording: MethodImplementation<"schedule_recording"> = {
  lane: ({ device }, { cameras }) => cameraLane(cameras.find(device).id),
  run({ device, start_time, duration, format, filename }, { dialect }, { schedules, cameras }) {
    const schedule = schedules.add({
      cameraId: cameras.find(device).id,
      startAtUs: start_time,
      durationS: duration,
      ...(format === undefined ? {} : { format }),
      ...(filename === undefined ? {} : { filename }),
    });
    return { ...scheduleObject(schedule, dialect.names, cameras, device), status: "scheduled" as const };
  },
};

const getScheduledRecordings: MethodImplementation<"get_scheduled_recordings"> = {
  run({ device, all }, { dialect }, { schedules, cameras, clock }) {
    const cameraId = device === undefined ? undefined : cameras.find(device).id;
    const list = schedules
      .list({ over: all ?? false })
      .filter((one) => cameraId === undefined || one.cameraId === cameraId)
      .map((one) => scheduleObject(one, dialect.names, cameras, device));
    return { schedules: list, total: list.length, timestamp: isoOf(clock.wallUs()) };
  },
};

const cancelScheduledRecording: MethodImplementation<"cancel_scheduled_recording"> = {
  lane: ({ schedule_id }) => `schedule/${schedule_id}`,
  async run({ schedule_id }, { dialect }, { schedules, cameras }) {
    return scheduleObject(await schedules.cancel(schedule_id), dialect.names, cameras);
  },
};

export function scheduleObject(
  schedule: ScheduleView,
  names: Names,
  cameras: RpcServices["cameras"],
  spelled?: string,
): ScheduleObject {
  const iso = (us: number | undefined): string | null => (us === undefined ? null : isoOf(us));
  return {
    ...cameraNames({ id: schedule.cameraId, node: nodeOf(schedule.cameraId, cameras) }, names, spelled),
    schedule_id: schedule.id,
    scheduled_for: isoOf(schedule.startAtUs),
    duration: schedule.durationS,
    format: schedule.format,
    status: schedule.state,
    recording_id: schedule.recordingId ?? null,
    started_at: iso(schedule.startedAtUs),
    ended_at: iso(schedule.endedAtUs),
    files: [...schedule.files],
    reason: schedule.reason ?? null,
  };
}

/** A schedule may outlive what is known of its camera. */
function nodeOf(cameraId: string, cameras: RpcServices["cameras"]): string | undefined {
  try {
    return cameras.find(cameraId).view().node;
  } catch (error) {
    if (codeOf(error) !== "camera_not_found") throw error;
    return undefined;
  }
}

export const scheduleImplementations = {
  get_recording_status: getRecordingStatus,
  schedule_recording: scheduleRecording,
  get_scheduled_recordings: getScheduledRecordings,
  cancel_scheduled_recording: cancelScheduledRecording,
} satisfies Partial<MethodTable>;
