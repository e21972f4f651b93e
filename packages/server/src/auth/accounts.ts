/**
 * The administration of who may come in, with its rules: nobody locks everybody out, and each change is in the log,
 * without secrets.
 */
import { OcelliError } from "@ocelli/protocol";
import type { Role } from "@ocelli/protocol/camera-service";
import type { Clock } from "../clock/clock.ts";
import type { Log } from "../log/log.ts";
import type { ApiKey, ApiKeys, ApiKeyWishes, NewApiKey } from "./api-keys.ts";
import { type Passwords, whatIsWrongWith } from "./passwords.ts";
import type { User, UserChange, Users } from "./users.ts";

export interface AccountsOptions {
  readonly keys: ApiKeys;
  readonly users: Users;
  readonly passwords: Passwords;
  readonly clock: Clock;
  readonly log: Log;
}

export interface NewUser {
  readonly username: string;
  readonly role: Role;
  readonly password: string;
  readonly cameras?: ReadonlySet<string> | undefined;
}

export class Accounts {
  readonly #keys: ApiKeys;
  readonly #users: Users;
  readonly #passwords: Passwords;
  readonly #clock: Clock;
  readonly #log: Log;

  constructor(options: AccountsOptions) {
    this.#keys = options.keys;
    this.#users = options.users;
    this.#passwords = options.passwords;
    this.#clock = options.clock;
    this.#log = options.log;
  }

  /**
   * @param by `userId` of whoever asks, for the log
   * @throws OcelliError `invalid_params` for an end that is past
   */
  createKey(wishes: ApiKeyWishes, by: string): NewApiKey {
    if (wishes.expiresAtUs !== undefined && wishes.expiresAtUs <= this.#clock.wallUs()) {
      throw new OcelliError("invalid_params", "The key would have expired already: give a time to come.", {
        details: { param: "expires_at" },
      });
    }
    if (wishes.userId !== undefined && this.#users.get(wishes.userId) === undefined) {
      throw noSuchUser(wishes.userId);
    }
    const made = this.#keys.create(wishes);
    const { keyId, name, role, cameras } = made.record;
    this.#log.info({ keyId, name, role, cameras: cameras && [...cameras], by }, "an API key was created");
    return made;
  }

  listKeys(): readonly ApiKey[] {
    return this.#keys.list();
  }

  /** @throws OcelliError `not_found` when there is no such active key; `invalid_params` when it is the last way in for an administrator */
  revokeKey(keyId: string, by: string): void {
    const key = this.#keys.list().find((one) => one.keyId === keyId && one.isActive);
    if (key === undefined) {
      throw new OcelliError("not_found", `There is no active API key ${keyId}.`, {
        details: { param: "key_id" },
      });
    }
    if (this.#keys.hasAdmin() && !this.#keys.hasAdmin(keyId) && !this.#users.hasAdmin()) {
      throw new OcelliError(
        "invalid_params",
        `${keyId} is the last admin key, and no user is an administrator. Create another one first, or replace it with rotate_api_key.`,
        { details: { param: "key_id" } },
      );
    }
    this.#keys.revoke(keyId);
    this.#log.info({ keyId, name: key.name, by }, "an API key was revoked");
  }

  /** @throws OcelliError `not_found` when there is no such active key */
  rotateKey(keyId: string, by: string): NewApiKey {
    const made = this.#keys.rotate(keyId);
    this.#log.info({ keyId, newKeyId: made.record.keyId, by }, "an API key was replaced");
    return made;
  }

  /** @throws OcelliError `invalid_params` for a name or password that will not do; `rate_limited` */
  async createUser({ username, password, ...wishes }: NewUser, by: string): Promise<User> {
    assertPassword(password, username);
    const hash = await this.#passwords.hash(password);
    const user = this.#users.create({ ...wishes, name: username, password: hash });
    const { userId, name, role, cameras } = user;
    this.#log.info({ userId, name, role, cameras: cameras && [...cameras], by }, "a user was created");
    return user;
  }

  listUsers(): readonly User[] {
    return this.#users.list();
  }

  /** @throws OcelliError `invalid_params` */
  findUser(nameOrId: string): User {
    const user = this.#users.find(nameOrId);
    if (user === undefined) throw noSuchUser(nameOrId);
    return user;
  }

  /** @throws OcelliError `not_found`; `invalid_params` when nobody could administrate any more */
  updateUser(nameOrId: string, change: UserChange, by: string): User {
    const user = this.findUser(nameOrId);
    const staysAdmin =
      (change.role ?? user.role) === "admin" &&
      (change.enabled ?? user.enabled) &&
      (change.cameras === undefined ? user.cameras : change.cameras.to) === undefined;
    if (!staysAdmin) this.#assertOthersAdministrate(user);
    const changed = this.#users.update(user.userId, change);
    const { userId, role, enabled, cameras } = changed;
    this.#log.info({ userId, role, enabled, cameras: cameras && [...cameras], by }, "a user was changed");
    return changed;
  }

  /** @throws OcelliError `invalid_params`, `rate_limited` */
  async setPassword(nameOrId: string, password: string, by: string): Promise<User> {
    const { userId, name } = this.findUser(nameOrId);
    assertPassword(password, name);
    const hash = await this.#passwords.hash(password);
    const user = this.#users.setPassword(userId, hash);
    this.#log.info({ userId, by }, "the password of a user was set");
    return user;
  }

  /** Their keys end with them. @throws OcelliError `invalid_params` */
  deleteUser(nameOrId: string, by: string): User {
    const user = this.findUser(nameOrId);
    this.#assertOthersAdministrate(user);
    const keys = this.#keys.revokeOf(user.userId);
    this.#users.delete(user.userId);
    this.#log.info({ userId: user.userId, name: user.name, keys, by }, "a user was deleted");
    return user;
  }

  #assertOthersAdministrate({ userId, name }: User): void {
    if (this.#keys.hasAdmin() || !this.#users.hasAdmin() || this.#users.hasAdmin(userId)) return;
    throw new OcelliError(
      "invalid_params",
      `${name} is the last administrator, and there is no admin key. Make another one first.`,
      { details: { param: "username" } },
    );
  }
}

function assertPassword(password: string, username: string): void {
  const fault = whatIsWrongWith(password, username);
  if (fault === undefined) return;
  throw new OcelliError("invalid_params", `password ${fault}`, { details: { param: "password" } });
}

function noSuchUser(nameOrId: string): OcelliError {
  return new OcelliError("not_found", `There is no user ${nameOrId.slice(0, 100)}.`, {
    details: { param: "username" },
  });
}
