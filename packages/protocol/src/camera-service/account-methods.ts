/** Who may come in: API keys. All of it is for administrators whose credential is good for every camera. */
import { z } from "zod";
import { method } from "./method.ts";
import { roles } from "./roles.ts";
import { deviceName, personName, positiveNumber, timestampUs } from "./values.ts";

const isoTime = z.iso.datetime();

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
} as const;
