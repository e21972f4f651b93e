/** What is said of a recording that failed. */
import { messageOf, OcelliError } from "@ocelli/protocol";

export function asError(error: unknown): OcelliError {
  return error instanceof OcelliError
    ? error
    : new OcelliError("internal", messageOf(error), { cause: error });
}

export function fellBehind(cameraId: string, frames: number): OcelliError {
  return new OcelliError(
    "reader_too_slow",
    `The recording of ${cameraId} fell behind and lost ${frames} frames; is the disk too slow?`,
    { details: { cameraId, frames } },
  );
}

export function stoppedEarly(cameraId: string): OcelliError {
  return new OcelliError(
    "capture_failed",
    `The recording of ${cameraId} was stopped before its first frame.`,
    {
      details: { cameraId },
    },
  );
}

/** A recording that ended without a frame, by the reason of its end. */
export function nothingRecorded(cameraId: string, reason: string): OcelliError {
  const details = { cameraId, reason };
  switch (reason) {
    case "start_timeout":
      return new OcelliError(
        "start_timeout",
        `${cameraId} gave no keyframe in time, so that its recording could not begin. Check the keyframe interval of the camera.`,
        { details },
      );
    case "storage_critical":
      return new OcelliError(
        "storage_critical",
        `The disk is too full to record ${cameraId}. Free some space.`,
        {
          details,
        },
      );
    case "camera_lost":
    case "duration":
      return new OcelliError(
        "camera_disconnected",
        `${cameraId} gave no frame while it should have been recorded. Check that it is connected.`,
        { details },
      );
    default:
      return stoppedEarly(cameraId);
  }
}
