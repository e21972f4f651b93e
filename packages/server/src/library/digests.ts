/**
 * SHA-256 of files, for those who download them: remembered for as long as a file stays what it is. A small file is
 * read at once; a large one by a worker thread, one after the other, so that who asks first does not wait and who
 * asks later is told.
 */
import { createHash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { Worker } from "node:worker_threads";
import { messageOf } from "@ocelli/protocol";
import type { Log } from "../log/log.ts";

export interface DigestsOptions {
  readonly log: Log;
  /** Files up to this size are read at once. Default 2 MiB. */
  readonly atOnceBytes?: number;
  /** Files remembered; the one longest not asked for is forgotten first. Default 10,000. */
  readonly maxRemembered?: number;
}

/** Large files that may wait for the worker; those that do not fit are done when asked for again. */
const maxWaiting = 100;

export class Digests {
  readonly #log: Log;
  readonly #atOnceBytes: number;
  readonly #maxRemembered: number;
  readonly #known = new Map<string, string>();
  /** Paths by what identifies the state of their file. */
  readonly #waiting = new Map<string, string>();
  #worker: Worker | undefined;
  #closed = false;

  constructor(options: DigestsOptions) {
    this.#log = options.log;
    this.#atOnceBytes = options.atOnceBytes ?? 2 * 1024 * 1024;
    this.#maxRemembered = options.maxRemembered ?? 10_000;
  }

  /**
   * The digest of the file as it is now, in base64; `undefined` while it is not known. Of a file that is being
   * written this must not be asked.
   * @throws errors of the file system
   */
  async of(path: string): Promise<string | undefined> {
    const { size, mtimeNs } = await stat(path, { bigint: true });
    const state = `${path}\n${size}\n${mtimeNs}`;
    const known = this.#known.get(state);
    if (known !== undefined) {
      this.#remember(state, known);
      return known;
    }
    if (size <= this.#atOnceBytes) {
      const digest = createHash("sha256")
        .update(await readFile(path))
        .digest("base64");
      this.#remember(state, digest);
      return digest;
    }
    if (this.#waiting.size < maxWaiting) this.#waiting.set(state, path);
    this.#next();
    return undefined;
  }

  /** Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#waiting.clear();
    await this.#worker?.terminate();
  }

  #next(): void {
    const [job] = this.#waiting;
    if (this.#worker !== undefined || job === undefined || this.#closed) return;
    const [state, path] = job;
    const file = import.meta.url.endsWith(".ts") ? "./digest.worker.ts" : "./digest.worker.js";
    const worker = new Worker(new URL(file, import.meta.url), { workerData: path });
    this.#worker = worker;
    worker.on("message", (digest: string) => this.#remember(state, digest));
    worker.on("error", (error) =>
      this.#log.debug({ path, reason: messageOf(error) }, "a file has no digest"),
    );
    worker.on("exit", () => {
      this.#worker = undefined;
      this.#waiting.delete(state);
      this.#next();
    });
  }

  #remember(state: string, digest: string): void {
    this.#known.delete(state);
    this.#known.set(state, digest);
    if (this.#known.size <= this.#maxRemembered) return;
    const [oldest] = this.#known.keys();
    if (oldest !== undefined) this.#known.delete(oldest);
  }
}
