/**
 * A recording's hold on its camera: the lease, waiting for a camera that is away, and what the source knows of its own
 * gaps and of the interval of its frames.
 */
import { codeOf } from "@ocelli/protocol";
import type { Cameras } from "../cameras/contract.ts";
import type { CaptureGap, Cursor, FragmentSource, Lease, OpenOptions } from "../capture/source.ts";
import type { Clock } from "../clock/clock.ts";
import type { EventBus } from "../events/bus.ts";
import type { Log } from "../log/log.ts";
import type { Fragment, InitSegment, VideoCodec } from "../media/fragment.ts";
import { type CameraFacts, cameraFacts } from "./camera-facts.ts";

export interface CameraLinkOptions {
  readonly cameras: Cameras;
  readonly cameraId: string;
  readonly clock: Clock;
  readonly events: EventBus;
  readonly log: Log;
  /** How far the disk may fall behind. */
  readonly budgetBytes: number;
  /** Between attempts to open a camera that is away. */
  readonly retryMs: number;
}

/** A recording waits for these; any other error of a camera ends it. */
const passing: ReadonlySet<string> = new Set([
  "camera_busy",
  "camera_disconnected",
  "camera_not_found",
  "capture_failed",
  "start_timeout",
]);

/** Why there was a hole, where nobody says. */
export const captureInterrupted = "capture_interrupted";
/** How many gaps of the source are remembered until their frames have been written. */
const rememberedGaps = 20;

export class CameraLink {
  readonly #options: CameraLinkOptions;
  readonly #gaps: CaptureGap[] = [];
  #source: FragmentSource | undefined;
  #lease: Lease | undefined;
  #unsubscribe: (() => void) | undefined;
  /** Survives the lease: frames are still written after it is closed. */
  #fps = 0;

  constructor(options: CameraLinkOptions) {
    this.#options = options;
  }

  get cursor(): Cursor | undefined {
    return this.#lease?.cursor;
  }

  get codec(): VideoCodec | undefined {
    return this.#source?.codec;
  }

  get intervalUs(): number | undefined {
    return this.#source?.frameIntervalUs ?? (this.#fps > 0 ? 1e6 / this.#fps : undefined);
  }

  /** Why there was a hole before this frame. */
  outageBefore(frame: Fragment): string {
    const gap = this.#gaps.findLast((one) => Math.abs(one.toUs - frame.capturedAtUs) < 1_000_000);
    return gap?.reason ?? captureInterrupted;
  }

  /** What a sidecar says of the camera; `undefined` before the first lease. */
  facts(init: InitSegment): CameraFacts | undefined {
    if (this.#source === undefined) return undefined;
    const camera = this.#options.cameras.find(this.#options.cameraId);
    return cameraFacts(camera.view(), this.#source, this.#fps, init);
  }

  /** @throws OcelliError as `FragmentSource.open`; the abort reason */
  async open(holder: string, from: OpenOptions["from"], signal: AbortSignal): Promise<void> {
    const { cameras, cameraId, budgetBytes } = this.#options;
    const camera = cameras.find(cameraId);
    const source = camera.settings.recordCodec === "h264" ? camera.h264() : camera.native();
    this.#lease = await source.open({ holder, from, overflow: "fail", borrow: true, budgetBytes, signal });
    this.#source = source;
    this.#fps = this.#lease.mode.fps;
    this.#unsubscribe = source.on("gap", (gap) => {
      this.#gaps.push(gap);
      if (this.#gaps.length > rememberedGaps) this.#gaps.shift();
    });
  }

  /**
   * Opens the camera, however long it is away.
   * @returns false when `signal` was aborted meanwhile
   * @throws OcelliError that waiting cannot mend
   */
  async openWhenBack(holder: string, from: OpenOptions["from"], signal: AbortSignal): Promise<boolean> {
    let said = false;
    while (!signal.aborted) {
      try {
        await this.open(holder, from, signal);
        return true;
      } catch (error) {
        if (signal.aborted) break;
        if (!passing.has(codeOf(error))) throw error;
        if (!said) this.#options.log.warn({ err: error }, "the recording waits for its camera");
        said = true;
      }
      await this.mayBeBack(signal);
    }
    return false;
  }

  /** What the camera has given up to now is then in the source's ring. */
  refresh(): void {
    this.#source?.refresh?.();
  }

  /** The lease; idempotent. */
  close(): void {
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
    this.#lease?.close();
    this.#lease = undefined;
  }

  /** Settles when the camera is said to be there, after a while anyway, or when `signal` is aborted. */
  async mayBeBack(signal: AbortSignal): Promise<void> {
    const { clock, events, cameraId, retryMs } = this.#options;
    const back = new AbortController();
    const off = events.on("camera.status", ({ camera }) => {
      if (camera.id === cameraId && camera.status === "CONNECTED") back.abort();
    });
    await clock.sleep(retryMs, AbortSignal.any([back.signal, signal])).catch(() => undefined);
    off();
  }
}
