/**
 * The cameras that take part as MultiCam devices: one device a camera, on however many ports, from when the camera is
 * first there. A camera may be plugged in later than the hub starts.
 */
import type { Camera } from "../cameras/contract.ts";
import type { Database } from "../store/database.ts";
import { CameraDevice, type CameraDeviceOptions } from "./device.ts";
import { keptDevice } from "./device-ids.ts";

export interface CameraDevicesOptions extends Omit<CameraDeviceOptions, "kept" | "cameraId"> {
  readonly database: Database;
}

export class CameraDevices {
  readonly #options: CameraDevicesOptions;
  /** By camera: what waits to start is known to its device alone. */
  readonly #devices = new Map<string, CameraDevice>();

  constructor(options: CameraDevicesOptions) {
    this.#options = options;
  }

  /**
   * Looks for the camera at each call until it is there; it stays the same from then on.
   * @param name any name of a camera; the first one otherwise
   */
  finder(name: string | undefined): () => CameraDevice | undefined {
    let made: CameraDevice | undefined;
    const find = (): CameraDevice | undefined => {
      const camera = made === undefined ? this.#camera(name) : undefined;
      if (camera !== undefined) made = this.#deviceOf(camera.id);
      return made;
    };
    if (find() === undefined) {
      this.#options.log.warn({ camera: name }, "this camera is a MultiCam device once it is found");
    }
    return find;
  }

  close(): void {
    for (const device of this.#devices.values()) device.close();
  }

  #camera(name: string | undefined): Pick<Camera, "id"> | undefined {
    const { cameras } = this.#options;
    if (name === undefined) return cameras.list()[0];
    try {
      return cameras.find(name);
    } catch {
      return undefined;
    }
  }

  #deviceOf(cameraId: string): CameraDevice {
    const known = this.#devices.get(cameraId);
    if (known !== undefined) return known;
    const { database, ...options } = this.#options;
    const made = new CameraDevice({ ...options, cameraId, kept: keptDevice(database, cameraId) });
    this.#devices.set(cameraId, made);
    return made;
  }
}
