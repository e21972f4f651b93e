/**
 * The SQLite index of media: its tables and its prepared statements, used by the hub's thread and by the rebuild
 * worker, each with a connection of its own. Owns no file but the database, and that one can be made again from
 * the sidecars at any time.
 *
 * Counts are kept by triggers and pages are read off an index, so that neither grows with the catalogue.
 */
import {
  type Command,
  type Database,
  integer,
  type Migration,
  openDatabase,
  type Query,
  text,
} from "../store/database.ts";
import type { MediaKind, Sidecar } from "./contract.ts";
import { stemOf } from "./names.ts";
import type { OldMedium } from "./oldest-first.ts";

export const libraryMigrations: readonly Migration[] = [
  {
    owner: "library",
    version: 1,
    sql: `
      CREATE TABLE media (
        id INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        filename TEXT NOT NULL,
        stem TEXT NOT NULL,
        camera_id TEXT NOT NULL,
        writing INTEGER NOT NULL,
        modified_at_us INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        sidecar_stamp TEXT NOT NULL,
        sidecar TEXT NOT NULL,
        UNIQUE (kind, filename)
      ) STRICT;
      CREATE INDEX media_newest ON media (kind, writing, modified_at_us, id);
      CREATE INDEX media_newest_of_camera ON media (kind, writing, camera_id, modified_at_us, id);
      CREATE INDEX media_stem ON media (kind, stem);
      CREATE INDEX media_writing ON media (writing) WHERE writing = 1;

      CREATE TABLE media_usage (
        kind TEXT NOT NULL,
        camera_id TEXT NOT NULL,
        files INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        PRIMARY KEY (kind, camera_id)
      ) STRICT, WITHOUT ROWID;
      CREATE TRIGGER media_added AFTER INSERT ON media WHEN new.writing = 0 BEGIN
        INSERT INTO media_usage VALUES (new.kind, new.camera_id, 1, new.bytes)
          ON CONFLICT DO UPDATE SET files = files + 1, bytes = bytes + excluded.bytes;
      END;
      CREATE TRIGGER media_removed AFTER DELETE ON media WHEN old.writing = 0 BEGIN
        UPDATE media_usage SET files = files - 1, bytes = bytes - old.bytes
          WHERE kind = old.kind AND camera_id = old.camera_id;
      END;
      CREATE TRIGGER media_changed AFTER UPDATE ON media BEGIN
        UPDATE media_usage SET files = files - 1, bytes = bytes - old.bytes
          WHERE old.writing = 0 AND kind = old.kind AND camera_id = old.camera_id;
        INSERT INTO media_usage SELECT new.kind, new.camera_id, 1, new.bytes WHERE new.writing = 0
          ON CONFLICT DO UPDATE SET files = files + 1, bytes = bytes + excluded.bytes;
      END;
    `,
  },
  { owner: "library", version: 2, sql: "ALTER TABLE media ADD COLUMN lists TEXT NOT NULL DEFAULT ''" },
];

export interface IndexRow {
  readonly id: number;
  readonly kind: MediaKind;
  readonly filename: string;
  readonly writing: boolean;
  readonly bytes: number;
  readonly modifiedAtUs: number;
  /** Identifies the version of the sidecar file the row was made from. */
  readonly sidecarStamp: string;
  /** JSON text, without the lists below. */
  readonly sidecar: string;
  /**
   * JSON text of gaps and clock steps. Empty when there are none, and in the rows of a page: a bad camera has a
   * hundred kilobytes of them, and reading those of a whole page would hold up everything else.
   */
  readonly lists: string;
}

const columns = "id, kind, filename, writing, bytes, modified_at_us, sidecar_stamp, sidecar";
const allColumns = `${columns}, lists`;

/** Walks the index of each camera side by side: the page is found without sorting what comes before it. */
function pageOfCameras(count: number): string {
  const one = "SELECT id, modified_at_us FROM media WHERE kind = ? AND writing = 0 AND camera_id = ?";
  return `SELECT ${columns} FROM media WHERE id IN (
    SELECT id FROM (${Array(count).fill(one).join(" UNION ALL ")} ORDER BY modified_at_us DESC, id DESC LIMIT ? OFFSET ?)
  ) ORDER BY modified_at_us DESC, id DESC`;
}

function kindOf(value: string): MediaKind {
  return value === "snapshot" ? "snapshot" : "recording";
}

