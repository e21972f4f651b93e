/**
 * `/health` and its relatives: is the process alive, may it be used, how are its parts. Public, so nothing
 * here tells more than counts and states: names, addresses and reasons are for `get_status`.
 */
import type { FastifyInstance, FastifyReply } from "fastify";
import type { Cameras } from "../../cameras/contract.ts";
import type { Clock } from "../../clock/clock.ts";
import type { ClockSync } from "../../clock/sync/state.ts";
import type { HealthProblem } from "../../events/catalogue.ts";
import { type HealthStatus, type Load, loadProblems, statusOf } from "../../health/judgement.ts";

export interface HealthRoutesOptions {
  readonly app: FastifyInstance;
  readonly version: string;
  readonly clock: Clock;
  readonly clockSync: Pick<ClockSync, "state">;
  readonly startedAtMonoUs: number;
  readonly cameras: Pick<Cameras, "list">;
  /** True once the first scan of cameras is done, and false again while the hub stops. */
  readonly isReady: () => boolean;
  readonly isStopping: () => boolean;
  readonly health: { readonly problems: readonly HealthProblem[] };
  readonly load: () => Load;
}

type Status = HealthStatus;

interface Component {
  readonly name: string;
  readonly status: Status;
  readonly message: string;
  /** For `/health/detailed`. */
  readonly details?: Readonly<Record<string, unknown>>;
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
      components: parts.map((part) => ({ details: {}, ...part, last_checked: timestamp() })),
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
  return [serviceOf(options), camerasOf(options), storageOf(options), clockOf(options)];
}

function serviceOf(options: HealthRoutesOptions): Component {
  const name = "service_manager";
  const message = readyMessage(options);
  if (options.isStopping()) return { name, status: "unhealthy", message };
  if (!options.isReady()) return { name, status: "degraded", message };
  const problems = loadProblems(options.load());
  const words = [message, ...problems.map((problem) => problem.message)].join(". ");
  return { name, status: statusOf(problems), message: words };
}

function readyMessage(options: HealthRoutesOptions): string {
  if (options.isStopping()) return "The hub is shutting down";
  return options.isReady() ? "The hub is ready" : "The first scan of cameras is not done yet";
}

function camerasOf({ cameras, isReady, health }: HealthRoutesOptions): Component {
  const name = "camera_monitor";
  if (!isReady()) return { name, status: "degraded", message: "Camera monitor is starting" };
  const problems = health.problems.filter(({ component }) => component === "camera");
  const inError = problems.filter(({ severity }) => severity === "critical").length;
  const shaky = problems.length - inError;
  const message = [
    `Camera monitor is running with ${cameras.list().length} cameras`,
    ...(inError > 0 ? [`${inError} of them in error`] : []),
    ...(shaky > 0 ? [`${shaky} interrupted again and again`] : []),
  ].join(", ");
  return { name, status: statusOf(problems), message };
}

function storageOf({ health }: HealthRoutesOptions): Component {
  const problems = health.problems.filter(({ component }) => component === "storage");
  const status = statusOf(problems);
  const messages = {
    healthy: "Free space is sufficient",
    degraded: "Free space is low",
    unhealthy: "Free space is critical; recordings are stopped",
  };
  return { name: "storage", status, message: messages[status] };
}

/** By code of the problem. */
const clockWords: Readonly<Record<string, string>> = {
  clock_step: "The wall clock was set a short time ago",
  clock_unsynchronised: "Nothing synchronises the wall clock",
  clock_uncertain: "What the true time is, is known only roughly",
};

function clockOf({ health, clockSync }: HealthRoutesOptions): Component {
  const problems = health.problems.filter(({ component }) => component === "clock");
  const words = problems.map(({ code }) => clockWords[code] ?? "The wall clock needs attention");
  const { synchronised, source, offsetUs, uncertaintyUs } = clockSync.state;
  return {
    name: "clock",
    status: statusOf(problems),
    message: words.length === 0 ? "The wall clock runs evenly" : words.join(". "),
    details: {
      ...{ synchronised, source, offset_ms: offsetUs / 1000 },
      uncertainty_ms: uncertaintyUs === undefined ? null : uncertaintyUs / 1000,
    },
  };
}

function overall(parts: readonly Component[]): Status {
  if (parts.some((part) => part.status === "unhealthy")) return "unhealthy";
  return parts.some((part) => part.status === "degraded") ? "degraded" : "healthy";
}

/** `72h15m30s` */
function uptimeText(seconds: number): string {
  return `${Math.floor(seconds / 3600)}h${Math.floor(seconds / 60) % 60}m${seconds % 60}s`;
}
