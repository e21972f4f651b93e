/** Finds devices by mDNS (spec section 10). Sends multicast: only ever called because somebody asked for it. */
import { createSocket, type Socket } from "node:dgram";
import { networkInterfaces } from "node:os";
import type { Browser, Service, ServiceConfig } from "bonjour-service";
import { sleep } from "../../waiting.ts";
import type { DeviceAddress } from "./device.ts";
import { MultiCamError } from "./errors.ts";

export interface DiscoveryOptions {
  readonly seconds?: number | undefined;
  /** Its name or its address. */
  readonly interface?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** More answers than any fleet has devices. */
const maxFound = 10_000;
/** Devices answer at once: what the system takes by itself, if it may, is too little for a hundred of them. */
const receiveBufferBytes = 2 ** 20;

/**
 * @param onFound told of each as it answers, and of none twice
 * @throws MultiCamError `unreachable` where multicast is not possible, or no such interface is; the signal's reason
 */
export async function discoverDevices(
  options: DiscoveryOptions,
  onFound: (address: DeviceAddress) => void,
): Promise<void> {
  // Not loaded by those who never look for devices.
  const { default: Bonjour } = await import("bonjour-service");
  const found = new Set<string>();
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => undefined);
  const over = new AbortController();
  // Bound to an address, a socket gets no multicast.
  const asked =
    options.interface === undefined
      ? {}
      : { interface: interfaceAddress(options.interface), bind: "0.0.0.0" };
  // Options of multicast-dns below it, that are not in its types.
  const where: Partial<ServiceConfig> & {
    readonly socket: Socket;
    readonly interface?: string;
    bind?: string;
  } = {
    socket: createSocket({ type: "udp4", reuseAddr: true, recvBufferSize: receiveBufferBytes }),
    ...asked,
  };
  const bonjour = new Bonjour(where, (error: Error) => failed.reject(error));
  // biome-ignore lint/complexity/useLiteralKeys: private in its types; failures would end the process otherwise.
  const { mdns }: { readonly mdns: NodeJS.EventEmitter } = bonjour["server"];
  mdns.on("error", (error: Error) => failed.reject(cannotLook(error)));
  mdns.on("warning", () => undefined);
  try {
    const browser = bonjour.find({ type: "multicam", protocol: "tcp" }, (service: Service) => {
      const address = addressOf(service);
      if (address === undefined || found.has(service.name) || found.size >= maxFound) return;
      found.add(service.name);
      onFound(address);
    });
    const listened = listen(browser, options.seconds ?? 5, [options.signal, over.signal]);
    await Promise.race([listened, failed.promise]);
    browser.stop();
  } finally {
    over.abort();
    await new Promise<void>((resolve) => bonjour.destroy(() => resolve()));
  }
}

/** It has asked once. Answers get lost, in Wi-Fi above all: it asks again, ever more rarely (RFC 6762, section 5.2). */
async function listen(
  browser: Browser,
  seconds: number,
  signals: readonly (AbortSignal | undefined)[],
): Promise<void> {
  for (let left = seconds, pause = 1; left > 0; left -= pause, pause *= 2) {
    await sleep(Math.min(pause, left), ...signals);
    if (pause < left) browser.update();
  }
}

/** An interface that is not here would be asked on in vain, without an error. */
function interfaceAddress(wanted: string): string {
  const here = Object.entries(networkInterfaces()).flatMap(([name, addresses]) =>
    (addresses ?? []).flatMap(({ family, address }) => (family === "IPv4" ? [{ name, address }] : [])),
  );
  const found = here.find(({ name, address }) => name === wanted || address === wanted);
  if (found !== undefined) return found.address;
  const known = here.map(({ name, address }) => `${name} (${address})`).join(", ") || "none";
  throw new MultiCamError(
    "unreachable",
    `There is no interface ${wanted} with an IPv4 address here. Known: ${known}`,
  );
}

function cannotLook(cause: Error): MultiCamError {
  return new MultiCamError(
    "unreachable",
    `Devices cannot be looked for by mDNS: ${cause.message}. Give their addresses instead.`,
    { cause },
  );
}

/** Controllers take the first IPv4 address. */
function addressOf(service: Service): DeviceAddress | undefined {
  const host =
    service.addresses?.find((address) => /^\d+\.\d+\.\d+\.\d+$/.test(address)) ?? service.addresses?.[0];
  if (host === undefined || !(service.port > 0 && service.port < 65_536)) return undefined;
  const txt: unknown = service.txt;
  const deviceId = typeof txt === "object" && txt !== null && "deviceid" in txt ? txt.deviceid : undefined;
  const named = typeof txt === "object" && txt !== null && "deviceId" in txt ? txt.deviceId : deviceId;
  return {
    host,
    port: service.port,
    name: service.name.slice(0, 200),
    ...(typeof named === "string" && named !== "" ? { deviceId: named.slice(0, 200) } : {}),
  };
}
