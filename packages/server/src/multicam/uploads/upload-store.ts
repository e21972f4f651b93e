/** The queue of uploads as it is written down: with presigned addresses, never with S3 credentials. */
import { type Database, integer, type Migration, optionalText, text } from "../../store/database.ts";
import { keptPartsMigrations } from "./kept-parts.ts";

export const uploadMigrations: readonly Migration[] = [
  {
    owner: "multicam uploads",
    version: 1,
    sql: `CREATE TABLE multicam_uploads (
      id TEXT PRIMARY KEY,
      seq INTEGER NOT NULL,
      device_id TEXT NOT NULL,
      file_name TEXT NOT NULL,
      file_size INTEGER NOT NULL,
      url TEXT NOT NULL,
      kind TEXT NOT NULL,
      error TEXT
    ) STRICT`,
  },
  {
    owner: "multicam uploads",
    version: 2,
    sql: "CREATE INDEX multicam_uploads_waiting ON multicam_uploads (file_name) WHERE error IS NULL",
  },
  ...keptPartsMigrations,
];

export interface UploadJob {
  readonly id: string;
  readonly seq: number;
  readonly deviceId: string;
  readonly fileName: string;
  readonly fileSize: number;
  /** With what gives access: never told. */
  readonly url: string;
  readonly kind: "presigned" | "s3";
  /** Failed for good. */
  readonly error: string | undefined;
}

/** Whether a recording waits for its upload, or is on its way. */
export function waitsForUpload(database: Database): (filename: string) => boolean {
  const waiting = database.query(
    "SELECT 1 FROM multicam_uploads WHERE file_name = ? AND error IS NULL LIMIT 1",
    () => true,
  );
  return (filename) => waiting.get(filename) ?? false;
}

export class UploadStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** In the order in which they were queued. */
  all(): UploadJob[] {
    return this.#database
      .query("SELECT * FROM multicam_uploads ORDER BY seq", (row): UploadJob => {
        return {
          id: text(row, "id"),
          seq: integer(row, "seq"),
          deviceId: text(row, "device_id"),
          fileName: text(row, "file_name"),
          fileSize: integer(row, "file_size"),
          url: text(row, "url"),
          kind: text(row, "kind") === "s3" ? "s3" : "presigned",
          error: optionalText(row, "error"),
        };
      })
      .all();
  }

  add({ id, seq, deviceId, fileName, fileSize, url, kind }: UploadJob): void {
    this.#database
      .command(
        "INSERT INTO multicam_uploads (id, seq, device_id, file_name, file_size, url, kind, error) VALUES (?, ?, ?, ?, ?, ?, ?, NULL)",
      )
      .run(id, seq, deviceId, fileName, fileSize, url, kind);
  }

  /** The address is forgotten, for it gives access. */
  fail(id: string, error: string): void {
    this.#database.command("UPDATE multicam_uploads SET error = ?, url = '' WHERE id = ?").run(error, id);
  }

  remove(id: string): void {
    this.#database.command("DELETE FROM multicam_uploads WHERE id = ?").run(id);
  }
}
