import type { FastifyInstance } from "fastify";
import { watchAnswers } from "./api/answers.ts";
import { registerCameraRoutes } from "./api/cameras/routes.ts";
import { Certificate } from "./api/edge/certificate.ts";
import { Clients } from "./api/edge/clients.ts";
import { registerHttpLimits } from "./api/edge/http-limits.ts";
import { Origins, registerCors } from "./api/edge/origins.ts";
import { ownHosts } from "./api/edge/own-hosts.ts";
import { RateLimits } from "./api/edge/rate-limits.ts";
import { registerFileRoutes } from "./api/files/routes.ts";
import { registerHealthRoutes } from "./api/health/routes.ts";
import { createHttpApp } from "./api/http-app.ts";
import { type BoundAddress, Listener } from "./api/listener.ts";
import { registerLiveRoutes } from "./api/live/routes.ts";
import { registerMetricsRoutes } from "./api/metrics/routes.ts";
import type { MultiCamServer } from "./api/multicam/server.ts";
import { registerOpenRpcRoutes } from "./api/openrpc/routes.ts";
import { registerPageRoutes } from "./api/page/routes.ts";
import { createRpcEndpoint, rpcSocketOptions } from "./api/rpc/endpoint.ts";
import { registerSyncRoutes } from "./api/sync/routes.ts";
import { Upgrades } from "./api/upgrades.ts";
import { Accounts } from "./auth/accounts.ts";
import { AnonymousAccess } from "./auth/anonymous.ts";
import { Authenticator, type CredentialKind } from "./auth/authenticator.ts";
import { apiKeyCredentials, tokenCredentials } from "./auth/credentials.ts";
import { ApiKeys, keyMigrations } from "./auth/keys.ts";
import { Logins } from "./auth/logins.ts";
import { Networks } from "./auth/networks.ts";
import { Passwords } from "./auth/passwords.ts";
import { LinkSigner } from "./auth/sign.ts";
import { tokenSecret } from "./auth/token-secret.ts";
import { Tokens } from "./auth/tokens.ts";
import { Users, userMigrations } from "./auth/users.ts";
import { CameraSettingsService } from "./cameras/camera-settings.ts";
import type { CaptureFactory } from "./cameras/capture-factory.ts";
import { CameraRegistry } from "./cameras/registry.ts";
import { cameraMigrations } from "./cameras/store.ts";
import { DeviceCapture } from "./capture/device-capture.ts";
import { RingBudget } from "./capture/ring-budget.ts";
import { Transcode } from "./capture/transcode.ts";
import type { Clock } from "./clock/clock.ts";
import { SystemClockSync } from "./clock/sync/clock-sync.ts";
import { readNtpServer } from "./clock/sync/sntp.ts";
import { SystemClock } from "./clock/system-clock.ts";
import { effectiveSettings } from "./config/effective.ts";
import type { Config, NetworkCameraConfig } from "./config/schema.ts";
import { NetworkProvider } from "./devices/network/provider.ts";
import { V4l2Provider } from "./devices/v4l2/provider.ts";
import { VirtualProvider } from "./devices/virtual/provider.ts";
import { EventLog } from "./event-log/event-log.ts";
import { openEventDatabase } from "./event-log/store.ts";
import { EventBus } from "./events/bus.ts";
import type { CameraView } from "./events/catalogue.ts";
import { ExternalStreams } from "./external-streams/external-streams.ts";
import { networkFinder } from "./external-streams/network-finder.ts";
import { externalStreamMigrations, externalStreamStore } from "./external-streams/store.ts";
import { probeStream } from "./external-streams/stream-probe.ts";
import { type StreamFinder, StreamSearch } from "./external-streams/stream-search.ts";
import { findFfmpeg } from "./ffmpeg/skills.ts";
import { HealthProblems } from "./health/problems.ts";
import { Digests } from "./library/digests.ts";
import { MediaLibrary } from "./library/library.ts";
import { Retention } from "./library/retention.ts";
import { retentionMigrations } from "./library/retention-policy.ts";
import { DiskGuard } from "./library/storage-guard.ts";
import { StorageReport } from "./library/storage-report.ts";
import { LiveViews } from "./live/live-views.ts";
import type { Log } from "./log/log.ts";
import { cameraFamilies } from "./metrics/camera-metrics.ts";
import { hubFamilies } from "./metrics/hub-metrics.ts";
import { Metrics } from "./metrics/metrics.ts";
import { recordingFamilies } from "./metrics/recording-metrics.ts";
import type { AdvertisedDevice } from "./multicam/advertise.ts";
import { CameraDevices, type CameraDevicesOptions } from "./multicam/camera-devices.ts";
import { deviceIdMigrations } from "./multicam/device-ids.ts";
import { UploadQueue, uploadMigrations } from "./multicam/uploads/upload-queue.ts";
import { ContinuousRecording } from "./recording/continuous.ts";
import { Exporter } from "./recording/export.ts";
import { frameTimesCsv } from "./recording/frame-times.ts";
import { RecordingJournal } from "./recording/journal.ts";
import { RecordingService } from "./recording/recordings.ts";
import { scheduleMigrations } from "./recording/schedule-store.ts";
import { Schedules } from "./recording/schedules.ts";
import { WarmCaptures } from "./recording/warm-captures.ts";
import { connectionsWithin, openFilesLimit } from "./service/open-files.ts";
import { ServiceNotifier } from "./service/service-notifier.ts";
import { giveBackSpareMemory } from "./service/spare-memory.ts";
import { SnapshotService } from "./snapshots/snapshots.ts";
import { createDataDir, lockDataDir } from "./store/data-dir.ts";
import { type Database, openDatabase } from "./store/database.ts";
import { hasReserve, makeReserve } from "./store/reserve.ts";
import { cameraDriver } from "./sync/camera-member.ts";
import { deviceDriverWhenNeeded } from "./sync/device-driver.ts";
import { SessionFiles } from "./sync/session-files.ts";
import { syncMigrations, syncStore } from "./sync/store.ts";
import { SyncGroups } from "./sync/sync-groups.ts";
import { version } from "./version.ts";
import { Webhooks, webhookMigrations } from "./webhooks/webhooks.ts";

