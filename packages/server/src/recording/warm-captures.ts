/**
 * Keeps the captures of cameras with a pre-roll running, so that a recording can begin before it was asked for. Owns
 * one lease of each such camera; the frames themselves stay in the source's ring.
 */
import { codeOf } from "@ocelli/protocol";
import type { Camera, Cameras } from "../cameras/contract.ts";
import type { Lease } from "../capture/source.ts";
import type { Clock } from "../clock/clock.ts";
import type { EventBus } from "../events/bus.ts";
import type { Log } from "../log/log.ts";

export interface WarmCapturesOptions {
  readonly cameras: Cameras;
  readonly clock: Clock;
  readonly events: EventBus;
  readonly log: Log;
  /** Between attempts to open a camera that does not work. Default 5000. */
  readonly retryMs?: number;
}

interface Kept {
  /** The settings it was begun with. */
  readonly how: string;
  readonly stop: AbortController;
  readonly done: Promise<void>;
}

export class WarmCaptures {
  readonly #options: WarmCapturesOptions;
  readonly #kept = new Map<string, Kept>();
  #off: (() => void) | undefined;

  constructor(options: WarmCapturesOptions) {
    this.#options = options;
  }

  start(): void {
    const { events, cameras } = this.#options;
    this.#off = events.on("camera.status", ({ camera }) => this.#look(camera.id));
    for (const camera of cameras.list()) this.#look(camera.id);
  }

  /** Idempotent. */
  async close(): Promise<void> {
    this.#off?.();
    const kept = [...this.#kept.values()];
    for (const { stop } of kept) stop.abort();
    await Promise.all(kept.map(({ done }) => done));
  }

  #look(cameraId: string): void {
    const camera = this.#options.cameras.list().find(({ id }) => id === cameraId);
    const wanted = camera !== undefined && (camera.settings.preRollS ?? 0) > 0;
    const how = wanted ? JSON.stringify([camera.settings.recordCodec, camera.settings.mode]) : undefined;
    const kept = this.#kept.get(cameraId);
    if (kept?.how === how) return;
    kept?.stop.abort();
    this.#kept.delete(cameraId);
    if (camera === undefined || how === undefined) return;
    const stop = new AbortController();
    this.#kept.set(cameraId, { how, stop, done: this.#keep(camera, stop.signal) });
  }

  /** Never rejects. */
  async #keep(camera: Camera, signal: AbortSignal): Promise<void> {
    let said = "";
    while (!signal.aborted) {
      let lease: Lease | undefined;
      try {
        lease = await this.#open(camera, signal);
        said = "";
        // Frames pass by; the end of the source has to be noticed.
        while ((await lease.cursor.next(signal)) !== undefined);
      } catch (error) {
        const code = codeOf(error);
        if (!signal.aborted && said !== code) {
          this.#options.log.warn(
            { err: error, camera: camera.id },
            "no pre-roll while the camera does not work",
          );
        }
        said = code;
      } finally {
        lease?.close();
      }
      if (!signal.aborted) await this.#mayWorkNow(camera.id, signal);
    }
  }

  /** In the mode of the settings if nobody uses another one, else in whatever mode it runs. */
  async #open(camera: Camera, signal: AbortSignal): Promise<Lease> {
    const how = {
      holder: "pre-roll",
      from: "next",
      overflow: "skip",
      pace: "batches",
      borrow: true,
      signal,
    } as const;
    if (camera.settings.recordCodec === "h264") return camera.h264().open(how);
    const mode = camera.chosenMode?.();
    const native = camera.native();
    if (mode === undefined || camera.view().kind !== "v4l2") return native.open(how);
    try {
      return await native.open({ ...how, mode });
    } catch (error) {
      if (codeOf(error) !== "camera_busy" || native.state !== "live") throw error;
      return native.open(how);
    }
  }

  async #mayWorkNow(cameraId: string, signal: AbortSignal): Promise<void> {
    const { clock, events, retryMs = 5000 } = this.#options;
    const back = new AbortController();
    const off = events.on("camera.status", ({ camera }) => {
      if (camera.id === cameraId && camera.status === "CONNECTED") back.abort();
    });
    await clock.sleep(retryMs, AbortSignal.any([back.signal, signal])).catch(() => undefined);
    off();
  }
}
