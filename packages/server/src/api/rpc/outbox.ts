/**
 * The sending side of one socket, and the rule for clients that do not read:
 * - answers are the client's own doing: no further request is taken up while more than `highWaterBytes` wait;
 * - notifications cannot wait for one client: with more than `maxBufferedBytes` waiting the client is dropped (1013).
 * Nothing here ever blocks another connection.
 *
 * Messages are written to the transport as whole frames, one write each, past the sender of `ws`: that would make its own
 * header and copy for every client of a broadcast. The order with what `ws` writes itself (pings, the close) is kept,
 * since compression is off and it then writes at once as well.
 */
import type { Writable } from "node:stream";
import type { WebSocket } from "ws";
import { type Outgoing, textFrame } from "./frame.ts";

export interface OutboxLimits {
  /** Default 1 MiB. */
  readonly highWaterBytes: number;
  /** Default 4 MiB. */
  readonly maxBufferedBytes: number;
}

export interface OutboxCallbacks {
  /** Enough has been written out after the high water mark had been passed. */
  readonly onDrain: () => void;
  /** The rule above was broken; nothing more is sent. Called once. */
  readonly onDrop: (bufferedBytes: number) => void;
}

export class Outbox {
  readonly #socket: WebSocket;
  readonly #transport: Writable;
  readonly #limits: OutboxLimits;
  readonly #callbacks: OutboxCallbacks;
  #dropped = false;
  #written = 0;

  /** @param transport what `socket` speaks through: the TCP or TLS socket of its upgrade */
  constructor(socket: WebSocket, transport: Writable, limits: OutboxLimits, callbacks: OutboxCallbacks) {
    this.#socket = socket;
    this.#transport = transport;
    this.#limits = limits;
    this.#callbacks = callbacks;
  }

  get isFull(): boolean {
    return this.#transport.writableLength > this.#limits.highWaterBytes;
  }

  /** Bytes that have left this process; grows as long as the client takes something. */
  get progress(): number {
    return this.#written - this.#transport.writableLength;
  }

  /** For an answer, or a notification to this client alone. */
  send(message: Outgoing): void {
    if (this.#dropped || this.#socket.readyState !== this.#socket.OPEN) return;
    const frame = typeof message === "string" ? textFrame(message) : message;
    this.#written += frame.length;
    if (this.#transport.writableLength + frame.length > this.#limits.highWaterBytes) {
      // What is written while the mark is passed tells when it no longer is.
      this.#transport.write(frame, () => {
        if (!this.isFull) this.#callbacks.onDrain();
      });
    } else {
      this.#transport.write(frame);
    }
  }

  /** For a broadcast. */
  announce(message: Outgoing): void {
    if (this.#transport.writableLength > this.#limits.maxBufferedBytes) this.#drop();
    else this.send(message);
  }

  #drop(): void {
    if (this.#dropped) return;
    this.#dropped = true;
    this.#callbacks.onDrop(this.#transport.writableLength);
  }
}
