/** Added streams in the database, with the credentials of their URLs: the data folder is for the hub's user only. */
import { z } from "zod";
import { type Database, integer, type Migration, type Row, text } from "../store/database.ts";

export const externalStreamMigrations: readonly Migration[] = [
  {
    owner: "external-streams",
    version: 1,
    sql: `CREATE TABLE external_streams (
      shown_url TEXT PRIMARY KEY,
      url TEXT NOT NULL,
      name TEXT NOT NULL,
      type TEXT NOT NULL,
      transport TEXT NOT NULL,
      audio INTEGER NOT NULL,
      added_at_us INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE external_stream_settings (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT`,
  },
];

export const streamTypes = ["generic_rtsp", "skydio_stanag4609"] as const;
export type StreamType = (typeof streamTypes)[number];

export interface StoredStream {
  /** Without credentials; tells streams apart. */
  readonly shownUrl: string;
  /** With credentials. */
  readonly url: string;
  readonly name: string;
  readonly type: StreamType;
  /** RTSP only. */
  readonly transport: "tcp" | "udp";
  readonly audio: boolean;
  readonly addedAtUs: number;
}

const typeSchema = z.enum(streamTypes);
const transportSchema = z.enum(["tcp", "udp"]);

function readStream(row: Row): StoredStream {
  return {
    shownUrl: text(row, "shown_url"),
    url: text(row, "url"),
    name: text(row, "name"),
    type: typeSchema.parse(text(row, "type")),
    transport: transportSchema.parse(text(row, "transport")),
    audio: integer(row, "audio") !== 0,
    addedAtUs: integer(row, "added_at_us"),
  };
}

export interface ExternalStreamStore {
  /** Oldest first. */
  all(): StoredStream[];
  put(stream: StoredStream): void;
  remove(shownUrl: string): void;
  /** Seconds between searches; `undefined` as long as nobody has set it. */
  intervalS(): number | undefined;
  setIntervalS(seconds: number): void;
}

export function externalStreamStore(database: Database): ExternalStreamStore {
  const all = database.query("SELECT * FROM external_streams ORDER BY added_at_us, shown_url", readStream);
  const put = database.command(
    `INSERT OR REPLACE INTO external_streams (shown_url, url, name, type, transport, audio, added_at_us)
     VALUES (?, ?, ?, ?, ?, ?, ?)`,
  );
  const remove = database.command("DELETE FROM external_streams WHERE shown_url = ?");
  const setting = database.query("SELECT value FROM external_stream_settings WHERE name = ?", (row) =>
    integer(row, "value"),
  );
  const set = database.command("INSERT OR REPLACE INTO external_stream_settings (name, value) VALUES (?, ?)");
  return {
    all: () => all.all(),
    put({ shownUrl, url, name, type, transport, audio, addedAtUs }) {
      put.run(shownUrl, url, name, type, transport, audio ? 1 : 0, addedAtUs);
    },
    remove: (shownUrl) => void remove.run(shownUrl),
    intervalS: () => setting.get("interval_s"),
    setIntervalS: (seconds) => void set.run("interval_s", seconds),
  };
}
