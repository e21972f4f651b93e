/**
 * Tells the network by mDNS that there are MultiCam devices here (spec section 10). Sends multicast: only made when the
 * settings ask for it. Says goodbye at the end, and tells anew when devices or this machine's addresses change.
 */
import { networkInterfaces } from "node:os";
import { INSTANCE_PREFIX } from "@ocelli/protocol/multicam";
import { Bonjour } from "bonjour-service";
import type { Clock } from "../clock/clock.ts";
import type { Log } from "../log/log.ts";

export interface AdvertisedDevice {
  readonly deviceId: string;
  readonly port: number;
}

export interface AdvertisementOptions {
  /** Those there are now; looked at again and again. */
  readonly devices: () => readonly AdvertisedDevice[];
  readonly clock: Clock;
  readonly log: Log;
  /** How often devices and this machine's addresses are looked at. Default 5000. */
  readonly intervalMs?: number;
  /** Addresses of this machine that others can reach. Default: what the system says. */
  readonly addresses?: () => readonly string[];
}

/** A goodbye that the network does not take is not waited for longer, milliseconds. */
const goodbyeMs = 1000;

export class Advertisement {
  readonly #options: AdvertisementOptions;
  readonly #stop: () => void;
  #bonjour: Bonjour | undefined;
  #told = "";
  #busy: Promise<void> = Promise.resolve();
  #closing: Promise<void> | undefined;

  constructor(options: AdvertisementOptions) {
    this.#options = options;
    this.#stop = options.clock.every(options.intervalMs ?? 5000, () => this.#look());
    this.#look();
  }

  /** Takes everything back. */
  close(): Promise<void> {
    this.#closing ??= (async () => {
      this.#stop();
      await this.#busy;
      await this.#withdraw();
    })();
    return this.#closing;
  }

  #look(): void {
    const { addresses = reachableAddresses, devices, log } = this.#options;
    const places = addresses();
    const there = devices();
    const now = JSON.stringify([places, there]);
    if (now === this.#told) return;
    this.#told = now;
    this.#busy = this.#busy.then(async () => {
      await this.#withdraw();
      if (places.length === 0 || there.length === 0) {
        log.info("no MultiCam device, or no network to announce it in");
        return;
      }
      this.#announce(there);
      log.info({ addresses: places, devices: there }, "MultiCam devices are announced by mDNS");
    });
  }

  #announce(devices: readonly AdvertisedDevice[]): void {
    const { log } = this.#options;
    const bonjour = new Bonjour({}, (error: Error) =>
      log.debug({ err: error }, "an mDNS answer was not sent"),
    );
    whenMdnsFails(bonjour, (error) =>
      log.warn(
        { err: error },
        "MultiCam devices cannot be announced by mDNS; controllers need their address",
      ),
    );
    this.#bonjour = bonjour;
    for (const { deviceId, port } of devices) {
      bonjour.publish({
        ...{ name: `${INSTANCE_PREFIX}${deviceId}`, type: "multicam", protocol: "tcp", port },
        host: `${deviceId}.local`,
        txt: { deviceId },
        // Controllers take the first IPv4 address.
        disableIPv6: true,
        // Names have eight random digits.
        probe: false,
      });
    }
  }

  async #withdraw(): Promise<void> {
    const bonjour = this.#bonjour;
    this.#bonjour = undefined;
    if (bonjour === undefined) return;
    const { clock } = this.#options;
    await new Promise<void>((resolve) => {
      const cancel = clock.after(goodbyeMs, resolve);
      bonjour.unpublishAll(() => {
        cancel();
        resolve();
      });
    });
    await new Promise<void>((resolve) => bonjour.destroy(() => resolve()));
  }
}

/** The library emits failures of its socket where nobody listens, which would end the process. */
function whenMdnsFails(bonjour: Bonjour, tell: (error: Error) => void): void {
  // biome-ignore lint/complexity/useLiteralKeys: private in its types; there is no other way to it.
  const { mdns }: { readonly mdns: NodeJS.EventEmitter } = bonjour["server"];
  mdns.on("error", tell);
  mdns.on("warning", () => undefined);
}

function reachableAddresses(): readonly string[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({ family, internal }) => family === "IPv4" && !internal)
    .map(({ address }) => address)
    .sort();
}
