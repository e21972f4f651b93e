import type { FastifyInstance } from "fastify";
import { watchAnswers } from "./api/answers.ts";
import { registerCameraRoutes } from "./api/cameras/routes.ts";
import { registerHttpLimits } from "./api/edge/http-limits.ts";
import { Origins, registerCors } from "./api/edge/origins.ts";
import { RateLimits } from "./api/edge/rate-limits.ts";
import { registerFileRoutes } from "./api/files/routes.ts";
import { registerHealthRoutes } from "./api/health/routes.ts";
import { createHttpApp } from "./api/http-app.ts";
import { registerLiveRoutes } from "./api/live/routes.ts";
import { registerMetricsRoutes } from "./api/metrics/routes.ts";
import { registerOpenRpcRoutes } from "./api/openrpc/routes.ts";
import { registerPageRoutes } from "./api/page/routes.ts";
import { createRpcEndpoint, type RpcEndpoint, rpcSocketOptions } from "./api/rpc/endpoint.ts";
import { registerSyncRoutes } from "./api/sync/routes.ts";
import { Upgrades } from "./api/upgrades.ts";
import { AnonymousAccess } from "./auth/anonymous.ts";
import type { CameraRegistry } from "./cameras/registry.ts";
import type { RingBudget } from "./capture/ring-budget.ts";
import type { ClockSync } from "./clock/sync/state.ts";
import { effectiveSettings } from "./config/effective.ts";
import type { EventLog } from "./event-log/event-log.ts";
import type { ExternalStreams } from "./external-streams/external-streams.ts";
import type { StreamSearch } from "./external-streams/stream-search.ts";
import type { HealthProblems } from "./health/problems.ts";
import type { Access } from "./hub-access.ts";
import type { HubContext } from "./hub-parts.ts";
import type { Recording } from "./hub-recording.ts";
import type { Storage } from "./hub-storage.ts";
import type { Sync } from "./hub-sync.ts";
import { Digests } from "./library/digests.ts";
import { StorageReport } from "./library/storage-report.ts";
import { LiveViews } from "./live/live-views.ts";
import { cameraFamilies } from "./metrics/camera-metrics.ts";
import { hubFamilies } from "./metrics/hub-metrics.ts";
import { Metrics } from "./metrics/metrics.ts";
import { recordingFamilies } from "./metrics/recording-metrics.ts";
import { frameTimesCsv } from "./recording/frame-times.ts";
import { connectionsWithin, openFilesLimit } from "./service/open-files.ts";
import { version } from "./version.ts";
import type { Webhooks } from "./webhooks/webhooks.ts";

/** All that answers on the hub's addresses over HTTP and WebSocket, and who guards it. */

export interface ApiParts {
  readonly access: Access;
  readonly storage: Storage;
  readonly recording: Recording;
  readonly sync: Sync;
  readonly cameras: CameraRegistry;
  readonly externalStreams: ExternalStreams;
  readonly streamSearch: StreamSearch;
  readonly clockSync: ClockSync;
  readonly events: EventLog;
  readonly webhooks: Webhooks;
  readonly health: HealthProblems;
  readonly ringBudget: RingBudget;
  /** Keys of the configuration that somebody set, and where. */
  readonly origin: ReadonlyMap<string, string>;
  readonly startedAt: { readonly wallUs: number; readonly monoUs: number };
  readonly isReady: () => boolean;
  readonly isStopping: () => boolean;
}

export interface Api {
  readonly app: FastifyInstance;
  readonly upgrades: Upgrades;
  /** Of all addresses together. */
  readonly maxConnections: number;
  /** Parts from everybody. */
  closeConnections(): Promise<void>;
}

