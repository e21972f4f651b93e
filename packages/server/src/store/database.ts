/**
 * The embedded database: opening (WAL, busy timeout), migrations, transactions and typed reads. Knows no table of
 * its own but the version table; each owner of tables passes its migrations as a numbered list, and several owners
 * may share one file.
 */
import { chmodSync, closeSync, existsSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync, type SQLInputValue, type SQLOutputValue } from "node:sqlite";
import { messageOf, OcelliError } from "@ocelli/protocol";
import { spendReserve } from "./reserve.ts";

export interface Migration {
  /** Owner of the tables, such as `cameras`. Versions count within one owner. */
  readonly owner: string;
  /** 1, 2, 3… without holes. A released migration is never edited. */
  readonly version: number;
  readonly sql: string;
}

export interface DatabaseOptions {
  /** How long a statement waits for another process's lock, milliseconds. Default 5000. */
  readonly busyTimeoutMs?: number;
  /**
   * `full` (default): a committed transaction survives power loss. `normal`: the file stays intact, but the last
   * transactions before a power loss may be missing; for an index that can be rebuilt.
   */
  readonly synchronous?: "full" | "normal";
  readonly readOnly?: boolean;
}

export type Row = Record<string, SQLOutputValue>;

/** A prepared statement whose rows are turned into `T`. */
export interface Query<T> {
  get(...params: SQLInputValue[]): T | undefined;
  all(...params: SQLInputValue[]): T[];
  /** Row by row, without holding all of them. */
  iterate(...params: SQLInputValue[]): IterableIterator<T>;
}

export interface Command {
  /** Returns the number of rows changed. */
  run(...params: SQLInputValue[]): number;
}

export class Database {
  readonly path: string;
  /** For what the helpers do not cover. */
  readonly raw: DatabaseSync;
  #depth = 0;

  constructor(path: string, raw: DatabaseSync) {
    this.path = path;
    this.raw = raw;
  }

  exec(sql: string): void {
    this.raw.exec(sql);
  }

  query<T>(sql: string, read: (row: Row) => T): Query<T> {
    const statement = this.raw.prepare(sql);
    return {
      get(...params) {
        const row = statement.get(...params);
        return row === undefined ? undefined : read(row);
      },
      all: (...params) => statement.all(...params).map(read),
      *iterate(...params) {
        for (const row of statement.iterate(...params)) yield read(row);
      },
    };
  }

  command(sql: string): Command {
    const statement = this.raw.prepare(sql);
    return {
      run: (...params) => {
        try {
          return Number(statement.run(...params).changes);
        } catch (error) {
          if (!isLackOfRoom(error) || this.raw.isTransaction || !spendReserve(dirname(this.path)))
            throw error;
          return Number(statement.run(...params).changes);
        }
      },
    };
  }

