/** Finds which process listens on a TCP port, from /proc; only as much of it as this user may see. */
import { readdir, readFile, readlink } from "node:fs/promises";
import { basename } from "node:path";

export interface PortHolder {
  readonly pid: number;
  /** Program and script name; never its arguments, which may hold secrets. */
  readonly command: string;
}

/** `undefined` when nobody listens there or the holder's process cannot be inspected. */
export async function findPortHolder(port: number): Promise<PortHolder | undefined> {
  const inodes = new Set<string>();
  for (const table of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    for (const inode of listeningInodes(await readOrEmpty(table), port)) inodes.add(`socket:[${inode}]`);
  }
  if (inodes.size === 0) return undefined;
  for (const name of await listOrEmpty("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    for (const descriptor of await listOrEmpty(`/proc/${name}/fd`)) {
      const target = await readlink(`/proc/${name}/fd/${descriptor}`).catch(() => "");
      if (inodes.has(target)) return { pid: Number(name), command: await commandOf(name) };
    }
  }
  return undefined;
}

/** Lines: `sl local_address rem_address st … uid timeout inode`; state 0A is LISTEN, the port is hexadecimal. */
function listeningInodes(table: string, port: number): string[] {
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const inodes: string[] = [];
  for (const line of table.split("\n").slice(1)) {
    const fields = line.trim().split(/\s+/);
    const inode = fields[9];
    if (fields[3] === "0A" && fields[1]?.endsWith(wanted) && inode !== undefined) inodes.push(inode);
  }
  return inodes;
}

async function commandOf(pid: string): Promise<string> {
  const [program = "", script = ""] = (await readOrEmpty(`/proc/${pid}/cmdline`)).split("\0");
  if (program === "") return (await readOrEmpty(`/proc/${pid}/comm`)).trim();
  const isScript = /^[^-].*\.(?:[cm]?[jt]s|py|sh|pl|rb)$/.test(script);
  return isScript ? `${basename(program)} ${basename(script)}` : basename(program);
}

async function readOrEmpty(path: string): Promise<string> {
  return await readFile(path, "utf8").catch(() => "");
}

async function listOrEmpty(path: string): Promise<string[]> {
  return await readdir(path).catch(() => []);
}
