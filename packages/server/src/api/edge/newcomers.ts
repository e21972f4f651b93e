/** Counts connections without rights by address, so that nobody unknown takes all places. */
import { clientKey } from "../../auth/networks.ts";

/** Something that comes without rights and may get some. */
export interface Newcomer {
  readonly identity: unknown;
}

export class Newcomers {
  readonly #limit: number;
  readonly #byAddress = new Map<string, Set<Newcomer>>();

  /** @param limit connections of one address; 0 for no limit */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Whether one more of `address` may come. */
  hasRoom(address: string): boolean {
    const waiting = this.#byAddress.get(clientKey(address));
    if (this.#limit === 0 || waiting === undefined || waiting.size < this.#limit) return true;
    // Those who have shown who they are since do not count.
    for (const one of waiting) if (one.identity !== undefined) waiting.delete(one);
    return waiting.size < this.#limit;
  }

  add(address: string, newcomer: Newcomer): void {
    if (this.#limit === 0) return;
    const key = clientKey(address);
    const waiting = this.#byAddress.get(key) ?? new Set();
    waiting.add(newcomer);
    this.#byAddress.set(key, waiting);
  }

  remove(address: string, newcomer: Newcomer): void {
    const key = clientKey(address);
    const waiting = this.#byAddress.get(key);
    waiting?.delete(newcomer);
    if (waiting?.size === 0) this.#byAddress.delete(key);
  }
}
