/**
 * How many connections the process may take without lacking files for its work: a hub that has used up its limit of
 * open files can neither record nor start ffmpeg.
 */
import { readFileSync } from "node:fs";

/** For cameras, recordings, databases, plain HTTP requests. */
const keptForWork = 512;

/** The limit of open files of this process; Node has raised the soft one to the hard one. `undefined`: not known. */
export function openFilesLimit(limitsFile = "/proc/self/limits"): number | undefined {
  try {
    const soft = /^Max open files\s+(\d+)/m.exec(readFileSync(limitsFile, "utf8"))?.[1];
    return soft === undefined ? undefined : Number(soft);
  } catch {
    return undefined;
  }
}

/** `wanted` connections, or as many as leave enough of the limit; with a small one half of it. */
export function connectionsWithin(limit: number | undefined, wanted: number): number {
  if (limit === undefined) return wanted;
  return Math.max(1, Math.min(wanted, limit - Math.min(keptForWork, Math.ceil(limit / 2))));
}
