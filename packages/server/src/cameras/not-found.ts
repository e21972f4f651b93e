import { OcelliError } from "@ocelli/protocol";

/** @param known ids of the cameras whoever asked may know of */
export function cameraNotFound(name: string, known: readonly string[]): OcelliError {
  const short = name.slice(0, 100);
  const others = known.length === 0 ? "No camera is known." : `Known are ${known.join(", ")}.`;
  return new OcelliError("camera_not_found", `There is no camera "${short}". ${others}`, {
    details: { camera: short },
  });
}
