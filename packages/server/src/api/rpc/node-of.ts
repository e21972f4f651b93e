/** Where a camera is. A recording may outlive what is known of its camera: of one no longer configured, nothing is. */
import type { Cameras } from "../../cameras/contract.ts";

export function nodeOf(cameraId: string, cameras: Cameras): string | undefined {
  try {
    return cameras.find(cameraId).view().node;
  } catch {
    return undefined;
  }
}

/** The id of the camera somebody means; the name itself where no camera is known by it. */
export function idOf(name: string, cameras: Cameras): string {
  try {
    return cameras.find(name).id;
  } catch {
    return name;
  }
}
