/**
 * `/health` and its relatives: is the process alive, may it be used, how are its parts. Public, so nothing
 * here tells more than counts and states.
 */
import type { FastifyInstance, FastifyReply } from "fastify";
import type { Cameras } from "../../cameras/contract.ts";
import type { Clock } from "../../clock/clock.ts";
import type { StorageState } from "../../library/contract.ts";

export interface HealthRoutesOptions {
  readonly app: FastifyInstance;
  readonly version: string;
  readonly clock: Clock;
  readonly startedAtMonoUs: number;
  readonly cameras: Cameras;
  /** True once the first scan of cameras is done, and false again while the hub stops. */
  readonly isReady: () => boolean;
  readonly isStopping: () => boolean;
  readonly storage: () => StorageState | undefined;
}

type Status = "healthy" | "degraded" | "unhealthy";

interface Component {
  readonly name: string;
  readonly status: Status;
  readonly message: string;
}

export function registerHealthRoutes(options: HealthRoutesOptions): void {
  const { app, version, clock } = options;
  const timestamp = (): string => new Date(clock.wallUs() / 1000).toISOString();
  const uptimeS = (): number => Math.floor((clock.monoUs() - options.startedAtMonoUs) / 1e6);

  const answer = (
    reply: FastifyReply,
    status: number,
    body: Readonly<Record<string, unknown>>,
  ): FastifyReply =>
    reply
      .code(status)
      .header("Cache-Control", "no-cache, no-store, must-revalidate")
      .header("Access-Control-Allow-Origin", "*")
      .send(body);

  app.get("/health", (_request, reply) => {
    const status = overall(componentsOf(options));
    answer(reply, 200, { status, timestamp: timestamp(), version, uptime: uptimeText(uptimeS()) });
  });

  app.get("/health/live", (_request, reply) => {
    answer(reply, 200, { alive: true, timestamp: timestamp(), message: "The hub is running" });
  });

  app.get("/health/ready", (_request, reply) => {
    const ready = options.isReady() && !options.isStopping();
    answer(reply, ready ? 200 : 503, {
      status: ready ? "ready" : "not_ready",
      ready,
      timestamp: timestamp(),
      message: readyMessage(options),
      details: { service_manager: serviceOf(options).status, mediamtx: mediamtx.status },
    });
  });

  app.get("/health/system", (_request, reply) => {
    const parts = componentsOf(options);
    const status = overall(parts);
    const components = Object.fromEntries(
      [...parts, mediamtx].map(({ name, status, message }) => [
        name,
        { status, details: message, timestamp: timestamp() },
      ]),
    );
    answer(reply, status === "unhealthy" ? 500 : 200, { status, timestamp: timestamp(), components });
  });

  app.get("/health/cameras", (_request, reply) => {
    const { status, message } = camerasOf(options);
    answer(reply, 200, { status, timestamp: timestamp(), details: message });
  });

  app.get("/health/mediamtx", (_request, reply) => {
    answer(reply, 200, { status: mediamtx.status, timestamp: timestamp(), details: mediamtx.message });
  });

  app.get("/health/detailed", (_request, reply) => {
    const parts = componentsOf(options);
    const count = (status: Status): number => parts.filter((part) => part.status === status).length;
    answer(reply, 200, {
      status: overall(parts),
      timestamp: timestamp(),
      version,
      uptime: uptimeText(uptimeS()),
      components: parts.map((part) => ({ ...part, last_checked: timestamp(), details: {} })),
      metrics: {
        uptime_seconds: uptimeS(),
        component_count: parts.length,
        components_healthy: count("healthy"),
        components_degraded: count("degraded"),
        components_unhealthy: count("unhealthy"),
      },
      environment: {
        runtime: `node ${process.version}`,
        platform: process.platform,
        architecture: process.arch,
      },
    });
  });
}

/** Older clients look for this part; the hub serves media itself. */
const mediamtx: Component = {
  name: "mediamtx",
  status: "healthy",
  message: "MediaMTX is not configured; the hub serves media itself",
};

function componentsOf(options: HealthRoutesOptions): readonly Component[] {
  return [serviceOf(options), camerasOf(options), storageOf(options.storage())];
}

function serviceOf(options: HealthRoutesOptions): Component {
  const status = options.isStopping() ? "unhealthy" : options.isReady() ? "healthy" : "degraded";
  return { name: "service_manager", status, message: readyMessage(options) };
}

function readyMessage(options: HealthRoutesOptions): string {
  if (options.isStopping()) return "The hub is shutting down";
  return options.isReady() ? "The hub is ready" : "The first scan of cameras is not done yet";
}

function camerasOf({ cameras, isReady }: HealthRoutesOptions): Component {
  const name = "camera_monitor";
  if (!isReady()) return { name, status: "degraded", message: "Camera monitor is starting" };
  const views = cameras.list().map((camera) => camera.view());
  const inError = views.filter((view) => view.status === "ERROR").length;
  const message = `Camera monitor is running with ${views.length} cameras`;
  return inError === 0
    ? { name, status: "healthy", message }
    : { name, status: "degraded", message: `${message}, ${inError} of them in error` };
}

function storageOf(storage: StorageState | undefined): Component {
  const name = "storage";
  if (storage === undefined) return { name, status: "healthy", message: "Free space is not measured yet" };
  if (storage.level === "ok") return { name, status: "healthy", message: "Free space is sufficient" };
  return storage.level === "low"
    ? { name, status: "degraded", message: "Free space is low" }
    : { name, status: "unhealthy", message: "Free space is critical; recordings are stopped" };
}

function overall(parts: readonly Component[]): Status {
  if (parts.some((part) => part.status === "unhealthy")) return "unhealthy";
  return parts.some((part) => part.status === "degraded") ? "degraded" : "healthy";
}

/** `72h15m30s` */
function uptimeText(seconds: number): string {
  return `${Math.floor(seconds / 3600)}h${Math.floor(seconds / 60) % 60}m${seconds % 60}s`;
}
