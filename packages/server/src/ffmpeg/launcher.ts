/**
 * How a child is started so that it never outlives the hub: through `setpriv --pdeathsig KILL` where that
 * exists (util-linux 2.33, on every Debian and Ubuntu). `setpriv` replaces itself by the program, so the pid
 * is the program's own. Without it a child still ends when its pipe to the hub breaks.
 */
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

let setpriv: string | null | undefined;

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
  return setpriv === null
    ? { file: program, args: [...args] }
    : { file: setpriv, args: ["--pdeathsig", "KILL", "--", program, ...args] };
}
