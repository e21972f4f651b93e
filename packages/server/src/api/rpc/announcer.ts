/**
 * From events of the hub to the texts that go to clients. Each event is made into text once for each vocabulary,
 * however many clients there are, and only for vocabularies somebody speaks.
 */
import { isoOf, type Names } from "@ocelli/protocol/camera-service";
import type { CameraView, EventCatalogue, RecordingView } from "../../events/catalogue.ts";
import { nodeOf } from "./node-of.ts";
import type { RpcServices } from "./services.ts";
import { announcedCamera } from "./shapes-camera.ts";
import { recordingAnnounced } from "./shapes-media.ts";

export type TextFor = (names: Names) => string;

type CameraEvent = EventCatalogue["camera.status"]["change"];

export function cameraText(camera: CameraView, event: CameraEvent, services: RpcServices): TextFor {
  const { recordings, clock } = services;
  return oncePerNames((names) => {
    const nowUs = clock.wallUs();
    const shape = announcedCamera(camera, names, recordings.activeOf(camera.id), nowUs);
    return notification("camera_status_update", { ...shape, event, timestamp: isoOf(nowUs), camera: shape });
  });
}

export function recordingText(
  recording: RecordingView,
  event: "recordingStarted" | "recordingStopped" | "recordingFailed",
  services: RpcServices,
  more: { readonly reason?: string; readonly error?: string } = {},
): TextFor {
  const { cameras, clock, links } = services;
  const camera = { id: recording.cameraId, node: nodeOf(recording.cameraId, cameras) };
  return oncePerNames((names) =>
    notification(
      "recording_status_update",
      recordingAnnounced(
        recording,
        event,
        { names, nowUs: clock.wallUs(), camera, sign: (path) => links.sign(path) },
        more,
      ),
    ),
  );
}

export function notification(method: string, params: unknown): string {
  return JSON.stringify({ jsonrpc: "2.0", method, params });
}

function oncePerNames(make: (names: Names) => string): TextFor {
  const made = new Map<Names, string>();
  return (names) => {
    const text = made.get(names) ?? make(names);
    made.set(names, text);
    return text;
  };
}
