/**
 * The reading end of a process's output, read in one of two ways: *watched*, where every write of the process is
 * taken at once (and wakes the hub), or *left alone*, where bytes gather in the pipe until `take()`. Owns the
 * descriptors. Knows nothing of what the bytes mean.
 */
import { closeSync, readSync } from "node:fs";
import { Socket } from "node:net";
import { growPipe, makePipe, pipeBytes } from "./pipe.ts";

/** The largest read, and the largest pipe asked for: what Linux gives users without privileges. */
const maxPipeBytes = 2 ** 20;

/** What is read, until its receiver has taken it in: one serves all pipes. */
let scratch: Buffer | undefined;

export class OutputPipe {
  /** Given to the process as its stdout; closed here by `started()`. */
  readonly writeFd: number;
  readonly #readFd: number;
  readonly #socket: Socket;
  #capacity: number;
  #started = false;
  #ended = false;

  /**
   * @param onChunk what came while watched; the bytes are lent until it returns
   * @returns `undefined` where the system gives none: let Node make the pipe then
   */
  static open(onChunk: (chunk: Buffer) => void): OutputPipe | undefined {
    const ends = makePipe();
    return ends === undefined ? undefined : new OutputPipe(ends.readFd, ends.writeFd, onChunk);
  }

  private constructor(readFd: number, writeFd: number, onChunk: (chunk: Buffer) => void) {
    this.#readFd = readFd;
    this.writeFd = writeFd;
    this.#capacity = pipeBytes(readFd);
    scratch ??= Buffer.allocUnsafeSlow(maxPipeBytes);
    this.#socket = new Socket({
      fd: readFd,
      readable: true,
      writable: false,
      onread: {
        buffer: scratch,
        callback: (length, bytes) => {
          onChunk(Buffer.from(bytes.buffer, bytes.byteOffset, length));
          return true;
        },
      },
    });
    // The end of a pipe is its writer's exit, which whoever started it reports.
    this.#socket.on("error", () => {});
    this.#socket.pause();
  }

  /** Bytes it holds before the process has to wait. */
  get capacity(): number {
    return this.#capacity;
  }

  /** Asks for room for so many bytes, as far as the system allows. */
  reserve(bytes: number): void {
    if (bytes <= this.#capacity || this.#capacity >= maxPipeBytes || this.#isOver) return;
    this.#capacity = growPipe(this.#readFd, Math.min(maxPipeBytes, 2 ** Math.ceil(Math.log2(bytes))));
  }

  /** The process has its end; with ours open as well the pipe would never end. */
  started(): void {
    if (this.#started) return;
    this.#started = true;
    closeSync(this.writeFd);
  }

  /** From now on each write is handed on as it comes. */
  watch(): void {
    if (!this.#isOver) this.#socket.resume();
  }

  leave(): void {
    if (!this.#isOver) this.#socket.pause();
  }

  /** What is there now, at most 1 MiB, lent until the next call; `undefined` when there is nothing. */
  take(): Buffer | undefined {
    if (this.#isOver || scratch === undefined) return undefined;
    let length: number;
    try {
      length = readSync(this.#readFd, scratch, 0, scratch.length, null);
    } catch {
      // EAGAIN: nothing yet. Anything else is the end of it as well as of the process.
      return undefined;
    }
    if (length === 0) {
      this.#ended = true;
      return undefined;
    }
    return scratch.subarray(0, length);
  }

  /** Idempotent. What was not taken is lost. */
  close(): void {
    this.started();
    this.#socket.destroy();
  }

  /** The descriptor is not ours any more once the socket has been destroyed, which it does itself at the end. */
  get #isOver(): boolean {
    return this.#ended || this.#socket.destroyed;
  }
}
