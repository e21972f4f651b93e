/** What can be asked of a session's files: the report, and the cut to what all members have. */
import { OcelliError } from "@ocelli/protocol";
import { recordedFrames } from "../library/recorded-frames.ts";
import { Limiter } from "../store/limiter.ts";
import { type Aligned, type AlignOptions, type AlignParts, alignSession } from "./align/align.ts";
import type { SyncReport, SyncSession } from "./contract.ts";
import { removeUnfinished } from "./members/work-folder.ts";
import { Reports } from "./report/reports.ts";
import type { SessionBook } from "./session-book.ts";
import { isOpen } from "./store.ts";

export interface SessionFilesOptions extends Omit<AlignParts, "frames"> {
  readonly sessions: Pick<SessionBook, "session" | "forget" | "noteAligned">;
  /** `alignSession` unless a test says otherwise. */
  readonly alignFiles?: typeof alignSession;
}

/** Each is an ffmpeg that takes what processor time there is. */
const alignedAtOnce = 2;

export class SessionFiles {
  readonly #options: SessionFilesOptions;
  readonly #reports: Reports;
  readonly #closing = new AbortController();
  readonly #aligning = new Map<string, Promise<Aligned>>();
  readonly #alignTurns = new Limiter(alignedAtOnce);
  /** Sessions whose files are being deleted. */
  readonly #removing = new Set<string>();

  constructor(options: SessionFilesOptions) {
    this.#options = options;
    this.#reports = new Reports(options);
    removeUnfinished(options.folder);
  }

  /** Also of a session that is still recording: of what is in its files so far. @throws OcelliError `not_found` */
  report(sessionId: string): Promise<SyncReport> {
    return this.#reports.of(this.#options.sessions.session(sessionId));
  }

  /**
   * Once at a time for a session; a few sessions at once, the others wait in order.
   * @throws OcelliError `not_found`, `file_in_use` while it records, is being aligned or deleted, and those of `alignSession`
   */
  async align(
    sessionId: string,
    options: Omit<AlignOptions, "signal"> & { readonly signal?: AbortSignal },
  ): Promise<Aligned> {
    const { sessions } = this.#options;
    this.#refuseInUse(sessions.session(sessionId));
    const signal = AbortSignal.any([
      this.#closing.signal,
      ...(options.signal === undefined ? [] : [options.signal]),
    ]);
    const work = (async () => {
      const { alignFiles = alignSession } = this.#options;
      const aligned = await this.#alignTurns.run(async () => {
        signal.throwIfAborted();
        const report = await this.report(sessionId);
        return alignFiles(report, { ...this.#options, frames: recordedFrames }, { ...options, signal });
      });
      const made = aligned.members.map(({ filename }) => filename);
      sessions.noteAligned(sessionId, aligned.preview === undefined ? made : [...made, aligned.preview]);
      return aligned;
    })();
    this.#aligning.set(sessionId, work);
    try {
      return await work;
    } finally {
      this.#aligning.delete(sessionId);
    }
  }

  /**
   * Forgets a session.
   * @param withFiles also deletes what its members recorded and what aligning made of that; files that are gone are no fault
   * @returns the session, and the files deleted
   * @throws OcelliError `not_found`, `file_in_use` while it records, is being aligned or deleted, or a file is in use; it is
   *   kept then
   */
  async remove(
    sessionId: string,
    withFiles: boolean,
  ): Promise<{ readonly session: SyncSession; readonly deleted: readonly string[] }> {
    const { sessions, library } = this.#options;
    const session = sessions.session(sessionId);
    this.#refuseInUse(session);
    const files = withFiles
      ? [...session.members.flatMap((member) => member.files), ...(session.aligned ?? [])]
      : [];
    const deleted: string[] = [];
    this.#removing.add(sessionId);
    try {
      for (const file of files) {
        try {
          await library.delete("recording", file);
          deleted.push(file);
        } catch (error) {
          if (!(error instanceof OcelliError && error.code === "file_not_found")) throw error;
        }
      }
      return { session: sessions.forget(sessionId), deleted };
    } finally {
      this.#removing.delete(sessionId);
    }
  }

  #refuseInUse(session: SyncSession): void {
    const why = isOpen(session)
      ? "is still recording. Stop it first."
      : this.#aligning.has(session.id)
        ? "is being aligned."
        : this.#removing.has(session.id)
          ? "is being deleted."
          : undefined;
    if (why === undefined) return;
    throw new OcelliError("file_in_use", `Session ${session.id} ${why}`, {
      details: { session: session.id },
    });
  }

  /** Gives up what is being made; nothing half done is left. */
  async close(): Promise<void> {
    const reason = new OcelliError("ffmpeg_failed", "The hub is shutting down.");
    this.#closing.abort(reason);
    await Promise.all([this.#reports.close(reason), Promise.allSettled(this.#aligning.values())]);
  }
}
