/**
 * Tells the networks of this machine by mDNS that there are MultiCam devices here (spec section 10). Sends multicast: only
 * made when the settings ask for it. Each network is told of the address that is in it, and anew when devices or this
 * machine's addresses change.
 */
import { isIP, isIPv4 } from "node:net";
import { networkInterfaces } from "node:os";
import type { Clock } from "../clock/clock.ts";
import type { Log } from "../log/log.ts";
import { type AnnouncedDevice, Announcer, type LocalNetwork } from "./announcer.ts";

export interface AdvertisedDevice {
  readonly deviceId: string;
  readonly port: number;
  /** Where it listens: one address of this machine, or a name or `0.0.0.0` or `::` for all. Default: all. */
  readonly host?: string;
}

export interface AdvertisementOptions {
  /** Those there are now; looked at again and again. The first place of a device in a network counts. */
  readonly devices: () => readonly AdvertisedDevice[];
  readonly clock: Clock;
  readonly log: Log;
  /** How often devices and this machine's addresses are looked at. Default 5000. */
  readonly intervalMs?: number;
  /** Networks of this machine that others are in. Default: what the system says. */
  readonly networks?: () => readonly LocalNetwork[];
}

interface Told {
  readonly what: string;
  readonly announcer: Announcer;
}

/** A machine with so many of the same names around it has another problem. */
const mostNames = 9;
/** Further conflicts are not told of. */
const mostKnown = 100;

export class Advertisement {
  readonly #options: AdvertisementOptions;
  readonly #stop: () => void;
  /** By network. */
  readonly #told = new Map<string, Told>();
  /** Which name a device has, where another machine has its first one. */
  readonly #numbers = new Map<string, number>();
  /** Addresses of this machine at the last look: the system is not asked for each packet. */
  #own: ReadonlySet<string> = new Set();
  /** Conflicts that were told of. */
  readonly #known = new Set<string>();
  #isQuiet = false;
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
      await Promise.all([...this.#told.values()].map(({ announcer }) => announcer.close()));
    })();
    return this.#closing;
  }

  /** One look after the other: what was told before is taken back first. */
  #look(): void {
    this.#next(() => this.#tell());
  }

  #next(work: () => Promise<void>): void {
    this.#busy = this.#busy.then(work).catch((error: unknown) => {
      this.#options.log.error({ err: error }, "MultiCam devices could not be announced");
    });
  }

  async #tell(): Promise<void> {
    const { networks = localNetworks, log } = this.#options;
    if (this.#closing !== undefined) return;
    const here = networks();
    this.#own = new Set(here.map(({ address }) => address));
    const wanted = new Map(here.map((network) => [JSON.stringify(network), network]));
    for (const [place, { what, announcer }] of this.#told) {
      const network = wanted.get(place);
      if (network !== undefined && what === JSON.stringify(this.#devicesIn(network))) continue;
      this.#told.delete(place);
      await announcer.close();
    }
    for (const [place, network] of wanted) {
      const devices = this.#devicesIn(network);
      if (this.#told.has(place) || devices.length === 0) continue;
      const announcer = this.#announce(network, devices);
      this.#told.set(place, { what: JSON.stringify(devices), announcer });
      log.info({ address: network.address, devices }, "MultiCam devices are announced by mDNS");
    }
    if (this.#told.size === 0 && !this.#isQuiet) {
      log.info("no MultiCam device, or no network to announce it in");
    }
    this.#isQuiet = this.#told.size === 0;
  }

  #announce(network: LocalNetwork, devices: readonly AnnouncedDevice[]): Announcer {
    const { clock, log } = this.#options;
    return new Announcer({
      ...{ network, devices, clock, log },
      isOwn: (address) => this.#own.has(address),
      onConflict: (device, address) => this.#conflict(network, device, address),
    });
  }

  #devicesIn({ address }: LocalNetwork): AnnouncedDevice[] {
    const here = new Map<string, AnnouncedDevice>();
    for (const { deviceId, port, host = "0.0.0.0" } of this.#options.devices()) {
      const everywhere = host === "0.0.0.0" || host === "::" || isIP(host) === 0;
      if (here.has(deviceId) || !(everywhere || host === address)) continue;
      const number = this.#numbers.get(deviceId) ?? 1;
      here.set(deviceId, { deviceId, port, suffix: suffixOf(number) });
    }
    return [...here.values()];
  }

  /** The machine with the lower address keeps the name, so that of two alike only one moves. */
  #conflict(network: LocalNetwork, { deviceId, suffix }: AnnouncedDevice, other: string): void {
    const { log } = this.#options;
    const number = this.#numbers.get(deviceId) ?? 1;
    if (this.#closing !== undefined || suffix !== suffixOf(number)) return;
    const facts = { device: deviceId, other };
    const key = `${deviceId} ${other}`;
    if (!this.#known.has(key) && this.#known.size < mostKnown) {
      this.#known.add(key);
      log.warn(
        facts,
        "another machine announces a MultiCam device of the same name: was the data folder copied? Give one of them a folder of its own, or controllers will take both for one",
      );
    }
    if (inOrder(network.address) < inOrder(other) || number >= mostNames) return;
    this.#numbers.set(deviceId, number + 1);
    this.#next(async () => {
      const told = [...this.#told];
      this.#told.clear();
      const isThere = (place: string): boolean => place === JSON.stringify(network);
      await Promise.all(told.map(([place, { announcer }]) => announcer.close({ quietly: isThere(place) })));
      await this.#tell();
    });
  }
}

function suffixOf(number: number): string {
  return number === 1 ? "" : `-${number}`;
}

function localNetworks(): readonly LocalNetwork[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({ address, internal }) => isIPv4(address) && !internal)
    .map(({ address, cidr }) => ({ address, prefix: Number(cidr?.split("/")[1] ?? 32) }));
}

function inOrder(address: string): number {
  return address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
}
