/**
 * Runs a rebuild and makes one answer of it: many files in a worker thread, a few here between other work, for a thread
 * takes up more than ten megabytes that the process never gives back.
 */
import { readdirSync, statSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { messageOf, OcelliError } from "@ocelli/protocol";
import type { MediaKind } from "./contract.ts";
import { isCorruption } from "./media-index.ts";
import type { RebuildMessage } from "./rebuild.worker.ts";
import { DamagedIndexError, rebuildIndex } from "./rebuild-task.ts";

export interface RebuildRequest {
  readonly databasePath: string;
  readonly folders: Readonly<Record<MediaKind, string>>;
  readonly full: boolean;
  /** Ends the worker; what it has written so far stays. */
  readonly signal: AbortSignal;
}

export interface RebuildOutcome {
  readonly added: number;
  readonly removed: number;
  /** Files that have no usable sidecar. */
  readonly orphans: readonly { readonly kind: MediaKind; readonly filename: string }[];
}

/** Media and sidecars together: a few milliseconds for each ten. */
const fewFiles = 128;
const smallIndexBytes = 2 ** 20;
const smallBatch = 5;

/** Details of the `storage_failed` error that mean: set the database aside and begin again. */
export const corruptIndex = { corrupt: true } as const;

/**
 * @throws OcelliError `storage_failed`, with `details.corrupt` true when the database is damaged; the signal's
 *   reason when aborted
 */
export async function runRebuild(request: RebuildRequest): Promise<RebuildOutcome> {
  request.signal.throwIfAborted();
  return isSmall(request) ? rebuildHere(request) : rebuildInThread(request);
}

function isSmall({ databasePath, folders }: RebuildRequest): boolean {
  try {
    const files = Object.values(folders).reduce((sum, folder) => sum + readdirSync(folder).length, 0);
    const bytes = statSync(databasePath, { throwIfNoEntry: false })?.size ?? 0;
    return files <= fewFiles && bytes <= smallIndexBytes;
  } catch {
    // What cannot be read is told by who tries in earnest.
    return false;
  }
}

async function rebuildHere({ signal, ...task }: RebuildRequest): Promise<RebuildOutcome> {
  const orphans: { kind: MediaKind; filename: string }[] = [];
  try {
    const result = await rebuildIndex(
      { ...task, batchSize: smallBatch },
      (kind, filename) => orphans.push({ kind, filename }),
      signal,
    );
    return { ...result, orphans };
  } catch (error) {
    signal.throwIfAborted();
    throw rebuildFailed(messageOf(error), error instanceof DamagedIndexError || isCorruption(error), error);
  }
}

async function rebuildInThread(request: RebuildRequest): Promise<RebuildOutcome> {
  const file = import.meta.url.endsWith(".ts") ? "./rebuild.worker.ts" : "./rebuild.worker.js";
  const worker = new Worker(new URL(file, import.meta.url), {
    workerData: {
      databasePath: request.databasePath,
      folders: { ...request.folders },
      full: request.full,
    },
  });
  const end = (): void => void worker.terminate();
  request.signal.addEventListener("abort", end, { once: true });
  const orphans: { kind: MediaKind; filename: string }[] = [];
  try {
    const outcome = await new Promise<RebuildMessage | undefined>((resolve, reject) => {
      let last: RebuildMessage | undefined;
      worker.on("message", (message: RebuildMessage) => {
        if (message.type === "orphan") orphans.push({ kind: message.kind, filename: message.filename });
        else last = message;
      });
      worker.once("error", reject);
      // Messages posted before the end arrive before this.
      worker.once("exit", () => resolve(last));
    });
    request.signal.throwIfAborted();
    if (outcome?.type === "done") return { added: outcome.added, removed: outcome.removed, orphans };
    const reason = outcome?.type === "failed" ? outcome.message : "its thread ended early";
    throw rebuildFailed(reason, outcome?.type === "failed" && outcome.corrupt);
  } catch (error) {
    if (error instanceof OcelliError || request.signal.aborted) throw error;
    throw rebuildFailed(messageOf(error), false, error);
  } finally {
    request.signal.removeEventListener("abort", end);
  }
}

function rebuildFailed(reason: string, corrupt: boolean, cause?: unknown): OcelliError {
  return new OcelliError("storage_failed", `The index of media could not be rebuilt: ${reason}.`, {
    details: corrupt ? corruptIndex : {},
    ...(cause === undefined ? {} : { cause }),
  });
}
