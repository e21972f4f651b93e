/** API keys: making, listing, revoking, replacing. The rules are in `auth/accounts.ts`. */
import { OcelliError } from "@ocelli/protocol";
import { type ApiKeyObject, isoOf, type NewApiKeyObject } from "@ocelli/protocol/camera-service";
import type { ApiKey, NewApiKey } from "../../../auth/keys.ts";
import type { RpcServices } from "../services.ts";
import type { Call, MethodImplementation, MethodTable } from "./method.ts";

const dayUs = 86_400_000_000;

const createApiKey: MethodImplementation<"create_api_key"> = {
  run({ name, role, expires_in_days, expires_at, cameras }, call, services) {
    if (expires_in_days !== undefined && expires_at !== undefined) {
      throw new OcelliError("invalid_params", "Give expires_in_days or expires_at, not both.", {
        details: { param: "expires_at" },
      });
    }
    const expiresAtUs =
      expires_in_days === undefined
        ? expires_at
        : Math.round(services.clock.wallUs() + expires_in_days * dayUs);
    const wishes = { name, role, expiresAtUs, cameras: idsOf(cameras, services) };
    return newKeyObject(services.accounts.createKey(wishes, callerOf(call)));
  },
};

const listApiKeys: MethodImplementation<"list_api_keys"> = {
  run(_params, _call, { accounts }) {
    const keys = accounts.listKeys().map(keyObject);
    return { keys, total: keys.length };
  },
};

const revokeApiKey: MethodImplementation<"revoke_api_key"> = {
  run({ key_id }, call, { accounts }) {
    accounts.revokeKey(key_id, callerOf(call));
    return { key_id, revoked: true };
  },
};

const rotateApiKey: MethodImplementation<"rotate_api_key"> = {
  run({ key_id }, call, { accounts }) {
    return { ...newKeyObject(accounts.rotateKey(key_id, callerOf(call))), replaces: key_id };
  },
};

export function callerOf({ identity }: Call): string {
  return identity?.userId ?? "nobody";
}

/** @throws OcelliError `camera_not_found`: a limit with a misspelled camera would shut its owner out */
export function idsOf(
  names: readonly string[] | undefined,
  { cameras }: RpcServices,
): ReadonlySet<string> | undefined {
  return names === undefined ? undefined : new Set(names.map((name) => cameras.find(name).id));
}

function keyObject(key: ApiKey): ApiKeyObject {
  return {
    ...keyFacts(key),
    last_used: key.lastUsedUs === undefined ? null : isoOf(key.lastUsedUs),
    is_active: key.isActive,
  };
}

function newKeyObject({ key, record }: NewApiKey): NewApiKeyObject {
  return { ...keyFacts(record), api_key: key };
}

function keyFacts(key: ApiKey) {
  return {
    key_id: key.keyId,
    name: key.name,
    role: key.role,
    created_at: isoOf(key.createdAtUs),
    expires_at: key.expiresAtUs === undefined ? null : isoOf(key.expiresAtUs),
    cameras: key.cameras === undefined ? null : [...key.cameras],
    user_id: key.userId ?? null,
  };
}

export const accountImplementations = {
  create_api_key: createApiKey,
  list_api_keys: listApiKeys,
  revoke_api_key: revokeApiKey,
  rotate_api_key: rotateApiKey,
} satisfies Partial<MethodTable>;
