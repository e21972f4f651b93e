/**
 * The people who may come in: names, roles, limits and the hashes of their passwords. Every change that takes or gives
 * rights ends what was issued to the user before: tokens by their version, open connections by their standing.
 */
import { randomBytes } from "node:crypto";
import { OcelliError } from "@ocelli/protocol";
import { personName, type Role, roles } from "@ocelli/protocol/camera-service";
import type { Clock } from "../clock/clock.ts";
import {
  type Database,
  integer,
  type Migration,
  optionalInteger,
  type Row,
  text,
} from "../store/database.ts";
import { cameraList, readCameraList } from "./camera-limit.ts";
import type { Standing } from "./identity.ts";

export const userMigrations: readonly Migration[] = [
  {
    owner: "users",
    version: 1,
    // `cameras`: a JSON list of ids, NULL for all. `name_key`: the name as it is compared.
    sql: `CREATE TABLE users (
      user_id TEXT PRIMARY KEY,
      name TEXT NOT NULL,
      name_key TEXT NOT NULL UNIQUE,
      role TEXT NOT NULL,
      enabled INTEGER NOT NULL,
      cameras TEXT,
      password TEXT NOT NULL,
      version INTEGER NOT NULL,
      created_at_us INTEGER NOT NULL,
      password_at_us INTEGER NOT NULL,
      last_login_us INTEGER
    ) STRICT`,
  },
];

export interface User {
  /** `user_` and 16 hexadecimal digits. */
  readonly userId: string;
  readonly name: string;
  readonly role: Role;
  readonly enabled: boolean;
  /** Ids of the cameras the user may see; `undefined`: all. */
  readonly cameras: ReadonlySet<string> | undefined;
  readonly version: number;
  readonly createdAtUs: number;
  readonly passwordAtUs: number;
  readonly lastLoginUs: number | undefined;
}

interface Stored extends User {
  readonly password: string;
}

export interface UserChange {
  readonly role?: Role | undefined;
  readonly enabled?: boolean | undefined;
  /** `undefined` in `to`: all cameras. */
  readonly cameras?: { readonly to: ReadonlySet<string> | undefined } | undefined;
}

export function isUserId(subject: string): boolean {
  return /^user_[0-9a-f]{16}$/.test(subject);
}

export class Users {
  readonly #clock: Clock;
  readonly #database: Database;
  /** All of them, by id: there are few. */
  readonly #users = new Map<string, Stored>();
  readonly #standings = new Map<string, { revoked: boolean }>();

