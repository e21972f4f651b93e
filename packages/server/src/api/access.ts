/**
 * What the HTTP adapters ask of authentication: who is this, and may they? How a credential is verified
 * (headers, signed query, anonymous networks) is the business of the injected `Authorize`.
 */
import type { IncomingMessage } from "node:http";

export type Role = "viewer" | "operator" | "admin";

const rank: Readonly<Record<Role, number>> = { viewer: 1, operator: 2, admin: 3 };

/** Who sent this request; `undefined` without a valid credential. Never throws for a bad credential. */
export type Authorize = (
  request: IncomingMessage,
) => { readonly role: Role } | undefined | Promise<{ readonly role: Role } | undefined>;

export type Access = "granted" | "unauthenticated" | "forbidden";

/** Whether the sender of `request` has at least `role`. */
export async function accessOf(authorize: Authorize, request: IncomingMessage, role: Role): Promise<Access> {
  const identity = await authorize(request);
  if (identity === undefined) return "unauthenticated";
  return rank[identity.role] >= rank[role] ? "granted" : "forbidden";
}