  /** Runs `work` in one transaction; nested calls join it. `work` must be synchronous. */
  transaction<T>(work: () => T): T {
    if (this.#depth > 0) return work();
    this.raw.exec("BEGIN IMMEDIATE");
    this.#depth++;
    try {
      const result = work();
      this.raw.exec("COMMIT");
      return result;
    } catch (error) {
      if (this.raw.isTransaction) this.raw.exec("ROLLBACK");
      throw error;
    } finally {
      this.#depth--;
    }
  }

  /** Idempotent. Folds the write-ahead log back into the file. */
  close(): void {
    if (this.raw.isOpen) this.raw.close();
  }
}

/**
 * Opens (or creates) the database and brings it to the newest version of every owner in `migrations`.
 *
 * On a full disk the reserve beside the file is spent, here and when a single statement finds no room. Without one an
 * existing database is opened without a write-ahead log, for that needs room: reading and deleting then work, so that
 * somebody can make room. What is written in that state survives the end of the process, but power
 * loss within a write may damage the file. The next opening on a disk with room is a normal one again.
 * @param path file name, or `:memory:`
 * @throws OcelliError `storage_failed` when the file cannot be opened, is damaged, or was written by a newer hub
 */
export function openDatabase(
  path: string,
  migrations: readonly Migration[],
  options: DatabaseOptions = {},
): Database {
  const existed = existsSync(path);
  try {
    try {
      return open(path, migrations, options, "with log");
    } catch (error) {
      if (!existed || options.readOnly === true || !isLackOfRoom(error)) throw error;
    }
    try {
      if (spendReserve(dirname(path))) return open(path, migrations, options, "with log");
    } catch (error) {
      if (!isLackOfRoom(error)) throw error;
    }
    return open(path, migrations, options, "sparing");
  } catch (error) {
    if (error instanceof OcelliError) throw error;
    throw new OcelliError(
      "storage_failed",
      `The database ${path} cannot be opened: ${messageOf(error)}. Check that the file and its folder are readable and writable and that the disk is not full; a damaged file may be moved away.`,
      { details: { path }, cause: error },
    );
  }
}

function open(
  path: string,
  migrations: readonly Migration[],
  options: DatabaseOptions,
  way: "with log" | "sparing",
): Database {
  if (options.readOnly !== true && path !== ":memory:") makePrivate(path);
  const raw = new DatabaseSync(path, {
    timeout: options.busyTimeoutMs ?? 5000,
    readOnly: options.readOnly ?? false,
    enableForeignKeyConstraints: true,
  });
  try {
    if (options.readOnly === true) return new Database(path, raw);
    if (way === "with log") {
      raw.exec("PRAGMA journal_mode = WAL");
      // The files of the log are made now, not at the first use.
      raw.exec("BEGIN IMMEDIATE; COMMIT");
    } else {
      // Only a connection that has the file for itself needs no shared memory, which is a file too.
      raw.exec("PRAGMA locking_mode = EXCLUSIVE");
      raw.exec("PRAGMA journal_mode = MEMORY");
      raw.exec("PRAGMA locking_mode = NORMAL");
      raw.prepare("SELECT count(*) FROM sqlite_schema").get();
    }
    raw.exec(`PRAGMA synchronous = ${options.synchronous === "normal" ? "NORMAL" : "FULL"}`);
    const database = new Database(path, raw);
    migrate(database, migrations);
    return database;
  } catch (error) {
    if (raw.isOpen) raw.close();
    throw error;
  }
}

/** For this user alone, whatever the folder allows: it may hold what gives access. The files of the log follow it. */
function makePrivate(path: string): void {
  try {
    closeSync(openSync(path, "a", 0o600));
    chmodSync(path, 0o600);
  } catch {
    // Opening it tells what is wrong; a file of another user stays as that one wants it.
  }
}

/** SQLite's codes for errors of reading and writing (10), a full disk (13), and a file that cannot be made (14). */
function isLackOfRoom(error: unknown): boolean {
  const code = error instanceof Error && "errcode" in error ? Number(error.errcode) & 0xff : 0;
  return code === 10 || code === 13 || code === 14;
}

function migrate(database: Database, migrations: readonly Migration[]): void {
  database.transaction(() => {
    database.exec(
      "CREATE TABLE IF NOT EXISTS schema_versions (owner TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT",
    );
    const versionOf = database.query("SELECT version FROM schema_versions WHERE owner = ?", (row) =>
      integer(row, "version"),
    );
    const setVersion = database.command(
      "INSERT INTO schema_versions (owner, version) VALUES (?, ?) ON CONFLICT (owner) DO UPDATE SET version = excluded.version",
    );
    for (const owner of new Set(migrations.map((migration) => migration.owner))) {
      const list = migrations.filter((one) => one.owner === owner).sort((a, b) => a.version - b.version);
      const holeAt = list.findIndex((one, position) => one.version !== position + 1);
      if (holeAt >= 0) throw new Error(`migrations of ${owner} are not numbered 1, 2, 3…`);
      const current = versionOf.get(owner) ?? 0;
      if (current > list.length) {
        throw new OcelliError(
          "storage_failed",
          `The database ${database.path} was written by a newer version of Ocelli (${owner} ${current}, this one knows ${list.length}). Start the newer version, or use another data directory.`,
          { details: { path: database.path, owner, found: current, known: list.length } },
        );
      }
      for (const migration of list.slice(current)) {
        database.exec(migration.sql);
        setVersion.run(owner, migration.version);
      }
    }
  });
}

/** A column that must hold text. */
export function text(row: Row, column: string): string {
  const value = row[column];
  if (typeof value !== "string") throw new TypeError(`column ${column} holds ${typeof value}, not text`);
  return value;
}

/** A column that may be NULL. */
export function optionalText(row: Row, column: string): string | undefined {
  return row[column] === null ? undefined : text(row, column);
}

/** A column that must hold a number (exact to 2^53). */
export function integer(row: Row, column: string): number {
  const value = row[column];
  if (typeof value === "bigint") return Number(value);
  if (typeof value !== "number") throw new TypeError(`column ${column} holds ${typeof value}, not a number`);
  return value;
}

/** A column that may be NULL. */
export function optionalInteger(row: Row, column: string): number | undefined {
  return row[column] === null ? undefined : integer(row, column);
}
