/**
 * The API keys of a hub that does not run, for whoever has its data folder: a lost admin key must not be the end. Holds
 * the lock of the folder, so that no hub starts meanwhile.
 */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { OcelliError } from "@ocelli/protocol";
import { SystemClock } from "../clock/system-clock.ts";
import { lockDataDir } from "../store/data-dir.ts";
import { openDatabase } from "../store/database.ts";
import { ApiKeys, keyMigrations, type NewApiKey } from "./api-keys.ts";

export interface OfflineKeys {
  readonly keys: ApiKeys;
  /** Epoch microseconds. */
  readonly nowUs: () => number;
  /**
   * Makes a new admin key and revokes the others, or every key there is.
   * @returns the new key, and how many were revoked
   */
  reset(which: "admin" | "all"): { readonly made: NewApiKey; readonly revoked: number };
  /** Idempotent. */
  close(): void;
}

/**
 * @throws OcelliError `data_dir_locked` when a hub runs; `file_not_found` when the folder is not one of a hub;
 *   `storage_failed`
 */
export function openOfflineKeys(dataDir: string): OfflineKeys {
  const root = resolve(dataDir);
  const file = join(root, "state", "ocelli.db");
  if (!existsSync(file)) {
    throw new OcelliError(
      "file_not_found",
      `No hub has ever kept its data in ${root}. Name the folder with --data-dir or OCELLI_DATA_DIR.`,
      { details: { path: root } },
    );
  }
  const lock = lockDataDir(root);
  const clock = new SystemClock();
  try {
    const database = openDatabase(file, keyMigrations);
    const keys = new ApiKeys({ database, clock });
    return {
      keys,
      nowUs: () => clock.wallUs(),
      reset: (which) =>
        database.transaction(() => {
          const old = keys
            .list()
            .filter(({ isActive, role }) => isActive && (which === "all" || role === "admin"));
          const made = keys.create({ name: "admin", role: "admin" });
          for (const { keyId } of old) keys.revoke(keyId);
          return { made, revoked: old.length };
        }),
      close() {
        clock.close();
        database.close();
        lock.close();
      },
    };
  } catch (error) {
    clock.close();
    lock.close();
    throw error;
  }
}
