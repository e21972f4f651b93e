/** What is being recorded, and what is to be recorded later. */
import { elapsedS } from "../shapes-camera.ts";
import { recordingObject } from "../shapes-media.ts";
import type { MethodImplementation, MethodTable } from "./method.ts";

const getRecordingStatus: MethodImplementation<"get_recording_status"> = {
  run({ device }, { dialect }, { cameras, recordings, clock, links }) {
    const camera = cameras.find(device);
    const recording = recordings.activeOf(camera.id);
    if (recording === undefined) return null;
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

export const scheduleImplementations = {
  get_recording_status: getRecordingStatus,
} satisfies Partial<MethodTable>;
