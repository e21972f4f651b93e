/**
 * What a caller's methods work with: the services of the hub as far as his credential reaches. The one place where
 * limits to cameras are put on for all methods: a method needs to know nothing of them, for what it is given does not
 * have the other cameras. Methods not named here are refused to the limited, so that a new one is closed until
 * somebody has thought about it.
 */
import type { MethodName } from "@ocelli/protocol/camera-service";
import { maySee } from "../../auth/camera-limit.ts";
import type { Identity } from "../../auth/identity.ts";
import {
  limitedCameraSettings,
  limitedCameras,
  limitedRecordings,
  limitedSchedules,
  limitedSnapshots,
} from "../../auth/limited-cameras.ts";
import {
  limitedExports,
  limitedLibrary,
  limitedRetention,
  needsAllCameras,
} from "../../auth/limited-media.ts";
import type { RpcServices } from "./services.ts";

/** Methods that reach cameras and files through the services below only, or tell of the hub what concerns everybody. */
const openToLimited: ReadonlySet<MethodName> = new Set<MethodName>([
  "get_camera_list",
  "get_camera_status",
  "get_camera_capabilities",
  "get_camera_settings",
  "set_camera_settings",
  "get_camera_controls",
  "set_camera_control",
  "take_snapshot",
  "capture_snapshot",
  "start_recording",
  "stop_recording",
  "get_recording_status",
  "schedule_recording",
  "get_scheduled_recordings",
  "cancel_scheduled_recording",
  "list_recordings",
  "list_snapshots",
  "get_recording_info",
  "get_snapshot_info",
  "delete_recording",
  "delete_snapshot",
  "export_recording",
  "set_retention_policy",
  "get_retention_policies",
  "subscribe_events",
  "unsubscribe_events",
  "get_subscription_stats",
  "get_event_history",
  "get_streams",
  "start_streaming",
  "stop_streaming",
  "get_stream_url",
  "get_stream_status",
  "get_server_info",
  "get_status",
  "get_system_status",
  "get_metrics",
  "get_clock_status",
  "refresh_token",
]);

/** @throws OcelliError `permission_denied` */
export function assertOpenTo(identity: Identity, method: MethodName): void {
  if (identity.cameras !== undefined && !openToLimited.has(method)) throw needsAllCameras(method);
}

export class ServicesOf {
  readonly #services: RpcServices;
  readonly #made = new WeakMap<Identity, RpcServices>();

  constructor(services: RpcServices) {
    this.#services = services;
  }

  /** @param identity `undefined` in public methods */
  for(identity: Identity | undefined): RpcServices {
    if (identity === undefined) return this.#services;
    const made = this.#made.get(identity) ?? servicesFor(identity, this.#services);
    this.#made.set(identity, made);
    return made;
  }
}

function servicesFor(identity: Identity, services: RpcServices): RpcServices {
  const links: RpcServices["links"] = {
    sign: (path, lifetimeS) => services.links.sign(path, lifetimeS, identity),
  };
  if (identity.cameras === undefined) return { ...services, links };
  const cameras = limitedCameras(identity, services.cameras);
  const library = limitedLibrary(identity, services.library);
  // Each by name, so that the compiler asks about a service that is added.
  const { sync, sessionFiles, clockSync } = services;
  const { externalStreams, streamSearch, configuration, storageReport, accounts, logins } = services;
  const { auth, events, subscriptions, hub, heldStreams, views, clock, log, rateLimits } = services;
  return {
    links,
    cameras,
    library,
    cameraSettings: limitedCameraSettings(cameras, services.cameraSettings),
    recordings: limitedRecordings(identity, services.recordings),
    schedules: limitedSchedules(identity, services.schedules),
    snapshots: limitedSnapshots(identity, services.snapshots),
    exports: limitedExports(library, services.exports),
    retention: limitedRetention(identity, services.retention),
    health: {
      get problems() {
        return services.health.problems.filter(({ cameraId }) => maySee(identity, cameraId));
      },
    },
    // For methods that are refused to the limited.
    ...{ sync, sessionFiles, clockSync },
    ...{ externalStreams, streamSearch, configuration, accounts },
    // Seen through `eventViewOf` where events are told; called with ids from `cameras`; or of nothing that has cameras.
    ...{ events, subscriptions, heldStreams, views, storageReport, logins, auth, hub, clock, log },
    ...(rateLimits === undefined ? {} : { rateLimits }),
  };
}
