import { keyMigrations } from "./auth/api-keys.ts";
import { userMigrations } from "./auth/users.ts";
import { cameraMigrations } from "./cameras/store.ts";
import { externalStreamMigrations } from "./external-streams/store.ts";
import { type HubContext, mebibyte } from "./hub-parts.ts";
import { MediaLibrary } from "./library/library.ts";
import { Retention } from "./library/retention.ts";
import { retentionMigrations } from "./library/retention-policy.ts";
import { DiskGuard } from "./library/storage-guard.ts";
import { deviceIdMigrations } from "./multicam/device-ids.ts";
import { uploadMigrations, waitsForUpload } from "./multicam/uploads/upload-store.ts";
import { scheduleMigrations } from "./recording/schedule-store.ts";
import type { DataDir } from "./store/data-dir.ts";
import { type Database, openDatabase } from "./store/database.ts";
import { hasReserve, makeReserve } from "./store/reserve.ts";
import { syncMigrations } from "./sync/store.ts";

/** What is kept on disk: the database, the files and their index, and how much room there is for them. */

/** The tables of everybody who keeps something. */
export function openHubDatabase({ parts }: HubContext, data: DataDir): Database {
  const database = openDatabase(data.database, [
    ...keyMigrations,
    ...userMigrations,
    ...cameraMigrations,
    ...retentionMigrations,
    ...scheduleMigrations,
    ...syncMigrations,
    ...deviceIdMigrations,
    ...uploadMigrations,
    ...externalStreamMigrations,
  ]);
  parts.started("database", () => database.close());
  return database;
}

export type Storage = Awaited<ReturnType<typeof openStorage>>;

export async function openStorage(
  { config, clock, log, bus, parts }: HubContext,
  { data, database, ffprobe }: { data: DataDir; database: Database; ffprobe: string },
) {
  const library = await MediaLibrary.open({
    recordingsFolder: data.recordings,
    snapshotsFolder: data.snapshots,
    indexPath: `${data.state}/library.db`,
    ...{ clock, ffprobe },
    log: log.child({ part: "library" }),
  });
  parts.started("library", () => library.close());
  const storage = await DiskGuard.open({
    ...{ folder: data.root, clock, bus },
    log: log.child({ part: "storage" }),
    intervalMs: config.storage.checkSeconds * 1000,
    limits: {
      lowBytes: config.storage.lowMegabytes * mebibyte,
      criticalBytes: config.storage.criticalMegabytes * mebibyte,
    },
  });
  if (!hasReserve(data.state)) {
    log.error(
      { path: data.root },
      "the disk is full: only reading and deleting are sure to work; delete recordings or add space",
    );
  }
  // Spent on a full disk, it is made again when there is room.
  parts.started(
    "reserve",
    clock.every(60_000, () => makeReserve(data.state)),
  );
  parts.started("storage guard", () => storage.close());
  const retention = new Retention({
    ...{ library, storage, database, clock, bus },
    ...(config.multicam.enabled ? { isNeeded: waitsForUpload(database) } : {}),
    log: log.child({ part: "retention" }),
    intervalMs: config.retention.checkSeconds * 1000,
  });
  parts.started("retention", () => retention.close());
  return { library, storage, retention };
}
