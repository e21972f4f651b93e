/**
 * Pipes whose reading end is looked into when we like, through `pipe2(2)`: Node gives children pipes that it reads
 * itself, one wake-up for every write. Where the calls cannot be had there is none, and Node's serve.
 */
import { closeSync } from "node:fs";
import koffi from "koffi";

export interface PipeEnds {
  /** Never blocks: `EAGAIN` when there is nothing. */
  readonly readFd: number;
  readonly writeFd: number;
}

const closeOnExec = 0o2000000;
const nonBlocking = 0o4000;
const command = { setFlags: 4, setPipeSize: 1031, getPipeSize: 1032 } as const;

interface Calls {
  readonly pipe2: (ends: Int32Array, flags: number) => number;
  readonly fcntl: (fd: number, command: number, type: "int", value: number) => number;
}

let bound: Calls | null | undefined;

function throughLibc(): Calls | null {
  if (process.platform !== "linux") return null;
  try {
    const libc = koffi.load(null);
    return {
      pipe2: libc.func("int pipe2(int *ends, int flags)"),
      fcntl: libc.func("int fcntl(int fd, int command, ...)"),
    };
  } catch {
    return null;
  }
}

/** Both ends are closed in children that are not given them. `undefined` where the system has no more of them. */
export function makePipe(): PipeEnds | undefined {
  bound ??= throughLibc();
  if (bound === null) return undefined;
  const ends = new Int32Array(2);
  if (bound.pipe2(ends, closeOnExec) !== 0) return undefined;
  const [readFd = -1, writeFd = -1] = ends;
  // Of the reading end only: programs expect that their output waits.
  if (bound.fcntl(readFd, command.setFlags, "int", nonBlocking) === 0) return { readFd, writeFd };
  closeSync(readFd);
  closeSync(writeFd);
  return undefined;
}

/** What the pipe holds before its writer has to wait, bytes. */
export function pipeBytes(fd: number): number {
  const bytes = bound?.fcntl(fd, command.getPipeSize, "int", 0) ?? 0;
  return bytes > 0 ? bytes : 65_536;
}

/** Asks that the pipe hold `bytes`; the system may refuse. Returns what it holds. */
export function growPipe(fd: number, bytes: number): number {
  bound?.fcntl(fd, command.setPipeSize, "int", bytes);
  return pipeBytes(fd);
}
