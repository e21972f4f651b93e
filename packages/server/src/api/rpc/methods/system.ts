/** The hub about itself. Every figure of load and space is measured. */
import { arch, hostname, platform, release } from "node:os";
import { isoOf, methodNames, type Names, recordingFormats } from "@ocelli/protocol/camera-service";
import type { Camera } from "../../../cameras/contract.ts";
import type { CameraView } from "../../../events/catalogue.ts";
import { loadProblems, type Problem, statusOf } from "../../../health/judgement.ts";
import { buildDate } from "../../../version.ts";
import { loadOf } from "../load.ts";
import { cameraNames } from "../shapes-camera.ts";
import type { MethodImplementation, MethodTable } from "./method.ts";

const mebibyte = 2 ** 20;
const gibibyte = 2 ** 30;
const rounded = (value: number): number => Math.round(value * 100) / 100;
const percentOf = (part: number, whole: number): number =>
  whole <= 0 ? 0 : Math.min(100, Math.max(0, rounded((part / whole) * 100)));
const cased = (names: Names, word: string): string => (names === "logical" ? word.toUpperCase() : word);

const echo: MethodImplementation<"echo"> = { run: ({ message }) => message };

const getSupportedMethods: MethodImplementation<"get_supported_methods"> = { run: () => [...methodNames] };

/**
 * The most there can be: 256 video devices of a Linux kernel, 500 network cameras and 64 virtual ones of the
 * settings, 200 streams added while the hub runs. How many a machine can serve at a time is another matter.
 */
const maxCameras = 256 + 500 + 64 + 200;

const getServerInfo: MethodImplementation<"get_server_info"> = {
  async run(_params, _call, { clock, hub, storageReport }) {
    const { totalBytes, freeBytes } = await storageReport.measure();
    const use = hub.machine.measure();
    const uptimeUs = clock.monoUs() - hub.startedAtMonoUs;
    const runtime = `node ${process.version}`;
    const used = totalBytes - freeBytes;
    return {
      name: "Ocelli",
      version: hub.version,
      capabilities: ["snapshots", "recordings", "streaming"],
      supported_formats: [...recordingFormats, "jpg", "png"],
      max_cameras: maxCameras,
      build_date: buildDate,
      go_version: runtime,
      architecture: arch(),
      server: {
        name: "WebSocket JSON-RPC Camera Server",
        version: hub.version,
        uptime_seconds: Math.floor(uptimeUs / 1e6),
        started_at: isoOf(clock.wallUs() - uptimeUs),
      },
      system: {
        platform: platform(),
        platform_version: release(),
        architecture: arch(),
        python_version: null,
        runtime_version: runtime,
        hostname: hostname(),
      },
      resources: {
        cpu_percent: rounded(use.machineCpu),
        memory_total_mb: rounded(use.memoryBytes / mebibyte),
        memory_used_mb: rounded(use.memoryUsedBytes / mebibyte),
        memory_percent: percentOf(use.memoryUsedBytes, use.memoryBytes),
        disk_total_gb: rounded(totalBytes / gibibyte),
        disk_used_gb: rounded(used / gibibyte),
        disk_percent: percentOf(used, totalBytes),
      },
      timestamp: isoOf(clock.wallUs()),
    };
  },
};

const getStatus: MethodImplementation<"get_status"> = {
  async run(_params, { dialect: { names } }, services) {
    const { hub, clock, cameras, storageReport, health } = services;
    // Measures anew, so that what is said of the disk is true now.
    await storageReport.measure();
    const views = new Map(cameras.list().map((camera) => [camera.id, camera.view()]));
    // Whoever may not see a camera learns nothing of its troubles.
    const problems: Problem[] = [...loadProblems(loadOf(hub)), ...health.problems].filter(
      ({ cameraId }) => cameraId === undefined || views.has(cameraId),
    );
    const running = cased(names, "running");
    const fails = problems.some(
      ({ component, severity }) => component === "camera" && severity === "critical",
    );
    return {
      status: cased(names, statusOf(problems)),
      uptime: Math.floor((clock.monoUs() - hub.startedAtMonoUs) / 1e6),
      version: hub.version,
      components: {
        websocket_server: running,
        camera_monitor: fails ? cased(names, "error") : running,
        // The hub serves media itself: these names are those of older clients.
        mediamtx_controller: running,
        mediamtx: running,
      },
      problems: problems.map(({ cameraId = "", component, code, severity, message }) => {
        const view = views.get(cameraId);
        return { ...(view && cameraNames(view, names)), component, code, severity, message };
      }),
    };
  },
};

