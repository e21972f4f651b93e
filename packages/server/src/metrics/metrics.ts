/**
 * The hub's figures in the form of Prometheus: owns the registry and what is counted as requests pass. What other parts
 * count or know themselves is read at the moment of a scrape (`watch`).
 *
 * Invariant: labels are bounded. Whatever a client can choose freely (method names, paths) never becomes one.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { Log } from "../log/log.ts";
import { addFamilies, type Family } from "./families.ts";

export interface MetricsOptions {
  readonly version: string;
  readonly log: Log;
}

/** `refused`: the caller's doing; `fault`: the hub's own. */
export type Outcome = "ok" | "refused" | "fault";

/** Seconds. A camera that starts takes some. */
const durations = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** Of an event loop that was not watched yet they are no numbers. */
const senselessAtFirst = ["min", "mean", "stddev"].map((of) => `nodejs_eventloop_lag_${of}_seconds`);

/** Sums that are called like counters and are none, which `promtool check metrics` minds; what they sum up stays. */
const misnamed = ["handles", "requests", "resources"].map((what) => `nodejs_active_${what}_total`);

export class Metrics {
  readonly #registry = new Registry();
  readonly #rpc: Counter<"method" | "outcome">;
  readonly #rpcSeconds: Histogram<"method">;
  readonly #http: Counter<"method" | "route" | "status">;
  readonly #log: Log;
  /** Names of families that could not be read. */
  readonly #failing = new Set<string>();
  #watchesProcess = false;

  constructor({ version, log }: MetricsOptions) {
    this.#log = log;
    const registers = [this.#registry];
    new Gauge({
      name: "ocelli_build_info",
      help: "Always 1; the labels say which Ocelli this is.",
      labelNames: ["version"],
      registers,
    }).set({ version }, 1);
    this.#rpc = new Counter({
      name: "ocelli_rpc_requests_total",
      help: "JSON-RPC requests and notifications; fault: by the hub's own doing.",
      labelNames: ["method", "outcome"],
      registers,
    });
    this.#rpcSeconds = new Histogram({
      name: "ocelli_rpc_request_duration_seconds",
      help: "From the request to its answer, of requests that came to a method.",
      labelNames: ["method"],
      buckets: durations,
      registers,
    });
    this.#http = new Counter({
      name: "ocelli_http_requests_total",
      help: "HTTP requests that were answered.",
      labelNames: ["method", "route", "status"],
      registers,
    });
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** @param method one of the hub's own; `undefined` for any other and for malformed requests */
  rpcRequest(method: string | undefined, outcome: Outcome, seconds: number): void {
    this.#rpc.inc({ method: method ?? "unknown", outcome });
    if (method !== undefined) this.#rpcSeconds.observe({ method }, Math.max(0, seconds));
  }

  /** @param route its pattern, not the path; `undefined` where there is none */
  httpRequest(method: string, route: string | undefined, status: number): void {
    this.#http.inc({ method, route: route ?? "none", status: String(status) });
  }

  watch(families: readonly Family[]): void {
    addFamilies(this.#registry, families, (metric, error) => {
      // Told once: it is asked for every few seconds.
      if (this.#failing.has(metric)) return;
      this.#failing.add(metric);
      this.#log.warn({ err: error, metric }, "a metric cannot be read; the others are served without it");
    });
  }

  /** Everything, in the text format of Prometheus. */
  text(): Promise<string> {
    // Watching the event loop wakes the process up a hundred times a second: only where somebody looks.
    if (!this.#watchesProcess) {
      this.#watchesProcess = true;
      collectDefaultMetrics({ register: this.#registry });
      for (const name of [...senselessAtFirst, ...misnamed]) this.#registry.removeSingleMetric(name);
    }
    return this.#registry.metrics();
  }
}