export function createApi(hub: HubContext, given: ApiParts): Api {
  const { config, clock, log, bus, parts } = hub;
  const { access, cameras, health, isReady, isStopping, startedAt } = given;
  const { library, storage } = given.storage;
  const { snapshots, recordings } = given.recording;
  const httpLog = log.child({ part: "http" });
  const app = createHttpApp({ log: httpLog });
  const metrics = new Metrics({ version, log: log.child({ part: "metrics" }) });
  // Before all other hooks, so that it sees what those refuse.
  watchAnswers({
    ...{ app, clock, log: httpLog },
    onAnswer: (method, route, status) => metrics.httpRequest(method, route, status),
  });
  const authorize = access.auth.identify.bind(access.auth);
  const { clients, isOwnHost } = access;
  const origins = new Origins({ allowed: config.security.allowedOrigins, clients, isOwnHost });
  const rateLimits = new RateLimits({ clock, ...config.rateLimit });
  registerCors(app, origins);
  registerHttpLimits({ app, limits: rateLimits, clients, authorize });
  const places = connectionPlaces(hub);
  const upgrades = new Upgrades({
    clock,
    log: log.child({ part: "websocket" }),
    originAllowed: (_origin, request) => origins.allows(request),
    // Room for viewers, and for those who are told that there is no place.
    maxSockets: places.webSockets + 1024,
  });
  const views = new LiveViews({ cameras, clock });
  const rpc = rpcEndpoint(hub, given, { metrics, views, rateLimits, maxConnections: places.webSockets });
  upgrades.add({
    path: "/ws",
    ...rpcSocketOptions,
    accept: (socket, request) => rpc.handle(socket, request),
  });
  metrics.watch([
    ...cameraFamilies({ cameras, bus, views }),
    ...recordingFamilies({ recordings, bus, sinceUs: startedAt.wallUs }),
    ...hubFamilies({
      ...{ bus, storage, library, rpc, health, auth: access.auth, webhooks: given.webhooks },
      ...{ clockSync: given.clockSync, rings: given.ringBudget, webSockets: upgrades },
    }),
  ]);
  const digests = new Digests({ log: log.child({ part: "digests" }) });
  parts.started("digests", () => digests.close());

  const http = { app, authorize, log: httpLog };
  const signLink = access.links.sign.bind(access.links);
  registerHealthRoutes({
    ...{ app, version, clock, cameras, health, isReady, isStopping },
    ...{ clockSync: given.clockSync, startedAtMonoUs: startedAt.monoUs },
    load: () => rpc.load,
  });
  registerCameraRoutes({ ...http, cameras, clock });
  registerMetricsRoutes({ app, authorize, metrics, isAllowed: scrapers(hub, access) });
  registerFileRoutes({ ...http, library, digests, frameTimesCsv });
  registerLiveRoutes({ ...http, upgrades, views, cameras, snapshots, signLink, clock });
  registerSyncRoutes({ app, authorize, ...given.sync });
  registerOpenRpcRoutes({ app, version });
  registerPageRoutes({ app });
  return {
    app,
    upgrades,
    maxConnections: places.all,
    closeConnections: async () => {
      await Promise.all([rpc.close(), views.close()]);
    },
  };
}

function rpcEndpoint(
  { config, clock, log }: HubContext,
  given: ApiParts,
  made: { metrics: Metrics; views: LiveViews; rateLimits: RateLimits; maxConnections: number },
): RpcEndpoint {
  const { library, storage, retention } = given.storage;
  const { auth, accounts, logins, links, clients } = given.access;
  const { cameras, externalStreams, streamSearch, clockSync, events, health } = given;
  const { metrics, ...shared } = made;
  return createRpcEndpoint({
    ...{ ...shared, ...given.recording, ...given.sync },
    ...{ cameras, library, retention, externalStreams, streamSearch, health, events, clockSync, clock },
    ...{ auth, accounts, logins, links, clients, version },
    onRequest: (method, outcome, seconds) => metrics.rpcRequest(method, outcome, seconds),
    storageReport: new StorageReport({ storage, library }),
    configuration: () => effectiveSettings(config, given.origin),
    maxNewcomersPerAddress: config.connections.unauthenticatedPerAddress,
    limits: {
      pingEveryMs: config.connections.pingSeconds * 1000,
      pongWithinMs: config.connections.pongSeconds * 1000,
    },
    log: log.child({ part: "rpc" }),
  });
}

/** How many connections there is room for: the settings say so, unless the limit of open files says less. */
function connectionPlaces({ config, log }: HubContext): { webSockets: number; all: number } {
  const openFiles = openFilesLimit();
  const webSockets = connectionsWithin(openFiles, config.connections.max);
  if (webSockets < config.connections.max) {
    log.info(
      { places: webSockets, wanted: config.connections.max, openFiles },
      "the limit of open files leaves room for fewer WebSocket connections than the settings; raise it (ulimit -n, LimitNOFILE) for more",
    );
  }
  // Room for plain requests too.
  return { webSockets, all: connectionsWithin(openFiles, webSockets + 2048) };
}

/** Who may read the metrics without a key. */
function scrapers({ config }: HubContext, { auth }: Access) {
  const allowed = new AnonymousAccess({ enabled: true, role: "viewer", networks: config.metrics.networks });
  // The socket's own address: a header can claim any.
  return (request: Parameters<Access["auth"]["isOwnClient"]>[0]): boolean =>
    auth.isOwnClient(request) && allowed.identityFor(request.socket.remoteAddress) !== undefined;
}
