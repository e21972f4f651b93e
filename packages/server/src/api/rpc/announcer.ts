/** What a client that only listens is told at first: the state of each camera. All else is told by `subscriptions.ts`. */
import { isoOf, type Names } from "@ocelli/protocol/camera-service";
import type { CameraView } from "../../events/catalogue.ts";
import type { RpcServices } from "./services.ts";
import { announcedCamera } from "./shapes-camera.ts";

export function initialCameraText(camera: CameraView, names: Names, services: RpcServices): string {
  const nowUs = services.clock.wallUs();
  const shape = announcedCamera(camera, names, services.recordings.activeOf(camera.id), nowUs);
  const params = { ...shape, event: "initial", timestamp: isoOf(nowUs), camera: shape };
  return notification("camera_status_update", params);
}

export function notification(method: string, params: unknown): string {
  return JSON.stringify({ jsonrpc: "2.0", method, params });
}
