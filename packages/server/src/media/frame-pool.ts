/**
 * Memory for frames, used again by those who say that a frame is over. A camera gives megabytes a second; made anew
 * for each frame they would have V8 collect garbage many times a minute, which costs more than all else that is done
 * with frames. A frame that nobody gives back is collected as any other object.
 */

/** Steps of size in each doubling: a buffer is at most a quarter larger than asked for. */
const stepsBits = 2;

export class FramePool {
  readonly #maxFreeBytes: number;
  readonly #free = new Map<number, ArrayBuffer[]>();
  /** Of this pool, and in use. */
  readonly #lent = new WeakSet<ArrayBufferLike>();
  #freeBytes = 0;

  /** @param options.maxFreeBytes kept for later at most, default 8 MiB */
  constructor(options: { readonly maxFreeBytes?: number } = {}) {
    this.#maxFreeBytes = options.maxFreeBytes ?? 8 * 2 ** 20;
  }

  /** Bytes kept for later. */
  get freeBytes(): number {
    return this.#freeBytes;
  }

  /** Uninitialised memory of exactly `bytes`. */
  take(bytes: number): Buffer {
    const size = sizeFor(bytes);
    const kept = this.#free.get(size)?.pop();
    if (kept !== undefined) this.#freeBytes -= size;
    const memory = kept ?? Buffer.allocUnsafeSlow(size).buffer;
    this.#lent.add(memory);
    return Buffer.from(memory, 0, bytes);
  }

  /** Nobody reads these bytes any more. What is not of this pool, or was given back before, is ignored. */
  give(bytes: Buffer): void {
    const memory = bytes.buffer;
    if (!(memory instanceof ArrayBuffer) || !this.#lent.delete(memory)) return;
    const size = memory.byteLength;
    if (this.#freeBytes + size > this.#maxFreeBytes) return;
    this.#freeBytes += size;
    const same = this.#free.get(size);
    if (same === undefined) this.#free.set(size, [memory]);
    else same.push(memory);
  }

  /** Keeps nothing for later. */
  clear(): void {
    this.#free.clear();
    this.#freeBytes = 0;
  }
}

/** The next size of which buffers are made. */
function sizeFor(bytes: number): number {
  const exponent = 31 - Math.clz32(Math.max(bytes - 1, 1023));
  const step = 2 ** (exponent - stepsBits);
  return Math.ceil(Math.max(bytes, 1024) / step) * step;
}
