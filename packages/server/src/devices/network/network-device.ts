/** A camera named by URL as a device. What its URL may be; how it is opened, is in `inputs.ts` and `http-device.ts`. */
import { access } from "node:fs/promises";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { messageOf, OcelliError } from "@ocelli/protocol";
import type { Clock } from "../../clock/clock.ts";
import type { Device, DeviceKind } from "../device.ts";
import { httpDevice } from "./http-device.ts";
import { fileInput, rtspInput } from "./inputs.ts";
import { shownUrl } from "./url.ts";

export interface NetworkCamera {
  /** Default: the host, or the file's name. */
  readonly name?: string;
  /** `rtsp://`, `rtsps://`, `http://`, `https://` or `file:///`; credentials as user-info. */
  readonly url: string;
  /** Fixed camera number; the next free one from 100 otherwise. */
  readonly number?: number;
  /** RTSP only. Default `tcp`. */
  readonly transport?: "tcp" | "udp";
  /** Take the stream's audio along where it has any. Default false. */
  readonly audio?: boolean;
}

export interface DeviceSurroundings {
  readonly clock: Clock;
  /** A camera that sends nothing for this long is given up, milliseconds. Default 10000. */
  readonly timeoutMs?: number;
  /** Tells equal URLs apart. Default 0. */
  readonly index?: number;
}

const kinds: Readonly<Record<string, DeviceKind>> = {
  "rtsp:": "rtsp",
  "rtsps:": "rtsp",
  "http:": "http",
  "https:": "http",
  "file:": "file",
};

/** @throws OcelliError `config_invalid` for a URL that is none, or of another scheme; the message does not show it */
export function parseCameraUrl(camera: NetworkCamera): URL {
  const url = URL.parse(camera.url);
  const isFile = url?.protocol === "file:";
  if (url !== null && Object.hasOwn(kinds, url.protocol) && (url.host === "") === isFile) return url;
  const rule = isFile
    ? "must name a file on this machine with three slashes, such as file:///videos/a.mp4"
    : "must begin with rtsp://, rtsps://, http://, https:// or file:/// and a host; special characters of a user name or password are written in percent form, such as %23 for #";
  throw new OcelliError("config_invalid", `The URL of camera "${camera.name ?? "without a name"}" ${rule}.`, {
    details: { camera: camera.name },
  });
}

/** @throws OcelliError as `parseCameraUrl` */
export function networkDevice(camera: NetworkCamera, surroundings: DeviceSurroundings): Device {
  const { clock, timeoutMs = 10_000, index = 0 } = surroundings;
  const url = parseCameraUrl(camera);
  const audio = camera.audio ?? false;
  const name = camera.name ?? (url.protocol === "file:" ? basename(fileURLToPath(url)) : url.host);
  const common = {
    identity: { busPath: shownUrl(url), name, index },
    name,
    ...(camera.number !== undefined && { wantedNumber: camera.number }),
  };
  if (url.protocol === "file:") {
    const path = fileURLToPath(url);
    return { ...common, kind: "file", input: () => fileInput(path, audio) };
  }
  if (url.protocol.startsWith("rtsp")) {
    const input = rtspInput(camera.url, { transport: camera.transport ?? "tcp", audio, timeoutMs });
    return { ...common, kind: "rtsp", input: () => input };
  }
  return httpDevice(camera.url, common, clock, { audio, timeoutMs });
}

/** Why a file camera cannot be used now, if so. */
export async function fileProblem(camera: NetworkCamera): Promise<Device["problem"]> {
  const path = fileURLToPath(camera.url);
  try {
    await access(path);
    return undefined;
  } catch (error) {
    return { code: "capture_failed", message: `The file ${path} cannot be read: ${messageOf(error)}.` };
  }
}
