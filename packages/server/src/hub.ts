import { Certificate } from "./api/edge/certificate.ts";
import { type BoundAddress, Listener } from "./api/listener.ts";
import { RingBudget } from "./capture/ring-budget.ts";
import { SystemClockSync } from "./clock/sync/clock-sync.ts";
import { readNtpServer } from "./clock/sync/sntp.ts";
import { SystemClock } from "./clock/system-clock.ts";
import type { Config } from "./config/schema.ts";
import { EventLog } from "./event-log/event-log.ts";
import { openEventDatabase } from "./event-log/store.ts";
import { EventBus } from "./events/bus.ts";
import type { CameraView } from "./events/catalogue.ts";
import { findFfmpeg } from "./ffmpeg/find-ffmpeg.ts";
import { HealthProblems } from "./health/problems.ts";
import { openAccess } from "./hub-access.ts";
import { createApi } from "./hub-api.ts";
import { startCameras, startStreamSearch } from "./hub-cameras.ts";
import { advertise, multiCamCloseMs, startMultiCam } from "./hub-multicam.ts";
import { type HubContext, mebibyte, Parts } from "./hub-parts.ts";
import { startRecording } from "./hub-recording.ts";
import { openHubDatabase, openStorage } from "./hub-storage.ts";
import { startSync } from "./hub-sync.ts";
import type { Log } from "./log/log.ts";
import { ServiceNotifier } from "./service/service-notifier.ts";
import { giveBackSpareMemory } from "./service/spare-memory.ts";
import { createDataDir, lockDataDir } from "./store/data-dir.ts";
import { version } from "./version.ts";
import { Webhooks, webhookMigrations } from "./webhooks/webhooks.ts";

/**
 * The composition root: with `hub-*.ts` the one place that knows the configuration and builds every part. `start()`
 * reads as the list of parts in start order; `close()` runs the list of what was started backwards
 * (docs/lifecycle.md).
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

export class Hub {
  readonly #options: HubOptions;
  readonly #context: HubContext;
  readonly #service: ServiceNotifier;
  #certificate: Certificate | undefined;
  #closed: Promise<"closed" | "timeout"> | undefined;

  constructor(options: HubOptions) {
    const { config, log } = options;
    const clock = new SystemClock();
    this.#options = options;
    const bus = new EventBus(log.child({ part: "events" }));
    this.#context = { config, clock, log, bus, parts: new Parts(log) };
    this.#service = new ServiceNotifier({ clock, log: log.child({ part: "service" }) });
  }

  /**
   * Resolves when the first scan of cameras is done and every address is served.
   * @param signal abandons the start between two parts
   * @throws OcelliError `data_dir_locked`, `port_in_use`, `ffmpeg_missing`, `storage_failed`, `config_invalid`
   */
  async start(signal?: AbortSignal): Promise<StartedHub> {
    const hub = this.#context;
    const { config, clock, log, bus, parts } = hub;
    const startedAt = { monoUs: clock.monoUs(), wallUs: clock.wallUs() };
    parts.started("clock", () => clock.close());
    this.#service.status("Starting");
    tellClockSteps(hub);
    const certificate = readCertificate(hub);
    this.#certificate = certificate;
    const data = createDataDir(config.dataDir);
    const lock = lockDataDir(data.root);
    parts.started("lock of the data folder", () => lock.close());
    const { events, webhooks } = openEvents(hub, data.state);
    const clockSync = watchClock(hub);
    const judgeClock = config.multicam.enabled || config.clock.ntpServers.length > 0;
    const health = new HealthProblems({ bus, clock, judgeClock });
    parts.started("health", () => health.close());
    const ffmpeg = await findFfmpeg({ clock });
    signal?.throwIfAborted();

    const database = openHubDatabase(hub, data);
    const access = await openAccess(hub, database, data.state);
    const storage = await openStorage(hub, { data, database, ffprobe: ffmpeg.ffprobe });
    signal?.throwIfAborted();

    const ringBudget = new RingBudget({ maxBytes: config.capture.totalMegabytes * mebibyte });
    const { cameras, externalStreams, streamStore } = await startCameras(hub, {
      ...{ database, ffmpeg, ringBudget },
    });
    signal?.throwIfAborted();

    const recordingParts = { ...storage, cameras, clockSync, data, database, ffmpeg };
    const recording = await startRecording(hub, recordingParts);
    const { recordings } = recording;
    signal?.throwIfAborted();
    const sync = startSync(hub, { ...recordingParts, recordings });
    // Not waited for: time servers may take seconds.
    void clockSync.refresh().then((state) => health.judgeClock(state));
    externalStreams.start({ cameras, recordings });
    const streamSearch = await startStreamSearch(hub, streamStore);

    let ready = false;
    const api = createApi(hub, {
      ...{ access, storage, recording, sync, cameras, externalStreams, streamSearch },
      ...{ clockSync, events, webhooks, health, ringBudget, startedAt },
      origin: this.#options.origin ?? new Map(),
      isReady: () => ready,
      isStopping: () => this.#closed !== undefined,
    });
    const multicam = await startMultiCam(hub, database, {
      ...{ cameras, recordings, library: storage.library, storage: storage.storage, clockSync },
    });
    const listener = new Listener({
      ...{ app: api.app, upgrades: api.upgrades, clock, certificate },
      addresses: config.listen,
      explicit: this.#options.listenIsExplicit,
      log: log.child({ part: "listener" }),
      requestTimeoutMs: config.connections.requestSeconds * 1000,
      maxConnections: api.maxConnections,
      otherProtocol: multicam?.acceptShared.bind(multicam),
    });
    parts.started("connections", async () => {
      if (ready) bus.emit("system.shutdown", { reason: "requested" });
      ready = false;
      // Together: on a shared port the listener waits for the connections of both protocols.
      const devices = multicam?.close(multiCamCloseMs(hub));
      await Promise.all([api.closeConnections(), devices, listener.close()]);
      await api.app.close();
    });
    const addresses = await listener.open();
    // Last, so that a start that fails does not make a key nobody gets to see.
    access.keys.ensureAdmin(config.adminKey, this.#options.announceKey);
    await advertise(hub, multicam, addresses);
    ready = true;
    parts.started("spare memory", giveBackSpareMemory({ clock }));
    this.#service.ready(`Serving ${cameras.views().length} camera(s)`);
    bus.emit("system.startup", { version });
    log.info({ version, ffmpeg: ffmpeg.version, dataDir: data.root, addresses }, "the hub is ready");
    return { addresses, cameras: cameras.views() };
  }

  /** Reads what may change while the hub runs: the TLS certificate. Never throws. */
  reload(): void {
    this.#context.log.info("asked to read the TLS certificate again");
    this.#certificate?.reload();
  }

  /** Stops everything that was started, last first, within `shutdownSeconds`. The same promise each time. */
  close(): Promise<"closed" | "timeout"> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<"closed" | "timeout"> {
    const { config, log, parts } = this.#context;
    this.#service.stopping((config.shutdownSeconds + 5) * 1000);
    const outcome = await parts.close(config.shutdownSeconds * 1000);
    if (outcome === "closed") log.info("the hub has stopped");
    return outcome;
  }
}

