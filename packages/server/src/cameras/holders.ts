/** Which programs have a device node open, as far as this user may see (its own processes; all of them as root). */
import { readdir, readFile, readlink } from "node:fs/promises";

export interface Holder {
  readonly pid: number;
  readonly command: string;
}

const atMost = 3;

/** Never rejects. @param procFolder for tests */
export async function holdersOf(node: string, procFolder = "/proc"): Promise<readonly Holder[]> {
  const found: Holder[] = [];
  for (const entry of await list(procFolder)) {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    const folder = `${procFolder}/${entry}`;
    if (!(await hasOpen(`${folder}/fd`, node))) continue;
    const command = await readFile(`${folder}/comm`, "utf8").catch(() => "");
    found.push({ pid, command: command.trim() });
    if (found.length === atMost) break;
  }
  return found;
}

/** `firefox (pid 123)`, separated by commas. */
export function holdersInWords(holders: readonly Holder[]): string {
  return holders
    .map(({ pid, command }) => `${command === "" ? "a program" : command} (pid ${pid})`)
    .join(", ");
}

async function hasOpen(folder: string, node: string): Promise<boolean> {
  const targets = await Promise.all(
    (await list(folder)).map((fd) => readlink(`${folder}/${fd}`).catch(() => undefined)),
  );
  return targets.includes(node);
}

/** Processes come and go, and those of others are closed to us. */
function list(folder: string): Promise<string[]> {
  return readdir(folder).catch(() => []);
}
