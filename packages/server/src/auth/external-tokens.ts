/**
 * Tokens of an identity provider outside: signed with a key pair (never with a shared secret), for this hub
 * (`audience`), by that provider (`issuer`). The role comes from a claim; a token without a role the hub knows is refused.
 */
import { type Role, roles } from "@ocelli/protocol/camera-service";
import { decodeJwt, decodeProtectedHeader, errors, type JWTPayload, jwtVerify, type LocalJWKSet } from "jose";
import { z } from "zod";
import type { Clock } from "../clock/clock.ts";
import type { CredentialKind } from "./authenticator.ts";
import type { ExternalKeys } from "./external-keys.ts";
import type { Identity } from "./identity.ts";
import { latestEndS, looksLikeToken } from "./tokens.ts";

export interface ExternalTokensOptions {
  readonly keys: Pick<ExternalKeys, "current" | "renewed">;
  readonly issuer: string;
  readonly audience: string;
  /** A role, or a list with roles in it, of which the highest counts. Default `role`. */
  readonly roleClaim?: string;
  /** A list of camera ids; without the claim all. Default `cameras`. */
  readonly camerasClaim?: string;
  readonly clock: Clock;
}

const algorithms = [
  ...["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
  ...["ES256", "ES384", "ES512", "EdDSA", "Ed25519"],
];
const leewayS = 5;

const subjectSchema = z.string().min(1).max(200);
const camerasSchema = z.array(z.string().max(64)).max(500).optional();

export function externalTokenCredentials(options: ExternalTokensOptions): CredentialKind {
  return {
    type: "jwt",
    failure: "Invalid or expired JWT token",
    async verify(credential): Promise<Identity | undefined> {
      if (!looksLikeToken(credential) || !isMeant(credential, options)) return undefined;
      try {
        const payload = await verified(credential, options);
        return payload === undefined ? undefined : identityOf(payload, options);
      } catch {
        return undefined;
      }
    },
  };
}

/** What it says of itself, not believed: spares asking the provider about tokens that are not its own. */
function isMeant(token: string, { issuer }: ExternalTokensOptions): boolean {
  try {
    return algorithms.includes(decodeProtectedHeader(token).alg ?? "") && decodeJwt(token).iss === issuer;
  } catch {
    return false;
  }
}

async function verified(token: string, options: ExternalTokensOptions): Promise<JWTPayload | undefined> {
  const set = await options.keys.current();
  if (set === undefined) return undefined;
  try {
    return await verifiedBy(set, token, options);
  } catch (error) {
    // The provider has taken a new key into use.
    if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
    const renewed = await options.keys.renewed();
    return renewed && verifiedBy(renewed, token, options);
  }
}

async function verifiedBy(
  set: LocalJWKSet,
  token: string,
  { issuer, audience, clock }: ExternalTokensOptions,
): Promise<JWTPayload> {
  const checks = {
    ...{ algorithms, issuer, audience, clockTolerance: leewayS },
    requiredClaims: ["exp", "iat"],
    currentDate: new Date(clock.wallUs() / 1000),
  };
  try {
    return (await jwtVerify(token, set, checks)).payload;
  } catch (error) {
    // A token that does not name its key, and several keys it may be.
    if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error;
    for await (const key of error) {
      try {
        return (await jwtVerify(token, key, checks)).payload;
      } catch (other) {
        if (!(other instanceof errors.JWSSignatureVerificationFailed)) throw other;
      }
    }
    throw error;
  }
}

function identityOf(payload: JWTPayload, options: ExternalTokensOptions): Identity | undefined {
  const { roleClaim = "role", camerasClaim = "cameras", clock } = options;
  const role = roleIn(payload[roleClaim]);
  const subject = subjectSchema.safeParse(payload.user_id ?? payload.sub);
  const cameras = camerasSchema.safeParse(payload[camerasClaim]);
  const nowUs = clock.wallUs();
  const expiresAtUs = (payload.exp ?? 0) * 1e6;
  if (role === undefined || !subject.success || !cameras.success) return undefined;
  if ((payload.exp ?? 0) > latestEndS) return undefined;
  if (expiresAtUs <= nowUs || (payload.iat ?? 0) * 1e6 > nowUs + leewayS * 1e6) return undefined;
  return {
    role,
    // Nobody outside gets the name of somebody inside.
    userId: `external:${subject.data}`,
    method: "jwt",
    expiresAtUs,
    cameras: cameras.data === undefined ? undefined : new Set(cameras.data),
    standings: [],
  };
}

function roleIn(claim: unknown): Role | undefined {
  const named: unknown[] = Array.isArray(claim) ? claim : [claim];
  return roles.findLast((role) => named.includes(role));
}
