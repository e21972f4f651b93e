/**
 * Cameras named by URL: RTSP, HTTP and files of the configuration, and streams that are added and removed while the
 * hub runs. There is nothing to discover: each is found at the start or when it is added, and whether it can be reached
 * shows when it is captured. Credentials of URLs leave this folder only inside `CaptureInput.args`, beside the list of
 * what to mask.
 */
import type { Clock } from "../../clock/clock.ts";
import type { Device, DeviceEvent, DeviceProvider } from "../device.ts";
import { fileProblem, type NetworkCamera, networkDevice, parseCameraUrl } from "./network-device.ts";
import { shownUrl } from "./url.ts";

export type { NetworkCamera } from "./network-device.ts";

export interface NetworkProviderOptions {
  readonly cameras: readonly NetworkCamera[];
  readonly clock: Clock;
  /** A camera that sends nothing for this long is given up by ffmpeg, milliseconds. Default 10000. */
  readonly timeoutMs?: number;
}

interface Member {
  device: Device;
  /** Looks again; gives the device as it is now. */
  readonly check: () => Promise<Device>;
}

export class NetworkProvider implements DeviceProvider {
  readonly name = "network";
  readonly #configured: readonly Member[];
  /** Added while the hub runs, by URL without credentials. */
  readonly #added = new Map<string, Member>();
  #listener: ((event: DeviceEvent) => void) | undefined;

  /** @throws OcelliError `config_invalid` for a URL that is none, or of a scheme that is none of a camera */
  constructor(options: NetworkProviderOptions) {
    const { clock, timeoutMs = 10_000 } = options;
    const seen = new Map<string, number>();
    this.#configured = options.cameras.map((camera) => {
      const busPath = shownUrl(parseCameraUrl(camera));
      // The same URL may be configured twice; the second is a camera of its own.
      const index = seen.get(busPath) ?? 0;
      seen.set(busPath, index + 1);
      const device = networkDevice(camera, { clock, timeoutMs, index });
      return {
        device,
        check: async () => (device.kind === "file" ? withProblem(device, await fileProblem(camera)) : device),
      };
    });
  }

  /** Whether the configuration names this URL. @param busPath without credentials, as in the identity */
  isConfigured(busPath: string): boolean {
    return this.#configured.some(({ device }) => device.identity.busPath === busPath);
  }

  /** Adds a camera, or puts `device` in the place of the one with this URL. Not for URLs of the configuration. */
  put(device: Device): void {
    const { busPath } = device.identity;
    const known = this.#added.get(busPath);
    const member: Member = { device, check: async () => member.device };
    this.#added.set(busPath, member);
    this.#listener?.({ type: known === undefined ? "found" : "changed", device });
  }

  /** Says why an added camera cannot be used, or that it can. Does nothing for others. */
  report(busPath: string, problem: Device["problem"]): void {
    const member = this.#added.get(busPath);
    if (member === undefined || member.device.problem?.message === problem?.message) return;
    const { problem: _, ...device } = member.device;
    member.device = withProblem(device, problem);
    this.#listener?.({ type: "changed", device: member.device });
  }

  /** Takes an added camera away; false for others. */
  remove(busPath: string): boolean {
    const member = this.#added.get(busPath);
    if (member === undefined) return false;
    this.#added.delete(busPath);
    this.#listener?.({ type: "lost", device: member.device });
    return true;
  }

  async start(listener: (event: DeviceEvent) => void): Promise<void> {
    this.#listener = listener;
    await Promise.all(
      this.#members().map(async (member) => {
        member.device = await member.check();
        this.#listener?.({ type: "found", device: member.device });
      }),
    );
  }

  async rescan(): Promise<void> {
    await Promise.all(
      this.#members().map(async (member) => {
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

  #members(): Member[] {
    return [...this.#configured, ...this.#added.values()];
  }
}

function withProblem(device: Device, problem: Device["problem"]): Device {
  return problem === undefined ? device : { ...device, problem };
}
