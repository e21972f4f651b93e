/** Cameras, their captures and their viewers as metrics. */
import type { Camera, Cameras } from "../cameras/contract.ts";
import { captureStates, type SourceStats } from "../capture/source.ts";
import type { EventBus } from "../events/bus.ts";
import type { LiveTotals } from "../live/viewers.ts";
import { type Family, oneOf, type Sample, Tally } from "./families.ts";

export interface CameraMetricsOptions {
  readonly cameras: Pick<Cameras, "list">;
  readonly bus: EventBus;
  readonly views: {
    viewersOf(cameraId: string): number;
    totalsOf(cameraId: string): LiveTotals;
  };
}

const statuses = ["CONNECTED", "DISCONNECTED", "ERROR"];

export function cameraFamilies({ cameras, bus, views }: CameraMetricsOptions): Family[] {
  const gaps = new Tally();
  const gapSeconds = new Tally();
  bus.on("capture.gap", ({ cameraId, fromUs, toUs }) => {
    gaps.add(cameraId);
    gapSeconds.add(cameraId, Math.max(0, toUs - fromUs) / 1e6);
  });

  const each = (samples: (camera: Camera, label: { camera: string }) => Sample[]): Family["read"] => {
    return () => cameras.list().flatMap((camera) => samples(camera, { camera: camera.id }));
  };
  const ofCapture = (value: (stats: SourceStats) => number): Family["read"] =>
    each((camera, label) => {
      const stats = camera.captureStats?.();
      return [[label, stats === undefined ? 0 : value(stats)]];
    });
  const labels = ["camera"];
  return [
    {
      ...{ name: "ocelli_camera_info", type: "gauge" },
      help: "Always 1; the labels say which camera this is.",
      labels: ["camera", "name", "kind"],
      read: each((camera, label) => {
        const { name, kind } = camera.view();
        return [[{ ...label, name, kind }, 1]];
      }),
    },
    {
      ...{ name: "ocelli_camera_status", type: "gauge" },
      help: "1 for the status the camera has.",
      labels: ["camera", "status"],
      read: each((camera, label) => oneOf("status", statuses, camera.view().status, label)),
    },
    {
      ...{ name: "ocelli_camera_capture_state", type: "gauge" },
      help: "1 for the state the capture of the camera is in.",
      labels: ["camera", "state"],
      read: each((camera, label) =>
        oneOf("state", captureStates, camera.captureStats?.()?.state ?? "idle", label),
      ),
    },
    {
      ...{ name: "ocelli_camera_frames_total", type: "counter", labels },
      help: "Frames the camera gave.",
      read: ofCapture((stats) => stats.framesTotal),
    },
    {
      ...{ name: "ocelli_camera_bytes_total", type: "counter", labels },
      help: "Bytes the camera gave, sound included.",
      read: ofCapture((stats) => stats.bytesTotal),
    },
    {
      ...{ name: "ocelli_camera_restarts_total", type: "counter", labels },
      help: "Times the capture was started again after it had failed.",
      read: ofCapture((stats) => stats.restarts),
    },
    {
      ...{ name: "ocelli_camera_gaps_total", type: "counter", labels },
      help: "Interruptions of the capture.",
      read: each((camera, label) => [[label, gaps.of(camera.id)]]),
    },
    {
      ...{ name: "ocelli_camera_gap_seconds_total", type: "counter", labels },
      help: "How long the interruptions were together.",
      read: each((camera, label) => [[label, gapSeconds.of(camera.id)]]),
    },
    {
      ...{ name: "ocelli_camera_frames_per_second", type: "gauge", labels },
      help: "Over the last seconds; 0 while the camera is not captured.",
      read: ofCapture((stats) => stats.fps),
    },
    {
      ...{ name: "ocelli_camera_bytes_per_second", type: "gauge", labels },
      help: "Over the last seconds; 0 while the camera is not captured.",
      read: ofCapture((stats) => (stats.bitsPerSecond ?? 0) / 8),
    },
    {
      ...{ name: "ocelli_camera_readers", type: "gauge", labels },
      help: "Who uses the capture now: recordings, viewers, snapshots, transcodes.",
      read: ofCapture((stats) => stats.leases.length),
    },
    {
      ...{ name: "ocelli_camera_ring_bytes", type: "gauge", labels },
      help: "Frames of the camera kept in memory.",
      read: ofCapture((stats) => stats.ring.bytes),
    },
    {
      ...{ name: "ocelli_camera_ring_seconds", type: "gauge", labels },
      help: "How far back the frames kept in memory reach.",
      read: ofCapture((stats) => stats.ring.seconds),
    },
    {
      ...{ name: "ocelli_live_viewers", type: "gauge", labels },
      help: "Viewers of the live picture.",
      read: each((camera, label) => [[label, views.viewersOf(camera.id)]]),
    },
    {
      ...{ name: "ocelli_live_frames_sent_total", type: "counter", labels },
      help: "Frames sent to viewers.",
      read: each((camera, label) => [[label, views.totalsOf(camera.id).framesSent]]),
    },
    {
      ...{ name: "ocelli_live_bytes_sent_total", type: "counter", labels },
      help: "Bytes sent to viewers.",
      read: each((camera, label) => [[label, views.totalsOf(camera.id).bytesSent]]),
    },
    {
      ...{ name: "ocelli_live_frames_dropped_total", type: "counter", labels },
      help: "Frames not sent to viewers because they or their connection were too slow.",
      read: each((camera, label) => [[label, views.totalsOf(camera.id).framesLost]]),
    },
  ];
}
