import type { CaptureFactory } from "./cameras/capture-factory.ts";
import { CameraRegistry } from "./cameras/registry.ts";
import { DeviceCapture } from "./capture/device-capture.ts";
import type { RingBudget } from "./capture/ring-budget.ts";
import { Transcode } from "./capture/transcode.ts";
import type { Config, NetworkCameraConfig } from "./config/schema.ts";
import { NetworkProvider } from "./devices/network/provider.ts";
import { V4l2Provider } from "./devices/v4l2/provider.ts";
import { VirtualProvider } from "./devices/virtual/provider.ts";
import { ExternalStreams } from "./external-streams/external-streams.ts";
import { networkFinder } from "./external-streams/network-finder.ts";
import { type ExternalStreamStore, externalStreamStore } from "./external-streams/store.ts";
import { probeStream } from "./external-streams/stream-probe.ts";
import { type StreamFinder, StreamSearch } from "./external-streams/stream-search.ts";
import type { FfmpegSkills } from "./ffmpeg/find-ffmpeg.ts";
import { type HubContext, mebibyte } from "./hub-parts.ts";
import type { Database } from "./store/database.ts";

/** The cameras: where they come from, how they are captured, and the search for more of them. */

export interface CameraParts {
  readonly database: Database;
  readonly ffmpeg: FfmpegSkills;
  readonly ringBudget: RingBudget;
}

export type Cameras = Awaited<ReturnType<typeof startCameras>>;

/** Resolves when the first scan is done. */
export async function startCameras(hub: HubContext, { database, ffmpeg, ringBudget }: CameraParts) {
  const { config, clock, log, bus, parts } = hub;
  const network = new NetworkProvider({ clock, cameras: config.cameras.map(networkCamera) });
  const streamStore = externalStreamStore(database);
  const externalStreams = new ExternalStreams({
    ...{ store: streamStore, provider: network, bus, clock },
    log: log.child({ part: "external streams" }),
    probe: (device, signal) =>
      probeStream(device, {
        ...{ clock, ffprobe: ffmpeg.ffprobe, signal },
        timeoutMs: config.capture.startTimeoutSeconds * 1000,
      }),
  });
  parts.started("external streams", () => externalStreams.close());
  const cameras = new CameraRegistry({
    providers: [...localProviders(hub), network],
    virtual: { provider: virtualProvider(config), mode: config.virtualCamera },
    ...{ database, bus, clock },
    log: log.child({ part: "cameras" }),
    capture: captureFactory(hub, ffmpeg.ffmpeg, ringBudget),
    recordCodec: config.recording.codec,
    usbMode: usbMode(config),
  });
  parts.started("cameras", () => cameras.close());
  await cameras.start();
  return { cameras, externalStreams, streamStore };
}

/** Of streams nobody named, in the networks the settings give. */
export async function startStreamSearch(
  { config, clock, log, bus, parts }: HubContext,
  store: ExternalStreamStore,
): Promise<StreamSearch> {
  const streamSearch = new StreamSearch({
    finders: await streamFinders(config, clock),
    ...{ store, bus, clock },
    log: log.child({ part: "external streams" }),
  });
  parts.started("search for streams", () => streamSearch.close());
  streamSearch.start();
  return streamSearch;
}

function captureFactory(
  { config: { capture }, clock, log }: HubContext,
  ffmpeg: string,
  budget: RingBudget,
): CaptureFactory {
  const common = (id: string) => ({
    ...{ id, clock, ffmpeg },
    log: log.child({ source: id }),
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

function localProviders({ config, clock, log }: HubContext): V4l2Provider[] {
  if (!config.devices.v4l2) return [];
  const v4l2 = new V4l2Provider({
    clock,
    log: log.child({ part: "v4l2" }),
    rescanIntervalMs: config.devices.rescanSeconds * 1000,
  });
  return [v4l2];
}

async function streamFinders({ discovery }: Config, clock: HubContext["clock"]): Promise<StreamFinder[]> {
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
