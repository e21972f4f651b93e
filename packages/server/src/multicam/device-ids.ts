/** The lasting MultiCam id of each camera that takes part: controllers know devices, and name files, by it. */
import { randomBytes } from "node:crypto";
import { type Database, type Migration, text } from "../store/database.ts";

export const deviceIdMigrations: readonly Migration[] = [
  {
    owner: "multicam",
    version: 1,
    sql: `CREATE TABLE multicam_devices (
      camera_id TEXT PRIMARY KEY,
      device_id TEXT NOT NULL UNIQUE
    ) STRICT`,
  },
];

/** `Ocelli-` and eight hexadecimal digits, as phones have a noun and as many; made at the first call. */
export function deviceIdOf(database: Database, cameraId: string): string {
  const known = database
    .query("SELECT device_id FROM multicam_devices WHERE camera_id = ?", (row) => text(row, "device_id"))
    .get(cameraId);
  if (known !== undefined) return known;
  const made = `Ocelli-${randomBytes(4).toString("hex").toUpperCase()}`;
  database.command("INSERT INTO multicam_devices (camera_id, device_id) VALUES (?, ?)").run(cameraId, made);
  return made;
}
