/**
 * Bounds what is on its way to one viewer: at most so many bytes handed over and not yet written. A viewer
 * that takes nothing for too long is given up.
 */
import { OcelliError } from "@ocelli/protocol";
import type { Clock } from "../clock/clock.ts";

export class SendWindow {
  readonly #limitBytes: number;
  readonly #stallTimeoutMs: number;
  readonly #clock: Clock;
  #inFlight = 0;
  #failure: Error | undefined;
  #wake: (() => void) | undefined;

  constructor(options: {
    readonly limitBytes: number;
    readonly stallTimeoutMs: number;
    readonly clock: Clock;
  }) {
    this.#limitBytes = options.limitBytes;
    this.#stallTimeoutMs = options.stallTimeoutMs;
    this.#clock = options.clock;
  }

  get inFlightBytes(): number {
    return this.#inFlight;
  }

  /** True when `bytes` may be handed over now. One message larger than the whole window goes alone. */
  hasRoom(bytes: number): boolean {
    return this.#inFlight === 0 || this.#inFlight + bytes <= this.#limitBytes;
  }

  /** Counts a message just handed over; `sent` settles when it has left. */
  add(bytes: number, sent: Promise<void>): void {
    this.#inFlight += bytes;
    sent.then(
      () => this.#settle(bytes, undefined),
      (error: unknown) => this.#settle(bytes, error instanceof Error ? error : new Error(String(error))),
    );
  }

  /**
   * Waits until `bytes` may be handed over.
   * @throws OcelliError `reader_too_slow` when nothing was taken for the stall timeout; the abort reason; the
   *   error of an earlier message
   */
  async room(bytes: number, signal: AbortSignal): Promise<void> {
    while (!this.hasRoom(bytes) || this.#failure !== undefined) {
      signal.throwIfAborted();
      if (this.#failure !== undefined) throw this.#failure;
      await this.#progress(signal);
    }
  }

  #progress(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const done = (settle: () => void): void => {
        this.#wake = undefined;
        cancel();
        signal.removeEventListener("abort", onAbort);
        settle();
      };
      const onAbort = (): void => done(() => reject(signal.reason));
      const cancel = this.#clock.after(this.#stallTimeoutMs, () =>
        done(() =>
          reject(
            new OcelliError(
              "reader_too_slow",
              `The viewer took nothing for ${this.#stallTimeoutMs / 1000} s; it was disconnected. Connect again when the network is faster.`,
            ),
          ),
        ),
      );
      signal.addEventListener("abort", onAbort);
      this.#wake = () => done(resolve);
    });
  }

  #settle(bytes: number, failure: Error | undefined): void {
    this.#inFlight -= bytes;
    this.#failure ??= failure;
    this.#wake?.();
  }
}