export class MediaIndex {
  readonly #database: Database;
  readonly #upsert: Command;
  readonly #deleteRow: Command;
  readonly #byName: Query<IndexRow>;
  readonly #byStem: Query<IndexRow>;
  readonly #newest: Query<IndexRow>;
  readonly #newestOfCamera: Query<IndexRow>;
  readonly #fromOldest: Query<IndexRow>;
  readonly #fromOldestOfCamera: Query<IndexRow>;
  readonly #newestOfCameras: (count: number) => Query<IndexRow>;
  readonly #writing: Query<IndexRow>;
  readonly #usage: Query<{ files: number; bytes: number }>;
  readonly #usageOfCamera: Query<{ files: number; bytes: number }>;
  readonly #namesAfter: Query<{ filename: string; writing: boolean }>;
  readonly #oldestOfCamera: Query<OldMedium>;
  readonly #usageByCamera: Query<{ cameraId: string; bytes: number }>;

  /** @throws OcelliError `storage_failed` */
  constructor(path: string, options: { readonly busyTimeoutMs?: number } = {}) {
    // After power loss the newest rows may be missing: the reconciling pass at start-up brings them back.
    const database = openDatabase(path, libraryMigrations, { synchronous: "normal", ...options });
    const row = (read: Record<string, unknown>): IndexRow => {
      const value = read as Parameters<typeof text>[0];
      return {
        id: integer(value, "id"),
        kind: kindOf(text(value, "kind")),
        filename: text(value, "filename"),
        writing: integer(value, "writing") === 1,
        bytes: integer(value, "bytes"),
        modifiedAtUs: integer(value, "modified_at_us"),
        sidecarStamp: text(value, "sidecar_stamp"),
        sidecar: text(value, "sidecar"),
        lists: value.lists === undefined ? "" : text(value, "lists"),
      };
    };
    const usage = (value: Parameters<typeof text>[0]) => ({
      files: integer(value, "files"),
      bytes: integer(value, "bytes"),
    });
    // The inner select walks the index alone, however far the offset; only the page itself is read from the table.
    const page = (condition: string, walk: "ASC" | "DESC" = "DESC"): string =>
      `SELECT ${columns} FROM media WHERE id IN (
         SELECT id FROM media WHERE kind = ? AND writing = 0${condition}
         ORDER BY modified_at_us ${walk}, id ${walk} LIMIT ? OFFSET ?
       ) ORDER BY modified_at_us DESC, id DESC`;
    this.#database = database;
    this.#upsert = database.command(
      `INSERT INTO media (kind, filename, stem, camera_id, writing, modified_at_us, bytes, sidecar_stamp, sidecar, lists)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (kind, filename) DO UPDATE SET camera_id = excluded.camera_id, writing = excluded.writing,
         modified_at_us = excluded.modified_at_us, bytes = excluded.bytes,
         sidecar_stamp = excluded.sidecar_stamp, sidecar = excluded.sidecar, lists = excluded.lists`,
    );
    this.#deleteRow = database.command("DELETE FROM media WHERE kind = ? AND filename = ?");
    this.#byName = database.query(`SELECT ${allColumns} FROM media WHERE kind = ? AND filename = ?`, row);
    this.#byStem = database.query(
      `SELECT ${allColumns} FROM media WHERE kind = ? AND stem = ? ORDER BY filename <> stem || '.mp4', modified_at_us DESC, id DESC`,
      row,
    );
    this.#newest = database.query(page(""), row);
    this.#newestOfCamera = database.query(page(" AND camera_id = ?"), row);
    this.#fromOldest = database.query(page("", "ASC"), row);
    this.#fromOldestOfCamera = database.query(page(" AND camera_id = ?", "ASC"), row);
    this.#newestOfCameras = (count) => database.query(pageOfCameras(count), row);
    this.#writing = database.query(`SELECT ${allColumns} FROM media WHERE writing = 1 ORDER BY id`, row);
    this.#usage = database.query(
      "SELECT coalesce(sum(files), 0) AS files, coalesce(sum(bytes), 0) AS bytes FROM media_usage WHERE kind = ?",
      usage,
    );
    this.#usageOfCamera = database.query(
      "SELECT files, bytes FROM media_usage WHERE kind = ? AND camera_id = ?",
      usage,
    );
    this.#namesAfter = database.query(
      "SELECT filename, writing FROM media WHERE kind = ? AND filename > ? ORDER BY filename LIMIT ?",
      (value) => ({ filename: text(value, "filename"), writing: integer(value, "writing") === 1 }),
    );
    this.#oldestOfCamera = database.query(
      `SELECT id, kind, filename, camera_id, bytes, modified_at_us FROM media
       WHERE kind = ? AND writing = 0 AND camera_id = ? AND (modified_at_us, id) > (?, ?)
       ORDER BY modified_at_us, id LIMIT ?`,
      (value) => ({
        id: integer(value, "id"),
        kind: kindOf(text(value, "kind")),
        filename: text(value, "filename"),
        cameraId: text(value, "camera_id"),
        bytes: integer(value, "bytes"),
        modifiedAtUs: integer(value, "modified_at_us"),
      }),
    );
    this.#usageByCamera = database.query(
      "SELECT camera_id, bytes FROM media_usage WHERE kind = ? AND files > 0",
      (value) => ({ cameraId: text(value, "camera_id"), bytes: integer(value, "bytes") }),
    );
  }

  transaction<T>(work: () => T): T {
    return this.#database.transaction(work);
  }

  put(sidecar: Sidecar, file: { bytes: number; modifiedAtUs: number; sidecarStamp: string }): void {
    const { gaps, clockSteps, ...rest } = sidecar;
    this.#upsert.run(
      sidecar.kind,
      sidecar.filename,
      stemOf(sidecar.kind, sidecar.filename),
      sidecar.cameraId,
      sidecar.state === "recording" ? 1 : 0,
      file.modifiedAtUs,
      file.bytes,
      file.sidecarStamp,
      JSON.stringify(rest),
      gaps.length + clockSteps.length === 0 ? "" : JSON.stringify({ gaps, clockSteps }),
    );
  }

  /** @returns true when there was such a row */
  remove(kind: MediaKind, filename: string): boolean {
    return this.#deleteRow.run(kind, filename) > 0;
  }

  byName(kind: MediaKind, filename: string): IndexRow | undefined {
    return this.#byName.get(kind, filename);
  }

  /** All of that name without its extension: a recording before its copies in other formats. */
  byStem(kind: MediaKind, stem: string): IndexRow[] {
    return this.#byStem.all(kind, stem);
  }

  /** Finished media, newest first, without their lists. */
  page(kind: MediaKind, limit: number, offset: number, cameras?: string | ReadonlySet<string>): IndexRow[] {
    if (typeof cameras === "object") return this.#pageOf([...cameras], kind, limit, offset);
    // A page near the end is reached from the end: what is skipped is at most half of all.
    const { files } = this.usage(kind, cameras);
    const count = Math.min(limit, files - offset);
    if (count <= 0) return [];
    const behind = files - offset - count;
    const fromEnd = behind < offset;
    const skipped = fromEnd ? behind : offset;
    if (cameras === undefined) return (fromEnd ? this.#fromOldest : this.#newest).all(kind, count, skipped);
    return (fromEnd ? this.#fromOldestOfCamera : this.#newestOfCamera).all(kind, cameras, count, skipped);
  }

  #pageOf(cameras: readonly string[], kind: MediaKind, limit: number, offset: number): IndexRow[] {
    const [only] = cameras;
    if (only === undefined) return [];
    if (cameras.length === 1) return this.page(kind, limit, offset, only);
    const places = cameras.flatMap((id) => [kind, id]);
    return this.#newestOfCameras(cameras.length).all(...places, limit, offset);
  }

  /** Number and size of finished media. */
  usage(kind: MediaKind, cameraId?: string): { files: number; bytes: number } {
    const usage = cameraId === undefined ? this.#usage.get(kind) : this.#usageOfCamera.get(kind, cameraId);
    return usage ?? { files: 0, bytes: 0 };
  }

  usageByCamera(kind: MediaKind): { cameraId: string; bytes: number }[] {
    return this.#usageByCamera.all(kind);
  }

  /** Finished media of a camera after a place in that order, oldest first. */
  oldest(
    kind: MediaKind,
    cameraId: string,
    limit: number,
    after: { modifiedAtUs: number; id: number },
  ): OldMedium[] {
    return this.#oldestOfCamera.all(kind, cameraId, after.modifiedAtUs, after.id, limit);
  }

  writing(): IndexRow[] {
    return this.#writing.all();
  }

  /** Names in byte order, for walking all rows in batches. */
  namesAfter(kind: MediaKind, after: string, limit: number): { filename: string; writing: boolean }[] {
    return this.#namesAfter.all(kind, after, limit);
  }

  /** Looks through the whole file: some tenths of a second for a large one. */
  isIntact(): boolean {
    const row = this.#database.raw.prepare("PRAGMA quick_check(1)").get();
    return row?.quick_check === "ok";
  }

  close(): void {
    this.#database.close();
  }
}

/** SQLite's codes for a file that is damaged (11) or no database at all (26). */
export function isCorruption(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = "errcode" in error ? error.errcode : undefined;
  return code === 11 || code === 26 || isCorruption(error.cause);
}
