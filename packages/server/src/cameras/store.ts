/** Cameras in the database: what makes a camera the same camera after a restart. */
import { z } from "zod";
import type { DeviceIdentity, DeviceKind } from "../devices/device.ts";
import {
  type Database,
  integer,
  type Migration,
  optionalInteger,
  optionalText,
  type Row,
  text,
} from "../store/database.ts";
import type { LearnedMode } from "./camera.ts";
import type { CameraSettings } from "./contract.ts";

export const cameraMigrations: readonly Migration[] = [
  {
    owner: "cameras",
    version: 1,
    sql: `CREATE TABLE cameras (
      number INTEGER PRIMARY KEY,
      kind TEXT NOT NULL,
      identity TEXT NOT NULL,
      name TEXT NOT NULL,
      node TEXT,
      settings TEXT NOT NULL,
      learned TEXT,
      last_seen_us INTEGER
    ) STRICT`,
  },
];

export interface CameraRecord {
  readonly number: number;
  readonly kind: DeviceKind;
  readonly identity: DeviceIdentity;
  readonly name: string;
  readonly node: string | undefined;
  readonly settings: StoredSettings;
  readonly learned: LearnedMode | undefined;
  readonly lastSeenUs: number | undefined;
}

/** Only what was set; the rest follows the configuration. */
export type StoredSettings = Partial<CameraSettings>;

const kindSchema = z.enum(["v4l2", "rtsp", "http", "file", "virtual"]);

const identitySchema = z.object({
  serial: z.string().exactOptional(),
  vendorProduct: z.string().exactOptional(),
  busPath: z.string(),
  name: z.string(),
  index: z.number().int(),
});

const settingsSchema = z.object({
  name: z.string().exactOptional(),
  mode: z
    .object({
      format: z.string().exactOptional(),
      width: z.number().exactOptional(),
      height: z.number().exactOptional(),
      fps: z.number().exactOptional(),
    })
    .exactOptional(),
  recordCodec: z.enum(["copy", "h264"]).exactOptional(),
  continuousRecording: z.boolean().exactOptional(),
  preRollS: z.number().exactOptional(),
});

const learnedSchema = z.object({
  codec: z.enum(["mjpeg", "h264", "hevc", "av1"]),
  width: z.number(),
  height: z.number(),
  fps: z.number(),
});

function readRecord(row: Row): CameraRecord {
  const learned = optionalText(row, "learned");
  return {
    number: integer(row, "number"),
    kind: kindSchema.parse(text(row, "kind")),
    identity: identitySchema.parse(JSON.parse(text(row, "identity"))),
    name: text(row, "name"),
    node: optionalText(row, "node"),
    settings: settingsSchema.parse(JSON.parse(text(row, "settings"))),
    learned: learned === undefined ? undefined : learnedSchema.parse(JSON.parse(learned)),
    lastSeenUs: optionalInteger(row, "last_seen_us"),
  };
}

export interface CameraStore {
  all(): CameraRecord[];
  put(record: CameraRecord): void;
}

export function cameraStore(database: Database): CameraStore {
  const all = database.query("SELECT * FROM cameras ORDER BY number", readRecord);
  const put = database.command(
    `INSERT OR REPLACE INTO cameras (number, kind, identity, name, node, settings, learned, last_seen_us)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  return {
    all: () => all.all(),
    put(record) {
      put.run(
        record.number,
        record.kind,
        JSON.stringify(record.identity),
        record.name,
        record.node ?? null,
        JSON.stringify(record.settings),
        record.learned === undefined ? null : JSON.stringify(record.learned),
        record.lastSeenUs ?? null,
      );
    },
  };
}