function tellClockSteps({ clock, log, bus }: HubContext): void {
  clock.onStep((stepUs) => {
    log.warn(
      { stepMs: Math.round(stepUs / 1000) },
      "the wall clock was stepped; media times are not affected",
    );
    bus.emit("clock.step", { stepUs });
  });
}

/** Where the settings name one. */
function readCertificate({ config, clock, log, parts }: HubContext): Certificate | undefined {
  const { certFile, keyFile, caFile } = config.tls;
  if (certFile === undefined || keyFile === undefined) return undefined;
  const files = { certFile, keyFile, caFile };
  const certificate = new Certificate({ files, clock, log: log.child({ part: "tls" }) });
  parts.started("certificate", () => certificate.close());
  return certificate;
}

/** The log of events, and who is told of them by webhook. */
function openEvents({ config, clock, log, bus, parts }: HubContext, stateFolder: string) {
  const eventsLog = log.child({ part: "event log" });
  const database = openEventDatabase(`${stateFolder}/events.db`, eventsLog, webhookMigrations);
  const events = new EventLog({
    ...{ database, bus, clock, log: eventsLog },
    maxBytes: config.events.keepMegabytes * mebibyte,
    maxAgeMs: config.events.keepDays * 86_400_000,
  });
  parts.started("event log", () => events.close());
  const webhooks = new Webhooks({
    ...{ webhooks: config.webhooks, events, database, clock, version },
    log: log.child({ part: "webhooks" }),
  });
  parts.started("webhooks", () => webhooks.close());
  return { events, webhooks };
}

/** How right the wall clock is. */
function watchClock({ config, clock, log, bus, parts }: HubContext): SystemClockSync {
  const clockSync = new SystemClockSync({
    clock,
    servers: config.clock.ntpServers.map(readNtpServer),
    intervalMs: config.clock.intervalSeconds * 1000,
    trustKernel: config.clock.trustKernel,
    onError: (error) => log.warn({ err: error, part: "clock" }, "the time servers could not be asked"),
  });
  parts.started("watch of the clock", () => clockSync.close());
  clockSync.onChange((state) => bus.emit("clock.state", { state }));
  return clockSync;
}
