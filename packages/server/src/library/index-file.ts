/** The index as a file: opening it, and setting aside one that cannot be used. */
import { existsSync, renameSync } from "node:fs";
import { messageOf, OcelliError } from "@ocelli/protocol";
import type { Clock } from "../clock/clock.ts";
import type { Log } from "../log/log.ts";
import { isCorruption, MediaIndex } from "./media-index.ts";

/**
 * @returns the index, and whether it is an empty one
 * @throws OcelliError `storage_failed` when even a new one cannot be made
 */
export function openIndex(path: string, clock: Clock, log: Log): { index: MediaIndex; isNew: boolean } {
  const isNew = !existsSync(path);
  try {
    return { index: new MediaIndex(path), isNew };
  } catch (error) {
    // Damaged, or made by a newer version: both are cured by a new one. A folder that cannot be written is not.
    const newer = error instanceof OcelliError && error.details.found !== undefined;
    if (isNew || !(isCorruption(error) || newer)) throw error;
    log.warn({ path, reason: messageOf(error) }, "the index of media cannot be used and is made again");
  }
  setAside(path, clock, log);
  return { index: new MediaIndex(path), isNew: true };
}

/** Renames the database and what SQLite keeps beside it. */
export function setAside(path: string, clock: Clock, log: Log): void {
  const aside = `${path}.damaged-${clock.wallUs()}`;
  for (const suffix of ["", "-wal", "-shm"]) {
    try {
      renameSync(`${path}${suffix}`, `${aside}${suffix}`);
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
    }
  }
  log.warn({ path: aside }, "a damaged index of media was set aside; the sidecars hold all it held");
}
