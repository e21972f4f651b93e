/** The devices a controller knows, and what is known of each; tells of every change. */
import type { StatusResponse } from "@ocelli/protocol/multicam";
import { afterAnswer, afterFailure, type MultiCamDevice } from "./device.ts";
import { MultiCamError } from "./errors.ts";
import type { Exchanged } from "./exchange.ts";

export class DeviceList {
  readonly #devices = new Map<string, MultiCamDevice>();
  readonly #onChange: (device: MultiCamDevice) => void;

  constructor(onChange: (device: MultiCamDevice) => void) {
    this.#onChange = onChange;
  }

  get all(): readonly MultiCamDevice[] {
    return [...this.#devices.values()];
  }

  /** By its id, its name or what it calls itself. @throws MultiCamError `unknown_device` */
  get(id: string): MultiCamDevice {
    const device = this.#devices.get(id) ?? this.all.find((one) => one.name === id || one.deviceId === id);
    if (device !== undefined) return device;
    const known = this.all.map((one) => one.id).join(", ") || "none";
    throw new MultiCamError("unknown_device", `There is no device ${id} here. Known: ${known}`);
  }

  /** What is known by now of a device that may have been removed since. */
  newest(device: MultiCamDevice): MultiCamDevice {
    return this.#devices.get(device.id) ?? device;
  }

  /** The same device when it is here already, by its id or its address. */
  add(device: MultiCamDevice): MultiCamDevice {
    const same = this.all.find(
      (one) => one.id === device.id || (one.host === device.host && one.port === device.port),
    );
    if (same === undefined) return this.#keep(device);
    // It may have another address now.
    const { host, port } = device;
    return this.#keep({ ...same, host, port, deviceId: device.deviceId ?? same.deviceId });
  }

  remove(id: string): MultiCamDevice {
    const device = this.get(id);
    this.#devices.delete(device.id);
    return device;
  }

  answered(device: MultiCamDevice, status: StatusResponse, exchanged: Exchanged): void {
    const known = this.#devices.get(device.id);
    if (known !== undefined) this.#keep(afterAnswer(known, status, exchanged));
  }

  failed(device: MultiCamDevice, error: MultiCamError): void {
    const known = this.#devices.get(device.id);
    if (known !== undefined) this.#keep(afterFailure(known, error));
  }

  #keep(device: MultiCamDevice): MultiCamDevice {
    this.#devices.set(device.id, device);
    this.#onChange(device);
    return device;
  }
}
