/** API keys, users and tokens. The rules are in `auth/accounts.ts` and `auth/logins.ts`. */
import { OcelliError } from "@ocelli/protocol";
import {
  type ApiKeyObject,
  isoOf,
  type NewApiKeyObject,
  type TokenObject,
  type UserObject,
} from "@ocelli/protocol/camera-service";
import type { ApiKey, NewApiKey } from "../../../auth/api-keys.ts";
import type { Identity } from "../../../auth/identity.ts";
import type { Issued } from "../../../auth/logins.ts";
import type { User } from "../../../auth/users.ts";
import type { RpcServices } from "../services.ts";
import type { Call, MethodImplementation, MethodTable } from "./method.ts";

const dayUs = 86_400_000_000;

const createApiKey: MethodImplementation<"create_api_key"> = {
  run({ name, role, expires_in_days, expires_at, cameras, username }, call, services) {
    if (expires_in_days !== undefined && expires_at !== undefined) {
      throw new OcelliError("invalid_params", "Give expires_in_days or expires_at, not both.", {
        details: { param: "expires_at" },
      });
    }
    const expiresAtUs =
      expires_in_days === undefined
        ? expires_at
        : Math.round(services.clock.wallUs() + expires_in_days * dayUs);
    const userId = username === undefined ? undefined : services.accounts.findUser(username).userId;
    const wishes = { name, role, expiresAtUs, cameras: idsOf(cameras, services), userId };
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

const createUser: MethodImplementation<"create_user"> = {
  lane: () => usersLane,
  async run({ cameras, ...wishes }, call, services) {
    const wanted = { ...wishes, cameras: idsOf(cameras, services) };
    return userObject(await services.accounts.createUser(wanted, callerOf(call)));
  },
};

const listUsers: MethodImplementation<"list_users"> = {
  run(_params, _call, { accounts }) {
    const users = accounts.listUsers().map(userObject);
    return { users, total: users.length };
  },
};

const updateUser: MethodImplementation<"update_user"> = {
  lane: () => usersLane,
  run({ username, role, enabled, cameras }, call, services) {
    const limit =
      cameras === undefined ? undefined : { to: cameras === "all" ? undefined : idsOf(cameras, services) };
    const change = { role, enabled, cameras: limit };
    return userObject(services.accounts.updateUser(username, change, callerOf(call)));
  },
};

const setUserPassword: MethodImplementation<"set_user_password"> = {
  lane: () => usersLane,
  async run({ username, password }, call, { accounts }) {
    return userObject(await accounts.setPassword(username, password, callerOf(call)));
  },
};

const deleteUser: MethodImplementation<"delete_user"> = {
  lane: () => usersLane,
  run({ username }, call, { accounts }) {
    const user = accounts.deleteUser(username, callerOf(call));
    return { user_id: user.userId, username: user.name, deleted: true };
  },
};

const login: MethodImplementation<"login"> = {
  // One connection guesses one password at a time.
  lane: () => "login",
  async run(params, { session, signal }, { logins }) {
    return tokenObject(await logins.login(params, { address: session.address, signal }));
  },
};

const createToken: MethodImplementation<"create_token"> = {
  async run({ role, ttl, cameras, username }, call, services) {
    const user = username === undefined ? undefined : services.accounts.findUser(username);
    const wishes = { role, lifetimeS: ttl, cameras: idsOf(cameras, services), user };
    return tokenObject(await services.logins.create(wishes, identityOf(call)));
  },
};

const refreshToken: MethodImplementation<"refresh_token"> = {
  async run(_params, call, { logins }) {
    return tokenObject(await logins.refresh(identityOf(call)));
  },
};

/** Changes of users keep the order of the connection they come on. */
const usersLane = "users";

function identityOf({ identity }: Call): Identity {
  if (identity !== undefined) return identity;
  throw new OcelliError("auth_required", "Authentication required - call authenticate first");
}

function tokenObject({ token, expiresAtUs, role, userId, cameras }: Issued): TokenObject {
  return {
    ...{ token, token_type: "Bearer", expires_at: isoOf(expiresAtUs), role, user_id: userId },
    cameras: cameras === undefined ? null : [...cameras],
  };
}

function userObject(user: User): UserObject {
  return {
    user_id: user.userId,
    username: user.name,
    role: user.role,
    enabled: user.enabled,
    cameras: user.cameras === undefined ? null : [...user.cameras],
    created_at: isoOf(user.createdAtUs),
    password_set_at: isoOf(user.passwordAtUs),
    last_login: user.lastLoginUs === undefined ? null : isoOf(user.lastLoginUs),
  };
}

function callerOf({ identity }: Call): string {
  return identity?.userId ?? "nobody";
}

/** @throws OcelliError `camera_not_found`: a limit with a misspelled camera would shut its owner out */
function idsOf(
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
  create_user: createUser,
  list_users: listUsers,
  update_user: updateUser,
  set_user_password: setUserPassword,
  delete_user: deleteUser,
  login,
  create_token: createToken,
  refresh_token: refreshToken,
} satisfies Partial<MethodTable>;
