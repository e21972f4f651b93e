/**
 * The results of a command that does the same with several things. People see each as it comes; JSON is one list at the
 * end, whether one was asked for or many. What fails does not hold up the others; the first failure is thrown last, after
 * the others were told.
 */
import type { Output } from "./context.ts";
import { failureOf } from "./exit-codes.ts";
import { harmlessLines } from "./words.ts";

export class Results<T> {
  readonly #output: Output;
  readonly #text: (result: T) => string;
  readonly #done: T[] = [];
  readonly #failures: unknown[] = [];

  constructor(output: Output, text: (result: T) => string) {
    this.#output = output;
    this.#text = text;
  }

  /** All at once. */
  async together(work: readonly Promise<T>[]): Promise<void> {
    await Promise.all(work.map((one) => this.#take(one)));
    this.#finish();
  }

  /** One after the other. */
  async inTurn<S>(things: readonly S[], work: (thing: S) => Promise<T>): Promise<void> {
    for (const thing of things) {
      if (this.#output.io.signal.aborted && this.#failures.length > 0) break;
      await this.#take(work(thing));
    }
    this.#finish();
  }

  async #take(work: Promise<T>): Promise<void> {
    try {
      const result = await work;
      this.#done.push(result);
      if (!this.#output.json) this.#output.io.out(this.#text(result));
    } catch (error) {
      this.#failures.push(error);
    }
  }

  #finish(): void {
    if (this.#output.json && (this.#done.length > 0 || this.#failures.length === 0)) {
      this.#output.print(this.#done, () => "");
    }
    if (this.#failures.length === 0) return;
    const [, ...others] = new Set(this.#failures.map((one) => failureOf(one).message));
    for (const other of others) this.#output.aside(harmlessLines(other));
    throw this.#failures[0];
  }
}