  /** @param options.database opened with `userMigrations` */
  constructor(options: { readonly database: Database; readonly clock: Clock }) {
    this.#clock = options.clock;
    this.#database = options.database;
    for (const user of this.#database.query("SELECT * FROM users", readUser).all())
      this.#users.set(user.userId, user);
  }

  /** By name. */
  list(): readonly User[] {
    return [...this.#users.values()]
      .map(withoutSecrets)
      .sort((a, b) => (keyOf(a.name) < keyOf(b.name) ? -1 : 1));
  }

  get(userId: string): User | undefined {
    const user = this.#users.get(userId);
    return user && withoutSecrets(user);
  }

  /** By name, in any spelling that is the same to people, or by id. */
  find(nameOrId: string): User | undefined {
    const user = this.#find(nameOrId);
    return user && withoutSecrets(user);
  }

  /** The hash of the password; for checking it only. */
  passwordOf(userId: string): string | undefined {
    return this.#users.get(userId)?.password;
  }

  /** Whether a user can do everything, other than `except`. */
  hasAdmin(except?: string): boolean {
    return [...this.#users.values()].some(
      (user) => user.userId !== except && user.role === "admin" && user.enabled && user.cameras === undefined,
    );
  }

  /**
   * @param wishes.password its hash
   * @throws OcelliError `invalid_params` for a name that is none or is taken
   */
  create(wishes: {
    readonly name: string;
    readonly role: Role;
    readonly password: string;
    readonly cameras?: ReadonlySet<string> | undefined;
  }): User {
    const read = personName.safeParse(wishes.name);
    const name = read.success ? read.data : "";
    if (name === "" || isUserId(name)) {
      throw invalidName(`"${wishes.name.slice(0, 100)}" cannot be a user name.`);
    }
    if (this.#find(name) !== undefined) throw invalidName(`There is a user ${name} already.`);
    const nowUs = this.#clock.wallUs();
    const user: Stored = {
      userId: `user_${randomBytes(8).toString("hex")}`,
      name,
      role: wishes.role,
      enabled: true,
      cameras: wishes.cameras,
      password: wishes.password,
      version: 1,
      createdAtUs: nowUs,
      passwordAtUs: nowUs,
      lastLoginUs: undefined,
    };
    this.#database
      .command(
        "INSERT INTO users (user_id, name, name_key, role, enabled, cameras, password, version, created_at_us, password_at_us) VALUES (?, ?, ?, ?, 1, ?, ?, 1, ?, ?)",
      )
      .run(user.userId, name, keyOf(name), user.role, cameraList(user.cameras), user.password, nowUs, nowUs);
    this.#users.set(user.userId, user);
    return withoutSecrets(user);
  }

  /** Ends what was issued to the user before, unless nothing changes. */
  update(userId: string, change: UserChange): User {
    const user = this.#stored(userId);
    const next = {
      ...user,
      role: change.role ?? user.role,
      enabled: change.enabled ?? user.enabled,
      cameras: change.cameras === undefined ? user.cameras : change.cameras.to,
    };
    const same =
      next.role === user.role &&
      next.enabled === user.enabled &&
      cameraList(next.cameras) === cameraList(user.cameras);
    return same ? withoutSecrets(user) : this.#changeRights(next);
  }

  /** @param password its hash. Ends what was issued to the user before. */
  setPassword(userId: string, password: string): User {
    const passwordAtUs = this.#clock.wallUs();
    return this.#changeRights({ ...this.#stored(userId), password, passwordAtUs });
  }

  /**
   * Keeps the moment, and the password's hash when it was made anew at today's cost. A full disk must not lock out those
   * who come to make room on it: then the moment is known until the next start.
   */
  noteLogin(userId: string, password?: string): void {
    const user = this.#stored(userId);
    const lastLoginUs = this.#clock.wallUs();
    try {
      this.#put({ ...user, password: password ?? user.password, lastLoginUs });
    } catch {
      this.#users.set(userId, { ...user, lastLoginUs });
    }
  }

  delete(userId: string): void {
    this.#database.command("DELETE FROM users WHERE user_id = ?").run(userId);
    this.#users.delete(userId);
    this.#endStanding(userId);
  }

  /** Tells for as long as somebody keeps it whether the user's rights have changed since. */
  standingOf(userId: string): Standing {
    const known = this.#standings.get(userId);
    if (known !== undefined) return known;
    const user = this.#users.get(userId);
    if (user?.enabled !== true) return { revoked: true };
    const standing = { revoked: false };
    this.#standings.set(userId, standing);
    return standing;
  }

  #find(nameOrId: string): Stored | undefined {
    const byId = this.#users.get(nameOrId);
    if (byId !== undefined) return byId;
    const key = keyOf(nameOrId);
    return [...this.#users.values()].find((user) => keyOf(user.name) === key);
  }

  #stored(userId: string): Stored {
    const user = this.#users.get(userId);
    if (user === undefined) throw invalidName(`There is no user ${userId}.`);
    return user;
  }

  #changeRights(user: Stored): User {
    const changed = { ...user, version: user.version + 1 };
    this.#put(changed);
    this.#endStanding(user.userId);
    return withoutSecrets(changed);
  }

  #endStanding(userId: string): void {
    const standing = this.#standings.get(userId);
    if (standing !== undefined) standing.revoked = true;
    this.#standings.delete(userId);
  }

  #put(user: Stored): void {
    this.#database
      .command(
        "UPDATE users SET role = ?, enabled = ?, cameras = ?, password = ?, version = ?, password_at_us = ?, last_login_us = ? WHERE user_id = ?",
      )
      .run(
        ...[user.role, user.enabled ? 1 : 0, cameraList(user.cameras), user.password, user.version],
        ...[user.passwordAtUs, user.lastLoginUs ?? null, user.userId],
      );
    this.#users.set(user.userId, user);
  }
}

/** As names are compared: one person, one name, however it is typed. */
function keyOf(name: string): string {
  return name.normalize("NFKC").trim().toLowerCase();
}

function invalidName(message: string): OcelliError {
  return new OcelliError("invalid_params", message, { details: { param: "username" } });
}

function withoutSecrets({ password: _password, ...user }: Stored): User {
  return user;
}

function readUser(row: Row): Stored {
  const role = roles.find((one) => one === row.role);
  if (role === undefined) throw new TypeError(`users holds the unknown role ${String(row.role)}`);
  return {
    userId: text(row, "user_id"),
    name: text(row, "name"),
    role,
    enabled: integer(row, "enabled") === 1,
    cameras: readCameraList(row),
    password: text(row, "password"),
    version: integer(row, "version"),
    createdAtUs: integer(row, "created_at_us"),
    passwordAtUs: integer(row, "password_at_us"),
    lastLoginUs: optionalInteger(row, "last_login_us"),
  };
}
