/**
 * Lets what comes after an authentication wait for its outcome, so that a client may send `authenticate` and its
 * first calls in one go. Everything else is not held up.
 */
export class Gate {
  #busy: Promise<void> | undefined;

  /** Resolves when no authentication runs; `undefined` when none does. */
  get opened(): Promise<void> | undefined {
    return this.#busy;
  }

  /** Runs `work` after what was begun before it; later requests wait until it has settled. */
  authenticating<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#busy === undefined ? work() : this.#busy.then(work);
    const open = (): void => {
      if (this.#busy === settled) this.#busy = undefined;
    };
    const settled = result.then(open, open);
    this.#busy = settled;
    return result;
  }
}
