import { Networks } from "./auth/networks.ts";
import type { HubContext } from "./hub-parts.ts";
import type { Recording, RecordingParts } from "./hub-recording.ts";
import { cameraDriver } from "./sync/members/camera-member.ts";
import { deviceDriverWhenNeeded } from "./sync/members/device-driver.ts";
import { SessionBook } from "./sync/session-book.ts";
import { SessionFiles } from "./sync/session-files.ts";
import { syncStore } from "./sync/store.ts";
import { SyncGroups } from "./sync/sync-groups.ts";

/** Groups of cameras and MultiCam devices that record from one instant. */

export type Sync = ReturnType<typeof startSync>;

export function startSync(
  { config, clock, log, bus, parts }: HubContext,
  given: RecordingParts & Pick<Recording, "recordings">,
) {
  const { cameras, library, storage, clockSync, data, database, recordings } = given;
  const deviceNetworks = new Networks(config.multicam.networks);
  const shared = {
    ...{ cameras, library, storage, bus, clock },
    folder: `${data.recordings}/.sync`,
    ffmpeg: given.ffmpeg.ffmpeg,
    ffprobe: given.ffmpeg.ffprobe,
  };
  const syncLog = log.child({ part: "sync" });
  const devices = deviceDriverWhenNeeded({ ...shared, clockSync, log: syncLog });
  parts.started("devices of sync groups", () => devices.close());
  const store = syncStore(database);
  const book = new SessionBook({ store, bus, log: syncLog });
  const sync = new SyncGroups({
    ...{ store, book },
    ...{ cameras, deviceNetworks, clock, clockSync, bus, log: syncLog },
    drivers: { camera: cameraDriver(recordings, library), multicam: devices },
  });
  parts.started("sync groups", () => sync.close());
  sync.start();
  const sessionFiles = new SessionFiles({ ...shared, sessions: book });
  parts.started("files of sync sessions", () => sessionFiles.close());
  return { sync, sessionFiles };
}