const getSystemStatus: MethodImplementation<"get_system_status"> = {
  run(_params, { dialect: { names } }, { cameras }) {
    const views = cameras.list().map((camera) => camera.view());
    const connected = views.filter(({ status }) => status === "CONNECTED");
    const isReady = views.every(({ status }) => status !== "ERROR");
    return {
      status: isReady ? "ready" : "partial",
      message: isReady ? "The hub is ready" : "The hub is ready, but not all of its cameras work",
      available_cameras: connected.map((view) => cameraNames(view, names).device),
      discovery_active: true,
    };
  },
};

const getMetrics: MethodImplementation<"get_metrics"> = {
  async run(_params, _call, { hub, clock, cameras, recordings, storageReport, views }) {
    const use = hub.machine.measure();
    const { totalBytes, freeBytes } = await storageReport.measure();
    const { total, meanMs, errorRate } = hub.requests.all;
    const all = cameras.list().map((camera) => ({ camera, view: camera.view() }));
    const sources = all
      .filter(({ view }) => view.status === "CONNECTED")
      .map(({ camera }) => camera.native().stats());
    const streaming = sources.filter(({ leases }) => leases.length > 0);
    return {
      active_connections: hub.connections(),
      total_requests: total,
      average_response_time: rounded(meanMs),
      error_rate: Math.round(errorRate * 10_000) / 10_000,
      memory_usage: rounded(use.processBytes / mebibyte),
      cpu_usage: rounded(use.processCpu),
      timestamp: isoOf(clock.wallUs()),
      system_metrics: {
        cpu_usage: rounded(use.machineCpu),
        memory_usage: percentOf(use.memoryUsedBytes, use.memoryBytes),
        disk_usage: percentOf(totalBytes - freeBytes, totalBytes),
        goroutines: process.getActiveResourcesInfo().length,
      },
      camera_metrics: {
        connected_cameras: all.filter(({ view }) => view.status === "CONNECTED").length,
        cameras: Object.fromEntries(
          all.map(({ camera, view }) => [
            view.id,
            {
              path: view.node ?? view.id,
              name: view.name,
              status: view.status,
              device_num: view.number,
              last_seen: view.lastSeenUs === undefined ? null : isoOf(view.lastSeenUs),
              capabilities: driverOf(camera, view),
              formats: formatsOf(camera),
            },
          ]),
        ),
      },
      recording_metrics: {
        active_recordings: recordings.active().filter(({ armedForUs }) => armedForUs === undefined).length,
      },
      stream_metrics: {
        active_streams: streaming.length,
        total_streams: sources.length,
        total_viewers: all.reduce((sum, { view }) => sum + views.viewersOf(view.id), 0),
      },
    };
  },
};

/** What the driver says of a camera: empty where there is none, or not now. */
function driverOf({ capabilities }: Camera, view: CameraView) {
  return {
    driver_name: capabilities?.driver ?? view.driver ?? "",
    card_name: capabilities?.card ?? view.name,
    bus_info: capabilities?.busInfo ?? view.busPath,
    version: capabilities?.version ?? "",
    capabilities: [...(capabilities?.abilities?.device ?? [])],
    device_caps: [...(capabilities?.abilities?.node ?? [])],
  };
}

/** Every size a camera gives, with its rates, as the device says them; none while that is not known. */
function formatsOf({ capabilities }: Camera) {
  return (capabilities?.formats ?? []).flatMap(({ fourcc, sizes }) =>
    sizes.map(({ width, height, intervals }) => ({
      pixel_format: fourcc,
      width,
      height,
      frame_rates: intervals.map(({ numerator, denominator }) => (denominator / numerator).toFixed(3)),
    })),
  );
}

export const systemImplementations = {
  echo,
  get_supported_methods: getSupportedMethods,
  get_server_info: getServerInfo,
  get_status: getStatus,
  get_system_status: getSystemStatus,
  get_metrics: getMetrics,
} satisfies Partial<MethodTable>;
