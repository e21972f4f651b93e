/**
 * The sending side of one socket, and the rule for clients that do not read:
 * - answers are the client's own doing: no further request is taken up while more than `highWaterBytes` wait;
 * - notifications cannot wait for one client: with more than `maxBufferedBytes` waiting the client is dropped (1013).
 * Nothing here ever blocks another connection.
 */
import type { WebSocket } from "ws";

export interface OutboxLimits {
  /** Default 1 MiB. */
  readonly highWaterBytes: number;
  /** Default 4 MiB. */
  readonly maxBufferedBytes: number;
}

export class Outbox {
  readonly #socket: WebSocket;
  readonly #limits: OutboxLimits;
  readonly #onDrain: () => void;
  readonly #onDrop: (bufferedBytes: number) => void;
  #dropped = false;
  #progress = 0;

  constructor(
    socket: WebSocket,
    limits: OutboxLimits,
    callbacks: {
      /** Something was written out after the high water mark had been passed. */
      readonly onDrain: () => void;
      /** The rule above was broken; nothing more is sent. Called once. */
      readonly onDrop: (bufferedBytes: number) => void;
    },
  ) {
    this.#socket = socket;
    this.#limits = limits;
    this.#onDrain = callbacks.onDrain;
    this.#onDrop = callbacks.onDrop;
  }

  get isFull(): boolean {
    return this.#socket.bufferedAmount > this.#limits.highWaterBytes;
  }

  /** Counts messages that have left this process. */
  get progress(): number {
    return this.#progress;
  }

  /** For an answer, or a notification to this client alone. */
  send(text: string): void {
    if (this.#dropped || this.#socket.readyState !== this.#socket.OPEN) return;
    this.#socket.send(text, () => {
      this.#progress++;
      if (!this.isFull) this.#onDrain();
    });
  }

  /** For a broadcast. */
  announce(text: string): void {
    if (this.#socket.bufferedAmount > this.#limits.maxBufferedBytes) this.#drop();
    else this.send(text);
  }

  #drop(): void {
    if (this.#dropped) return;
    this.#dropped = true;
    this.#onDrop(this.#socket.bufferedAmount);
  }
}
