/**
 * The hub-wide cap on what all rings hold together. When the sum goes over it, the largest ring gives up
 * its oldest fragments, so that one camera with big frames cannot starve the others.
 */

/** What the budget needs of a ring. */
export interface BudgetMember {
  readonly bytes: number;
  /** Drops the oldest fragment; false when only the newest is left. */
  trimOldest(): boolean;
}

export class RingBudget {
  readonly maxBytes: number;
  readonly #members = new Set<BudgetMember>();
  #bytes = 0;

  constructor(options: { /** Default 1 GiB. */ readonly maxBytes?: number } = {}) {
    this.maxBytes = options.maxBytes ?? 2 ** 30;
  }

  /** Bytes in all rings now. */
  get bytes(): number {
    return this.#bytes;
  }

  join(member: BudgetMember): void {
    this.#members.add(member);
  }

  leave(member: BudgetMember): void {
    this.#members.delete(member);
  }

  /** Told by a ring of every change of its size. */
  changed(bytes: number): void {
    this.#bytes += bytes;
  }

  /** Brings the sum back under the cap, as far as that can be done. */
  enforce(): void {
    while (this.#bytes > this.maxBytes) {
      const bySize = [...this.#members].sort((a, b) => b.bytes - a.bytes);
      if (!bySize.some((member) => member.trimOldest())) return;
    }
  }
}
