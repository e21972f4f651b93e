/**
 * How a run's output is read. *Prompt*: every write of ffmpeg wakes the hub, which is what somebody who watches wants,
 * and costs more than all that is done with a frame. *In batches*: what gathered in the pipe is taken a few times a
 * second, for readers that do not mind. Nothing is ever held back from `poll()`.
 *
 * In batches nobody knows when a frame came, so with `sampled` the output is watched every two seconds until one frame
 * came whole: the clock of a network camera is followed by those.
 */
import type { Clock } from "../clock/clock.ts";
import type { OutputPipe } from "../ffmpeg/output-pipe.ts";

export interface PacedOutputOptions {
  readonly clock: Clock;
  readonly pipe: Pick<OutputPipe, "capacity" | "reserve" | "watch" | "leave" | "take" | "close">;
  /**
   * @param onTime false where the bytes may have been waiting
   * @returns whether they completed a video frame
   */
  readonly onChunk: (chunk: Buffer, onTime: boolean) => boolean;
  /** Between two batches; default 200. Shorter for more media than the pipe holds. */
  readonly batchMs?: number;
}

/** Batches closer together than this are not worth it. */
const shortestBatchMs = 60;
const sampleEveryUs = 2_000_000;
/** Room in the pipe for so many times what comes between two batches: frames differ much in size. */
const headroom = 3;

export class PacedOutput {
  readonly #clock: Clock;
  readonly #pipe: PacedOutputOptions["pipe"];
  readonly #onChunk: PacedOutputOptions["onChunk"];
  readonly #batchMs: number;
  readonly #startedAtMonoUs: number;
  #bytes = 0;
  /** Greatest of late, bytes a millisecond. */
  #peakRate = 0;
  #takenAtMonoUs = 0;
  #mode: "prompt" | "batches" | "sample" = "prompt";
  #sampled = false;
  #sampledAtMonoUs = 0;
  #cancel: (() => void) | undefined;
  /** `#cancel` ends ticks that come by themselves. */
  #beats = false;
  #inside = false;
  #closed = false;

  constructor(options: PacedOutputOptions) {
    this.#clock = options.clock;
    this.#pipe = options.pipe;
    this.#onChunk = options.onChunk;
    this.#batchMs = options.batchMs ?? 200;
    this.#startedAtMonoUs = options.clock.monoUs();
  }

  get inBatches(): boolean {
    return this.#mode !== "prompt";
  }

  /** Reads whatever comes as it comes. Idempotent. */
  prompt(): void {
    this.#cancelTicks();
    if (this.#closed) return;
    const wasInBatches = this.inBatches;
    this.#mode = "prompt";
    if (wasInBatches) this.poll();
    this.#pipe.watch();
  }

  /** Reads a few times a second, if the pipe holds that much. @param sampled every two seconds a frame on time */
  batches(sampled: boolean): void {
    this.#sampled = sampled;
    if (this.inBatches || this.#closed) return;
    const now = this.#clock.monoUs();
    this.#peakRate = this.#bytes / Math.max(1, (now - this.#startedAtMonoUs) / 1000);
    this.#pipe.reserve(this.#peakRate * this.#batchMs * headroom);
    if (this.#intervalMs() < shortestBatchMs) return;
    this.#takenAtMonoUs = now;
    this.#rest();
  }

  /** Takes in what is there. */
  poll(): void {
    // From inside `onChunk` it would hand on bytes out of order.
    if (this.#inside || this.#closed) return;
    for (let chunk = this.#pipe.take(); chunk !== undefined; chunk = this.#pipe.take()) {
      this.#hand(chunk, false);
      if (this.#closed || chunk.length < this.#pipe.capacity) return;
    }
  }

  /** From the pipe, while it is watched. */
  watched(chunk: Buffer): void {
    if (this.#closed) return;
    const complete = this.#hand(chunk, true);
    if (!complete || this.#mode !== "sample") return;
    this.#sampledAtMonoUs = this.#clock.monoUs();
    this.#rest();
  }

  close(): void {
    this.#closed = true;
    this.#cancelTicks();
    this.#pipe.close();
  }

  #hand(chunk: Buffer, onTime: boolean): boolean {
    this.#bytes += chunk.length;
    this.#inside = true;
    try {
      return this.#onChunk(chunk, onTime);
    } finally {
      this.#inside = false;
    }
  }

  #rest(): void {
    this.#mode = "batches";
    this.#pipe.leave();
    const intervalMs = this.#intervalMs();
    if (intervalMs < shortestBatchMs) {
      this.prompt();
      return;
    }
    if (intervalMs < this.#batchMs) {
      this.#cancelTicks();
      this.#cancel = this.#clock.after(intervalMs, () => this.#tick());
    } else if (!this.#beats) {
      this.#cancelTicks();
      this.#beats = true;
      // The clock does this for all captures at once: the hub wakes once for them.
      this.#cancel = this.#clock.every(this.#batchMs, () => this.#tick());
    }
  }

  #cancelTicks(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#beats = false;
  }

  #tick(): void {
    if (this.#mode !== "batches") return;
    const before = this.#bytes;
    this.poll();
    if (this.#mode !== "batches" || this.#closed) return;
    const now = this.#clock.monoUs();
    const rate = (this.#bytes - before) / Math.max(1, (now - this.#takenAtMonoUs) / 1000);
    this.#takenAtMonoUs = now;
    this.#peakRate = Math.max(rate, this.#peakRate * 0.98);
    if (this.#sampled && now - this.#sampledAtMonoUs >= sampleEveryUs) {
      this.#mode = "sample";
      this.#pipe.watch();
      return;
    }
    this.#rest();
  }

  #intervalMs(): number {
    return Math.min(this.#batchMs, this.#pipe.capacity / headroom / Math.max(this.#peakRate, 1e-6));
  }
}
