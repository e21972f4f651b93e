/**
 * A file that only takes up room: when the disk is full, its room is given to the databases, so that people can
 * still delete and the hub can still start. It lies beside them and is made again once there is room.
 */
import { randomFillSync } from "node:crypto";
import { existsSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Some hundred changes of an index, or opening each database. */
const reserveBytes = 1024 * 1024;

const pathIn = (folder: string): string => join(folder, "reserve");

export function hasReserve(folder: string): boolean {
  return existsSync(pathIn(folder));
}

/**
 * Makes the reserve if it is missing and the disk has room for it several times over; never throws.
 * @param folder of the databases
 */
export function makeReserve(folder: string): void {
  try {
    if (hasReserve(folder)) return;
    const { bavail, bsize } = statfsSync(folder);
    if (bavail * bsize < 8 * reserveBytes) return;
    // Zeros would take up no room on some file systems.
    writeFileSync(pathIn(folder), randomFillSync(Buffer.alloc(reserveBytes)), { mode: 0o600 });
  } catch {
    // Half a reserve holds no promise.
    rmSync(pathIn(folder), { force: true });
  }
}

/** Gives its room away. @returns whether there was one; never throws */
export function spendReserve(folder: string): boolean {
  if (!hasReserve(folder)) return false;
  try {
    rmSync(pathIn(folder));
    return true;
  } catch {
    return false;
  }
}
