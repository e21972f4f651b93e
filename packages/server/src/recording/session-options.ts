/** What a recording needs around it, and what may be set. */
import type { Cameras } from "../cameras/contract.ts";
import type { Clock } from "../clock/clock.ts";
import type { ClockSync } from "../clock/sync/state.ts";
import type { EventBus } from "../events/bus.ts";
import type { Library, StorageGuard } from "../library/contract.ts";
import type { Log } from "../log/log.ts";
import type { Exports } from "./contract.ts";
import type { RecordingJournal } from "./journal.ts";
import type { RecorderOptions } from "./recorder.ts";

export interface SessionParts {
  readonly cameras: Cameras;
  readonly library: Library;
  readonly storage: StorageGuard;
  readonly journal: RecordingJournal;
  readonly clock: Clock;
  /** Whose word about the clock goes into sidecars. */
  readonly clockSync?: Pick<ClockSync, "state">;
  readonly events: EventBus;
  readonly log: Log;
  /** For `mkv` and `ts`. */
  readonly exports?: Exports;
}

export interface SessionOptions
  extends Pick<RecorderOptions, "limits" | "fragmentSeconds" | "maxFragmentBytes" | "sync" | "openFile"> {
  /** How far the disk may fall behind. Default 64 MiB. */
  readonly budgetBytes?: number;
  /** A recording whose camera has been away for so long ends; 0 (default) waits for ever. */
  readonly cameraAbsentSeconds?: number;
  /** How long a start may wait for its first frame once the camera is live. Default 15,000. */
  readonly firstFrameTimeoutMs?: number;
  /** After its duration a recording that gets no frames is ended by the hub's clock so much later. Default 3000. */
  readonly overdueMs?: number;
  /** Between attempts to open a camera that is away. Default 2000. */
  readonly retryMs?: number;
}
