/**
 * What the service remembers of one connection: who it is, what it speaks, the order its commands keep, and the
 * notifications held back until an answer is out. No socket here.
 */
import { randomUUID } from "node:crypto";
import type { Dialect } from "@ocelli/protocol/camera-service";
import { type Identity, isVoid } from "../../auth/identity.ts";
import type { Allowance } from "../edge/rate-limits.ts";
import type { Outgoing } from "./frame.ts";
import { Gate } from "./gate.ts";
import { Lanes } from "./lanes.ts";

export class Session {
  /** By way of bytes, since the text as it is made consists of sixteen pieces. */
  readonly id = Buffer.from(randomUUID()).toString("latin1");
  /** Address of the client: the socket's peer, or what a trusted proxy says. */
  readonly address: string;
  /** `http://hub.local:8002`, as the client reached it, if it told. */
  readonly origin: string | undefined;
  /** Calls it may make; `undefined` without a limit. */
  readonly allowance: Allowance | undefined;
  readonly gate = new Gate();
  readonly lanes = new Lanes();
  dialect: Dialect;
  identity: Identity | undefined;
  /** Made when somebody asks: most connections only listen. */
  #ended: AbortController | undefined;
  #hasEnded = false;
  #held: Map<string, { holders: number; messages: Outgoing[] }> | undefined;

  constructor(options: {
    readonly address: string;
    readonly origin?: string | undefined;
    readonly allowance?: Allowance | undefined;
    readonly dialect: Dialect;
    readonly identity: Identity | undefined;
  }) {
    this.address = options.address;
    this.origin = options.origin;
    this.allowance = options.allowance;
    this.dialect = options.dialect;
    this.identity = options.identity;
  }

  /** Aborted when the connection ends. */
  get ended(): AbortSignal {
    if (this.#ended === undefined) {
      this.#ended = new AbortController();
      if (this.#hasEnded) this.#abort();
    }
    return this.#ended.signal;
  }

  /** The connection has ended. */
  end(): void {
    this.#hasEnded = true;
    this.#abort();
  }

  #abort(): void {
    this.#ended?.abort(new Error("The connection has ended."));
  }

  mayBeTold(nowUs: number): boolean {
    return this.identity !== undefined && !isVoid(this.identity, nowUs);
  }

  /** Keeps recording notifications of a camera back until the returned function is called (once or more). */
  hold(cameraId: string, send: (message: Outgoing) => void): () => void {
    this.#held ??= new Map();
    const held = this.#held;
    const entry = held.get(cameraId) ?? { holders: 0, messages: [] };
    entry.holders++;
    held.set(cameraId, entry);
    let released = false;
    return () => {
      if (released) return;
      released = true;
      entry.holders--;
      if (entry.holders > 0) return;
      held.delete(cameraId);
      for (const message of entry.messages) send(message);
    };
  }

  /** @returns true when `message` was kept back and will be sent on release */
  keepBack(cameraId: string, message: Outgoing): boolean {
    const entry = this.#held?.get(cameraId);
    entry?.messages.push(message);
    return entry !== undefined;
  }
}
