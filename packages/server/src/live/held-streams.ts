/**
 * Keeps the capture of a camera running for a while because somebody asked for it, so that viewers get a picture at
 * once. Each is let go by itself; asking again begins the time anew.
 */
import type { Cameras } from "../cameras/contract.ts";
import type { Lease } from "../capture/source.ts";
import type { Clock } from "../clock/clock.ts";

export interface HeldStreamsOptions {
  readonly cameras: Cameras;
  readonly clock: Clock;
  /** Default 300,000. */
  readonly holdMs?: number;
}

interface Held {
  readonly startedAtUs: number;
  readonly lease: Lease;
  readonly end: AbortController;
  timer: AbortController;
}

export class HeldStreams {
  readonly holdMs: number;
  readonly #options: HeldStreamsOptions;
  readonly #held = new Map<string, Held>();
  #closed = false;

  constructor(options: HeldStreamsOptions) {
    this.#options = options;
    this.holdMs = options.holdMs ?? 300_000;
  }

  startedAtUs(cameraId: string): number | undefined {
    return this.#held.get(cameraId)?.startedAtUs;
  }

  /**
   * @returns when the stream began, in epoch microseconds
   * @throws OcelliError `camera_not_found`, and as `FragmentSource.open`
   */
  async start(cameraId: string, signal: AbortSignal): Promise<number> {
    const { cameras, clock } = this.#options;
    if (!this.#held.has(cameraId)) {
      const source = cameras.find(cameraId).native();
      const lease = await source.open({
        ...{
          holder: "started stream",
          from: "next",
          overflow: "skip",
          pace: "batches",
          borrow: true,
          signal,
        },
      });
      if (this.#closed || this.#held.has(cameraId)) {
        lease.close();
      } else {
        const [end, timer] = [new AbortController(), new AbortController()];
        const held = { startedAtUs: clock.wallUs(), lease, end, timer };
        this.#held.set(cameraId, held);
        void this.#watch(cameraId, held);
      }
    }
    const held = this.#held.get(cameraId);
    if (held === undefined) return clock.wallUs();
    held.timer.abort();
    held.timer = new AbortController();
    clock.sleep(this.holdMs, held.timer.signal).then(
      () => this.#letGo(cameraId, held),
      () => undefined,
    );
    return held.startedAtUs;
  }

  /** @returns when it began; `undefined` when there was none */
  stop(cameraId: string): number | undefined {
    const held = this.#held.get(cameraId);
    if (held !== undefined) this.#letGo(cameraId, held);
    return held?.startedAtUs;
  }

  close(): void {
    this.#closed = true;
    for (const cameraId of [...this.#held.keys()]) this.stop(cameraId);
  }

  /** Frames pass by; the end of the source has to be noticed. Never rejects. */
  async #watch(cameraId: string, held: Held): Promise<void> {
    try {
      while ((await held.lease.cursor.next(held.end.signal)) !== undefined);
    } catch {
      // The source has failed, or the stream was stopped: in either case it is over.
    }
    this.#letGo(cameraId, held);
  }

  #letGo(cameraId: string, held: Held): void {
    if (this.#held.get(cameraId) !== held) return;
    this.#held.delete(cameraId);
    held.timer.abort();
    held.end.abort();
    held.lease.close();
  }
}
