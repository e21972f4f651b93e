/** The work of a rebuild, in whichever thread: opens its own connection, gives way between batches. */
import { setImmediate } from "node:timers/promises";
import type { MediaKind } from "./contract.ts";
import { MediaIndex } from "./media-index.ts";
import { type ReconcileResult, reconcile } from "./reconcile.ts";

export interface RebuildTask {
  readonly databasePath: string;
  readonly folders: Readonly<Record<MediaKind, string>>;
  readonly full: boolean;
  /** Files a transaction, after which others get their turn. */
  readonly batchSize?: number;
}

/** The index is damaged: it has to be set aside and begun again. */
export class DamagedIndexError extends Error {
  override readonly name = "DamagedIndexError";
}

/** @throws DamagedIndexError; whatever SQLite and the file system throw; the signal's reason, between two batches */
export async function rebuildIndex(
  task: RebuildTask,
  onOrphan: (kind: MediaKind, filename: string) => void,
  signal?: AbortSignal,
): Promise<ReconcileResult> {
  const { databasePath, ...what } = task;
  const index = new MediaIndex(databasePath);
  try {
    if (!index.isIntact()) throw new DamagedIndexError("the database is damaged");
    const steps = reconcile({ ...what, index, onOrphan });
    for (;;) {
      const step = steps.next();
      if (step.done === true) return step.value;
      // Lets others have the database, and this be ended.
      await setImmediate();
      signal?.throwIfAborted();
    }
  } finally {
    index.close();
  }
}
