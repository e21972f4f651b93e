/**
 * What the HTTP adapters ask of authentication: who is this, and may they? How a credential is verified
 * (headers, signed links, anonymous networks) is the business of the injected `Authorize`, which in the hub is
 * `Authenticator.identify`.
 */
import type { IncomingMessage } from "node:http";
import { type Role, roleIncludes } from "../auth/identity.ts";

export type { Role };

/** Who sent this request; `undefined` without a valid credential. Never rejects for a bad credential. */
export type Authorize = (
  request: IncomingMessage,
) => { readonly role: Role } | undefined | Promise<{ readonly role: Role } | undefined>;

export type Access = "granted" | "unauthenticated" | "forbidden";

/** Whether the sender of `request` has at least `role`. */
export async function accessOf(authorize: Authorize, request: IncomingMessage, role: Role): Promise<Access> {
  const identity = await authorize(request);
  if (identity === undefined) return "unauthenticated";
  return roleIncludes(identity.role, role) ? "granted" : "forbidden";
}
