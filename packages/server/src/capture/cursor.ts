/**
 * One reader's place in a ring. Holds no fragments of its own: a slow live reader is moved to the newest
 * keyframe and told what it lost; a reader that must not lose anything pins what it has not read, up to its
 * budget, and fails beyond it.
 */
import { OcelliError } from "@ocelli/protocol";
import type { Ring, RingReader } from "./ring.ts";
import type { Cursor, CursorItem, OpenOptions } from "./source.ts";

export interface CursorOptions {
  readonly from: OpenOptions["from"];
  readonly overflow: OpenOptions["overflow"];
  /** What a `fail` reader may hold back beyond the ring; default 64 MiB. */
  readonly budgetBytes?: number;
  /** Who reads, for the error. */
  readonly holder: string;
  /** The fragments held are of an earlier run: do not start at them unless a time is asked for. */
  readonly stale?: boolean;
  /** See `OpenOptions.borrow`. */
  readonly borrow?: boolean;
}

interface Waiter {
  readonly resolve: (item: CursorItem | undefined) => void;
  readonly reject: (reason: unknown) => void;
}

type Step = { readonly item: CursorItem | undefined } | undefined;

export class RingCursor implements Cursor, RingReader {
  readonly #ring: Ring;
  readonly #pins: boolean;
  readonly #budgetBytes: number;
  readonly #holder: string;
  readonly #borrows: boolean;
  /** Fragments from here on to the position are still in use by a reader that borrows. */
  #released: number;
  #position: number;
  /** Video frames the ring had seen before the next one this reader gets: what is missing is the difference. */
  #videoRead: number;
  /** Looking for a keyframe: whatever comes before it is passed over. */
  #needsKeyframe = false;
  /** Frames passed over since a jump are reported; those before the first frame are not. */
  #reportLoss = false;
  #waiter: Waiter | undefined;
  /** The signal last given, listened to until the next other one: a listener for each wait costs more than the wait. */
  #signal: AbortSignal | undefined;
  readonly #onAbort = (): void => this.#settle()?.reject(this.#signal?.reason);
  #failure: OcelliError | undefined;
  #closed = false;

  constructor(ring: Ring, options: CursorOptions) {
    this.#ring = ring;
    this.#pins = options.overflow === "fail";
    this.#budgetBytes = options.budgetBytes ?? 64 * 2 ** 20;
    this.#holder = options.holder;
    this.#position = ring.end;
    if (options.from !== "next") {
      const at =
        typeof options.from === "object"
          ? ring.keyframeAtOrBefore(options.from.capturedAtUs)
          : options.stale
            ? undefined
            : ring.newestKeyframe;
      if (at === undefined) this.#needsKeyframe = true;
      else this.#position = at;
    }
    this.#videoRead = ring.videoBefore(this.#position);
    this.#borrows = options.borrow ?? false;
    this.#released = this.#position;
    if (this.#pins) ring.pin(this);
  }

  next(signal?: AbortSignal): Promise<CursorItem | undefined> {
    if (this.#waiter !== undefined) {
      return Promise.reject(
        new OcelliError("internal", `${this.#holder}: next() called while one is waiting`),
      );
    }
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const step = this.#take();
    if (step !== undefined) return Promise.resolve(step.item);
    this.#listenTo(signal);
    return new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject };
      this.#ring.wait(this);
    });
  }

  lag(): { fragments: number; bytes: number } {
    if (this.#closed || this.#failure !== undefined) return { fragments: 0, bytes: 0 };
    const from = this.#pins ? this.#position : Math.max(this.#position, this.#ring.start);
    return { fragments: this.#ring.end - from, bytes: this.#ring.bytesFrom(from) };
  }

  release(): void {
    this.#released = this.#position;
  }

  close(): void {
    if (this.#closed) return;
    this.#keepInUse();
    this.#closed = true;
    this.#listenTo(undefined);
    this.#ring.unpin(this);
    this.#settle()?.resolve(undefined);
  }

  pinnedFrom(): number | undefined {
    if (this.#closed || this.#failure !== undefined) return undefined;
    return this.#borrows ? this.#released : this.#position;
  }

  trimmed(): void {
    if (this.#closed || this.#failure !== undefined || this.#position >= this.#ring.start) return;
    const beyond = this.#ring.bytesFrom(this.#position) - this.#ring.bytesFrom(this.#ring.start);
    if (beyond <= this.#budgetBytes) return;
    this.#keepInUse();
    const { fragments, bytes } = this.lag();
    this.#failure = new OcelliError(
      "reader_too_slow",
      `${this.#holder} fell ${fragments} frames (${bytes} bytes) behind the camera, more than its budget allows; ` +
        "is the disk too slow?",
      { details: { holder: this.#holder, fragments, bytes, budgetBytes: this.#budgetBytes } },
    );
    this.#settle()?.reject(this.#failure);
  }

  wake(): void {
    if (this.#waiter === undefined) return;
    const step = this.#take();
    if (step === undefined) this.#ring.wait(this);
    else this.#settle()?.resolve(step.item);
  }

  /** The next item if there is one now. */
  #take(): Step {
    const ring = this.#ring;
    if (this.#closed) return { item: undefined };
    if (!this.#pins && this.#position < ring.start) {
      this.#reportLoss ||= !this.#needsKeyframe;
      this.#needsKeyframe = true;
      this.#position = ring.newestKeyframe ?? ring.end;
    }
    if (this.#needsKeyframe) {
      const at = ring.newestKeyframe;
      if (at === undefined || at < this.#position) {
        this.#position = ring.end;
        return ring.closed ? { item: undefined } : undefined;
      }
      this.#position = at;
      this.#needsKeyframe = false;
      const frames = ring.videoBefore(at) - this.#videoRead;
      this.#videoRead += frames;
      if (this.#reportLoss) {
        this.#reportLoss = false;
        if (frames > 0) return { item: { kind: "lost", frames } };
      }
    }
    const slot = ring.slot(this.#position);
    if (slot === undefined) return ring.closed ? { item: undefined } : undefined;
    this.#position++;
    if (!this.#borrows) slot.kept = true;
    if (slot.fragment.track.kind === "video") this.#videoRead++;
    return { item: slot.item };
  }

  /** The reader may still use what it borrowed, and cannot say any more when it has done. */
  #keepInUse(): void {
    if (!this.#borrows || !this.#pins) return;
    for (let at = this.#released; at < this.#position; at++) {
      const slot = this.#ring.slot(at);
      if (slot !== undefined) slot.kept = true;
    }
  }

  /** Ends the wait, giving the caller its two ends. */
  #settle(): Waiter | undefined {
    const waiter = this.#waiter;
    if (waiter === undefined) return undefined;
    this.#waiter = undefined;
    this.#ring.stopWaiting(this);
    return waiter;
  }

  #listenTo(signal: AbortSignal | undefined): void {
    if (signal === this.#signal) return;
    this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#signal = signal;
    signal?.addEventListener("abort", this.#onAbort, { once: true });
  }
}
