/** How long a viewer may stay: until the credential it came with ends or is revoked. */
import { OcelliError } from "@ocelli/protocol";
import type { Clock } from "../../clock/clock.ts";
import type { Lasting } from "../access.ts";

export class Stay implements Disposable {
  readonly #lasting: Lasting;
  readonly #clock: Clock;
  readonly #over = new AbortController();
  readonly #stopListening: () => void;
  #cancel: (() => void) | undefined;

  constructor(lasting: Lasting, clock: Clock) {
    this.#lasting = lasting;
    this.#clock = clock;
    // The end is a time of the wall clock, which may be set.
    this.#stopListening = lasting.endsAtUs === undefined ? () => {} : clock.onStep(() => this.#watch());
    this.#watch();
  }

  /** Aborted when the credential ends, also while there is nothing to show. */
  get signal(): AbortSignal {
    return this.#over.signal;
  }

  /**
   * To be asked before anything is shown.
   * @throws OcelliError `auth_required` when the credential no longer counts
   */
  assertLasts(): void {
    if (this.#lasting.standings.some(({ revoked }) => revoked)) {
      throw new OcelliError("auth_required", "The credential of this view was revoked.");
    }
    if (this.#hasEnded()) throw ended();
  }

  [Symbol.dispose](): void {
    this.#cancel?.();
    this.#stopListening();
  }

  #hasEnded(): boolean {
    const { endsAtUs } = this.#lasting;
    return endsAtUs !== undefined && endsAtUs <= this.#clock.wallUs();
  }

  #watch(): void {
    this.#cancel?.();
    const { endsAtUs } = this.#lasting;
    if (endsAtUs === undefined || this.#over.signal.aborted) return;
    if (this.#hasEnded()) this.#over.abort(ended());
    else this.#cancel = this.#clock.after((endsAtUs - this.#clock.wallUs()) / 1000, () => this.#watch());
  }
}

function ended(): OcelliError {
  return new OcelliError("auth_required", "The credential of this view has ended. Authenticate again.");
}
