/**
 * Clients without a credential: nobody by default. When allowed, the network of the socket's own address decides;
 * headers that claim another address do not count.
 */
import { BlockList, isIP } from "node:net";
import { OcelliError } from "@ocelli/protocol";
import type { Identity, Role } from "./identity.ts";

export interface AnonymousSettings {
  /** Default false. */
  readonly enabled: boolean;
  readonly role: Role;
  /** Addresses and CIDR networks. */
  readonly networks: readonly string[];
}

export class AnonymousAccess {
  readonly #networks = new BlockList();
  readonly #identity: Identity | undefined;

  /** @throws OcelliError `config_invalid` for a network that is none */
  constructor(settings: AnonymousSettings) {
    for (const network of settings.networks) addNetwork(this.#networks, network);
    this.#identity = settings.enabled
      ? {
          role: settings.role,
          userId: "anonymous",
          method: "anonymous",
          expiresAtUs: undefined,
          cameras: undefined,
          standings: [],
        }
      : undefined;
  }

  /** @param address of the socket's peer */
  identityFor(address: string | undefined): Identity | undefined {
    if (this.#identity === undefined || address === undefined) return undefined;
    const plain = plainAddress(address);
    const family = isIP(plain);
    if (family === 0) return undefined;
    return this.#networks.check(plain, family === 4 ? "ipv4" : "ipv6") ? this.#identity : undefined;
  }
}

/** An IPv4 peer of an IPv6 socket as IPv4, and without a zone (`fe80::1%eth0`). */
export function plainAddress(address: string): string {
  const bare = address.split("%", 1)[0] ?? address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(bare);
  return mapped?.[1] ?? bare;
}

function addNetwork(list: BlockList, network: string): void {
  const [address = "", bits, ...rest] = network.trim().split("/");
  const family = isIP(address);
  const longest = family === 4 ? 32 : 128;
  const prefix = bits === undefined ? longest : /^\d{1,3}$/.test(bits) ? Number(bits) : -1;
  if (family === 0 || rest.length > 0 || prefix < 0 || prefix > longest) {
    throw new OcelliError(
      "config_invalid",
      `"${network}" is no network. Write an address or a CIDR network, such as 192.168.1.0/24 or ::1/128.`,
      { details: { network } },
    );
  }
  list.addSubnet(address, prefix, family === 4 ? "ipv4" : "ipv6");
}
