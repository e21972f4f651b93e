/** Recordings and snapshots as metrics: counted from what is told of them, brought up to date at a scrape. */
import type { EventBus } from "../events/bus.ts";
import type { RecordingView } from "../events/catalogue.ts";
import type { Recordings } from "../recording/contract.ts";
import { type Family, Tally } from "./families.ts";

export interface RecordingMetricsOptions {
  readonly recordings: Pick<Recordings, "active">;
  readonly bus: EventBus;
  /** When this run of the hub began, epoch microseconds. */
  readonly sinceUs: number;
}

interface Seen {
  readonly bytes: number;
  readonly frames: number;
  readonly dropped: number;
}

const nothing: Seen = { bytes: 0, frames: 0, dropped: 0 };

export function recordingFamilies({ recordings, bus, sinceUs }: RecordingMetricsOptions): Family[] {
  const seen = new Map<string, Seen>();
  const [bytes, frames, dropped] = [new Tally(), new Tally(), new Tally()];
  const ended = new Tally(["completed", "failed"]);
  const snapshots = new Tally(["taken", "failed"]);
  const note = (recording: RecordingView): void => {
    const { id, cameraId, droppedFrames = 0 } = recording;
    const now: Seen = { bytes: recording.bytes, frames: recording.frames, dropped: droppedFrames };
    // What a recording that goes on after a restart had already was counted by the run before.
    const before = seen.get(id) ?? (recording.startedAtUs < sinceUs ? now : nothing);
    seen.set(id, now);
    bytes.add(cameraId, Math.max(0, now.bytes - before.bytes));
    frames.add(cameraId, Math.max(0, now.frames - before.frames));
    dropped.add(cameraId, Math.max(0, now.dropped - before.dropped));
  };
  const over = (recording: RecordingView, outcome: string): void => {
    note(recording);
    seen.delete(recording.id);
    // An armed start that was taken back has never been a recording.
    if (recording.frames > 0 || outcome === "failed") ended.add(outcome);
  };
  bus.on("recording.started", ({ recording }) => note(recording));
  bus.on("recording.progress", ({ recording }) => note(recording));
  bus.on("recording.stopped", ({ recording }) => over(recording, "completed"));
  bus.on("recording.failed", ({ recording }) => over(recording, "failed"));
  bus.on("snapshot.taken", () => snapshots.add("taken"));
  bus.on("snapshot.failed", () => snapshots.add("failed"));

  const active = (): readonly RecordingView[] => {
    const running = recordings
      .active()
      .filter(({ state, armedForUs }) => state === "active" && armedForUs === undefined);
    for (const recording of running) note(recording);
    return running;
  };
  const current = (tally: Tally): Family["read"] => {
    return () => {
      active();
      return tally.samples("camera");
    };
  };
  const labels = ["camera"];
  return [
    {
      ...{ name: "ocelli_recordings_active", type: "gauge", labels },
      help: "Recordings that run now, of cameras that have one.",
      read: () => active().map(({ cameraId }) => [{ camera: cameraId }, 1]),
    },
    {
      ...{ name: "ocelli_recordings_ended_total", type: "counter", labels: ["outcome"] },
      help: "Recordings that have ended: completed, failed.",
      read: () => ended.samples("outcome"),
    },
    {
      ...{ name: "ocelli_recording_bytes_total", type: "counter", labels },
      help: "Bytes written to recordings.",
      read: current(bytes),
    },
    {
      ...{ name: "ocelli_recording_frames_total", type: "counter", labels },
      help: "Frames written to recordings.",
      read: current(frames),
    },
    {
      ...{ name: "ocelli_recording_frames_dropped_total", type: "counter", labels },
      help: "Frames that are missing in recordings.",
      read: current(dropped),
    },
    {
      ...{ name: "ocelli_snapshots_total", type: "counter", labels: ["outcome"] },
      help: "Snapshots asked for: taken, failed.",
      read: () => snapshots.samples("outcome"),
    },
  ];
}
