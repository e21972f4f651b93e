/**
 * How a child is started so that it never outlives the hub: through `setpriv --pdeathsig KILL` where that
 * exists (util-linux 2.33, on every Debian and Ubuntu), then a shell that looks whether the hub still lives: it
 * may have died before the signal was asked for (prctl(2), PR_SET_PDEATHSIG). Each replaces itself by the next, so
 * the pid is the program's own. Without `setpriv` a child still ends when its pipe to the hub breaks.
 */
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

let setpriv: string | null | undefined;

/** `$1` is the hub's pid, the rest the program and its arguments, untouched by the shell. */
const onlyWithParent = '[ "$PPID" = "$1" ] || exit 1; shift; exec "$@"';

/** The full path of an executable of `PATH`, or `undefined`. */
export function findExecutable(name: string, path = process.env.PATH ?? ""): string | undefined {
  const candidates = name.includes("/") ? [name] : path.split(delimiter).map((dir) => join(dir || ".", name));
  return candidates.find((candidate) => {
    try {
      accessSync(candidate, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Program and arguments to spawn for `program args…`, tied to the life of the thread that spawns it. */
export function launchCommand(program: string, args: readonly string[]): { file: string; args: string[] } {
  if (setpriv === undefined) {
    setpriv = process.platform === "linux" ? (findExecutable("setpriv") ?? null) : null;
  }
  if (setpriv === null) return { file: program, args: [...args] };
  const checked = ["/bin/sh", "-c", onlyWithParent, "sh", String(process.pid), program, ...args];
  return { file: setpriv, args: ["--pdeathsig", "KILL", "--", ...checked] };
}
