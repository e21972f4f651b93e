/** The kinds of credentials the hub itself issues: API keys and tokens, each with what it hangs on. */
import { roleIncludes } from "@ocelli/protocol/camera-service";
import type { ApiKeys } from "./api-keys.ts";
import type { CredentialKind } from "./authenticator.ts";
import { bothLimits } from "./camera-limit.ts";
import type { Identity, Issuer, Role, Standing } from "./identity.ts";
import { looksLikeToken, type Tokens } from "./tokens.ts";
import { isUserId, type Users } from "./users.ts";

const keySubject = "api_key_";

/** @param users without it, keys that belong to a user are refused */
export function apiKeyCredentials(keys: ApiKeys, users?: Users): CredentialKind {
  return {
    type: "api_key",
    failure: "Invalid or expired API key",
    verify(credential): Identity | undefined {
      const key = keys.verify(credential);
      if (key === undefined) return undefined;
      const userId = keySubject + key.keyId;
      const common = {
        ...{ userId, method: "api_key" as const, expiresAtUs: key.expiresAtUs },
        standings: [keys.standingOf(key.keyId)],
      };
      if (key.userId === undefined) {
        const issuer = { id: userId, userVersion: undefined };
        return { ...common, issuer, role: key.role, cameras: key.cameras };
      }
      const user = users?.get(key.userId);
      if (users === undefined || user?.enabled !== true) return undefined;
      return {
        ...common,
        issuer: { id: userId, userVersion: user.version },
        role: lower(key.role, user.role),
        cameras: bothLimits(key.cameras, user.cameras),
        standings: [...common.standings, users.standingOf(user.userId)],
      };
    },
  };
}

/** Tokens of the hub. One of a user gives no more than the user has now. */
export function tokenCredentials(tokens: Tokens, users: Users, keys: ApiKeys): CredentialKind {
  return {
    type: "jwt",
    failure: "Invalid or expired JWT token",
    async verify(credential): Promise<Identity | undefined> {
      const claims = looksLikeToken(credential) ? await tokens.verify(credential) : undefined;
      if (claims === undefined) return undefined;
      const { user_id: userId, by, by_ver, ver } = claims;
      const cameras = claims.cameras === undefined ? undefined : new Set(claims.cameras);
      const maker = by === undefined ? undefined : { id: by, userVersion: by_ver };
      const standings = maker === undefined ? [] : standingsOf(maker, users, keys);
      const common = {
        ...{ userId, method: "jwt" as const, expiresAtUs: claims.exp * 1e6, token: claims },
        issuer: isUserId(userId) ? { id: userId, userVersion: ver } : maker,
      };
      if (isUserId(userId)) standings.push(users.standingOf(userId));
      if (standings.some(({ revoked }) => revoked)) return undefined;
      if (!isUserId(userId)) return { ...common, role: claims.role, cameras, standings };
      const user = users.get(userId);
      if (user === undefined || user.version !== ver) return undefined;
      return {
        ...common,
        role: lower(claims.role, user.role),
        cameras: bothLimits(cameras, user.cameras),
        standings,
      };
    },
  };
}

/** What a token hangs on that was made by `maker`; one of another kind cannot be revoked here. */
function standingsOf({ id, userVersion }: Issuer, users: Users, keys: ApiKeys): Standing[] {
  const keyId = id.startsWith(keySubject) ? id.slice(keySubject.length) : undefined;
  const standings = keyId === undefined ? [] : [keys.standingOf(keyId)];
  const userId = keyId === undefined ? id : keys.ownerOf(keyId);
  if (userId === undefined || !isUserId(userId)) return standings;
  const isSame = users.get(userId)?.version === userVersion;
  return [...standings, isSame ? users.standingOf(userId) : { revoked: true }];
}

function lower(a: Role, b: Role): Role {
  return roleIncludes(a, b) ? b : a;
}
