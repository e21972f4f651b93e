/**
 * API keys: making, checking, revoking. Only SHA-256 hashes are stored: a key has 64 random characters, so that a
 * slow hash would add nothing. The clear key exists once, in the answer of `create`.
 *
 * Invariant: there is always an active admin key after `ensureAdmin`.
 */
import { createHash, randomBytes, randomInt, timingSafeEqual } from "node:crypto";
import { OcelliError } from "@ocelli/protocol";
import { type Role, roles } from "@ocelli/protocol/camera-service";
import type { Clock } from "../clock/clock.ts";
import {
  type Database,
  integer,
  type Migration,
  optionalInteger,
  optionalText,
  type Row,
  text,
} from "../store/database.ts";
import { cameraList, readCameraList } from "./camera-limit.ts";
import type { Standing } from "./identity.ts";

export const keyMigrations: readonly Migration[] = [
  {
    owner: "auth",
    version: 1,
    sql: `CREATE TABLE api_keys (
      key_id TEXT PRIMARY KEY,
      name TEXT NOT NULL,
      role TEXT NOT NULL,
      hash TEXT NOT NULL UNIQUE,
      origin TEXT NOT NULL,
      created_at_us INTEGER NOT NULL,
      expires_at_us INTEGER,
      last_used_us INTEGER,
      is_active INTEGER NOT NULL
    ) STRICT`,
  },
  {
    owner: "auth",
    version: 2,
    // `cameras`: a JSON list of ids, NULL for all.
    sql: `ALTER TABLE api_keys ADD COLUMN cameras TEXT;
      ALTER TABLE api_keys ADD COLUMN user_id TEXT`,
  },
];

export interface ApiKey {
  readonly keyId: string;
  readonly name: string;
  readonly role: Role;
  readonly createdAtUs: number;
  readonly expiresAtUs: number | undefined;
  /** Kept to the minute, so that a busy client does not write to the disk with each request. */
  readonly lastUsedUs: number | undefined;
  readonly isActive: boolean;
  /** Ids of the cameras it is good for; `undefined`: all. */
  readonly cameras: ReadonlySet<string> | undefined;
  /** The user it belongs to, with whom it ends. */
  readonly userId: string | undefined;
}

export interface ApiKeyWishes {
  readonly name: string;
  readonly role: Role;
  readonly expiresAtUs?: number | undefined;
  readonly cameras?: ReadonlySet<string> | undefined;
  readonly userId?: string | undefined;
}

export interface NewApiKey {
  /** The clear key; not stored, never shown again. */
  readonly key: string;
  readonly record: ApiKey;
}

interface Stored extends ApiKey {
  readonly hash: Buffer;
  /** `configured` keys come from the settings and follow them. */
  readonly origin: "made" | "configured";
}

const prefix = "camera_service_sk_";
const randomCharacters = 64;
const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const presentable = /^[A-Za-z0-9_-]{32,512}$/;
const lastUsedStepUs = 60_000_000;

export class ApiKeys {
  readonly #clock: Clock;
  readonly #database: Database;
  /** All keys by id: there are few, and each check looks at every one. */
  readonly #keys = new Map<string, Stored>();
  /** Of keys somebody used since the start. */
  readonly #standings = new Map<string, { revoked: boolean }>();

