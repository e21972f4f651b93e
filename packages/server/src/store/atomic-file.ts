/**
 * Whole-file writes that are all or nothing: a reader, or the machine after power loss, sees the old content or
 * the new, never a part. Used for sidecars and other small files.
 */
import { randomBytes } from "node:crypto";
import { open, rename, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

export interface WriteFileAtomicOptions {
  /** Permission bits of the new file. Default 0o644. */
  readonly mode?: number;
  /** Flush file and folder to the disk before resolving. Default true. */
  readonly sync?: boolean;
}

/** Temporary names begin with this; what a crash leaves behind may be deleted. */
export const temporaryPrefix = ".tmp-";

/**
 * Writes to a temporary file in the same folder, flushes it, renames it over `path`, then flushes the folder.
 * The temporary file is removed on failure. Errors are those of the file system.
 */
export async function writeFileAtomic(
  path: string,
  data: string | Uint8Array,
  options: WriteFileAtomicOptions = {},
): Promise<void> {
  const { mode = 0o644, sync = true } = options;
  const folder = dirname(path);
  // A short name: the file's own may already be as long as the file system allows.
  const temporary = join(
    folder,
    `${temporaryPrefix}${basename(path).slice(0, 32)}-${randomBytes(6).toString("hex")}`,
  );
  const handle = await open(temporary, "wx", mode);
  try {
    try {
      // The umask may have taken bits away that the caller asked for.
      await handle.chmod(mode);
      await handle.writeFile(data);
      if (sync) await handle.datasync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    throw error;
  }
  if (sync) await syncFolder(folder);
}

/** Makes created, renamed and deleted names in `folder` survive power loss. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
