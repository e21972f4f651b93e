/**
 * The data directory: its layout, and the lock that keeps a second hub out. The lock is flock(2), which the kernel
 * releases when the process dies however it dies, so that no stale lock file has to be judged.
 */
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  writeSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { messageOf, OcelliError } from "@ocelli/protocol";
import koffi from "koffi";
import { makeReserve } from "./reserve.ts";

export interface DataDir {
  readonly root: string;
  readonly recordings: string;
  readonly snapshots: string;
  /** Database, keys and journal: 0700. */
  readonly state: string;
  /** File name of the hub's database. */
  readonly database: string;
}

/**
 * Creates what is missing; what exists keeps its permissions. The root is created 0700, for pictures of cameras
 * are private; the media folders in it 0755, so that whoever opens the root shares the media and nothing else.
 * @throws OcelliError `storage_failed`
 */
export function createDataDir(dir: string): DataDir {
  const root = resolve(dir);
  const layout: DataDir = {
    root,
    recordings: join(root, "recordings"),
    snapshots: join(root, "snapshots"),
    state: join(root, "state"),
    database: join(root, "state", "ocelli.db"),
  };
  try {
    makeWritable(root, 0o700);
    makeWritable(layout.recordings, 0o755);
    makeWritable(layout.snapshots, 0o755);
    makeWritable(layout.state, 0o700);
    makeReserve(layout.state);
  } catch (error) {
    throw new OcelliError(
      "storage_failed",
      `The data directory ${root} cannot be used: ${messageOf(error)}. Choose another with --data-dir or OCELLI_DATA_DIR, or give the user running the hub write permission there.`,
      { details: { path: root }, cause: error },
    );
  }
  return layout;
}

/** Node's recursive mkdir calls a folder on a read-only file system missing, so what exists is only looked at. */
function makeWritable(folder: string, mode: number): void {
  if (!existsSync(folder)) mkdirSync(folder, { recursive: true, mode });
  accessSync(folder, constants.W_OK | constants.X_OK);
}

export interface DataDirLock {
  readonly path: string;
  /** Idempotent. The file stays; only the lock on it counts. */
  close(): void;
}

const lockExclusive = 2;
const lockNonBlocking = 4;
const wouldBlock = 11;

/**
 * Takes the lock on `<dir>/ocelli.lock` and writes our pid into it.
 * @throws OcelliError `data_dir_locked` naming the process that holds it; `storage_failed` when it cannot be locked at all
 */
export function lockDataDir(dir: string): DataDirLock {
  const path = join(resolve(dir), "ocelli.lock");
  let fd: number;
  try {
    // libuv adds O_CLOEXEC: no child process inherits the lock.
    fd = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o644);
  } catch (error) {
    throw new OcelliError("storage_failed", `The lock file ${path} cannot be opened: ${messageOf(error)}.`, {
      details: { path },
      cause: error,
    });
  }
  const errno = flock(fd, lockExclusive | lockNonBlocking);
  if (errno !== 0) {
    const holder = errno === wouldBlock ? holderOf(fd) : undefined;
    closeSync(fd);
    if (errno === wouldBlock) {
      throw new OcelliError(
        "data_dir_locked",
        `Another hub${holder === undefined ? "" : ` (process ${holder})`} is using the data directory ${resolve(dir)}. Stop it, or give this one its own directory with OCELLI_DATA_DIR.`,
        { details: { path, pid: holder } },
      );
    }
    throw new OcelliError(
      "storage_failed",
      `The data directory ${resolve(dir)} cannot be locked (flock error ${errno}). Choose one on a local file system with OCELLI_DATA_DIR.`,
      { details: { path, errno } },
    );
  }
  try {
    ftruncateSync(fd, 0);
    writeSync(fd, `${process.pid}\n`, 0);
  } catch {
    // On a full disk: the lock holds without the number, which only makes a message clearer.
  }
  let open = true;
  return {
    path,
    close() {
      if (!open) return;
      open = false;
      closeSync(fd);
    },
  };
}

function holderOf(fd: number): number | undefined {
  const pid = Number.parseInt(readFileSync(fd, "utf8"), 10);
  return Number.isSafeInteger(pid) && pid > 0 ? pid : undefined;
}

let flockFunction: ((fd: number, operation: number) => number) | undefined;

/** Returns 0 or errno. */
function flock(fd: number, operation: number): number {
  flockFunction ??= koffi.load(null).func("int flock(int fd, int operation)");
  return flockFunction(fd, operation) === 0 ? 0 : koffi.errno();
}
