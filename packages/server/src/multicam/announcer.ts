/**
 * Tells one network of this machine, by mDNS and DNS-SD (RFC 6762, 6763), of the MultiCam devices here: asks whether their
 * names are free, announces them, answers who asks, and says goodbye. Sockets and packets are the library's.
 *
 * One network each, because an answer must name the address that those who hear it can reach, and go out where they are.
 */
import { BlockList } from "node:net";
import { INSTANCE_PREFIX, SERVICE_TYPE } from "@ocelli/protocol/multicam";
import makeMdns, { type MulticastDNS, type ResponseOutgoingPacket } from "multicast-dns";
import type { Clock } from "../clock/clock.ts";
import type { Log } from "../log/log.ts";

export interface LocalNetwork {
  /** Of this machine in it, IPv4. */
  readonly address: string;
  /** Length of the network's prefix, bits. */
  readonly prefix: number;
}

export interface AnnouncedDevice {
  readonly deviceId: string;
  readonly port: number;
  /** Behind the name where another machine has the plain one; empty otherwise. */
  readonly suffix: string;
}

export interface AnnouncerOptions {
  readonly network: LocalNetwork;
  readonly devices: readonly AnnouncedDevice[];
  readonly clock: Clock;
  readonly log: Log;
  /** Whether an address is one of this machine's, in any network: what it says elsewhere may be repeated here. */
  readonly isOwn: (address: string) => boolean;
  /** Another machine of this network uses a device's name. */
  readonly onConflict: (device: AnnouncedDevice, address: string) => void;
}

type DnsRecord = ResponseOutgoingPacket["answers"][number];

const service = SERVICE_TYPE.replace(/\.$/, "");
const allServices = "_services._dns-sd._udp.local";
/** Seconds others may rely on what they heard; names of services, and addresses. */
const [longTtl, shortTtl] = [4500, 120];
/** Questions whether a name is free, and how far apart, milliseconds (RFC 6762, section 8.1). */
const [probes, probeEveryMs] = [3, 250];
/** Announcements: the second after a second, each further one after three times as long, up to an hour. */
const [firstPauseMs, pauseFactor, longestPauseMs] = [1000, 3, 3_600_000];
/**
 * All in the network hear an answer: the same one is not given again so soon, whoever asks, except to who asks whether a
 * name is free (RFC 6762, section 6). Otherwise one packet of questions would make hundreds of answers.
 */
const [quietMs, quietForProbesMs] = [1000, 250];
/** A goodbye that the network does not take is not waited for longer. */
const goodbyeMs = 1000;

export class Announcer {
  readonly #options: AnnouncerOptions;
  readonly #mdns: MulticastDNS;
  readonly #records: readonly DnsRecord[];
  readonly #neighbours = new BlockList();
  /** When each question was answered last, or will be; monotonic microseconds. */
  readonly #answeredMonoUs = new Map<string, number>();
  #cancel = (): void => undefined;
  /** Names are known to be free. */
  #announced = false;
  #closing: Promise<void> | undefined;

