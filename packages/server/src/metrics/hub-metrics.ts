/** The hub around the cameras as metrics: disk, library, connections, events, clock, credentials, webhooks, problems. */
import type { ClockSync } from "../clock/sync/state.ts";
import type { EventBus } from "../events/bus.ts";
import type { HealthProblem } from "../events/catalogue.ts";
import type { MediaKind, StorageState } from "../library/contract.ts";
import { type Family, oneOf, type Sample, single, Tally } from "./families.ts";

export interface HubMetricsOptions {
  readonly bus: EventBus;
  readonly storage: { readonly state: StorageState };
  readonly library: { usage(kind: MediaKind): { readonly files: number; readonly bytes: number } };
  /** Frames of all cameras in memory. */
  readonly rings: { readonly bytes: number; readonly maxBytes: number };
  readonly webSockets: { readonly size: number };
  readonly rpc: { readonly connections: number; readonly dropped: DroppedConnections };
  readonly auth: { readonly refusals: number };
  readonly webhooks: {
    stats(): readonly {
      readonly receiver: string;
      readonly delivered: number;
      readonly failed: number;
      readonly waiting: number;
    }[];
  };
  readonly health: { readonly problems: readonly HealthProblem[] };
  readonly clockSync: Pick<ClockSync, "state">;
}

/** Since the start. */
export interface DroppedConnections {
  /** Did not read what it was told. */
  readonly slow: number;
  /** Answered no ping. */
  readonly silent: number;
  /** More than the hub takes. */
  readonly refused: number;
}

const kinds: readonly MediaKind[] = ["recording", "snapshot"];

export function hubFamilies(options: HubMetricsOptions): Family[] {
  const { bus, storage, library, rings, webSockets, rpc, auth, webhooks, health, clockSync } = options;
  const events = new Tally();
  const deleted = new Tally(kinds);
  let clockSteps = 0;
  let deletedBytes = 0;
  bus.onAny(({ name }) => events.add(name));
  bus.on("clock.step", () => {
    clockSteps++;
  });
  bus.on("retention.deleted", ({ recordings, snapshots, bytes }) => {
    deleted.add("recording", recordings);
    deleted.add("snapshot", snapshots);
    deletedBytes += bytes;
  });
  const media = (of: "files" | "bytes"): Sample[] => kinds.map((kind) => [{ kind }, library.usage(kind)[of]]);
  return [
    {
      ...{ name: "ocelli_storage_free_bytes", type: "gauge" },
      help: "Free space where recordings go.",
      read: () => single(storage.state.freeBytes),
    },
    {
      ...{ name: "ocelli_storage_capacity_bytes", type: "gauge" },
      help: "All space where recordings go.",
      read: () => single(storage.state.totalBytes),
    },
    {
      ...{ name: "ocelli_storage_low_bytes", type: "gauge" },
      help: "With less free space than this no recording starts.",
      read: () => single(storage.state.lowBytes ?? Number.NaN),
    },
    {
      ...{ name: "ocelli_storage_critical_bytes", type: "gauge" },
      help: "With less free space than this recordings end.",
      read: () => single(storage.state.criticalBytes ?? Number.NaN),
    },
    {
      ...{ name: "ocelli_storage_level", type: "gauge", labels: ["level"] },
      help: "1 for the level of free space there is now.",
      read: () => oneOf("level", ["ok", "low", "critical"], storage.state.level),
    },
    {
      ...{ name: "ocelli_library_files", type: "gauge", labels: ["kind"] },
      help: "Finished media.",
      read: () => media("files"),
    },
    {
      ...{ name: "ocelli_library_bytes", type: "gauge", labels: ["kind"] },
      help: "Room finished media take.",
      read: () => media("bytes"),
    },
    {
      ...{ name: "ocelli_retention_deleted_files_total", type: "counter", labels: ["kind"] },
      help: "Files deleted by the retention policies.",
      read: () => deleted.samples("kind"),
    },
    {
      ...{ name: "ocelli_retention_deleted_bytes_total", type: "counter" },
      help: "Room made by the retention policies.",
      read: () => single(deletedBytes),
    },
    {
      ...{ name: "ocelli_ring_bytes", type: "gauge" },
      help: "Frames of all cameras kept in memory.",
      read: () => single(rings.bytes),
    },
    {
      ...{ name: "ocelli_ring_limit_bytes", type: "gauge" },
      help: "The most that is kept.",
      read: () => single(rings.maxBytes),
    },
    {
      ...{ name: "ocelli_websocket_connections", type: "gauge" },
      help: "Open WebSockets of any kind.",
      read: () => single(webSockets.size),
    },
    {
      ...{ name: "ocelli_rpc_connections", type: "gauge" },
      help: "Clients connected to the camera service.",
      read: () => single(rpc.connections),
    },
    {
      ...{ name: "ocelli_rpc_connections_dropped_total", type: "counter", labels: ["reason"] },
      help: "Clients the hub parted from. slow: did not read; silent: answered no ping; refused: one too many.",
      read: () => Object.entries(rpc.dropped).map(([reason, count]) => [{ reason }, Number(count)]),
    },
    {
      ...{ name: "ocelli_auth_failures_total", type: "counter" },
      help: "Credentials that were refused.",
      read: () => single(auth.refusals),
    },
    {
      ...{ name: "ocelli_events_total", type: "counter", labels: ["event"] },
      help: "What happened, by the name of the event.",
      read: () => events.samples("event"),
    },
    {
      ...{ name: "ocelli_clock_steps_total", type: "counter" },
      help: "Times the wall clock was set.",
      read: () => single(clockSteps),
    },
    {
      ...{ name: "ocelli_clock_synchronised", type: "gauge" },
      help: "1 while the wall clock is kept right, or its error has been measured of late.",
      read: () => single(clockSync.state.synchronised ? 1 : 0),
    },
    {
      ...{ name: "ocelli_clock_offset_seconds", type: "gauge" },
      help: "True time minus the wall clock, as far as it is known.",
      read: () => single(clockSync.state.offsetUs / 1e6),
    },
    {
      ...{ name: "ocelli_clock_uncertainty_seconds", type: "gauge" },
      help: "The offset is right to within this; NaN when nobody knows.",
      read: () => single((clockSync.state.uncertaintyUs ?? Number.NaN) / 1e6),
    },
    {
      ...{ name: "ocelli_webhook_deliveries_total", type: "counter", labels: ["receiver", "outcome"] },
      help: "Tries to deliver an event: delivered, failed.",
      read: () =>
        webhooks.stats().flatMap(({ receiver, delivered, failed }): Sample[] => [
          [{ receiver, outcome: "delivered" }, delivered],
          [{ receiver, outcome: "failed" }, failed],
        ]),
    },
    {
      ...{ name: "ocelli_webhook_waiting_events", type: "gauge", labels: ["receiver"] },
      help: "Newest events the webhook has not come to yet.",
      read: () => {
        const most = new Map<string, number>();
        for (const { receiver, waiting } of webhooks.stats())
          most.set(receiver, Math.max(waiting, most.get(receiver) ?? 0));
        return [...most].map(([receiver, waiting]): Sample => [{ receiver }, waiting]);
      },
    },
    {
      ...{ name: "ocelli_health_problems", type: "gauge", labels: ["component", "severity"] },
      help: "What is wrong now.",
      read: () =>
        ["camera", "storage", "clock"].flatMap((component) =>
          ["warning", "critical"].map((severity): Sample => {
            const fits = (one: HealthProblem): boolean =>
              one.component === component && one.severity === severity;
            return [{ component, severity }, health.problems.filter(fits).length];
          }),
        ),
    },
  ];
}
