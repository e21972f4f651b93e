/** Starting and stopping recordings. */
import { extname } from "node:path";
import { OcelliError } from "@ocelli/protocol";
import { longestRecordingS, type ParamsOf, recordingFormats } from "@ocelli/protocol/camera-service";
import type { RecordingView } from "../../../events/catalogue.ts";
import type { StartRecordingRequest } from "../../../recording/contract.ts";
import { cameraLane, everyCamera } from "../lanes.ts";
import { nodeOf } from "../node-of.ts";
import type { RpcServices } from "../services.ts";
import { recordingStarted, recordingStopped } from "../shapes-media.ts";
import type { MethodImplementation } from "./method.ts";

export const startRecording: MethodImplementation<"start_recording"> = {
  lane: ({ device }, { cameras }) => cameraLane(cameras.find(device).id),
  async run(params, { dialect, holdRecording }, { cameras, recordings, clock, links }) {
    const camera = cameras.find(params.device);
    const durationS = wantedDurationS(params);
    const format = params.format ?? formatOf(params.filename);
    const request: StartRecordingRequest = {
      cameraId: camera.id,
      ...(durationS === undefined ? {} : { durationS }),
      ...(format === undefined ? {} : { format }),
      ...(params.filename === undefined ? {} : { filename: params.filename }),
      ...(params.pre_roll === undefined ? {} : { preRollS: params.pre_roll }),
      ...(params.start_at === undefined ? {} : { startAtUs: params.start_at }),
    };
    holdRecording(camera.id);
    const recording = await recordings.start(request);
    const view = camera.view();
    const resolution = view.mode === undefined ? null : `${view.mode.width}x${view.mode.height}`;
    return recordingStarted(recording, resolution, {
      names: dialect.names,
      nowUs: clock.wallUs(),
      camera: view,
      spelled: params.device,
      sign: (path) => links.sign(path),
    });
  },
};

export const stopRecording: MethodImplementation<"stop_recording"> = {
  // Without a camera it is only known at its turn which recording runs, so all commands before it come first.
  lane: ({ device, recording_id }, services) =>
    recording_id !== undefined || device === undefined
      ? everyCamera
      : cameraLane(recordedBy(device, services)),
  async run(params, { dialect, holdRecording }, services) {
    const { cameras, recordings, clock, links } = services;
    const target = recordingMeant(params, services);
    holdRecording(target.cameraId);
    const stopped = await recordings.stop(
      target.recordingId === undefined ? { cameraId: target.cameraId } : { recordingId: target.recordingId },
    );
    return recordingStopped(stopped, {
      names: dialect.names,
      nowUs: clock.wallUs(),
      camera: { id: stopped.cameraId, node: nodeOf(stopped.cameraId, cameras) },
      spelled: params.device,
      sign: (path) => links.sign(path),
    });
  },
};

/** By id, else by camera, else the only one that runs. */
function recordingMeant(
  { recording_id, device }: ParamsOf<"stop_recording">,
  services: RpcServices,
): { cameraId: string; recordingId?: string } {
  const { recordings } = services;
  const byId = (recording: RecordingView) => ({ cameraId: recording.cameraId, recordingId: recording.id });
  if (recording_id !== undefined) {
    const recording = recordings.active().find(({ id }) => id === recording_id);
    if (recording !== undefined) return byId(recording);
    throw new OcelliError("not_recording", `No recording ${recording_id} is running.`, {
      details: { recording_id },
    });
  }
  if (device !== undefined) return { cameraId: recordedBy(device, services) };
  const all = recordings.active();
  const running = all.filter(({ armedForUs }) => armedForUs === undefined);
  const candidates = running.length > 0 ? running : all;
  const [only, ...others] = candidates;
  if (only === undefined) throw new OcelliError("not_recording", "No recording is running.");
  if (others.length > 0) {
    throw new OcelliError("invalid_params", `${others.length + 1} recordings are running: name a device.`, {
      details: { param: "device", devices: candidates.map(({ cameraId }) => cameraId) },
    });
  }
  return byId(only);
}

/** The camera meant, known or only still being recorded. */
function recordedBy(device: string, { cameras, recordings }: RpcServices): string {
  return recordings.activeOf(device)?.cameraId ?? cameras.find(device).id;
}

function wantedDurationS(params: ParamsOf<"start_recording">): number | undefined {
  const given = [
    ["duration", params.duration, 1],
    ["duration_seconds", params.duration_seconds, 1],
    ["duration_minutes", params.duration_minutes, 60],
    ["duration_hours", params.duration_hours, 3600],
  ] as const;
  const wishes = given.flatMap(([name, value, unitS]) =>
    value === undefined ? [] : [{ name, s: value * unitS }],
  );
  const [first, second] = wishes;
  if (second !== undefined) {
    throw new OcelliError("invalid_params", `Give ${first?.name} or ${second.name}, not both.`, {
      details: { param: second.name },
    });
  }
  return first === undefined ? undefined : Math.min(first.s, longestRecordingS);
}

/** The format a file name asks for; `undefined` leaves the choice to the hub. */
function formatOf(filename: string | undefined): "mp4" | "mkv" | "fmp4" | "ts" | undefined {
  const extension = extname(filename ?? "")
    .slice(1)
    .toLowerCase();
  return recordingFormats.find((format) => format === extension);
}
