/** Where a camera is. A recording may outlive what is known of its camera: of one no longer configured, nothing is. */
import type { Cameras } from "../../cameras/contract.ts";

export function nodeOf(cameraId: string, cameras: Cameras): string | undefined {
  try {
    return cameras.find(cameraId).view().node;
  } catch {
    return undefined;
  }
}
