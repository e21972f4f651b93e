/**
 * Clients without a credential: nobody by default. When allowed, the network of the socket's own address decides;
 * headers that claim another address do not count.
 */
import type { Identity, Role } from "./identity.ts";
import { Networks } from "./networks.ts";

export interface AnonymousSettings {
  /** Default false. */
  readonly enabled: boolean;
  readonly role: Role;
  /** Addresses and CIDR networks. */
  readonly networks: readonly string[];
}

export class AnonymousAccess {
  readonly #networks: Networks;
  readonly #identity: Identity | undefined;

  /** @throws OcelliError `config_invalid` for a network that is none */
  constructor(settings: AnonymousSettings) {
    this.#networks = new Networks(settings.networks);
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
    return address !== undefined && this.#networks.has(address) ? this.#identity : undefined;
  }
}
