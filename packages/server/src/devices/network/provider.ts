/**
 * Cameras the configuration names by URL: RTSP, HTTP and files. There is nothing to discover: each is found at the
 * start, and whether it can be reached shows when it is captured. Credentials of URLs leave this folder only inside
 * `CaptureInput.args`, beside the list of what to mask.
 */
import { access } from "node:fs/promises";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { messageOf, OcelliError } from "@ocelli/protocol";
import type { Clock } from "../../clock/clock.ts";
import type { Device, DeviceEvent, DeviceIdentity, DeviceKind, DeviceProvider } from "../device.ts";
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

export interface NetworkProviderOptions {
  readonly cameras: readonly NetworkCamera[];
  readonly clock: Clock;
  /** A camera that sends nothing for this long is given up by ffmpeg, milliseconds. Default 10000. */
  readonly timeoutMs?: number;
}

const kinds: Readonly<Record<string, DeviceKind>> = {
  "rtsp:": "rtsp",
  "rtsps:": "rtsp",
  "http:": "http",
  "https:": "http",
  "file:": "file",
};

interface Member {
  device: Device;
  /** Looks again; gives the device as it is now. */
  readonly check: () => Promise<Device>;
}

export class NetworkProvider implements DeviceProvider {
  readonly name = "network";
  readonly #members: Member[];
  #listener: ((event: DeviceEvent) => void) | undefined;

  /** @throws OcelliError `config_invalid` for a URL that is none, or of a scheme not listed above */
  constructor(options: NetworkProviderOptions) {
    const { clock, timeoutMs = 10_000 } = options;
    const seen = new Map<string, number>();
    this.#members = options.cameras.map((camera) => {
      const url = parse(camera);
      const busPath = shownUrl(url);
      // The same URL may be configured twice; the second is a camera of its own.
      const index = seen.get(busPath) ?? 0;
      seen.set(busPath, index + 1);
      return makeMember(camera, url, { busPath, name: nameOf(camera, url), index }, clock, timeoutMs);
    });
  }

  async start(listener: (event: DeviceEvent) => void): Promise<void> {
    this.#listener = listener;
    await Promise.all(
      this.#members.map(async (member) => {
        member.device = await member.check();
        this.#listener?.({ type: "found", device: member.device });
      }),
    );
  }

  async rescan(): Promise<void> {
    await Promise.all(
      this.#members.map(async (member) => {
        const device = await member.check();
        if (device.problem?.message === member.device.problem?.message) return;
        member.device = device;
        this.#listener?.({ type: "changed", device });
      }),
    );
  }

  async close(): Promise<void> {
    this.#listener = undefined;
  }
}

function nameOf(camera: NetworkCamera, url: URL): string {
  return camera.name ?? (url.protocol === "file:" ? basename(fileURLToPath(url)) : url.host);
}

function parse(camera: NetworkCamera): URL {
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

function makeMember(
  camera: NetworkCamera,
  url: URL,
  identity: DeviceIdentity,
  clock: Clock,
  timeoutMs: number,
): Member {
  const audio = camera.audio ?? false;
  const common = {
    identity,
    name: identity.name,
    ...(camera.number !== undefined && { wantedNumber: camera.number }),
  };
  if (url.protocol === "file:") {
    const path = fileURLToPath(url);
    const device: Device = { ...common, kind: "file", input: () => fileInput(path, audio) };
    return { device, check: async () => withProblem(device, await fileProblem(path)) };
  }
  if (url.protocol.startsWith("rtsp")) {
    const input = rtspInput(camera.url, { transport: camera.transport ?? "tcp", audio, timeoutMs });
    const device: Device = { ...common, kind: "rtsp", input: () => input };
    return { device, check: async () => device };
  }
  const device = httpDevice(camera.url, common, clock, { audio, timeoutMs });
  return { device, check: async () => device };
}

async function fileProblem(path: string): Promise<Device["problem"]> {
  try {
    await access(path);
    return undefined;
  } catch (error) {
    return { code: "capture_failed", message: `The file ${path} cannot be read: ${messageOf(error)}.` };
  }
}

function withProblem(device: Device, problem: Device["problem"]): Device {
  return problem === undefined ? device : { ...device, problem };
}
