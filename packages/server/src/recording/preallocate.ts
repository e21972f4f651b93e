/**
 * Room set aside behind the end of a growing file, through `fallocate(2)`: Node has no call for it. The size of the
 * file does not change, and no other writer can take the room, which is what a full disk needs.
 */
import type { FileHandle } from "node:fs/promises";
import koffi from "koffi";

const keepSize = 1;
const errno = { ENOSPC: 28, EFBIG: 27, EDQUOT: 122 } as const;

export type Preallocation = "done" | "full" | "unsupported";

type Fallocate = (fd: number, offset: number, length: number) => Promise<number>;

let bound: Fallocate | null | undefined;

function throughLibc(): Fallocate | null {
  // The offsets are 64-bit words in this call only on 64-bit machines.
  if (process.platform !== "linux" || !process.arch.endsWith("64")) return null;
  try {
    const fallocate = koffi
      .load(null)
      .func("int fallocate(int fd, int mode, int64_t offset, int64_t length)");
    return (fd, offset, length) =>
      new Promise((resolve, reject) => {
        fallocate.async(fd, keepSize, offset, length, (error: unknown, result: number) => {
          // koffi keeps errno for the callback of an asynchronous call.
          if (error) reject(error);
          else resolve(result === 0 ? 0 : koffi.errno());
        });
      });
  } catch {
    return null;
  }
}

/** Makes sure that the blocks of `[offset, offset + length)` exist. Never throws: what is not possible is `unsupported`. */
export async function preallocate(file: FileHandle, offset: number, length: number): Promise<Preallocation> {
  bound ??= throughLibc();
  if (bound === null || length <= 0) return "unsupported";
  const failure = await bound(file.fd, offset, length).catch(() => -1);
  if (failure === 0) return "done";
  return failure === errno.ENOSPC || failure === errno.EDQUOT || failure === errno.EFBIG
    ? "full"
    : "unsupported";
}
