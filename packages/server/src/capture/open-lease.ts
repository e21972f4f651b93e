/** A lease as its source sees it: who holds it, what it insisted on, what it was granted. */
import { OcelliError } from "@ocelli/protocol";
import type { CaptureMode, Cursor, Lease } from "./source.ts";

/** Somebody who waits for the first frame. */
export interface Opener {
  readonly lease: OpenLease;
  resolve(lease: Lease): void;
  reject(error: unknown): void;
}

export class OpenLease implements Lease {
  readonly holder: string;
  readonly cursor: Cursor;
  readonly wanted: CaptureMode | undefined;
  /** It does not mind frames that come a moment late, several at a time. */
  readonly inBatches: boolean;
  /** Set when granted. */
  granted: CaptureMode | undefined;
  readonly #onClose: (lease: OpenLease) => void;
  #closed = false;

  constructor(
    holder: string,
    wanted: CaptureMode | undefined,
    inBatches: boolean,
    cursor: Cursor,
    onClose: (lease: OpenLease) => void,
  ) {
    this.holder = holder;
    this.wanted = wanted;
    this.inBatches = inBatches;
    this.cursor = cursor;
    this.#onClose = onClose;
  }

  get mode(): CaptureMode {
    if (this.granted === undefined)
      throw new OcelliError("internal", `${this.holder}: lease not granted yet`);
    return this.granted;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.cursor.close();
    this.#onClose(this);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}
