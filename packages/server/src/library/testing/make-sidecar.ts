/** A plausible sidecar for tests. */
import type { MediaKind, Sidecar } from "../contract.ts";

export function makeSidecar(kind: MediaKind, filename: string, changes: Partial<Sidecar> = {}): Sidecar {
  return {
    version: 1,
    kind,
    filename,
    cameraId: "camera0",
    cameraName: "Test camera",
    device: { node: "/dev/video0", busPath: "usb-1.2", serial: "A1" },
    state: "complete",
    format: filename.split(".").at(-1) ?? "mp4",
    codec: kind === "recording" ? "h264" : "mjpeg",
    resolution: "640x480",
    fps: 30,
    bytes: 5,
    createdAtUs: 1_736_951_400_000_000,
    timeSource: "kernel",
    firstFrameAtUs: 1_736_951_400_012_345,
    lastFrameAtUs: 1_736_951_401_012_345,
    durationS: 1.033333,
    frames: 31,
    droppedFrames: 0,
    gaps: [],
    clockSteps: [],
    recordingId: undefined,
    segment: undefined,
    requestedDurationS: undefined,
    scheduledStart: undefined,
    endReason: "requested",
    started_at: "2025-01-15T14:30:00.012345Z",
    stopped_at: "2025-01-15T14:30:01.045678Z",
    sha256: undefined,
    ...changes,
  };
}
