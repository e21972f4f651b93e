/** A growing list of numbers in a typed array: 4 or 8 bytes a number, against 8 to 16 and more in an array. */
export class NumberList {
  #values: Uint32Array | Float64Array;
  #length = 0;

  /** @param width `u32` for whole numbers below 2^32, `f64` for those up to 2^53 */
  constructor(width: "u32" | "f64") {
    this.#values = width === "u32" ? new Uint32Array(64) : new Float64Array(64);
  }

  get length(): number {
    return this.#length;
  }

  push(value: number): void {
    if (this.#length === this.#values.length) {
      const grown =
        this.#values instanceof Uint32Array
          ? new Uint32Array(this.#length * 2)
          : new Float64Array(this.#length * 2);
      grown.set(this.#values);
      this.#values = grown;
    }
    this.#values[this.#length++] = value;
  }

  at(index: number): number {
    return this.#values[index] ?? 0;
  }

  set(index: number, value: number): void {
    this.#values[index] = value;
  }
}