/**
 * The composition root: the one place that knows the configuration and builds every part. `start()` reads as the
 * list of parts in start order; `close()` runs the list of what was started backwards (docs/lifecycle.md).
 *
 * What only some hubs need is imported where the settings ask for it, and costs the others no memory.
 */

export interface HubOptions {
  readonly config: Config;
  /** The user named the addresses, so that a taken port is an error. */
  readonly listenIsExplicit: boolean;
  /** Keys of the configuration that somebody set, and where. Default: none. */
  readonly origin?: ReadonlyMap<string, string>;
  readonly log: Log;
  /** Gets the admin key, in the clear, when one is made; throws when it cannot be handed over. */
  readonly announceKey: (key: string) => void;
}

export interface StartedHub {
  readonly addresses: readonly BoundAddress[];
  readonly cameras: readonly CameraView[];
}

interface Part {
  readonly name: string;
  readonly close: () => unknown;
}

const mebibyte = 2 ** 20;
/** A month. */
const expiredKeysKeptUs = 30 * 86_400e6;

export class Hub {
  readonly #config: Config;
  readonly #listenIsExplicit: boolean;
  readonly #origin: ReadonlyMap<string, string>;
  readonly #log: Log;
  readonly #announceKey: (key: string) => void;
  readonly #clock: Clock = new SystemClock();
  readonly #parts: Part[] = [];
  readonly #ringBudget: RingBudget;
  #service: ServiceNotifier | undefined;
  #certificate: Certificate | undefined;
  #closed: Promise<"closed" | "timeout"> | undefined;

  constructor(options: HubOptions) {
    this.#config = options.config;
    this.#listenIsExplicit = options.listenIsExplicit;
    this.#origin = options.origin ?? new Map();
    this.#log = options.log;
    this.#announceKey = options.announceKey;
    this.#ringBudget = new RingBudget({ maxBytes: this.#config.capture.totalMegabytes * mebibyte });
  }

