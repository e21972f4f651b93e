/**
 * Who may come in: API keys, users, tokens. All but `login` and `refresh_token` is for administrators whose credential
 * is good for every camera.
 */
import { z } from "zod";
import { method } from "./method.ts";
import { roles } from "./roles.ts";
import { deviceName, personName, positiveNumber, timestampUs, wholeNumber } from "./values.ts";

const isoTime = z.iso.datetime();

/** The longest a token lives, and a row of renewed ones. */
export const longestTokenS = 30 * 86_400;

/** Names of cameras in any spelling; they are kept as ids. */
const cameraNames = z.array(deviceName).min(1).max(500);
const role = z.enum(roles);
const keyId = z.string().min(1).max(64);
/** Ids; null: all cameras. */
const cameraIds = z.array(z.string()).nullable();

const keyFacts = {
  key_id: z.string(),
  name: z.string(),
  role,
  created_at: isoTime,
  expires_at: isoTime.nullable(),
  cameras: cameraIds,
  /** The user it belongs to. */
  user_id: z.string().nullable(),
};

export const apiKeySchema = z.looseObject({
  ...keyFacts,
  /** To the minute; null: never. */
  last_used: isoTime.nullable(),
  is_active: z.boolean(),
});
export type ApiKeyObject = z.output<typeof apiKeySchema>;

/** The key in the clear is here and nowhere else. */
export const newApiKeySchema = z.looseObject({ ...keyFacts, api_key: z.string() });
export type NewApiKeyObject = z.output<typeof newApiKeySchema>;

/** A user by name, or by `user_id`. Judged where it is looked up. */
const username = z.string().min(1).max(400);
const password = z.string().min(1).max(2000);

export const userSchema = z.looseObject({
  user_id: z.string(),
  username: z.string(),
  role,
  enabled: z.boolean(),
  cameras: cameraIds,
  created_at: isoTime,
  password_set_at: isoTime,
  last_login: isoTime.nullable(),
});
export type UserObject = z.output<typeof userSchema>;

export const tokenSchema = z.looseObject({
  /** To be sent to `authenticate`, or as `Authorization: Bearer`. */
  token: z.string(),
  token_type: z.literal("Bearer"),
  expires_at: isoTime,
  role,
  user_id: z.string(),
  cameras: cameraIds,
});
export type TokenObject = z.output<typeof tokenSchema>;

export const accountMethods = {
  /** Extension. */
  create_api_key: method(
    "admin",
    {
      name: personName,
      role,
      /** At most one of the two; without either the key does not expire. */
      expires_in_days: positiveNumber(36_500).optional(),
      expires_at: timestampUs.optional(),
      cameras: cameraNames.optional(),
      username: username.optional(),
    },
    newApiKeySchema,
  ),
  /** Extension. Revoked and expired ones included, oldest first, without secrets. */
  list_api_keys: method("admin", {}, z.looseObject({ keys: z.array(apiKeySchema), total: z.number().int() })),
  /** Extension. Void at once, open connections included. */
  revoke_api_key: method(
    "admin",
    { key_id: keyId },
    z.looseObject({ key_id: z.string(), revoked: z.literal(true) }),
  ),
  /** Extension. A new key with the same rights; the old one is void at once. */
  rotate_api_key: method(
    "admin",
    { key_id: keyId },
    z.looseObject({ ...newApiKeySchema.shape, replaces: z.string() }),
  ),
  /** Extension. */
  create_user: method(
    "admin",
    { username: personName, password, role, cameras: cameraNames.optional() },
    userSchema,
  ),
  /** Extension. By name. */
  list_users: method("admin", {}, z.looseObject({ users: z.array(userSchema), total: z.number().int() })),
  /** Extension. Logs the user out everywhere when it changes what the user may do. */
  update_user: method(
    "admin",
    {
      username,
      role: role.optional(),
      enabled: z.boolean().optional(),
      cameras: z.union([cameraNames, z.literal("all")]).optional(),
    },
    userSchema,
  ),
  /** Extension. Logs the user out everywhere. */
  set_user_password: method("admin", { username, password }, userSchema),
  /** Extension. */
  delete_user: method(
    "admin",
    { username },
    z.looseObject({ user_id: z.string(), username: z.string(), deleted: z.literal(true) }),
  ),
  /** Extension. Does not authenticate the connection: pass the token to `authenticate`. */
  login: method("public", { username, password }, tokenSchema),
  /** Extension. */
  create_token: method(
    "admin",
    {
      /** Seconds. */
      ttl: wholeNumber(1, longestTokenS),
      /** The user's, or `viewer`. */
      role: role.optional(),
      cameras: cameraNames.optional(),
      username: username.optional(),
    },
    tokenSchema,
  ),
  /** Extension. For a connection that authenticated with a token of this hub. */
  refresh_token: method("viewer", {}, tokenSchema),
} as const;
