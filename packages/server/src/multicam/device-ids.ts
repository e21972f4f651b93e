/**
 * What is kept of each camera that takes part: its lasting MultiCam id, by which controllers know devices and name files,
 * and the recording that a controller began last.
 */
import { randomBytes } from "node:crypto";
import { type Database, type Migration, optionalText, text } from "../store/database.ts";

export const deviceIdMigrations: readonly Migration[] = [
  {
    owner: "multicam",
    version: 1,
    sql: `CREATE TABLE multicam_devices (
      camera_id TEXT PRIMARY KEY,
      device_id TEXT NOT NULL UNIQUE
    ) STRICT`,
  },
  { owner: "multicam", version: 2, sql: "ALTER TABLE multicam_devices ADD COLUMN recording_id TEXT" },
];

export interface KeptDevice {
  /** `Ocelli-` and eight hexadecimal digits, as phones have a noun and as many. */
  readonly deviceId: string;
  readonly recordingId: string | undefined;
  /** @throws OcelliError `storage_failed` */
  keepRecordingId(id: string): void;
}

/** Made at the first call. */
export function keptDevice(database: Database, cameraId: string): KeptDevice {
  const keepRecordingId = (id: string): void =>
    void database
      .command("UPDATE multicam_devices SET recording_id = ? WHERE camera_id = ?")
      .run(id, cameraId);
  const known = database
    .query("SELECT device_id, recording_id FROM multicam_devices WHERE camera_id = ?", (row) => ({
      deviceId: text(row, "device_id"),
      recordingId: optionalText(row, "recording_id"),
    }))
    .get(cameraId);
  if (known !== undefined) return { ...known, keepRecordingId };
  const deviceId = `Ocelli-${randomBytes(4).toString("hex").toUpperCase()}`;
  database
    .command("INSERT INTO multicam_devices (camera_id, device_id) VALUES (?, ?)")
    .run(cameraId, deviceId);
  return { deviceId, recordingId: undefined, keepRecordingId };
}
