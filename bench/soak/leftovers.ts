/** What should be gone when everybody has left: files, processes, sessions, uploads. */
import { readdirSync } from "node:fs";
import { join, relative } from "node:path";
import { begunFor } from "../../test/harness/begun-processes.ts";
import type { Rpc } from "../../test/harness/rpc.ts";
import type { Stage } from "./stage.ts";

/** The hub's books and logs, and the folder that what it makes goes through. */
const own = /^(ocelli\.db|logs\/|recordings\/\.sync$)/;

/** Everything below a folder but what the hub writes on and on. */
export function contentsOf(folder: string): Set<string> {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  const paths = entries.map((entry) => relative(folder, join(entry.parentPath, entry.name)));
  return new Set(paths.filter((path) => !own.test(path)));
}

/**
 * In words; empty when all is as it was.
 * @param before `contentsOf` the data folder when nothing had begun
 */
export async function leftovers(
  { hub, hubTemporary }: Stage,
  before: ReadonlySet<string>,
  admin: Rpc,
): Promise<string[]> {
  const { sessions } = await admin.call<{ sessions: { session_id: string }[] }>("get_sync_sessions");
  const { groups } = await admin.call<{ groups: { name: string }[] }>("get_sync_groups");
  return [
    ...[...contentsOf(hub.dataDir)].filter((path) => !before.has(path)),
    ...[...before].filter((path) => !contentsOf(hub.dataDir).has(path)).map((path) => `${path} is gone`),
    ...readdirSync(hubTemporary).map((name) => `temporary ${name}`),
    ...begunFor(hub.dataDir)
      .filter(({ pid }) => pid !== hub.pid)
      .map(({ pid, command }) => `process ${pid} ${command}`),
    ...sessions.map(({ session_id }) => `session ${session_id}`),
    ...groups.map(({ name }) => `group ${name}`),
  ];
}
