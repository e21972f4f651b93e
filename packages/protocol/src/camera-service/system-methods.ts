/** The hub itself: what it is, what it can do, how it is and how much it does. */
import { z } from "zod";
import { method } from "./method.ts";

const count = z.number().int().min(0);
const amount = z.number().min(0);
const percent = z.number().min(0).max(100);
const iso = z.iso.datetime({ offset: true });

export const serverInfoSchema = z.looseObject({
  name: z.string(),
  version: z.string(),
  capabilities: z.array(z.string()),
  supported_formats: z.array(z.string()),
  max_cameras: count,
  build_date: iso,
  /** The runtime and its version; the name is that of older clients. */
  go_version: z.string(),
  architecture: z.string(),
  server: z.looseObject({ name: z.string(), version: z.string(), uptime_seconds: amount, started_at: iso }),
  system: z.looseObject({
    platform: z.string(),
    platform_version: z.string(),
    architecture: z.string(),
    python_version: z.null(),
    runtime_version: z.string(),
    hostname: z.string(),
  }),
  resources: z.looseObject({
    /** Of the whole machine. */
    cpu_percent: percent,
    memory_total_mb: amount,
    memory_used_mb: amount,
    memory_percent: percent,
    disk_total_gb: amount,
    disk_used_gb: amount,
    disk_percent: percent,
  }),
  timestamp: iso,
});

export const hubStatusSchema = z.looseObject({
  /** healthy, degraded, unhealthy; upper-case in the newer vocabulary. */
  status: z.string(),
  /** Seconds. */
  uptime: count,
  version: z.string(),
  components: z.record(z.string(), z.string()),
  /** Extension: what is wrong now. */
  problems: z.array(z.looseObject({ code: z.string(), severity: z.string(), message: z.string() })),
});

export const systemStatusSchema = z.looseObject({
  status: z.enum(["starting", "partial", "ready"]),
  message: z.string(),
  available_cameras: z.array(z.string()),
  discovery_active: z.boolean(),
});

export const metricsSchema = z.looseObject({
  active_connections: count,
  /** Since the start of the hub, as the mean and the rate below. */
  total_requests: count,
  /** Milliseconds. */
  average_response_time: amount,
  /** 0 to 1. */
  error_rate: z.number().min(0).max(1),
  /** MiB the hub's own process has in memory. */
  memory_usage: amount,
  /** Of one processor, by the hub's own process: above 100 when it uses several. */
  cpu_usage: amount,
  timestamp: iso,
  /** Of the whole machine, percent. */
  system_metrics: z.looseObject({
    cpu_usage: percent,
    memory_usage: percent,
    disk_usage: percent,
    /** What keeps the process busy: sockets, timers, children. */
    goroutines: count,
  }),
  camera_metrics: z.looseObject({
    connected_cameras: count,
    cameras: z.record(
      z.string(),
      z.looseObject({
        path: z.string(),
        name: z.string(),
        status: z.string(),
        /** What the driver says: the whole device's abilities, and those of the node. */
        capabilities: z.looseObject({
          driver_name: z.string(),
          card_name: z.string(),
          bus_info: z.string(),
          version: z.string(),
          capabilities: z.array(z.string()),
          device_caps: z.array(z.string()),
        }),
        formats: z.array(
          z.looseObject({
            pixel_format: z.string(),
            width: count,
            height: count,
            frame_rates: z.array(z.string()),
          }),
        ),
      }),
    ),
  }),
  recording_metrics: z.looseObject({ active_recordings: count }),
  stream_metrics: z.looseObject({ active_streams: count, total_streams: count, total_viewers: count }),
});

export const systemMethods = {
  echo: method("public", { message: z.string() }, z.string()),
  get_supported_methods: method("public", {}, z.array(z.string())),
  get_server_info: method("viewer", {}, serverInfoSchema),
  get_status: method("admin", {}, hubStatusSchema),
  get_system_status: method("viewer", {}, systemStatusSchema),
  get_metrics: method("admin", {}, metricsSchema),
} as const;
