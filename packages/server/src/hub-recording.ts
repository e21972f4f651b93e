import { CameraSettingsService } from "./cameras/camera-settings.ts";
import type { CameraRegistry } from "./cameras/registry.ts";
import type { ClockSync } from "./clock/sync/state.ts";
import type { FfmpegSkills } from "./ffmpeg/find-ffmpeg.ts";
import { type HubContext, mebibyte } from "./hub-parts.ts";
import type { Storage } from "./hub-storage.ts";
import { ContinuousRecording } from "./recording/continuous.ts";
import { Exporter } from "./recording/export.ts";
import { RecordingJournal } from "./recording/journal.ts";
import { RecordingService } from "./recording/recordings.ts";
import { Schedules } from "./recording/schedules.ts";
import { WarmCaptures } from "./recording/warm-captures.ts";
import { SnapshotService } from "./snapshots/snapshots.ts";
import type { DataDir } from "./store/data-dir.ts";
import type { Database } from "./store/database.ts";

/** What makes files of the cameras' frames: snapshots, recordings by hand, by schedule and always. */

export interface RecordingParts extends Pick<Storage, "library" | "storage"> {
  readonly cameras: CameraRegistry;
  readonly clockSync: ClockSync;
  readonly data: DataDir;
  readonly database: Database;
  readonly ffmpeg: FfmpegSkills;
}

export type Recording = Awaited<ReturnType<typeof startRecording>>;

/** Resolves when recordings a hub left behind have been finished, or go on. */
export async function startRecording(hub: HubContext, given: RecordingParts) {
  const { config, clock, log, bus, parts } = hub;
  const { cameras, library, storage, clockSync, data, database } = given;
  const { ffmpeg, ffprobe } = given.ffmpeg;
  const shared = { cameras, library, storage, bus, clock };
  const snapshots = new SnapshotService({
    ...{ ...shared, clockSync, ffmpeg },
    log: log.child({ part: "snapshots" }),
    warmUpFrames: { v4l2: config.snapshots.warmUpFrames },
  });
  parts.started("snapshots", () => snapshots.close());
  const exports = new Exporter({ ...shared, ffmpeg, ffprobe, log: log.child({ part: "exports" }) });
  parts.started("exports", () => exports.close());
  const recordings = new RecordingService({
    ...{ ...shared, clockSync, events: bus, exports },
    journal: new RecordingJournal(`${data.state}/recordings`, log.child({ part: "journal" })),
    log: log.child({ part: "recordings" }),
    limits: {
      segmentSeconds: config.recording.segmentSeconds,
      segmentBytes: config.recording.segmentMegabytes * mebibyte,
    },
    fragmentSeconds: config.recording.fragmentSeconds,
    sync: config.recording.sync,
    budgetBytes: config.recording.bufferMegabytes * mebibyte,
    cameraAbsentSeconds: config.recording.cameraAbsentSeconds,
    closeTimeoutMs: config.shutdownSeconds * 1000 * 0.6,
  });
  parts.started("recordings", () => recordings.close());
  await recordings.recover();
  const cameraSettings = new CameraSettingsService({
    cameras,
    log: log.child({ part: "camera settings" }),
    maxPreRollS: config.capture.ringSeconds,
  });
  const schedules = new Schedules({
    ...{ recordings, cameras, database, clock, events: bus },
    log: log.child({ part: "schedules" }),
    warmUpMs: config.recording.warmUpSeconds * 1000,
  });
  parts.started("schedules", () => schedules.close());
  schedules.start();
  const kept = { recordings, cameras, clock, events: bus, log: log.child({ part: "continuous recording" }) };
  const warm = new WarmCaptures(kept);
  parts.started("warm captures", () => warm.close());
  warm.start();
  const continuous = new ContinuousRecording({ ...kept, reserved: (cameraId) => schedules.isDue(cameraId) });
  parts.started("continuous recording", () => continuous.close());
  continuous.start();
  return { snapshots, exports, recordings, cameraSettings, schedules };
}
