/**
 * What S3 has of files that are sent in parts, written down so that an upload goes on where it was after a break and after
 * a restart of the hub. Gives no access to anything: each further part needs credentials.
 */
import type { Log } from "../../log/log.ts";
import { type Database, integer, type Migration, text } from "../../store/database.ts";

export const keptPartsMigrations: readonly Migration[] = [
  {
    owner: "multicam upload parts",
    version: 1,
    sql: `
      CREATE TABLE multicam_multiparts (
        file_name TEXT PRIMARY KEY,
        url TEXT NOT NULL,
        upload_id TEXT NOT NULL,
        file_stamp TEXT NOT NULL,
        part_bytes INTEGER NOT NULL
      ) STRICT;
      CREATE TABLE multicam_parts (
        file_name TEXT NOT NULL REFERENCES multicam_multiparts ON DELETE CASCADE,
        number INTEGER NOT NULL,
        etag TEXT NOT NULL,
        md5 TEXT NOT NULL,
        PRIMARY KEY (file_name, number)
      ) STRICT, WITHOUT ROWID;
    `,
  },
];

export interface SentPart {
  /** As S3 stated it. */
  readonly etag: string;
  /** Hexadecimal, of what was sent. */
  readonly md5: string;
}

export interface BegunUpload {
  /** Of the object. */
  readonly url: string;
  readonly uploadId: string;
  /** Another one: the file is not the same any more. */
  readonly fileStamp: string;
  readonly partBytes: number;
  /** By number, from 1. */
  readonly parts: Map<number, SentPart>;
}

export class KeptParts {
  readonly #database: Database;
  readonly #log: Log;
  readonly #begun = new Map<string, BegunUpload>();

  constructor(database: Database, log: Log) {
    this.#database = database;
    this.#log = log;
    const begun = database.query("SELECT * FROM multicam_multiparts", (row) => ({
      fileName: text(row, "file_name"),
      url: text(row, "url"),
      uploadId: text(row, "upload_id"),
      fileStamp: text(row, "file_stamp"),
      partBytes: integer(row, "part_bytes"),
    }));
    const parts = database.query(
      "SELECT number, etag, md5 FROM multicam_parts WHERE file_name = ?",
      (row) => ({
        number: integer(row, "number"),
        part: { etag: text(row, "etag"), md5: text(row, "md5") },
      }),
    );
    for (const { fileName, ...upload } of begun.all()) {
      const sent = new Map(parts.all(fileName).map(({ number, part }) => [number, part]));
      this.#begun.set(fileName, { ...upload, parts: sent });
    }
  }

  of(fileName: string): BegunUpload | undefined {
    return this.#begun.get(fileName);
  }

  begin(fileName: string, upload: Omit<BegunUpload, "parts">): BegunUpload {
    this.forget(fileName);
    const begun: BegunUpload = { ...upload, parts: new Map() };
    this.#begun.set(fileName, begun);
    const { url, uploadId, fileStamp, partBytes } = upload;
    this.#note(
      "INSERT INTO multicam_multiparts (file_name, url, upload_id, file_stamp, part_bytes) VALUES (?, ?, ?, ?, ?)",
      ...[fileName, url, uploadId, fileStamp, partBytes],
    );
    return begun;
  }

  add(fileName: string, number: number, part: SentPart): void {
    this.#begun.get(fileName)?.parts.set(number, part);
    this.#note(
      "INSERT OR REPLACE INTO multicam_parts (file_name, number, etag, md5) VALUES (?, ?, ?, ?)",
      ...[fileName, number, part.etag, part.md5],
    );
  }

  forget(fileName: string): void {
    if (this.#begun.delete(fileName)) {
      this.#note("DELETE FROM multicam_multiparts WHERE file_name = ?", fileName);
    }
  }

  /** What a full disk does not take is sent once more after a restart. */
  #note(sql: string, ...values: readonly (string | number)[]): void {
    try {
      this.#database.command(sql).run(...values);
    } catch (error) {
      this.#log.error({ err: error }, "how far an upload is could not be written down");
    }
  }
}
