/** Lists of addresses and CIDR networks, and addresses in their plain form. */
import { BlockList, isIP } from "node:net";
import { OcelliError } from "@ocelli/protocol";

export class Networks {
  readonly #list = new BlockList();

  /**
   * @param networks `192.168.1.7`, `192.168.1.0/24`, `::1/128`
   * @throws OcelliError `config_invalid` for one that is none
   */
  constructor(networks: readonly string[]) {
    for (const network of networks) addNetwork(this.#list, network);
  }

  /** Whether `address` lies in one of them; `false` for what is no address. */
  has(address: string): boolean {
    const plain = plainAddress(address);
    const family = isIP(plain);
    return family !== 0 && this.#list.check(plain, family === 4 ? "ipv4" : "ipv6");
  }
}

/** An IPv4 peer of an IPv6 socket as IPv4, and without a zone (`fe80::1%eth0`). */
export function plainAddress(address: string): string {
  const bare = address.split("%", 1)[0] ?? address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(bare);
  return mapped?.[1] ?? bare;
}

/**
 * What counts as one client when clients are counted: an IPv4 address, or the /64 network of an IPv6 address, since
 * one machine has all addresses of that.
 */
export function clientKey(address: string): string {
  const plain = plainAddress(address);
  if (isIP(plain) !== 6) return plain;
  const [head = "", tail] = plain.toLowerCase().split("::");
  const front = head === "" ? [] : head.split(":");
  const back = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - front.length - back.length);
  const groups = [...front, ...Array<string>(zeros).fill("0"), ...back].slice(0, 4);
  return `${groups.map((group) => Number.parseInt(group, 16).toString(16)).join(":")}::/64`;
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