  /** @param options.database opened with `keyMigrations` */
  constructor(options: { readonly database: Database; readonly clock: Clock }) {
    this.#clock = options.clock;
    this.#database = options.database;
    for (const key of this.#database.query("SELECT * FROM api_keys", readKey).all())
      this.#keys.set(key.keyId, key);
  }

  /**
   * Sees to it that an admin key exists: the configured one, or one made now.
   * @param configured the key from the settings; an earlier configured key then no longer counts
   * @param announce gets the clear key when one was made, before it counts: when it throws there is no key
   * @throws OcelliError `config_invalid` for a configured key that no client could present
   */
  ensureAdmin(configured?: string, announce: (key: string) => void = () => {}): NewApiKey | undefined {
    const hash = configured === undefined ? undefined : hashOf(configured);
    if (configured !== undefined && !presentable.test(configured)) {
      throw new OcelliError("config_invalid", "The admin key must be 32 or more letters, digits, _ or -.");
    }
    return this.#database.transaction(() => {
      for (const key of this.#keys.values()) {
        if (key.origin === "configured" && key.isActive && !(hash !== undefined && equal(key.hash, hash))) {
          this.#update({ ...key, isActive: false });
        }
      }
      if (hash !== undefined) {
        const known = [...this.#keys.values()].find((key) => equal(key.hash, hash));
        if (known === undefined) {
          this.#insert({ name: "admin (configured)", role: "admin" }, hash, "configured");
        } else if (!this.#isAdmin(known)) {
          this.#update({
            ...known,
            role: "admin",
            isActive: true,
            expiresAtUs: undefined,
            cameras: undefined,
            userId: undefined,
            origin: "configured",
          });
        }
      }
      if (this.hasAdmin()) return undefined;
      const made = this.create({ name: "admin", role: "admin" });
      try {
        announce(made.key);
      } catch (error) {
        this.#keys.delete(made.record.keyId);
        throw error;
      }
      return made;
    });
  }

  /** Whether there is an admin key that can do everything and belongs to no user, other than `except`. */
  hasAdmin(except?: string): boolean {
    return [...this.#keys.values()].some((key) => key.keyId !== except && this.#isAdmin(key));
  }

  create(wishes: ApiKeyWishes): NewApiKey {
    const key =
      prefix + Array.from({ length: randomCharacters }, () => alphabet[randomInt(alphabet.length)]).join("");
    return { key, record: this.#insert(wishes, hashOf(key), "made") };
  }

  /** Without secrets, oldest first. */
  list(): readonly ApiKey[] {
    return [...this.#keys.values()].sort((a, b) => a.createdAtUs - b.createdAtUs).map(withoutSecrets);
  }

  /** @returns false when there is no such active key */
  revoke(keyId: string): boolean {
    const key = this.#keys.get(keyId);
    if (key === undefined || !key.isActive) return false;
    this.#deactivate(key);
    return true;
  }

  /** Replaces a key by a new one of the same role. @throws OcelliError `not_found` when there is no such active key */
  rotate(keyId: string): NewApiKey {
    const key = this.#keys.get(keyId);
    if (key === undefined || !this.#usable(key)) {
      throw new OcelliError("not_found", `There is no active API key ${keyId}.`, { details: { keyId } });
    }
    const { role, expiresAtUs, cameras, userId } = key;
    const name = `${key.name.replace(/ \(rotated\)$/, "")} (rotated)`;
    return this.#database.transaction(() => {
      const made = this.create({ name, role, expiresAtUs, cameras, userId });
      this.#deactivate(key);
      return made;
    });
  }

  /**
   * Forgets keys that have expired.
   * @param graceUs keeps those that expired less long ago, for who wonders where they are. Default 0
   * @returns how many
   */
  removeExpired(graceUs = 0): number {
    const now = this.#clock.wallUs() - graceUs;
    const expired = [...this.#keys.values()].filter(
      (key) => (key.expiresAtUs ?? Number.POSITIVE_INFINITY) <= now,
    );
    const remove = this.#database.command("DELETE FROM api_keys WHERE key_id = ?");
    this.#database.transaction(() => {
      for (const { keyId } of expired) remove.run(keyId);
    });
    for (const { keyId } of expired) {
      this.#keys.delete(keyId);
      const standing = this.#standings.get(keyId);
      if (standing !== undefined) standing.revoked = true;
      this.#standings.delete(keyId);
    }
    return expired.length;
  }

  /** Revokes what belongs to a user. @returns how many */
  revokeOf(userId: string): number {
    const theirs = [...this.#keys.values()].filter((key) => key.userId === userId && key.isActive);
    this.#database.transaction(() => {
      for (const key of theirs) this.#deactivate(key);
    });
    return theirs.length;
  }

  /** The user a key belongs to. */
  ownerOf(keyId: string): string | undefined {
    return this.#keys.get(keyId)?.userId;
  }

  /** Tells for as long as somebody keeps it whether the key has been revoked since. */
  standingOf(keyId: string): Standing {
    const known = this.#standings.get(keyId);
    if (known !== undefined) return known;
    if (this.#keys.get(keyId)?.isActive !== true) return { revoked: true };
    const standing = { revoked: false };
    this.#standings.set(keyId, standing);
    return standing;
  }

  /** The key that `presented` is, or `undefined`. Takes the same time whichever key it resembles. */
  verify(presented: string): ApiKey | undefined {
    if (!presentable.test(presented)) return undefined;
    const hash = hashOf(presented);
    let found: Stored | undefined;
    for (const key of this.#keys.values()) if (equal(key.hash, hash)) found = key;
    if (found === undefined || !this.#usable(found)) return undefined;
    const now = this.#clock.wallUs();
    if (found.lastUsedUs === undefined || Math.abs(now - found.lastUsedUs) > lastUsedStepUs) {
      found = this.#noteUse({ ...found, lastUsedUs: now });
    }
    return withoutSecrets(found);
  }

  /** A full disk must not lock out those who come to make room on it. */
  #noteUse(key: Stored): Stored {
    try {
      return this.#update(key);
    } catch {
      this.#keys.set(key.keyId, key);
      return key;
    }
  }

  #usable(key: Stored): boolean {
    return key.isActive && (key.expiresAtUs === undefined || key.expiresAtUs > this.#clock.wallUs());
  }

  #isAdmin(key: Stored): boolean {
    return key.role === "admin" && key.cameras === undefined && key.userId === undefined && this.#usable(key);
  }

  #deactivate(key: Stored): void {
    this.#update({ ...key, isActive: false });
    const standing = this.#standings.get(key.keyId);
    if (standing !== undefined) standing.revoked = true;
  }

  #insert(
    { name, role, expiresAtUs, cameras, userId }: ApiKeyWishes,
    hash: Buffer,
    origin: Stored["origin"],
  ): ApiKey {
    const key: Stored = {
      keyId: randomBytes(8).toString("hex"),
      name,
      role,
      hash,
      origin,
      createdAtUs: this.#clock.wallUs(),
      expiresAtUs,
      lastUsedUs: undefined,
      isActive: true,
      cameras,
      userId,
    };
    this.#database
      .command(
        "INSERT INTO api_keys (key_id, name, role, hash, origin, created_at_us, expires_at_us, last_used_us, is_active, cameras, user_id) VALUES (?, ?, ?, ?, ?, ?, ?, NULL, 1, ?, ?)",
      )
      .run(
        ...[key.keyId, name, role, hash.toString("hex"), origin, key.createdAtUs, expiresAtUs ?? null],
        ...[cameraList(cameras), userId ?? null],
      );
    this.#keys.set(key.keyId, key);
    return withoutSecrets(key);
  }

  #update(key: Stored): Stored {
    this.#database
      .command(
        "UPDATE api_keys SET role = ?, origin = ?, expires_at_us = ?, last_used_us = ?, is_active = ?, cameras = ?, user_id = ? WHERE key_id = ?",
      )
      .run(
        ...[key.role, key.origin, key.expiresAtUs ?? null, key.lastUsedUs ?? null, key.isActive ? 1 : 0],
        ...[cameraList(key.cameras), key.userId ?? null, key.keyId],
      );
    this.#keys.set(key.keyId, key);
    return key;
  }
}

function hashOf(key: string): Buffer {
  return createHash("sha256").update(key).digest();
}

function equal(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

function withoutSecrets({ hash: _hash, origin: _origin, ...rest }: Stored): ApiKey {
  return rest;
}

function readKey(row: Row): Stored {
  const role = roles.find((one) => one === row.role);
  if (role === undefined) throw new TypeError(`api_keys holds the unknown role ${String(row.role)}`);
  return {
    keyId: text(row, "key_id"),
    name: text(row, "name"),
    role,
    hash: Buffer.from(text(row, "hash"), "hex"),
    origin: row.origin === "configured" ? "configured" : "made",
    createdAtUs: integer(row, "created_at_us"),
    expiresAtUs: optionalInteger(row, "expires_at_us"),
    lastUsedUs: optionalInteger(row, "last_used_us"),
    isActive: integer(row, "is_active") === 1,
    cameras: readCameraList(row),
    userId: optionalText(row, "user_id"),
  };
}
