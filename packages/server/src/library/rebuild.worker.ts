/** The worker thread around `rebuild-task.ts`: reports to `rebuild.ts`. */
import { parentPort, workerData } from "node:worker_threads";
import { messageOf } from "@ocelli/protocol";
import { z } from "zod";
import type { MediaKind } from "./contract.ts";
import { isCorruption } from "./media-index.ts";
import { DamagedIndexError, rebuildIndex } from "./rebuild-task.ts";

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

try {
  const result = await rebuildIndex(task, (kind, filename) => post({ type: "orphan", kind, filename }));
  post({ type: "done", ...result });
} catch (error) {
  const corrupt = error instanceof DamagedIndexError || isCorruption(error);
  post({ type: "failed", corrupt, message: messageOf(error) });
}