  /**
   * Resolves when the first scan of cameras is done and every address is served.
   * @param signal abandons the start between two parts
   * @throws OcelliError `data_dir_locked`, `port_in_use`, `ffmpeg_missing`, `storage_failed`, `config_invalid`
   */
  async start(signal?: AbortSignal): Promise<StartedHub> {
    const config = this.#config;
    const clock = this.#clock;
    const log = this.#log;
    const startedAtMonoUs = clock.monoUs();
    const startedAtUs = clock.wallUs();
    this.#started("clock", () => clock.close());
    this.#service = new ServiceNotifier({ clock, log: log.child({ part: "service" }) });
    this.#service.status("Starting");
    const bus = new EventBus(log.child({ part: "events" }));
    clock.onStep((stepUs) => {
      log.warn(
        { stepMs: Math.round(stepUs / 1000) },
        "the wall clock was stepped; media times are not affected",
      );
      bus.emit("clock.step", { stepUs });
    });

    const { certFile, keyFile, caFile } = config.tls;
    if (certFile !== undefined && keyFile !== undefined) {
      const files = { certFile, keyFile, caFile };
      const certificate = new Certificate({ files, clock, log: log.child({ part: "tls" }) });
      this.#certificate = certificate;
      this.#started("certificate", () => certificate.close());
    }
    const data = createDataDir(config.dataDir);
    const lock = lockDataDir(data.root);
    this.#started("lock of the data folder", () => lock.close());
    const eventsLog = log.child({ part: "event log" });
    const eventDatabase = openEventDatabase(`${data.state}/events.db`, eventsLog, webhookMigrations);
    const events = new EventLog({
      ...{ database: eventDatabase, bus, clock, log: eventsLog },
      maxBytes: config.events.keepMegabytes * mebibyte,
      maxAgeMs: config.events.keepDays * 86_400_000,
    });
    this.#started("event log", () => events.close());
    const webhooks = new Webhooks({
      ...{ webhooks: config.webhooks, events, database: eventDatabase, clock, version },
      log: log.child({ part: "webhooks" }),
    });
    this.#started("webhooks", () => webhooks.close());
    const clockSync = new SystemClockSync({
      clock,
      servers: config.clock.ntpServers.map(readNtpServer),
      intervalMs: config.clock.intervalSeconds * 1000,
      trustKernel: config.clock.trustKernel,
      onError: (error) => log.warn({ err: error, part: "clock" }, "the time servers could not be asked"),
    });
    this.#started("watch of the clock", () => clockSync.close());
    clockSync.onChange((state) => bus.emit("clock.state", { state }));
    const judgeClock = config.multicam.enabled || config.clock.ntpServers.length > 0;
    const health = new HealthProblems({ bus, clock, judgeClock });
    this.#started("health", () => health.close());
    const ffmpeg = await findFfmpeg({ clock });
    signal?.throwIfAborted();

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
    this.#started("database", () => database.close());
    const keys = new ApiKeys({ database, clock });
    keys.removeExpired(expiredKeysKeptUs);
    const users = new Users({ database, clock });
    const passwords = new Passwords();
    const tokens = new Tokens({ secret: tokenSecret(`${data.state}/token.key`), clock });
    const links = new LinkSigner({ clock });
    const clients = new Clients(config.security.trustedProxies);
    const isOwnHost = ownHosts(config.security.allowedHosts);
    if (config.anonymous.enabled && config.security.trustedProxies.length > 0) {
      log.warn(
        { networks: config.anonymous.networks, trustedProxies: config.security.trustedProxies },
        "clients without a key are judged by the address of the socket: through a proxy in those networks everybody comes in",
      );
    }
    const auth = new Authenticator({
      kinds: [
        tokenCredentials(tokens, users, keys),
        ...(await this.#externalTokens()),
        apiKeyCredentials(keys, users),
      ],
      anonymous: new AnonymousAccess(config.anonymous),
      links,
      clock,
      log: log.child({ part: "auth" }),
      addressOf: (request) => clients.addressOf(request),
      isOwnHost,
    });

    const library = await MediaLibrary.open({
      recordingsFolder: data.recordings,
      snapshotsFolder: data.snapshots,
      indexPath: `${data.state}/library.db`,
      clock,
      log: log.child({ part: "library" }),
      ffprobe: ffmpeg.ffprobe,
    });
    this.#started("library", () => library.close());
    const storage = await DiskGuard.open({
      folder: data.root,
      clock,
      bus,
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
    this.#started(
      "reserve",
      clock.every(60_000, () => makeReserve(data.state)),
    );
    this.#started("storage guard", () => storage.close());
    const retention = new Retention({
      ...{ library, storage, database, clock, bus },
      log: log.child({ part: "retention" }),
      intervalMs: config.retention.checkSeconds * 1000,
    });
    this.#started("retention", () => retention.close());
    signal?.throwIfAborted();

    const network = new NetworkProvider({ clock, cameras: config.cameras.map(networkCamera) });
    const streamStore = externalStreamStore(database);
    const streamLog = log.child({ part: "external streams" });
    const externalStreams = new ExternalStreams({
      ...{ store: streamStore, provider: network, bus, clock, log: streamLog },
      probe: (device, signal) =>
        probeStream(device, {
          ...{ clock, ffprobe: ffmpeg.ffprobe, signal },
          timeoutMs: config.capture.startTimeoutSeconds * 1000,
        }),
    });
    this.#started("external streams", () => externalStreams.close());
    const cameras = new CameraRegistry({
      providers: [...localProviders(config, clock, log), network],
      virtual: { provider: virtualProvider(config), mode: config.virtualCamera },
      database,
      bus,
      clock,
      log: log.child({ part: "cameras" }),
      capture: this.#captureFactory(ffmpeg.ffmpeg),
      recordCodec: config.recording.codec,
      usbMode: usbMode(config),
    });
    this.#started("cameras", () => cameras.close());
    await cameras.start();
    signal?.throwIfAborted();

    const shared = { cameras, library, storage, bus, clock };
    const snapshots = new SnapshotService({
      ...shared,
      clockSync,
      log: log.child({ part: "snapshots" }),
      warmUpFrames: { v4l2: config.snapshots.warmUpFrames },
      ffmpeg: ffmpeg.ffmpeg,
    });
    this.#started("snapshots", () => snapshots.close());
    const exports = new Exporter({
      ...shared,
      log: log.child({ part: "exports" }),
      ffmpeg: ffmpeg.ffmpeg,
      ffprobe: ffmpeg.ffprobe,
    });
    this.#started("exports", () => exports.close());
    const recordings = new RecordingService({
      ...shared,
      clockSync,
      events: bus,
      exports,
      journal: new RecordingJournal(`${data.state}/recordings`, log.child({ part: "journal" })),
      log: log.child({ part: "recordings" }),
      limits: {
        segmentSeconds: config.recording.segmentSeconds,
        segmentBytes: config.recording.segmentMegabytes * mebibyte,
      },
      fragmentSeconds: config.recording.fragmentSeconds,
      sync: config.recording.sync,
      budgetBytes: config.recording.bufferMegabytes * mebibyte,
      cameraAbsentSeconds: config.recording.cameraAbsentSeconds,
      closeTimeoutMs: config.shutdownSeconds * 1000 * 0.6,
    });
    this.#started("recordings", () => recordings.close());
    await recordings.recover();
    signal?.throwIfAborted();
    const schedules = new Schedules({
      ...{ recordings, cameras, database, clock },
      events: bus,
      log: log.child({ part: "schedules" }),
      warmUpMs: config.recording.warmUpSeconds * 1000,
    });
    this.#started("schedules", () => schedules.close());
    schedules.start();
    const kept = {
      recordings,
      cameras,
      clock,
      events: bus,
      log: log.child({ part: "continuous recording" }),
    };
    const warm = new WarmCaptures(kept);
    this.#started("warm captures", () => warm.close());
    warm.start();
    const continuous = new ContinuousRecording({
      ...kept,
      reserved: (cameraId) => schedules.isDue(cameraId),
    });
    this.#started("continuous recording", () => continuous.close());
    continuous.start();
    const making = { folder: `${data.recordings}/.sync`, ffmpeg: ffmpeg.ffmpeg, ffprobe: ffmpeg.ffprobe };
    const devices = deviceDriverWhenNeeded({
      ...{ ...shared, ...making, clockSync },
      log: log.child({ part: "sync" }),
    });
    this.#started("devices of sync groups", () => devices.close());
    const sync = new SyncGroups({
      store: syncStore(database),
      ...{ cameras, clock, clockSync, bus },
      drivers: { camera: cameraDriver(recordings, library), multicam: devices },
      log: log.child({ part: "sync" }),
    });
    this.#started("sync groups", () => sync.close());
    sync.start();
    const sessionFiles = new SessionFiles({ ...shared, ...making, sessions: sync });
    this.#started("files of sync sessions", () => sessionFiles.close());
    // Not waited for: time servers may take seconds.
    void clockSync.refresh().then((state) => health.judgeClock(state));
    const cameraSettings = new CameraSettingsService({
      cameras,
      log: log.child({ part: "camera settings" }),
      maxPreRollS: config.capture.ringSeconds,
    });

    externalStreams.start({ cameras, recordings });
    const streamSearch = new StreamSearch({
      finders: await streamFinders(config, clock),
      ...{ store: streamStore, bus, clock, log: streamLog },
    });
    this.#started("search for streams", () => streamSearch.close());
    streamSearch.start();

    let ready = false;
    const app = createHttpApp({ log: log.child({ part: "http" }) });
    const metrics = new Metrics({ version, log: log.child({ part: "metrics" }) });
    // Before all other hooks, so that it sees what those refuse.
    watchAnswers({
      ...{ app, clock, log: log.child({ part: "http" }) },
      onAnswer: (method, route, status) => metrics.httpRequest(method, route, status),
    });
    const authorize = auth.identify.bind(auth);
    const origins = new Origins({ allowed: config.security.allowedOrigins, clients, isOwnHost });
    const rateLimits = new RateLimits({ clock, ...config.rateLimit });
    registerCors(app, origins);
    registerHttpLimits({ app, limits: rateLimits, clients, authorize });
    const fileLimit = openFilesLimit();
    const places = connectionsWithin(fileLimit, config.connections.max);
    if (places < config.connections.max) {
      log.info(
        { places, wanted: config.connections.max, openFiles: fileLimit },
        "the limit of open files leaves room for fewer WebSocket connections than the settings; raise it (ulimit -n, LimitNOFILE) for more",
      );
    }
    const upgrades = new Upgrades({
      clock,
      log: log.child({ part: "websocket" }),
      originAllowed: (_origin, request) => origins.allows(request),
      // Room for viewers, and for those who are told that there is no place.
      maxSockets: places + 1024,
    });
    const live = new LiveViews({ cameras, clock });
    const rpc = createRpcEndpoint({
      ...shared,
      onRequest: (method, outcome, seconds) => metrics.rpcRequest(method, outcome, seconds),
      views: live,
      health,
      recordings,
      snapshots,
      exports,
      storageReport: new StorageReport({ storage, library }),
      retention,
      cameraSettings,
      schedules,
      externalStreams,
      streamSearch,
      ...{ sync, sessionFiles, clockSync },
      deviceNetworks: new Networks(config.multicam.networks),
      configuration: () => effectiveSettings(config, this.#origin),
      events,
      auth,
      accounts: new Accounts({ keys, users, passwords, clock, log: log.child({ part: "accounts" }) }),
      logins: new Logins({
        ...{ tokens, users, passwords, auth, clock },
        log: log.child({ part: "accounts" }),
        lifetimeS: config.auth.tokenHours * 3600,
      }),
      links,
      rateLimits,
      clients,
      maxConnections: places,
      maxNewcomersPerAddress: config.connections.unauthenticatedPerAddress,
      limits: {
        pingEveryMs: config.connections.pingSeconds * 1000,
        pongWithinMs: config.connections.pongSeconds * 1000,
      },
      version,
      log: log.child({ part: "rpc" }),
    });
    upgrades.add({
      path: "/ws",
      ...rpcSocketOptions,
      accept: (socket, request) => rpc.handle(socket, request),
    });
    registerHealthRoutes({
      app,
      version,
      clock,
      startedAtMonoUs,
      cameras,
      isReady: () => ready,
      isStopping: () => this.#closed !== undefined,
      health,
      load: () => rpc.load,
    });
    registerCameraRoutes({ app, cameras, authorize, clock, log: log.child({ part: "http" }) });
    metrics.watch([
      ...cameraFamilies({ cameras, bus, views: live }),
      ...recordingFamilies({ recordings, bus, sinceUs: startedAtUs }),
      ...hubFamilies({
        ...{ bus, storage, library, rpc, auth, webhooks, health, clockSync },
        ...{ rings: this.#ringBudget, webSockets: upgrades },
      }),
    ]);
    const scrapers = { enabled: true, role: "viewer" as const, networks: config.metrics.networks };
    const allowed = new AnonymousAccess(scrapers);
    registerMetricsRoutes({
      ...{ app, metrics, authorize },
      // The socket's own address: a header can claim any.
      isAllowed: (request) =>
        auth.isOwnClient(request) && allowed.identityFor(request.socket.remoteAddress) !== undefined,
    });
    const http = { app, authorize, log: log.child({ part: "http" }) };
    const digests = new Digests({ log: log.child({ part: "digests" }) });
    this.#started("digests", () => digests.close());
    registerFileRoutes({ ...http, library, digests, frameTimesCsv });
    const signLink = links.sign.bind(links);
    registerLiveRoutes({ ...http, upgrades, views: live, cameras, snapshots, signLink, clock });
    registerSyncRoutes({ app, authorize, sync, sessionFiles });
    registerOpenRpcRoutes({ app, version });
    registerPageRoutes({ app });
    const multicam = await this.#multicam(database, { cameras, recordings, library, clock, clockSync });
    const listener = new Listener({
      app,
      upgrades,
      addresses: config.listen,
      explicit: this.#listenIsExplicit,
      clock,
      log: log.child({ part: "listener" }),
      certificate: this.#certificate,
      requestTimeoutMs: config.connections.requestSeconds * 1000,
      // Room for plain requests too.
      maxConnections: connectionsWithin(fileLimit, places + 2048),
      otherProtocol: multicam?.acceptShared.bind(multicam),
    });
    this.#started("connections", async () => {
      if (ready) bus.emit("system.shutdown", { reason: "requested" });
      ready = false;
      // Together: on a shared port the listener waits for the connections of both protocols.
      const devices = multicam?.close(config.shutdownSeconds * 200);
      await Promise.all([rpc.close(), live.close(), devices, listener.close()]);
      await closeApp(app);
    });
    const addresses = await listener.open();
    // Last, so that a start that fails does not make a key nobody gets to see.
    keys.ensureAdmin(config.adminKey, this.#announceKey);
    await this.#advertise(multicam, addresses);
    ready = true;
    this.#started("spare memory", giveBackSpareMemory({ clock }));
    this.#service.ready(`Serving ${cameras.views().length} camera(s)`);
    bus.emit("system.startup", { version });
    this.#log.info({ version, ffmpeg: ffmpeg.version, dataDir: data.root, addresses }, "the hub is ready");
    return { addresses, cameras: cameras.views() };
  }

  /** The cameras as MultiCam devices; `undefined` unless the settings want them. */
  async #multicam(
    database: Database,
    shared: Omit<CameraDevicesOptions, "database" | "log">,
  ): Promise<MultiCamServer | undefined> {
    const { multicam: config } = this.#config;
    const log = this.#log.child({ part: "multicam" });
    if (!config.enabled) return undefined;
    const uploads = new UploadQueue({
      ...{ ...shared, database, log, hosts: config.uploadHosts },
      s3Endpoint: config.s3Endpoint,
      deleteAfterUpload: config.deleteAfterUpload,
    });
    this.#started("MultiCam uploads", () => uploads.close());
    uploads.start();
    const devices = new CameraDevices({ ...shared, database, log });
    this.#started("MultiCam devices", () => devices.close());
    const { MultiCamServer } = await import("./api/multicam/server.ts");
    const server = new MultiCamServer({
      ...{ uploads, clock: shared.clock, log, deviceType: config.deviceType },
      networks: new Networks(config.networks),
      shared: devices.finder(config.camera),
      others: config.devices.map(({ camera, port }) => ({
        device: devices.finder(camera),
        host: "0.0.0.0",
        port,
      })),
    });
    this.#started("MultiCam connections", () => server.close(this.#config.shutdownSeconds * 200));
    for (const { port, device } of await server.open()) {
      log.info({ port, camera: device()?.cameraId }, "a MultiCam device is served");
    }
    return server;
  }

  /** Tells the network of the MultiCam devices, where the settings want that. */
  async #advertise(multicam: MultiCamServer | undefined, addresses: readonly BoundAddress[]): Promise<void> {
    if (multicam === undefined || !this.#config.multicam.advertise) return;
    const { Advertisement } = await import("./multicam/advertise.ts");
    const log = this.#log.child({ part: "multicam" });
    const reachable = addresses.find(({ host, secure }) => !secure && !/^(127\.|::1$|localhost$)/.test(host));
    if (reachable === undefined) {
      log.warn(
        "the MultiCam device on the hub's own addresses is not announced: they are for this machine only, or speak TLS",
      );
    }
    const devices = (): AdvertisedDevice[] => {
      const own = reachable === undefined ? [] : [{ device: multicam.shared, port: reachable.port }];
      const others = multicam.addresses.map(({ device, port }) => ({ device: device(), port }));
      const byId = new Map<string, AdvertisedDevice>();
      for (const { device, port } of [...own, ...others]) {
        if (device === undefined || byId.has(device.deviceId)) continue;
        byId.set(device.deviceId, { deviceId: device.deviceId, port });
      }
      return [...byId.values()];
    };
    const advertisement = new Advertisement({ devices, clock: this.#clock, log });
    this.#started("announcement of MultiCam devices", () => advertisement.close());
  }

  /** Reads what may change while the hub runs: the TLS certificate. Never throws. */
  reload(): void {
    this.#log.info("asked to read the TLS certificate again");
    this.#certificate?.reload();
  }

  /**
   * Stops everything that was started, last first, within `shutdownSeconds`. A part that fails or hangs is named in
   * the log and does not keep the others from being closed. The same promise each time.
   */
  close(): Promise<"closed" | "timeout"> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<"closed" | "timeout"> {
    this.#service?.stopping((this.#config.shutdownSeconds + 5) * 1000);
    const bound = new SystemClock();
    const timeout = new AbortController();
    const late = bound.sleep(this.#config.shutdownSeconds * 1000, timeout.signal).then(
      () => "timeout" as const,
      () => "closed" as const,
    );
    const open = new Set(this.#parts.map((part) => part.name));
    const all = (async () => {
      for (const part of this.#parts.toReversed()) {
        try {
          await part.close();
        } catch (error) {
          this.#log.error({ err: error, part: part.name }, "a part could not be closed");
        }
        open.delete(part.name);
      }
      return "closed" as const;
    })();
    const outcome = await Promise.race([all, late]);
    timeout.abort();
    bound.close();
    if (outcome === "timeout") this.#log.error({ parts: [...open] }, "these parts did not stop in time");
    else this.#log.info("the hub has stopped");
    return outcome;
  }

  #started(name: string, close: Part["close"]): void {
    this.#parts.push({ name, close });
  }

  /** Of an identity provider, where the settings name one. */
  async #externalTokens(): Promise<CredentialKind[]> {
    const { url, issuer, audience, roleClaim, camerasClaim } = this.#config.auth.jwks;
    if (url === undefined || issuer === undefined || audience === undefined) return [];
    const clock = this.#clock;
    const { ExternalKeys } = await import("./auth/external-keys.ts");
    const { externalTokenCredentials } = await import("./auth/external-tokens.ts");
    const keys = new ExternalKeys({ url, clock, log: this.#log.child({ part: "identity provider" }) });
    this.#started("identity provider", () => keys.close());
    return [externalTokenCredentials({ keys, issuer, audience, roleClaim, camerasClaim, clock })];
  }

  #captureFactory(ffmpeg: string): CaptureFactory {
    const { capture } = this.#config;
    const budget = this.#ringBudget;
    const common = (id: string) => ({
      id,
      clock: this.#clock,
      log: this.#log.child({ source: id }),
      ffmpeg,
      startTimeoutMs: capture.startTimeoutSeconds * 1000,
      lingerMs: capture.lingerSeconds * 1000,
      stallTimeoutMs: capture.stallSeconds * 1000,
      ring: { maxBytes: capture.ringMegabytes * mebibyte, maxSeconds: capture.ringSeconds, budget },
    });
    return {
      makeNative: ({ id, input }) => new DeviceCapture({ ...common(id), input }),
      makeTranscode: ({ id, source, codec }) =>
        new Transcode({ ...common(id), input: source, settings: { codec } }),
    };
  }
}

async function closeApp(app: FastifyInstance): Promise<void> {
  await app.close();
}

function localProviders(config: Config, clock: Clock, log: Log) {
  if (!config.devices.v4l2) return [];
  const v4l2 = new V4l2Provider({
    clock,
    log: log.child({ part: "v4l2" }),
    rescanIntervalMs: config.devices.rescanSeconds * 1000,
  });
  return [v4l2];
}

async function streamFinders({ discovery }: Config, clock: Clock): Promise<StreamFinder[]> {
  const { onvif, skydio, generic } = discovery;
  const scan = { clock, timeoutMs: discovery.timeoutSeconds * 1000 };
  const finders: StreamFinder[] = [];
  if (onvif.enabled) {
    const timeoutMs = onvif.timeoutSeconds * 1000;
    const { onvifFinder } = await import("./external-streams/onvif-finder.ts");
    finders.push(onvifFinder({ clock, timeoutMs, interfaces: onvif.interfaces }));
  }
  if (skydio.networks.length > 0) {
    const places = [
      { port: 5554, paths: ["/subject"], label: "Skydio" },
      { port: 6554, paths: ["/infrared"], label: "Skydio infrared" },
    ];
    finders.push(networkFinder({ ...scan, kind: "skydio", networks: skydio.networks, places }));
  }
  if (generic.networks.length > 0) {
    const places = generic.ports.map((port) => ({ port, paths: generic.paths, label: "Camera" }));
    finders.push(networkFinder({ ...scan, kind: "generic", networks: generic.networks, places }));
  }
  return finders;
}

function networkCamera({ url, name, number, transport, audio }: NetworkCameraConfig) {
  return {
    url,
    transport,
    audio,
    ...(name !== undefined && { name }),
    ...(number !== undefined && { number }),
  };
}

function virtualProvider({ virtual }: Config): VirtualProvider {
  const [width = 0, height = 0] = sizeOf(virtual.size);
  const camera = { width, height, fps: virtual.fps, codec: virtual.codec };
  return new VirtualProvider({ cameras: Array.from({ length: virtual.count }, () => camera) });
}

function usbMode({ devices }: Config) {
  const [width, height] = devices.size === undefined ? [] : sizeOf(devices.size);
  return {
    ...(devices.format !== undefined && { format: devices.format }),
    ...(width !== undefined && height !== undefined && { width, height }),
    ...(devices.fps !== undefined && { fps: devices.fps }),
  };
}

function sizeOf(text: string): number[] {
  return text.split("x").map(Number);
}
