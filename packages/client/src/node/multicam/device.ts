/** One device as the controller knows it: where it is, what it said last, and how far its clock seems off. */
import {
  INSTANCE_PREFIX,
  parseStatus,
  type StatusResponse,
  statusOfProse,
  TCP_PORT,
} from "@ocelli/protocol/multicam";
import type { Exchanged } from "./exchange.ts";
import type { Address } from "./link.ts";

export interface MultiCamDevice extends Address {
  /** Stable within the controller: the device's own id when it was announced, `host:port` otherwise. */
  readonly id: string;
  readonly name: string;
  readonly origin: "manual" | "discovered";
  /** What it calls itself; known after its first answer. */
  readonly deviceId: string | undefined;
  readonly deviceType: string | undefined;
  /** Its newest answer; `undefined` before the first. */
  readonly status: StatusResponse | undefined;
  readonly reachable: boolean;
  /** Why the newest command failed. */
  readonly lastError: string | undefined;
  /** Unix seconds of the newest answer. */
  readonly lastSeenAt: number | undefined;
  /**
   * Seconds its clock is ahead of this machine's, by its newest answer; good to half of `roundTrip`. Some devices
   * stamp replies with another clock than they start recordings by (spec section 9.1).
   */
  readonly clockOffset: number | undefined;
  /** Seconds. */
  readonly roundTrip: number | undefined;
  /** It answers as the first dialect does: files have ids, uploads are asked for with UPLOAD_STATUS. */
  readonly speaksV1: boolean;
}

export interface DeviceAddress {
  readonly host: string;
  /** Default 8080. */
  readonly port?: number | undefined;
  readonly name?: string | undefined;
  readonly deviceId?: string | undefined;
}

export function newDevice(address: DeviceAddress, origin: MultiCamDevice["origin"]): MultiCamDevice {
  const { host, port = TCP_PORT, deviceId } = address;
  return {
    id: deviceId ?? `${host}:${port}`,
    name: displayName(address.name ?? deviceId ?? `${host}:${port}`),
    origin,
    host,
    port,
    deviceId,
    deviceType: undefined,
    status: undefined,
    reachable: false,
    lastError: undefined,
    lastSeenAt: undefined,
    clockOffset: undefined,
    roundTrip: undefined,
    speaksV1: false,
  };
}

/** As messages name it: with its address. */
export function nameOfDevice({ name, host, port }: MultiCamDevice): string {
  return name === `${host}:${port}` ? name : `${name} (${host}:${port})`;
}

/** An mDNS instance name as controllers show it. */
function displayName(name: string): string {
  return name.startsWith(INSTANCE_PREFIX) ? name.slice(INSTANCE_PREFIX.length) : name;
}

/** @throws MultiCamFormatError */
export function readStatus(device: MultiCamDevice, { text, isJson, receivedAt }: Exchanged): StatusResponse {
  const defaults = { deviceId: device.deviceId ?? device.id, receivedAt };
  return isJson ? parseStatus(text, defaults) : statusOfProse(text, defaults);
}

/** What an answer adds to what is known. */
export function afterAnswer(
  device: MultiCamDevice,
  status: StatusResponse,
  { text, isJson, sentAt, receivedAt }: Exchanged,
): MultiCamDevice {
  const roundTrip = Math.max(0, receivedAt - sentAt);
  const stamped = isJson && /"timestamp"\s*:\s*\d/.test(text);
  return {
    ...device,
    status,
    deviceId: status.deviceId || device.deviceId,
    deviceType: status.deviceType ?? device.deviceType,
    reachable: true,
    lastError: undefined,
    lastSeenAt: receivedAt,
    clockOffset: stamped ? status.timestamp + roundTrip / 2 - receivedAt : device.clockOffset,
    roundTrip,
    speaksV1: !isJson || !/"uploadQueue"\s*:/.test(text),
  };
}

export function afterFailure(device: MultiCamDevice, error: unknown): MultiCamDevice {
  return {
    ...device,
    reachable: false,
    lastError: error instanceof Error ? error.message : String(error),
  };
}
