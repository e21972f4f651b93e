import { Clients } from "./api/edge/clients.ts";
import { ownHosts } from "./api/edge/own-hosts.ts";
import { Accounts } from "./auth/accounts.ts";
import { AnonymousAccess } from "./auth/anonymous.ts";
import { ApiKeys } from "./auth/api-keys.ts";
import { Authenticator, type CredentialKind } from "./auth/authenticator.ts";
import { apiKeyCredentials, tokenCredentials } from "./auth/credentials.ts";
import { Logins } from "./auth/logins.ts";
import { Passwords } from "./auth/passwords.ts";
import { LinkSigner } from "./auth/signed-links.ts";
import { tokenSecret } from "./auth/token-secret.ts";
import { Tokens } from "./auth/tokens.ts";
import { Users } from "./auth/users.ts";
import type { HubContext } from "./hub-parts.ts";
import type { Database } from "./store/database.ts";

/** Who may come in: API keys, users, tokens, signed links, and where requests come from. */

/** A month. */
const expiredKeysKeptUs = 30 * 86_400e6;

export type Access = Awaited<ReturnType<typeof openAccess>>;

/** @param stateFolder where the secret of tokens is kept */
export async function openAccess(hub: HubContext, database: Database, stateFolder: string) {
  const { config, clock, log } = hub;
  const keys = new ApiKeys({ database, clock });
  keys.removeExpired(expiredKeysKeptUs);
  const users = new Users({ database, clock });
  const passwords = new Passwords();
  const tokens = new Tokens({ secret: tokenSecret(`${stateFolder}/token.key`), clock });
  const links = new LinkSigner({ clock });
  const clients = new Clients(config.security.trustedProxies);
  const isOwnHost = ownHosts(config.security.allowedHosts);
  if (config.anonymous.enabled && config.security.trustedProxies.length > 0) {
    log.warn(
      { networks: config.anonymous.networks, trustedProxies: config.security.trustedProxies },
      "clients without a key are judged by the address of the socket: through a proxy in those networks everybody comes in",
    );
  }
  const auth = new Authenticator({
    kinds: [
      tokenCredentials(tokens, users, keys),
      ...(await externalTokens(hub)),
      apiKeyCredentials(keys, users),
    ],
    anonymous: new AnonymousAccess(config.anonymous),
    links,
    clock,
    log: log.child({ part: "auth" }),
    addressOf: (request) => clients.addressOf(request),
    isOwnHost,
  });
  const accountsLog = log.child({ part: "accounts" });
  const accounts = new Accounts({ keys, users, passwords, clock, log: accountsLog });
  const logins = new Logins({
    ...{ tokens, users, passwords, auth, clock, log: accountsLog },
    lifetimeS: config.auth.tokenHours * 3600,
  });
  return { auth, accounts, logins, keys, links, clients, isOwnHost };
}

/** Of an identity provider, where the settings name one. */
async function externalTokens({ config, clock, log, parts }: HubContext): Promise<CredentialKind[]> {
  const { url, issuer, audience, roleClaim, camerasClaim } = config.auth.jwks;
  if (url === undefined || issuer === undefined || audience === undefined) return [];
  const { ExternalKeys } = await import("./auth/external-keys.ts");
  const { externalTokenCredentials } = await import("./auth/external-tokens.ts");
  const keys = new ExternalKeys({ url, clock, log: log.child({ part: "identity provider" }) });
  parts.started("identity provider", () => keys.close());
  return [externalTokenCredentials({ keys, issuer, audience, roleClaim, camerasClaim, clock })];
}