  constructor(options: AnnouncerOptions) {
    const { network, devices, log } = options;
    this.#options = options;
    this.#records = devices.flatMap((device) => recordsOf(device, network.address));
    this.#neighbours.addSubnet(network.address, network.prefix, "ipv4");
    // Bound to its address, a socket would get no multicast.
    this.#mdns = makeMdns({ interface: network.address, bind: "0.0.0.0" });
    this.#mdns.on("error", (error) =>
      log.warn(
        { err: error },
        "MultiCam devices cannot be announced by mDNS; controllers need their address",
      ),
    );
    this.#mdns.on("warning", () => undefined);
    this.#mdns.on("query", ({ questions = [] }) => {
      if (this.#announced) for (const { name, type } of questions) this.#answer(name, type);
    });
    this.#mdns.on("response", ({ answers = [], additionals = [] }, { address }) =>
      this.#heard([...answers, ...additionals], address),
    );
    this.#probe(probes);
  }

  /**
   * Takes everything back. The same promise each time.
   * @param how.quietly without a goodbye, which others would take for that of a machine with the same names
   */
  close(how: { readonly quietly?: boolean } = {}): Promise<void> {
    this.#closing ??= (async () => {
      this.#cancel();
      if (this.#announced && how.quietly !== true) await this.#sayGoodbye();
      await new Promise<void>((resolve) => this.#mdns.destroy(resolve));
    })();
    return this.#closing;
  }

  #probe(left: number): void {
    if (left === 0) {
      this.#announced = true;
      this.#announce(firstPauseMs);
      return;
    }
    for (const { host, instance } of this.#options.devices.map(namesOf)) {
      // Of any type.
      for (const name of [host, instance]) this.#send(() => this.#mdns.query(name));
    }
    this.#cancel = this.#options.clock.after(probeEveryMs, () => this.#probe(left - 1));
  }

  #announce(pauseMs: number): void {
    this.#respond(this.#records);
    const next = Math.min(pauseMs * pauseFactor, longestPauseMs);
    this.#cancel = this.#options.clock.after(pauseMs, () => this.#announce(next));
  }

  #answer(name: string, type: string): void {
    const answers = this.#of(name, type);
    if (answers.length === 0 || this.#isAnswered(name, type)) return;
    // What would be asked for next comes along.
    const instances = answers.flatMap((answer) =>
      answer.type === "PTR" ? [...this.#of(answer.data, "SRV"), ...this.#of(answer.data, "TXT")] : [],
    );
    const hosts = [...answers, ...instances].flatMap((one) =>
      one.type === "SRV" ? this.#of(one.data.target, "A") : [],
    );
    const respond = (): void => this.#respond(answers, [...instances, ...hosts]);
    // Other machines answer that, too: not all at once (RFC 6762, section 6).
    if (instances.length === 0) respond();
    else this.#options.clock.after(20 + Math.random() * 100, respond);
  }

  /** Only asked of what is here, so that little is kept. */
  #isAnswered(name: string, type: string): boolean {
    const question = `${name.toLowerCase()} ${type}`;
    const nowUs = this.#options.clock.monoUs();
    const beforeUs = this.#answeredMonoUs.get(question) ?? Number.NEGATIVE_INFINITY;
    const isAnswered = nowUs - beforeUs < (type === "ANY" ? quietForProbesMs : quietMs) * 1000;
    if (!isAnswered) this.#answeredMonoUs.set(question, nowUs);
    return isAnswered;
  }

  #of(name: string, type: string): DnsRecord[] {
    return this.#records.filter(
      (record) => isSame(record.name, name) && (type === "ANY" || record.type === type),
    );
  }

  /** A name that is ours, with something behind it that is not. */
  #heard(records: readonly DnsRecord[], from: string): void {
    const { devices, isOwn, onConflict } = this.#options;
    if (isOwn(from) || !this.#neighbours.check(from)) return;
    for (const device of devices) {
      const { host, instance } = namesOf(device);
      const isTaken = records.some((one) => {
        if (one.type === "A") return one.ttl !== 0 && isSame(one.name, host) && !isOwn(one.data);
        if (one.type !== "SRV" || one.ttl === 0) return false;
        return isSame(one.name, instance) && !isSame(one.data.target, host);
      });
      if (isTaken && this.#closing === undefined) onConflict(device, from);
    }
  }

  #respond(answers: readonly DnsRecord[], additionals: readonly DnsRecord[] = []): void {
    if (this.#closing !== undefined) return;
    this.#send(() => this.#mdns.respond({ answers: [...answers], additionals: [...additionals] }));
  }

  /** An interface that has gone makes the library throw, or fail behind our back; it is looked at again anyway. */
  #send(send: () => void): void {
    try {
      send();
    } catch (error) {
      this.#options.log.debug({ err: error }, "an mDNS packet was not sent");
    }
  }

  async #sayGoodbye(): Promise<void> {
    const answers = this.#records
      .filter(({ name }) => name !== allServices)
      .map((one) => ({ ...one, ttl: 0 }));
    const sent = Promise.withResolvers<void>();
    const cancel = this.#options.clock.after(goodbyeMs, sent.resolve);
    this.#send(() => this.#mdns.respond({ answers }, () => sent.resolve()));
    await sent.promise;
    cancel();
  }
}

function namesOf({ deviceId, suffix }: AnnouncedDevice): {
  readonly host: string;
  readonly instance: string;
} {
  return {
    host: `${deviceId}${suffix}.local`,
    instance: `${INSTANCE_PREFIX}${deviceId}${suffix}.${service}`,
  };
}

function recordsOf(device: AnnouncedDevice, address: string): DnsRecord[] {
  const { host, instance } = namesOf(device);
  const text = [`deviceId=${device.deviceId}`];
  return [
    { name: service, type: "PTR", ttl: longTtl, data: instance },
    { name: allServices, type: "PTR", ttl: longTtl, data: service },
    { name: instance, type: "SRV", ttl: shortTtl, data: { port: device.port, target: host }, flush: true },
    { name: instance, type: "TXT", ttl: longTtl, data: text, flush: true },
    { name: host, type: "A", ttl: shortTtl, data: address, flush: true },
  ];
}

function isSame(name: string, other: string): boolean {
  return name.toLowerCase() === other.toLowerCase();
}
