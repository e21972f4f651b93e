/** Starts the rebuild worker and turns its messages into one answer. */
import { Worker } from "node:worker_threads";
import { messageOf, OcelliError } from "@ocelli/protocol";
import type { MediaKind } from "./contract.ts";
import type { RebuildMessage } from "./rebuild.worker.ts";

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

/** Details of the `storage_failed` error that mean: set the database aside and begin again. */
export const corruptIndex = { corrupt: true } as const;

/**
 * @throws OcelliError `storage_failed`, with `details.corrupt` true when the database is damaged; the signal's
 *   reason when aborted
 */
export async function runRebuild(request: RebuildRequest): Promise<RebuildOutcome> {
  request.signal.throwIfAborted();
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
    throw new OcelliError("storage_failed", `The index of media could not be rebuilt: ${reason}.`, {
      details: outcome?.type === "failed" && outcome.corrupt ? corruptIndex : {},
    });
  } catch (error) {
    if (error instanceof OcelliError || request.signal.aborted) throw error;
    throw new OcelliError("storage_failed", `The index of media could not be rebuilt: ${messageOf(error)}.`, {
      cause: error,
    });
  } finally {
    request.signal.removeEventListener("abort", end);
  }
}
