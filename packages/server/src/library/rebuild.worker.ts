/** The worker thread around `reconcile.ts`: opens its own connection, reports to `rebuild.ts`. */
import { setImmediate } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";
import { messageOf } from "@ocelli/protocol";
import { z } from "zod";
import type { MediaKind } from "./contract.ts";
import { isCorruption, MediaIndex } from "./media-index.ts";
import { reconcile } from "./reconcile.ts";

export type RebuildMessage =
  | { readonly type: "orphan"; readonly kind: MediaKind; readonly filename: string }
  | { readonly type: "done"; readonly added: number; readonly removed: number }
  | { readonly type: "failed"; readonly corrupt: boolean; readonly message: string };

const task = z
  .object({
    databasePath: z.string(),
    folders: z.object({ recording: z.string(), snapshot: z.string() }),
    full: z.boolean(),
  })
  .parse(workerData);

const post = (message: RebuildMessage): void => parentPort?.postMessage(message);

async function run(): Promise<void> {
  const index = new MediaIndex(task.databasePath);
  try {
    if (!index.isIntact()) {
      post({ type: "failed", corrupt: true, message: "the database is damaged" });
      return;
    }
    const steps = reconcile({
      index,
      folders: task.folders,
      full: task.full,
      onOrphan: (kind, filename) => post({ type: "orphan", kind, filename }),
    });
    for (;;) {
      const step = steps.next();
      if (step.done === true) {
        post({ type: "done", ...step.value });
        return;
      }
      // Lets the other thread have the database, and this one be ended.
      await setImmediate();
    }
  } finally {
    index.close();
  }
}

try {
  await run();
} catch (error) {
  post({ type: "failed", corrupt: isCorruption(error), message: messageOf(error) });
}
