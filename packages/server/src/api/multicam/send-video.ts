/**
 * A file on a MultiCam connection: header and file, one piece read ahead at most, so that many GB and a reader that
 * hardly reads cost the same memory.
 */
import { open } from "node:fs/promises";
import type { Socket } from "node:net";
import { OcelliError } from "@ocelli/protocol";
import { withLength, writeFileHeader } from "@ocelli/protocol/multicam";
import type { Clock } from "../../clock/clock.ts";
import type { OpenableFile } from "../../multicam/contract.ts";

const pieceBytes = 2 ** 19;

/**
 * Resolves when the last byte has been given to the system. The connection stays open.
 * @throws OcelliError `file_not_found` before anything was sent; afterwards the connection is cut instead
 */
export async function sendVideo(
  socket: Socket,
  deviceId: string,
  { path, fileName }: OpenableFile,
  { clock, stallTimeoutMs }: { readonly clock: Clock; readonly stallTimeoutMs: number },
): Promise<void> {
  const file = await open(path, "r").catch((cause: unknown) => {
    throw new OcelliError("file_not_found", `${fileName} is not there any more.`, { cause });
  });
  try {
    const { size } = await file.stat();
    const header = withLength(writeFileHeader(deviceId, { fileName, fileSize: size }));
    await write(socket, header, clock, stallTimeoutMs);
    const pieces = [Buffer.allocUnsafe(pieceBytes), Buffer.allocUnsafe(pieceBytes)];
    let written: Promise<boolean> = Promise.resolve(true);
    for (let at = 0, turn = 0; at < size; turn ^= 1) {
      // Reads one piece while the other is on its way.
      const piece = pieces[turn] ?? Buffer.allocUnsafe(pieceBytes);
      // A disk that fails is as a file that was cut: nothing else may follow where its bytes were promised.
      const { bytesRead } = await file
        .read(piece, 0, Math.min(pieceBytes, size - at), at)
        .catch(() => ({ bytesRead: 0 }));
      if (!(await written)) return;
      if (bytesRead === 0) {
        // Somebody cut the file: the promise of the header cannot be kept.
        socket.destroy();
        return;
      }
      at += bytesRead;
      written = write(socket, piece.subarray(0, bytesRead), clock, stallTimeoutMs);
    }
    await written;
  } finally {
    await file.close();
  }
}

/** @returns whether it has been taken; the connection is gone otherwise */
function write(socket: Socket, bytes: Uint8Array, clock: Clock, stallTimeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    if (socket.destroyed || !socket.writable) {
      resolve(false);
      return;
    }
    const cancel = clock.after(stallTimeoutMs, () => socket.destroy());
    const settle = (taken: boolean) => (): void => {
      cancel();
      socket.off("close", onClose);
      resolve(taken);
    };
    const onClose = settle(false);
    socket.once("close", onClose);
    // Called when the system has taken it, so that the buffer may be used again.
    socket.write(bytes, (error) => settle(error == null)());
  });
}
