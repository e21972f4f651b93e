/** What can be asked of a session's files: the report, and the cut to what all members have. */
import { existsSync, readdirSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { OcelliError } from "@ocelli/protocol";
import { readFrameTimes } from "../media/mp4-recovery.ts";
import { type Aligned, type AlignOptions, type AlignParts, alignPrefix, alignSession } from "./align.ts";
import type { SyncReport } from "./contract.ts";
import type { TimedFrame } from "./cut-plan.ts";
import { buildReport } from "./report.ts";
import { isOpen } from "./store.ts";
import type { SyncGroups } from "./sync-groups.ts";

export interface SessionFilesOptions extends Omit<AlignParts, "frames"> {
  readonly sessions: Pick<SyncGroups, "session">;
}

export class SessionFiles {
  readonly #options: SessionFilesOptions;
  readonly #closing = new AbortController();
  readonly #aligning = new Map<string, Promise<Aligned>>();

  constructor(options: SessionFilesOptions) {
    this.#options = options;
    removeUnfinished(options.folder);
  }

  /** Also of a session that is still recording: of what is in its files so far. @throws OcelliError `not_found` */
  report(sessionId: string): Promise<SyncReport> {
    const { library, clock, sessions } = this.#options;
    return buildReport(sessions.session(sessionId), {
      entry: (filename) => library.get("recording", filename),
      async *frameTimes(path) {
        for await (const { capturedAtUs } of framesOf(path)) yield capturedAtUs;
      },
      nowUs: () => clock.wallUs(),
    });
  }

  /**
   * Once at a time for a session.
   * @throws OcelliError `not_found`, `file_in_use` while it records or is being aligned, and those of `alignSession`
   */
  async align(
    sessionId: string,
    options: Omit<AlignOptions, "signal"> & { readonly signal?: AbortSignal },
  ): Promise<Aligned> {
    const session = this.#options.sessions.session(sessionId);
    if (isOpen(session) || this.#aligning.has(sessionId)) {
      const why = isOpen(session) ? "is still recording. Stop it first." : "is being aligned already.";
      throw new OcelliError("file_in_use", `Session ${sessionId} ${why}`, {
        details: { session: sessionId },
      });
    }
    const signal = AbortSignal.any([
      this.#closing.signal,
      ...(options.signal === undefined ? [] : [options.signal]),
    ]);
    const work = (async () => {
      const report = await this.report(sessionId);
      return alignSession(report, { ...this.#options, frames: framesOf }, { ...options, signal });
    })();
    this.#aligning.set(sessionId, work);
    try {
      return await work;
    } finally {
      this.#aligning.delete(sessionId);
    }
  }

  /** Gives up what is being made; nothing half done is left. */
  async close(): Promise<void> {
    this.#closing.abort(new OcelliError("ffmpeg_failed", "The hub is shutting down."));
    await Promise.allSettled(this.#aligning.values());
  }
}

/** What a hub that was killed had begun to cut; as large as the recordings, and nobody's. */
function removeUnfinished(folder: string): void {
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder)) {
    if (name.startsWith(alignPrefix)) rmSync(join(folder, name), { recursive: true, force: true });
  }
}

/** @throws OcelliError `unsupported` for a file without capture times, `file_not_found` */
async function* framesOf(path: string): AsyncGenerator<TimedFrame> {
  const file = await open(path, "r").catch((cause: unknown) => {
    throw new OcelliError("file_not_found", `The recording ${path} cannot be opened.`, {
      details: { path },
      cause,
    });
  });
  try {
    const { size } = await file.stat();
    yield* readFrameTimes(async (offset, length) => {
      const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(length), 0, length, offset);
      return buffer.subarray(0, bytesRead);
    }, size);
  } finally {
    await file.close();
  }
}
