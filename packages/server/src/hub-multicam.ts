import type { BoundAddress } from "./api/listener.ts";
import type { MultiCamServer } from "./api/multicam/server.ts";
import { Networks } from "./auth/networks.ts";
import type { HubContext } from "./hub-parts.ts";
import type { AdvertisedDevice } from "./multicam/advertise.ts";
import { CameraDevices, type CameraDevicesOptions } from "./multicam/camera-devices.ts";
import { UploadQueue } from "./multicam/uploads/upload-queue.ts";
import type { Database } from "./store/database.ts";

/** The cameras as MultiCam devices, where the settings want that. */

/** What a MultiCam connection that ends with the hub may still need, of the time a stop may take. */
export function multiCamCloseMs({ config }: HubContext): number {
  return config.shutdownSeconds * 200;
}

/** `undefined` unless the settings want it. */
export async function startMultiCam(
  hub: HubContext,
  database: Database,
  shared: Omit<CameraDevicesOptions, "database" | "log" | "clock">,
): Promise<MultiCamServer | undefined> {
  const { clock, parts } = hub;
  const { multicam: config } = hub.config;
  if (!config.enabled) return undefined;
  const log = hub.log.child({ part: "multicam" });
  const uploads = new UploadQueue({
    ...{ ...shared, clock, database, log, hosts: config.uploadHosts },
    s3Endpoint: config.s3Endpoint,
    deleteAfterUpload: config.deleteAfterUpload,
  });
  parts.started("MultiCam uploads", () => uploads.close());
  uploads.start();
  const devices = new CameraDevices({ ...shared, clock, database, log });
  parts.started("MultiCam devices", () => devices.close());
  const { MultiCamServer } = await import("./api/multicam/server.ts");
  const server = new MultiCamServer({
    ...{ uploads, clock, log, deviceType: config.deviceType },
    networks: new Networks(config.networks),
    shared: devices.finder(config.camera),
    others: config.devices.map(({ camera, port }) => ({
      device: devices.finder(camera),
      host: "0.0.0.0",
      port,
    })),
  });
  parts.started("MultiCam connections", () => server.close(multiCamCloseMs(hub)));
  for (const { port, device } of await server.open()) {
    log.info({ port, camera: device()?.cameraId }, "a MultiCam device is served");
  }
  return server;
}

/** Tells the network of the devices, where the settings want that. */
export async function advertise(
  hub: HubContext,
  multicam: MultiCamServer | undefined,
  addresses: readonly BoundAddress[],
): Promise<void> {
  if (multicam === undefined || !hub.config.multicam.advertise) return;
  const { Advertisement } = await import("./multicam/advertise.ts");
  const log = hub.log.child({ part: "multicam" });
  const reachable = addresses.filter(({ host }) => !/^(127\.|::1$|localhost$)/.test(host));
  if (reachable.length === 0) {
    log.warn(
      "the MultiCam device on the hub's own addresses is not announced: they are for this machine only",
    );
  }
  const devices = (): AdvertisedDevice[] =>
    [
      ...reachable.map(({ host, port }) => ({ device: multicam.shared, host, port })),
      ...multicam.addresses.map(({ device, port }) => ({ device: device(), host: "0.0.0.0", port })),
    ].flatMap(({ device, host, port }) =>
      device === undefined ? [] : [{ deviceId: device.deviceId, host, port }],
    );
  const advertisement = new Advertisement({ devices, clock: hub.clock, log });
  hub.parts.started("announcement of MultiCam devices", () => advertisement.close());
}
