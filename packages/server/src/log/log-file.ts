/**
 * The log in a folder of its own, turned over by size and age, a few old files kept. Beside the console, never instead
 * of it: a folder that cannot be written costs a warning and nothing else. It is tried again from time to time.
 *
 * Files: `ocelli.log`, then `ocelli.1.log` (the newest of the old) and so on.
 */
import { mkdirSync } from "node:fs";
import { createStream, type RotatingFileStream } from "rotating-file-stream";

export interface LogFileOptions {
  /** Made when it is not there. */
  readonly folder: string;
  /** A new file is begun after so many bytes. */
  readonly maxBytes: number;
  /** And at midnight after so many days of running; 0 never. */
  readonly days: number;
  /** Old files kept. */
  readonly keepFiles: number;
  /** Nothing is written any more; told once until it goes on. */
  readonly onTrouble: (error: Error) => void;
  /** It goes on; so many lines are missing in the file. */
  readonly onRecovered: (missingLines: number) => void;
  /** Runs `callback` once after `delayMs`; returns what cancels it. */
  readonly after: (delayMs: number, callback: () => void) => () => void;
  /** Default 30,000. */
  readonly retryMs?: number;
  /** Lines waiting for a slow disk beyond this are dropped; default 4 MiB. */
  readonly maxWaitingBytes?: number;
}

export class LogFile {
  readonly #options: LogFileOptions;
  #stream: RotatingFileStream | undefined;
  #cancelRetry: (() => void) | undefined;
  #troubled = false;
  #missing = 0;
  #closed: Promise<void> | undefined;

  constructor(options: LogFileOptions) {
    this.#options = options;
    this.#open();
  }

  /** Takes a line with its end. Never throws, never waits. */
  write(line: string): void {
    const stream = this.#stream;
    if (stream === undefined || this.#closed !== undefined) {
      this.#missing++;
      return;
    }
    const { maxWaitingBytes = 4 * 2 ** 20 } = this.#options;
    if (stream.writableLength > maxWaitingBytes) {
      this.#missing++;
      this.#trouble(new Error("the disk does not keep up"));
      return;
    }
    stream.write(line, (error) => {
      if (error) this.#missing++;
      else if (stream === this.#stream && stream.writableLength < maxWaitingBytes / 2) this.#recovered();
    });
  }

  /** Resolves when what was taken is written, or cannot be. The same promise each time. */
  close(): Promise<void> {
    this.#closed ??= new Promise((resolve) => {
      this.#cancelRetry?.();
      const stream = this.#stream;
      if (stream === undefined) return resolve();
      stream.once("close", () => resolve());
      stream.end();
    });
    return this.#closed;
  }

  #open(): void {
    const { folder, maxBytes, days, keepFiles } = this.#options;
    try {
      mkdirSync(folder, { recursive: true, mode: 0o750 });
    } catch (error) {
      this.#failed(asError(error));
      return;
    }
    const stream = createStream(nameOf, {
      ...{ path: folder, size: `${maxBytes}B`, rotate: keepFiles, mode: 0o640 },
      ...(days > 0 ? { interval: `${days}d` } : {}),
    });
    this.#stream = stream;
    stream.on("error", (error) => {
      if (stream !== this.#stream) return;
      this.#stream = undefined;
      this.#failed(error);
    });
    // Opened is not written: only a line that has gone out shows that it works again.
    if (this.#troubled)
      stream.once("open", () => this.write(`${JSON.stringify({ msg: "this log goes on" })}\n`));
  }

  #failed(error: Error): void {
    this.#trouble(error);
    if (this.#closed !== undefined) return;
    const { after, retryMs = 30_000 } = this.#options;
    this.#cancelRetry?.();
    this.#cancelRetry = after(retryMs, () => this.#open());
  }

  #trouble(error: Error): void {
    if (this.#troubled) return;
    this.#troubled = true;
    this.#options.onTrouble(error);
  }

  #recovered(): void {
    if (!this.#troubled) return;
    this.#troubled = false;
    const missing = this.#missing;
    this.#missing = 0;
    this.#options.onRecovered(missing);
  }
}

function nameOf(index: number | Date | null): string {
  return typeof index === "number" && index > 0 ? `ocelli.${index}.log` : "ocelli.log";
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
