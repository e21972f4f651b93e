/** Tokens for those who may have one: by a password, from an administrator, or for an earlier token. */
import { randomBytes } from "node:crypto";
import { OcelliError } from "@ocelli/protocol";
import { longestTokenS, type Role } from "@ocelli/protocol/camera-service";
import type { Clock } from "../clock/clock.ts";
import type { Log } from "../log/log.ts";
import type { Authenticator } from "./authenticator.ts";
import type { Identity, Issuer } from "./identity.ts";
import type { Passwords } from "./passwords.ts";
import type { NewToken, TokenClaims, Tokens, TokenWishes } from "./tokens.ts";
import type { User, Users } from "./users.ts";

export interface LoginsOptions {
  readonly tokens: Tokens;
  readonly users: Users;
  readonly passwords: Passwords;
  readonly auth: Pick<Authenticator, "attempt">;
  readonly clock: Clock;
  readonly log: Log;
  /** How long a token from a login is good. Default 86,400. */
  readonly lifetimeS?: number;
}

export interface Issued extends NewToken {
  readonly userId: string;
  readonly role: Role;
  readonly cameras: ReadonlySet<string> | undefined;
}

export class Logins {
  readonly #options: LoginsOptions;
  readonly #lifetimeS: number;

  constructor(options: LoginsOptions) {
    this.#options = options;
    this.#lifetimeS = options.lifetimeS ?? 86_400;
  }

  /** @throws OcelliError `auth_failed`, the same for every reason; `rate_limited` */
  async login(
    { username, password }: { readonly username: string; readonly password: string },
    peer: { readonly address: string; readonly signal?: AbortSignal },
  ): Promise<Issued> {
    const { auth, log } = this.#options;
    const user = await auth.attempt(peer, () => this.#userBy(username, password));
    if (user === undefined) {
      // Not the name: people type their password in its place.
      const known = this.#options.users.find(username);
      log.warn({ peer: peer.address, userId: known?.userId }, "a login was refused");
      throw new OcelliError("auth_failed", "Wrong user name or password");
    }
    log.info({ peer: peer.address, userId: user.userId }, "a user logged in");
    const { userId, role, version } = user;
    const cameras = user.cameras;
    return this.#issue({ userId, role, version, lifetimeS: this.#lifetimeS }, cameras);
  }

  /**
   * For a program, or for a user: then it gives no more than the user has, and ends with what the user has.
   * @param maker its key or user: the token ends with that
   */
  async create(
    wishes: {
      readonly role?: Role | undefined;
      readonly lifetimeS: number;
      readonly cameras?: ReadonlySet<string> | undefined;
      readonly user?: User | undefined;
    },
    maker: Identity,
  ): Promise<Issued> {
    const { user, cameras } = wishes;
    if (user?.enabled === false) {
      throw new OcelliError("invalid_params", `${user.name} is disabled.`, {
        details: { param: "username" },
      });
    }
    const nowUs = this.#options.clock.wallUs();
    const leftS =
      maker.method === "api_key" && maker.expiresAtUs !== undefined
        ? (maker.expiresAtUs - nowUs) / 1e6
        : Number.POSITIVE_INFINITY;
    const issued = await this.#issue(
      {
        userId: user?.userId ?? `token_${randomBytes(8).toString("hex")}`,
        role: wishes.role ?? user?.role ?? "viewer",
        lifetimeS: Math.min(wishes.lifetimeS, leftS),
        cameras,
        version: user?.version,
        by: maker.issuer,
      },
      cameras,
    );
    const { userId, role, expiresAtUs } = issued;
    this.#options.log.info({ userId, role, expiresAtUs, by: maker.userId }, "a token was created");
    return issued;
  }

  /**
   * A token like the one `identity` came with, from now on.
   * @throws OcelliError `unsupported` for an identity without a token of the hub; `auth_failed` when its row is over
   */
  async refresh({ token: claims, userId }: Identity): Promise<Issued> {
    if (claims === undefined) {
      throw new OcelliError("unsupported", "Only a token of this hub can be renewed. Log in for one.");
    }
    const nowS = Math.floor(this.#options.clock.wallUs() / 1e6);
    const authTimeS = claims.auth_time ?? claims.iat;
    const leftS = authTimeS + longestTokenS - nowS;
    if (leftS <= 0) throw new OcelliError("auth_failed", "Log in again: the first login is too long ago.");
    const cameras = claims.cameras === undefined ? undefined : new Set(claims.cameras);
    const wishes = {
      userId,
      role: claims.role,
      version: claims.ver,
      by: issuerIn(claims),
      cameras,
      authTimeS,
    };
    return this.#issue({ ...wishes, lifetimeS: Math.min(claims.exp - claims.iat, leftS) }, cameras);
  }

  async #issue(wishes: TokenWishes, cameras: ReadonlySet<string> | undefined): Promise<Issued> {
    const made = await this.#options.tokens.issue(wishes);
    return { ...made, userId: wishes.userId, role: wishes.role, cameras };
  }

  async #userBy(name: string, password: string): Promise<User | undefined> {
    const { users, passwords } = this.#options;
    const named = users.find(name);
    const stored = named === undefined ? undefined : users.passwordOf(named.userId);
    const matches = await passwords.matches(password, stored);
    // What was true before the wait need not be now.
    const user = named && users.get(named.userId);
    if (!matches || stored === undefined || user?.enabled !== true) return undefined;
    if (users.passwordOf(user.userId) !== stored) return undefined;
    const renewed = passwords.isOutdated(stored) ? await passwords.hash(password) : undefined;
    if (users.get(user.userId)?.version !== user.version) return undefined;
    users.noteLogin(user.userId, renewed);
    return user;
  }
}

function issuerIn({ by, by_ver }: TokenClaims): Issuer | undefined {
  return by === undefined ? undefined : { id: by, userVersion: by_ver };
}
