/**
 * Keeps a recording running of every camera that is set so, across restarts, unplugging and full disks. The length of
 * its files is that of all recordings' segments.
 *
 * Every recording without a duration of such a camera is taken for the continuous one: one that went on after a crash,
 * and one that ran when the setting was made. A timed one is waited for, and at its T0 a scheduled one takes its turn.
 * One that somebody stops is followed by the next: only the setting ends it. A changed mode or codec begins a new one.
 */
import { codeOf } from "@ocelli/protocol";
import type { Camera, Cameras } from "../cameras/contract.ts";
import type { Lease } from "../capture/source.ts";
import type { Clock } from "../clock/clock.ts";
import type { EventBus } from "../events/bus.ts";
import type { Log } from "../log/log.ts";
import type { Recordings } from "./contract.ts";

export interface ContinuousRecordingOptions {
  readonly recordings: Recordings;
  readonly cameras: Cameras;
  readonly clock: Clock;
  readonly events: EventBus;
  readonly log: Log;
  /** True while something more urgent is about to record this camera. Default never. */
  readonly reserved?: (cameraId: string) => boolean;
  /** After a failure, doubled with each further one up to a minute. Default 1000. */
  readonly retryMs?: number;
}

interface Keeper {
  /** Id of the continuous recording, while one runs. */
  recordingId: string | undefined;
  /** The settings it was begun with. */
  how: string | undefined;
  busy: boolean;
  failures: number;
  cancelRetry: (() => void) | undefined;
}

const longestRetryMs = 60_000;

function howOf({ settings }: Camera): string {
  return JSON.stringify([settings.recordCodec, settings.mode]);
}

/**
 * Has a capture that runs or lingers in another mode than the settings' started anew, unless somebody uses it.
 * Whether the camera works at all is found out by the recording.
 */
async function inItsMode(camera: Camera): Promise<Lease | undefined> {
  const mode = camera.chosenMode?.();
  if (mode === undefined || camera.view().kind !== "v4l2") return undefined;
  try {
    return await camera
      .native()
      .open({ holder: "continuous recording", from: "next", overflow: "skip", mode });
  } catch {
    return undefined;
  }
}

export class ContinuousRecording {
  readonly #options: ContinuousRecordingOptions;
  readonly #keepers = new Map<string, Keeper>();
  #off: (() => void)[] = [];
  #closed = false;

  constructor(options: ContinuousRecordingOptions) {
    this.#options = options;
  }

  /** Called once, after `Recordings.recover()`. */
  start(): void {
    const { events, cameras } = this.#options;
    this.#off = [
      events.on("camera.status", ({ camera, change }) => {
        if (change === "connected") this.#hurry(camera.id);
        else this.#look(camera.id);
      }),
      events.on("recording.stopped", ({ recording }) => this.#look(recording.cameraId)),
      events.on("recording.failed", ({ recording }) => this.#retry(recording.cameraId)),
      events.on("schedule.changed", ({ schedule }) => this.#look(schedule.cameraId)),
      events.on("storage.level", ({ level }) => {
        if (level !== "ok") return;
        for (const { id } of cameras.list()) this.#hurry(id);
      }),
    ];
    for (const { id } of cameras.list()) this.#look(id);
  }

  /** Starts no more; those that run are ended by `Recordings.close()`. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const off of this.#off.splice(0)) off();
    for (const keeper of this.#keepers.values()) keeper.cancelRetry?.();
  }

  /** What stood in the way may be gone. */
  #hurry(cameraId: string): void {
    const keeper = this.#keepers.get(cameraId);
    keeper?.cancelRetry?.();
    if (keeper !== undefined) keeper.cancelRetry = undefined;
    this.#look(cameraId);
  }

  #look(cameraId: string): void {
    const camera = this.#options.cameras.list().find(({ id }) => id === cameraId);
    const known = this.#keepers.get(cameraId);
    const wanted = camera?.settings.continuousRecording === true;
    if (this.#closed || (!wanted && known === undefined)) return;
    const keeper: Keeper = known ?? {
      ...{ recordingId: undefined, how: undefined, busy: false, failures: 0, cancelRetry: undefined },
    };
    this.#keepers.set(cameraId, keeper);
    if (keeper.busy) return;
    const active = this.#options.recordings.activeOf(cameraId);
    if (!wanted) {
      keeper.cancelRetry?.();
      this.#keepers.delete(cameraId);
      if (active !== undefined && active.id === keeper.recordingId) this.#end(active.id);
      return;
    }
    if (active !== undefined) {
      if (active.requestedDurationS !== undefined) return;
      const how = howOf(camera);
      if (keeper.recordingId !== active.id) keeper.how = how;
      keeper.recordingId = active.id;
      if (keeper.how !== how) this.#end(active.id);
      return;
    }
    if (this.#options.reserved?.(cameraId) === true) return;
    if (keeper.cancelRetry === undefined && camera.view().status === "CONNECTED")
      void this.#begin(camera, keeper);
  }

  /** Never rejects. */
  async #begin(camera: Camera, keeper: Keeper): Promise<void> {
    const { recordings, log } = this.#options;
    keeper.busy = true;
    keeper.how = howOf(camera);
    const lease = await inItsMode(camera);
    try {
      // What the last one ended with is not recorded twice.
      keeper.recordingId = (await recordings.start({ cameraId: camera.id, preRollS: 0 })).id;
      keeper.failures = 0;
    } catch (error) {
      if (keeper.failures === 0 && codeOf(error) !== "already_recording" && !this.#closed) {
        log.error({ err: error, camera: camera.id }, "the continuous recording cannot run now");
      }
      keeper.busy = false;
      this.#retry(camera.id);
      return;
    } finally {
      lease?.close();
    }
    keeper.busy = false;
    // The setting may have changed meanwhile.
    this.#look(camera.id);
  }

  #retry(cameraId: string): void {
    const keeper = this.#keepers.get(cameraId);
    if (this.#closed || keeper === undefined || keeper.busy || keeper.cancelRetry !== undefined) return;
    const { clock, retryMs = 1000 } = this.#options;
    const delayMs = Math.min(longestRetryMs, retryMs * 2 ** keeper.failures);
    keeper.failures++;
    keeper.cancelRetry = clock.after(delayMs, () => {
      keeper.cancelRetry = undefined;
      this.#look(cameraId);
    });
  }

  #end(recordingId: string): void {
    this.#options.recordings.stop({ recordingId }).catch((error: unknown) => {
      if (codeOf(error) === "not_recording") return;
      this.#options.log.error(
        { err: error, recording: recordingId },
        "the continuous recording could not be ended",
      );
    });
  }
}
