/**
 * Slows down guessing of credentials, by peer address (of IPv6, by network). Generous: a client with a stale key that retries for ever
 * costs a few seconds, never a lock-out. Bounded in memory and in waiting attempts.
 */
import { OcelliError } from "@ocelli/protocol";
import type { Clock } from "../clock/clock.ts";
import { clientKey } from "./networks.ts";

export interface GuardOptions {
  /** Failures without any delay. Default 10. */
  readonly freeFailures?: number;
  /** Delay of the first attempt after those, doubling up to the longest. Default 250. */
  readonly firstDelayMs?: number;
  /** Default 4000. */
  readonly longestDelayMs?: number;
  /** After this long without a failure an address starts afresh. Default 60,000. */
  readonly forgetAfterMs?: number;
  /** Attempts of one address that may wait at a time. Default 16. */
  readonly maxWaiting?: number;
  /** Addresses remembered, the one longest quiet is forgotten first. Default 10,000. */
  readonly maxAddresses?: number;
}

interface Peer {
  failures: number;
  waiting: number;
  lastMonoUs: number;
}

export class GuessingGuard {
  readonly #clock: Clock;
  readonly #options: Required<GuardOptions>;
  /** In the order of their last failure. */
  readonly #peers = new Map<string, Peer>();

  constructor(clock: Clock, options: GuardOptions = {}) {
    this.#clock = clock;
    this.#options = {
      freeFailures: 10,
      firstDelayMs: 250,
      longestDelayMs: 4000,
      forgetAfterMs: 60_000,
      maxWaiting: 16,
      maxAddresses: 10_000,
      ...options,
    };
  }

  /**
   * Waits as long as `address` must before its next attempt with a credential not known to be right.
   * @throws OcelliError `rate_limited` when too many attempts of this address are waiting already
   */
  async admit(address: string, signal?: AbortSignal): Promise<void> {
    const peer = this.#peers.get(clientKey(address));
    if (peer === undefined) return;
    const { freeFailures, firstDelayMs, longestDelayMs, forgetAfterMs, maxWaiting } = this.#options;
    if (this.#clock.monoUs() - peer.lastMonoUs > forgetAfterMs * 1000) {
      if (peer.waiting === 0) this.#peers.delete(clientKey(address));
      else peer.failures = 0;
      return;
    }
    const over = peer.failures - freeFailures;
    if (over < 0) return;
    const delayMs = Math.min(longestDelayMs, firstDelayMs * 2 ** Math.min(over, 30));
    if (peer.waiting >= maxWaiting) {
      throw new OcelliError(
        "rate_limited",
        "Too many wrong credentials from this address. Wait a moment and try again.",
        {
          details: { retry_after_ms: delayMs },
        },
      );
    }
    peer.waiting++;
    try {
      await this.#clock.sleep(delayMs, signal);
    } finally {
      peer.waiting--;
    }
  }

  failed(address: string): void {
    const key = clientKey(address);
    const peer = this.#peers.get(key) ?? { failures: 0, waiting: 0, lastMonoUs: 0 };
    peer.failures++;
    peer.lastMonoUs = this.#clock.monoUs();
    this.#peers.delete(key);
    this.#peers.set(key, peer);
    if (this.#peers.size > this.#options.maxAddresses) {
      const [oldest] = this.#peers.keys();
      if (oldest !== undefined) this.#peers.delete(oldest);
    }
  }
}
