/**
 * How much a client may ask: one allowance a connection, one an address, each refilled steadily and never larger
 * than a minute's worth. What is answered to whoever has used it up is the adapters' business.
 */
import { OcelliError } from "@ocelli/protocol";
import { clientKey } from "../../auth/networks.ts";
import type { Clock } from "../../clock/clock.ts";

export interface RateLimitsOptions {
  readonly clock: Clock;
  /** Default 0: no limit. */
  readonly connectionPerMinute?: number;
  /** Default 0: no limit. */
  readonly addressPerMinute?: number;
  /** Addresses remembered; the one longest quiet is forgotten first. Default 20,000. */
  readonly maxAddresses?: number;
}

/** A token bucket. */
export class Allowance {
  readonly #clock: Clock;
  readonly #perMinute: number;
  #left: number;
  #atMonoUs: number;

  constructor(clock: Clock, perMinute: number) {
    this.#clock = clock;
    this.#perMinute = perMinute;
    this.#left = perMinute;
    this.#atMonoUs = clock.monoUs();
  }

  /** Milliseconds until one can be taken; 0 when it can be now. */
  waitMs(): number {
    const nowUs = this.#clock.monoUs();
    const refill = ((nowUs - this.#atMonoUs) * this.#perMinute) / 60e6;
    this.#left = Math.min(this.#perMinute, this.#left + refill);
    this.#atMonoUs = nowUs;
    return this.#left >= 1 ? 0 : Math.max(1, Math.ceil(((1 - this.#left) * 60_000) / this.#perMinute));
  }

  take(): void {
    this.#left -= 1;
  }
}

export class RateLimits {
  readonly #clock: Clock;
  readonly #connectionPerMinute: number;
  readonly #addressPerMinute: number;
  readonly #maxAddresses: number;
  /** In the order of their last request. */
  readonly #addresses = new Map<string, Allowance>();

  constructor(options: RateLimitsOptions) {
    this.#clock = options.clock;
    this.#connectionPerMinute = options.connectionPerMinute ?? 0;
    this.#addressPerMinute = options.addressPerMinute ?? 0;
    this.#maxAddresses = options.maxAddresses ?? 20_000;
  }

  /** For a new connection; `undefined` when those are not limited. */
  allowance(): Allowance | undefined {
    return this.#connectionPerMinute === 0
      ? undefined
      : new Allowance(this.#clock, this.#connectionPerMinute);
  }

  /**
   * Counts one request of `address`, and of the connection it came on.
   * @throws OcelliError `rate_limited` with `retry_after_ms`; then nothing is counted
   */
  admit(address: string, connection?: Allowance): void {
    const shared = this.#sharedBy(address);
    const waitMs = Math.max(connection?.waitMs() ?? 0, shared?.waitMs() ?? 0);
    if (waitMs > 0) {
      throw new OcelliError(
        "rate_limited",
        `Rate limit exceeded. Try again in ${Math.ceil(waitMs / 1000)} s, and ask less often.`,
        { details: { retry_after_ms: waitMs } },
      );
    }
    connection?.take();
    shared?.take();
  }

  #sharedBy(address: string): Allowance | undefined {
    if (this.#addressPerMinute === 0) return undefined;
    const key = clientKey(address);
    const found = this.#addresses.get(key) ?? new Allowance(this.#clock, this.#addressPerMinute);
    this.#addresses.delete(key);
    this.#addresses.set(key, found);
    if (this.#addresses.size > this.#maxAddresses) {
      const [oldest] = this.#addresses.keys();
      if (oldest !== undefined) this.#addresses.delete(oldest);
    }
    return found;
  }
}
