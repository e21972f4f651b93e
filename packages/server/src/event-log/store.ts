/** The event log in a database of its own: appending, reading by place, deleting the oldest. */
import { existsSync, renameSync } from "node:fs";
import { messageOf } from "@ocelli/protocol";
import type { EventName } from "../events/catalogue.ts";
import type { Log } from "../log/log.ts";
import {
  type Database,
  integer,
  type Migration,
  openDatabase,
  type Query,
  type Row,
  text,
} from "../store/database.ts";
import type { EventRecord } from "./contract.ts";

export const eventLogMigrations: readonly Migration[] = [
  {
    owner: "event-log",
    version: 1,
    sql: `CREATE TABLE events (
      seq INTEGER PRIMARY KEY,
      at_us INTEGER NOT NULL,
      name TEXT NOT NULL,
      payload TEXT NOT NULL
    ) STRICT;
    CREATE TABLE event_log_state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;`,
  },
  {
    owner: "event-log",
    version: 2,
    sql: "CREATE INDEX events_by_name ON events (name, seq, at_us)",
  },
];

/**
 * Nothing but history is lost with a damaged log, so that the hub starts without it.
 * @throws OcelliError `storage_failed` when even a new one cannot be made
 */
export function openEventDatabase(path: string, log: Log, more: readonly Migration[] = []): Database {
  const open = (): Database =>
    openDatabase(path, [...eventLogMigrations, ...more], { synchronous: "normal" });
  const isNew = !existsSync(path);
  try {
    return open();
  } catch (error) {
    if (isNew) throw error;
    log.warn(
      { path, reason: messageOf(error) },
      "the event log cannot be used: it is set aside and begun anew",
    );
    for (const suffix of ["", "-wal", "-shm"]) {
      if (existsSync(path + suffix)) renameSync(path + suffix, `${path}.damaged${suffix}`);
    }
    return open();
  }
}

export type State = "reserved_through" | "complete_after";

export interface StoredRange {
  readonly afterSeq: number;
  readonly limit: number;
  readonly names: readonly EventName[] | undefined;
  readonly fromUs?: number | undefined;
  readonly untilUs?: number | undefined;
}

export class EventStore {
  readonly #database: Database;
  readonly #insert;
  readonly #setState;
  readonly #state;
  readonly #oldest;
  readonly #delete;
  /** By number of names and direction, made when first needed. */
  readonly #reads = new Map<string, Query<EventRecord>>();
  /** All that occur. */
  readonly #names: Set<string>;
  /** Of all payloads together. */
  #bytes: number;

  constructor(database: Database) {
    this.#database = database;
    this.#insert = database.command("INSERT INTO events (seq, at_us, name, payload) VALUES (?, ?, ?, ?)");
    this.#setState = database.command(
      "INSERT INTO event_log_state (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    );
    this.#state = database.query("SELECT value FROM event_log_state WHERE name = ?", (row) =>
      integer(row, "value"),
    );
    this.#oldest = database.query(
      "SELECT seq, at_us, length(CAST(payload AS BLOB)) AS bytes FROM events ORDER BY seq LIMIT ?",
      (row) => ({ seq: integer(row, "seq"), atUs: integer(row, "at_us"), bytes: integer(row, "bytes") }),
    );
    this.#delete = database.command("DELETE FROM events WHERE seq <= ?");
    this.#names = new Set(
      database.query("SELECT DISTINCT name FROM events", (row) => text(row, "name")).all(),
    );
    this.#bytes =
      database
        .query("SELECT coalesce(sum(length(CAST(payload AS BLOB))), 0) AS bytes FROM events", (row) =>
          integer(row, "bytes"),
        )
        .get() ?? 0;
  }

  get bytes(): number {
    return this.#bytes;
  }

  state(name: State): number {
    return this.#state.get(name) ?? 0;
  }

  setState(name: State, value: number): void {
    this.#setState.run(name, value);
  }

  newestSeq(): number {
    return (
      this.#database
        .query("SELECT coalesce(max(seq), 0) AS seq FROM events", (row) => integer(row, "seq"))
        .get() ?? 0
    );
  }

  append(records: readonly EventRecord[]): void {
    let bytes = 0;
    this.#database.transaction(() => {
      for (const { seq, atUs, name, payload } of records) {
        const json = JSON.stringify(payload);
        bytes += Buffer.byteLength(json);
        this.#names.add(name);
        this.#insert.run(seq, atUs, name, json);
      }
    });
    this.#bytes += bytes;
  }

  /**
   * Deletes up to `atMost` of the oldest: those before `beforeUs`, and as many as it takes to hold `maxBytes`.
   * @returns the `seq` of the newest one deleted
   */
  trim(maxBytes: number, beforeUs: number, atMost: number): number | undefined {
    let through: number | undefined;
    let left = this.#bytes;
    for (const { seq, atUs, bytes } of this.#oldest.all(atMost)) {
      if (left <= maxBytes && atUs >= beforeUs) break;
      through = seq;
      left -= bytes;
    }
    if (through === undefined) return undefined;
    const last = through;
    this.#database.transaction(() => {
      this.#delete.run(last);
      this.setState("complete_after", last);
    });
    this.#bytes = left;
    return last;
  }

  forward(range: StoredRange): EventRecord[] {
    return this.#read(range, "ASC");
  }

  backward(range: StoredRange): EventRecord[] {
    return this.#read(range, "DESC");
  }

  close(): void {
    this.#database.close();
  }

  #read({ afterSeq, fromUs, untilUs, names, limit }: StoredRange, order: "ASC" | "DESC"): EventRecord[] {
    if (names === undefined && fromUs === undefined && untilUs === undefined)
      return this.#query(0, order).all(afterSeq, limit);
    const occurring = [...this.#names].filter(
      (name) => names === undefined || names.some((one) => one === name),
    );
    if (occurring.length === 0) return [];
    const places = occurring.flatMap((name) => [
      name,
      afterSeq,
      fromUs ?? 0,
      untilUs ?? Number.MAX_SAFE_INTEGER,
    ]);
    return this.#query(occurring.length, order).all(...places, limit);
  }

  #query(names: number, order: "ASC" | "DESC"): Query<EventRecord> {
    const key = `${names} ${order}`;
    const known = this.#reads.get(key) ?? this.#database.query(readSql(names, order), recordOf);
    this.#reads.set(key, known);
    return known;
  }
}

/**
 * Without names the table is walked in its order. With some, the index is walked for each of them side by side, so that what was
 * not asked for costs nothing, and what lies outside of a time costs no reading of payloads.
 */
function readSql(names: number, order: "ASC" | "DESC"): string {
  if (names === 0) return `SELECT * FROM events WHERE seq > ? ORDER BY seq ${order} LIMIT ?`;
  const one = "SELECT seq FROM events WHERE name = ? AND seq > ? AND at_us BETWEEN ? AND ?";
  return `SELECT * FROM events WHERE seq IN (
    SELECT seq FROM (${Array(names).fill(one).join(" UNION ALL ")} ORDER BY seq ${order} LIMIT ?)
  ) ORDER BY seq ${order}`;
}

function recordOf(row: Row): EventRecord {
  // Written by `append` from the same type; a later version of the catalogue only adds to payloads.
  return {
    seq: integer(row, "seq"),
    atUs: integer(row, "at_us"),
    name: text(row, "name"),
    payload: JSON.parse(text(row, "payload")),
  } as EventRecord;
}
