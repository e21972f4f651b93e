/**
 * What the service remembers of one connection: who it is, what it speaks, the order its commands keep, and the
 * notifications held back until an answer is out. No socket here.
 */
import { randomUUID } from "node:crypto";
import type { Dialect } from "@ocelli/protocol/camera-service";
import { type Identity, isExpired } from "../../auth/identity.ts";
import type { Allowance } from "../edge/rate-limits.ts";
import { Gate } from "./gate.ts";
import { Lanes } from "./lanes.ts";

export class Session {
  readonly id = randomUUID();
  /** Address of the client: the socket's peer, or what a trusted proxy says. */
  readonly address: string;
  /** `http://hub.local:8002`, as the client reached it, if it told. */
  readonly origin: string | undefined;
  /** Calls it may make; `undefined` without a limit. */
  readonly allowance: Allowance | undefined;
  readonly gate = new Gate();
  readonly lanes = new Lanes();
  /** Aborted when the connection ends. */
  readonly ended = new AbortController();
  dialect: Dialect;
  identity: Identity | undefined;
  readonly #held = new Map<string, { holders: number; texts: string[] }>();

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

  mayBeTold(nowUs: number): boolean {
    return this.identity !== undefined && !isExpired(this.identity, nowUs);
  }

  /** Keeps recording notifications of a camera back until the returned function is called (once or more). */
  hold(cameraId: string, send: (text: string) => void): () => void {
    const entry = this.#held.get(cameraId) ?? { holders: 0, texts: [] };
    entry.holders++;
    this.#held.set(cameraId, entry);
    let released = false;
    return () => {
      if (released) return;
      released = true;
      entry.holders--;
      if (entry.holders > 0) return;
      this.#held.delete(cameraId);
      for (const text of entry.texts) send(text);
    };
  }

  /** @returns true when `text` was kept back and will be sent on release */
  keepBack(cameraId: string, text: string): boolean {
    const entry = this.#held.get(cameraId);
    entry?.texts.push(text);
    return entry !== undefined;
  }
}
