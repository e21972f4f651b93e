/**
 * The administration of who may come in, with its rules: nobody locks everybody out, and each change is in the log,
 * without secrets.
 */
import { OcelliError } from "@ocelli/protocol";
import type { Clock } from "../clock/clock.ts";
import type { Log } from "../log/log.ts";
import type { ApiKey, ApiKeys, ApiKeyWishes, NewApiKey } from "./keys.ts";

export interface AccountsOptions {
  readonly keys: ApiKeys;
  readonly clock: Clock;
  readonly log: Log;
}

export class Accounts {
  readonly #keys: ApiKeys;
  readonly #clock: Clock;
  readonly #log: Log;

  constructor(options: AccountsOptions) {
    this.#keys = options.keys;
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
    const made = this.#keys.create(wishes);
    const { keyId, name, role, cameras } = made.record;
    this.#log.info({ keyId, name, role, cameras: cameras && [...cameras], by }, "an API key was created");
    return made;
  }

  listKeys(): readonly ApiKey[] {
    return this.#keys.list();
  }

  /** @throws OcelliError `invalid_params` when there is no such active key, or it is the last way in for an administrator */
  revokeKey(keyId: string, by: string): void {
    const key = this.#keys.list().find((one) => one.keyId === keyId && one.isActive);
    if (key === undefined) {
      throw new OcelliError("invalid_params", `There is no active API key ${keyId}.`, {
        details: { param: "key_id" },
      });
    }
    if (this.#keys.hasAdmin() && !this.#keys.hasAdmin(keyId)) {
      throw new OcelliError(
        "invalid_params",
        `${keyId} is the last admin key. Create another one first, or replace it with rotate_api_key.`,
        { details: { param: "key_id" } },
      );
    }
    this.#keys.revoke(keyId);
    this.#log.info({ keyId, name: key.name, by }, "an API key was revoked");
  }

  /** @throws OcelliError `invalid_params` when there is no such active key */
  rotateKey(keyId: string, by: string): NewApiKey {
    const made = this.#keys.rotate(keyId);
    this.#log.info({ keyId, newKeyId: made.record.keyId, by }, "an API key was replaced");
    return made;
  }
}
