/**
 * Where API keys are administered: by asking the hub, or, when none runs, in its data folder. Owns the choice between
 * the two.
 */
import { existsSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { RpcConnection } from "@ocelli/client/node";
import { codeOf, OcelliError } from "@ocelli/protocol";
import { type ApiKeyObject, isoOf, type NewApiKeyObject, type Role } from "@ocelli/protocol/camera-service";
import { cameraNamed } from "./camera-names.ts";

export interface KeyWishes {
  readonly name: string;
  readonly role: Role;
  /** Seconds from now, or ISO 8601. */
  readonly expires: number | string | undefined;
  /** Ids, device nodes or names. */
  readonly cameras: readonly string[];
}

export interface ResetKeys {
  readonly made: NewApiKeyObject;
  readonly revoked: number;
}

export interface KeyStore {
  list(): Promise<readonly ApiKeyObject[]>;
  create(wishes: KeyWishes): Promise<NewApiKeyObject>;
  revoke(keyId: string): Promise<void>;
  rotate(keyId: string): Promise<NewApiKeyObject>;
  /** A new admin key in place of all others, or of all keys. */
  reset(which: "admin" | "all"): Promise<ResetKeys>;
  close(): Promise<void>;
}

export class HubKeys implements KeyStore {
  readonly #connection: RpcConnection;

  constructor(connection: RpcConnection) {
    this.#connection = connection;
  }

  async list(): Promise<readonly ApiKeyObject[]> {
    return (await this.#connection.call("list_api_keys")).keys;
  }

  async create({ name, role, expires, cameras }: KeyWishes): Promise<NewApiKeyObject> {
    const list = () => this.#connection.call("get_camera_list");
    return this.#connection.call("create_api_key", {
      ...{ name, role },
      ...(typeof expires === "number" ? { expires_in_days: expires / 86_400 } : {}),
      ...(typeof expires === "string" ? { expires_at: expires } : {}),
      ...(cameras.length === 0
        ? {}
        : { cameras: await Promise.all(cameras.map((camera) => cameraNamed(camera, list))) }),
    });
  }

  async revoke(keyId: string): Promise<void> {
    await this.#connection.call("revoke_api_key", { key_id: keyId });
  }

  rotate(keyId: string): Promise<NewApiKeyObject> {
    return this.#connection.call("rotate_api_key", { key_id: keyId });
  }

  async reset(which: "admin" | "all"): Promise<ResetKeys> {
    const old = (await this.list()).filter(
      ({ is_active, role }) => is_active && (which === "all" || role === "admin"),
    );
    const made = await this.create({ name: "admin", role: "admin", expires: undefined, cameras: [] });
    // The new key takes over: with the old ones this connection loses its rights.
    await this.#connection.authenticate(made.api_key);
    for (const { key_id } of old) await this.revoke(key_id);
    return { made, revoked: old.length };
  }

  close(): Promise<void> {
    return this.#connection.close();
  }
}

/** As the server package gives it; loaded only when it is needed, as that takes long. */
type Offline = ReturnType<typeof import("@ocelli/server").openOfflineKeys>;
type StoredKey = ReturnType<Offline["keys"]["list"]>[number];

export class FolderKeys implements KeyStore {
  readonly #folder: string;
  readonly #offline: Offline;

  private constructor(folder: string, offline: Offline) {
    this.#folder = folder;
    this.#offline = offline;
  }

  /** @throws OcelliError `data_dir_locked` while a hub runs; `file_not_found` for a folder of no hub */
  static async open(folder: string): Promise<FolderKeys> {
    const { openOfflineKeys } = await import("@ocelli/server");
    return new FolderKeys(folder, openOfflineKeys(folder));
  }

  async list(): Promise<readonly ApiKeyObject[]> {
    return this.#offline.keys.list().map((key) => ({
      ...factsOf(key),
      last_used: timeOf(key.lastUsedUs),
      is_active: key.isActive,
    }));
  }

  async create({ name, role, expires, cameras }: KeyWishes): Promise<NewApiKeyObject> {
    const unknown = cameras.find((camera) => !/^camera\d+$/.test(camera));
    if (unknown !== undefined) {
      throw new OcelliError(
        "invalid_params",
        `No hub runs that knows "${unknown}". Name cameras by their ids, such as camera0.`,
      );
    }
    const nowUs = this.#offline.nowUs();
    const expiresAtUs =
      typeof expires === "string"
        ? Date.parse(expires) * 1000
        : expires === undefined
          ? undefined
          : Math.round(nowUs + expires * 1e6);
    if (expiresAtUs !== undefined && expiresAtUs <= nowUs) {
      throw new OcelliError("invalid_params", "The key would have expired already: give a time to come.");
    }
    const { key, record } = this.#offline.keys.create({
      ...{ name, role, expiresAtUs },
      ...(cameras.length === 0 ? {} : { cameras: new Set(cameras) }),
    });
    return { ...factsOf(record), api_key: key };
  }

  async revoke(keyId: string): Promise<void> {
    const { keys } = this.#offline;
    if (keys.hasAdmin() && !keys.hasAdmin(keyId)) {
      throw new OcelliError(
        "invalid_params",
        `${keyId} is the last admin key. Create another one first, or replace it with \`ocelli keys rotate\`.`,
      );
    }
    if (!keys.revoke(keyId)) throw new OcelliError("not_found", `There is no active API key ${keyId}.`);
  }

  async rotate(keyId: string): Promise<NewApiKeyObject> {
    const { key, record } = this.#offline.keys.rotate(keyId);
    return { ...factsOf(record), api_key: key };
  }

  async reset(which: "admin" | "all"): Promise<ResetKeys> {
    const { made, revoked } = this.#offline.reset(which);
    return { made: { ...factsOf(made.record), api_key: made.key }, revoked };
  }

  /** The file a hub writes at its first start, from which commands on its machine take the key. */
  renewKeyFile(key: string): string | undefined {
    const file = join(resolve(this.#folder), "admin-key");
    if (!existsSync(file)) return undefined;
    writeFileSync(file, `${key}\n`);
    return file;
  }

  async close(): Promise<void> {
    this.#offline.close();
  }
}

/** Whether the folder says that no hub keeps keys there, or one that runs. */
export function isNoOfflineFolder(error: unknown): "runs" | "unused" | undefined {
  if (codeOf(error) === "data_dir_locked") return "runs";
  return codeOf(error) === "file_not_found" ? "unused" : undefined;
}

function factsOf(key: StoredKey) {
  return {
    key_id: key.keyId,
    name: key.name,
    role: key.role,
    created_at: isoOf(key.createdAtUs),
    expires_at: timeOf(key.expiresAtUs),
    cameras: key.cameras === undefined ? null : [...key.cameras],
    user_id: key.userId ?? null,
  };
}

function timeOf(us: number | undefined): string | null {
  return us === undefined ? null : isoOf(us);
}
