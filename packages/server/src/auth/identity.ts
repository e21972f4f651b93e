/** Who somebody is, once known. How that was found out is the authenticator's business. */
import { permissionsOf, type Role, roleIncludes } from "@ocelli/protocol/camera-service";
import type { TokenClaims } from "./tokens.ts";

export type { Role };

/** Whether a credential still counts; kept by whoever issued it, shared by all identities made of it. */
export interface Standing {
  readonly revoked: boolean;
}

export interface Issuer {
  /** `api_key_<id>` or `user_<id>`. */
  readonly id: string;
  /** Of the user, or of the user the key belongs to: with a change of that, what was made before ends. */
  readonly userVersion: number | undefined;
}

export interface Identity {
  readonly role: Role;
  /** `api_key_<id>`, `user_<id>`, the `user_id` of a token, `anonymous`, `link`. */
  readonly userId: string;
  readonly method: "api_key" | "jwt" | "anonymous" | "link";
  /** Epoch microseconds after which this identity is void; `undefined` when it does not end by itself. */
  readonly expiresAtUs: number | undefined;
  /** Ids of the cameras it may see and touch; `undefined`: all. */
  readonly cameras: ReadonlySet<string> | undefined;
  /** The key or user behind it, for what it makes to hang on. */
  readonly issuer?: Issuer | undefined;
  /** What the token says that was presented, when the hub made it. */
  readonly token?: TokenClaims;
  /** What the identity hangs on: it is void when one of these is revoked. */
  readonly standings: readonly Standing[];
  /** Of a link: when whoever had it signed ends, and with that what was opened by it. The link itself is void sooner. */
  readonly signerExpiresAtUs?: number | undefined;
}

export { permissionsOf, roleIncludes };

export function isExpired(identity: Identity, nowUs: number): boolean {
  return identity.expiresAtUs !== undefined && identity.expiresAtUs <= nowUs;
}

export function isRevoked({ standings }: Identity): boolean {
  return standings.some(({ revoked }) => revoked);
}

/** Whether the identity no longer counts, for whichever reason. */
export function isVoid(identity: Identity, nowUs: number): boolean {
  return isExpired(identity, nowUs) || isRevoked(identity);
}
