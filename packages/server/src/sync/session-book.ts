/**
 * The sessions there are: those that run, in memory and written down at each change, and those that are over, as they were
 * written down. What changes them is `sync-groups.ts`'s.
 */
import { OcelliError } from "@ocelli/protocol";
import type { EventBus } from "../events/bus.ts";
import type { Log } from "../log/log.ts";
import type { SessionMember, SyncGroup, SyncSession } from "./contract.ts";
import { withMember } from "./session-state.ts";
import { isOpen, type SessionPage, type SyncStore } from "./store.ts";

export interface SessionBookOptions {
  readonly store: SyncStore;
  readonly bus: EventBus;
  readonly log: Log;
}

export class SessionBook {
  readonly #options: SessionBookOptions;
  readonly #open = new Map<string, SyncSession>();

  constructor(options: SessionBookOptions) {
    this.#options = options;
    for (const session of options.store.openSessions()) this.#open.set(session.id, session);
  }

  /** Those that run. */
  open(): readonly SyncSession[] {
    return [...this.#open.values()];
  }

  /** One that runs. */
  openOne(id: string): SyncSession | undefined {
    return this.#open.get(id);
  }

  openOf({ id }: SyncGroup): SyncSession | undefined {
    return this.open().find(({ groupId }) => groupId === id);
  }

  /** Newest first, running ones included. */
  page(page: SessionPage): { sessions: readonly SyncSession[]; total: number } {
    const { store } = this.#options;
    return { sessions: store.sessions(page), total: store.sessionCount() };
  }

  /** @throws OcelliError `not_found` */
  session(id: string): SyncSession {
    const session = this.#open.get(id) ?? this.#options.store.session(id);
    if (session !== undefined) return session;
    throw new OcelliError("not_found", `There is no sync session ${id}.`, { details: { session: id } });
  }

  /** Written down before anything is armed, so that a crash leaves a trace of what belongs together. @throws OcelliError */
  add(session: SyncSession): void {
    this.#options.store.putSession(session);
    this.#open.set(session.id, session);
  }

  /** A session after a change; kept as over when it is. */
  put(session: SyncSession): void {
    if (isOpen(session)) this.#open.set(session.id, session);
    else this.#open.delete(session.id);
    this.#write(session);
    this.#options.bus.emit("sync.session", { session });
  }

  /** At once, so that what a member's recording does from now on finds it. Written down and told with the next change. */
  note(id: string, { key, ...change }: SessionMember): void {
    const session = this.#open.get(id);
    if (session !== undefined) this.#open.set(id, withMember(session, key, change));
  }

  /** As if it had never been. */
  drop({ id }: SyncSession): void {
    const { store, log } = this.#options;
    this.#open.delete(id);
    try {
      store.removeSession(id);
    } catch (error) {
      // Its members must be let go all the same.
      log.error({ err: error, session: id }, "a sync session that was called off is still written down");
    }
  }

  /** Names what was made of a session's files. @throws OcelliError `not_found` */
  noteAligned(id: string, files: readonly string[]): void {
    const session = this.session(id);
    this.#write({ ...session, aligned: [...(session.aligned ?? []), ...files] });
  }

  /** One that is over; its files stay. @throws OcelliError `not_found` */
  forget(id: string): SyncSession {
    const session = this.session(id);
    this.#options.store.removeSession(id);
    return session;
  }

  #write(session: SyncSession): void {
    const { store, log } = this.#options;
    try {
      store.putSession(session);
    } catch (error) {
      // The recordings matter more than the note of them.
      log.error({ err: error, session: session.id }, "a sync session could not be written down");
    }
  }
}
