/** Groups and their sessions in the database. */
import { type Database, type Migration, text } from "../store/database.ts";
import { groupSchema, type SyncGroup, type SyncSession, sessionSchema } from "./contract.ts";

export const syncMigrations: readonly Migration[] = [
  {
    owner: "sync",
    version: 1,
    sql: `CREATE TABLE sync_groups (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, body TEXT NOT NULL) STRICT;
    CREATE TABLE sync_sessions (
      id TEXT PRIMARY KEY,
      group_id TEXT NOT NULL,
      start_at_us INTEGER NOT NULL,
      open INTEGER NOT NULL,
      body TEXT NOT NULL
    ) STRICT;
    CREATE INDEX sync_sessions_by_time ON sync_sessions (start_at_us);`,
  },
];

export function isOpen({ state }: SyncSession): boolean {
  return state === "armed" || state === "recording";
}

export interface SessionPage {
  readonly limit: number;
  readonly offset: number;
}

export interface SyncStore {
  groups(): SyncGroup[];
  putGroup(group: SyncGroup): void;
  removeGroup(id: string): void;
  /** Newest first. */
  sessions(page: SessionPage): SyncSession[];
  sessionCount(): number;
  openSessions(): SyncSession[];
  session(id: string): SyncSession | undefined;
  putSession(session: SyncSession): void;
  removeSession(id: string): void;
}

type Row = Parameters<typeof text>[0];

export function syncStore(database: Database): SyncStore {
  const group = (row: Row): SyncGroup => groupSchema.parse(JSON.parse(text(row, "body")));
  const session = (row: Row): SyncSession => sessionSchema.parse(JSON.parse(text(row, "body")));
  const groups = database.query("SELECT body FROM sync_groups ORDER BY name", group);
  const putGroup = database.command("INSERT OR REPLACE INTO sync_groups (id, name, body) VALUES (?, ?, ?)");
  const removeGroup = database.command("DELETE FROM sync_groups WHERE id = ?");
  const newest = database.query(
    "SELECT body FROM sync_sessions ORDER BY start_at_us DESC, id LIMIT ? OFFSET ?",
    session,
  );
  const count = database.query("SELECT count(*) AS n FROM sync_sessions", ({ n }) => Number(n));
  const open = database.query("SELECT body FROM sync_sessions WHERE open = 1", session);
  const one = database.query("SELECT body FROM sync_sessions WHERE id = ?", session);
  const put = database.command(
    "INSERT OR REPLACE INTO sync_sessions (id, group_id, start_at_us, open, body) VALUES (?, ?, ?, ?, ?)",
  );
  const remove = database.command("DELETE FROM sync_sessions WHERE id = ?");
  return {
    groups: () => groups.all(),
    putGroup: (made) => void putGroup.run(made.id, made.name, JSON.stringify(made)),
    removeGroup: (id) => void removeGroup.run(id),
    sessions: ({ limit, offset }) => newest.all(limit, offset),
    sessionCount: () => count.get() ?? 0,
    openSessions: () => open.all(),
    session: (id) => one.get(id),
    putSession: (made) =>
      void put.run(made.id, made.groupId, made.startAtUs, isOpen(made) ? 1 : 0, JSON.stringify(made)),
    removeSession: (id) => void remove.run(id),
  };
}
