import { execFile, spawnSync } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { root } from "./hub.ts";
import { mustSkip } from "./must-skip.ts";

/**
 * A network namespace of its own for a scene: a pair of virtual cards (`hub0`, 10.99.0.1/24, and `hub1`), so that the
 * hub asks on one that is no loopback. Nothing of it leaves this machine.
 */

const cards = [
  "ip link add hub0 type veth peer name hub1",
  "ip link set lo up",
  "ip addr add 10.99.0.1/24 dev hub0",
  "ip link set hub0 up",
  "ip link set hub1 up",
];
const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` };

function inside(commands: readonly string[]): string[] {
  return [process.getuid?.() === 0 ? "-n" : "-rn", "sh", "-ec", commands.join("\n")];
}

export function namespacesMustSkip(): boolean {
  const made = spawnSync("unshare", inside(cards), { env });
  return mustSkip("network namespaces (unshare, ip)", made.status === 0);
}

/**
 * Runs a script of the harness in such a namespace; resolves with the JSON of the last line it prints.
 * @param also further commands that set the network up
 */
export async function playScene<T>(
  script: string,
  { also, timeoutMs }: { also: readonly string[]; timeoutMs: number },
): Promise<T> {
  const { stdout } = await promisify(execFile)(
    "unshare",
    [
      ...inside([...cards, ...also, 'exec "$0" "$1"']),
      join(root, "node_modules/.bin/node"),
      join(root, "test/harness", script),
    ],
    { timeout: timeoutMs, maxBuffer: 2 ** 24, env },
  );
  return JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
}
