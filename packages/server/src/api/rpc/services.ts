/** What the methods work with: the floors below, as the composition root hands them over. */

import type { Accounts } from "../../auth/accounts.ts";
import type { Authenticator } from "../../auth/authenticator.ts";
import type { RecordingControl, SnapshotControl } from "../../auth/limited-cameras.ts";
import type { LibraryReader } from "../../auth/limited-media.ts";
import type { Logins } from "../../auth/logins.ts";
import type { LinkSigner } from "../../auth/signed-links.ts";
import type { CameraSettingsService } from "../../cameras/camera-settings.ts";
import type { Cameras } from "../../cameras/contract.ts";
import type { Clock } from "../../clock/clock.ts";
import type { ClockSync } from "../../clock/sync/state.ts";
import type { EffectiveSetting } from "../../config/effective.ts";
import type { Events } from "../../event-log/contract.ts";
import type { ExternalStreams } from "../../external-streams/external-streams.ts";
import type { StreamSearch } from "../../external-streams/stream-search.ts";
import type { HealthProblems } from "../../health/problems.ts";
import type { Retention } from "../../library/retention.ts";
import type { StorageReport } from "../../library/storage-report.ts";
import type { HeldStreams } from "../../live/held-streams.ts";
import type { LiveViews } from "../../live/live-views.ts";
import type { Log } from "../../log/log.ts";
import type { Exports } from "../../recording/contract.ts";
import type { Schedules } from "../../recording/schedules.ts";
import type { SessionFiles } from "../../sync/session-files.ts";
import type { SyncGroups } from "../../sync/sync-groups.ts";
import type { RateLimits } from "../edge/rate-limits.ts";
import type { MachineFigures } from "./machine-figures.ts";
import type { RequestFigures } from "./request-figures.ts";
import type { Subscriptions } from "./subscriptions.ts";

/** What the endpoint knows of itself. */
export interface HubFigures {
  readonly version: string;
  readonly startedAtMonoUs: number;
  readonly connections: () => number;
  readonly maxConnections: number;
  readonly requests: RequestFigures;
  readonly machine: Pick<MachineFigures, "measure">;
}

export interface RpcServices {
  readonly cameras: Cameras;
  readonly cameraSettings: Pick<CameraSettingsService, "get" | "set">;
  readonly externalStreams: Pick<ExternalStreams, "add" | "remove" | "list">;
  readonly streamSearch: Pick<StreamSearch, "search" | "changeInterval" | "known">;
  readonly configuration: () => readonly EffectiveSetting[];
  readonly recordings: RecordingControl;
  readonly schedules: Pick<Schedules, "add" | "list" | "cancel">;
  readonly snapshots: SnapshotControl;
  readonly exports: Pick<Exports, "run">;
  readonly library: LibraryReader;
  readonly storageReport: Pick<StorageReport, "measure">;
  readonly health: Pick<HealthProblems, "problems">;
  readonly retention: Pick<Retention, "policies" | "set" | "cleanup">;
  readonly auth: Authenticator;
  readonly accounts: Accounts;
  readonly logins: Logins;
  readonly links: Pick<LinkSigner, "sign">;
  /** None by default. */
  readonly rateLimits?: Pick<RateLimits, "allowance" | "admit">;
  readonly events: Events;
  readonly subscriptions: Subscriptions;
  readonly hub: HubFigures;
  readonly heldStreams: HeldStreams;
  readonly views: Pick<LiveViews, "viewersOf" | "totalsOf">;
  readonly sync: Pick<
    SyncGroups,
    "groups" | "create" | "remove" | "begin" | "end" | "session" | "sessions" | "running" | "runningOf"
  >;
  readonly sessionFiles: Pick<SessionFiles, "report" | "align" | "remove">;
  readonly clockSync: Pick<ClockSync, "state">;
  readonly clock: Clock;
  readonly log: Log;
}
