/**
 * What the HTTP adapters ask of authentication: who is this, and may they? How a credential is verified
 * (headers, signed links, anonymous networks) is the business of the injected `Authorize`, which in the hub is
 * `Authenticator.identify`.
 */
import type { IncomingMessage } from "node:http";
import type { Limited } from "../auth/camera-limit.ts";
import { type Identity, type Role, roleIncludes, type Standing } from "../auth/identity.ts";
import type { Signer } from "../auth/signed-links.ts";

export type { Role };

/** As far as the HTTP adapters care; without `cameras`: all of them. */
export interface HttpIdentity {
  readonly role: Role;
  readonly cameras?: ReadonlySet<string> | undefined;
  readonly standings?: readonly Standing[];
  readonly expiresAtUs?: number | undefined;
  readonly method?: Identity["method"];
  readonly signerExpiresAtUs?: number | undefined;
}

/** Who sent this request; `undefined` without a valid credential. Never rejects for a bad credential. */
export type Authorize = (
  request: IncomingMessage,
) => HttpIdentity | undefined | Promise<HttpIdentity | undefined>;

export type Access = "granted" | "unauthenticated" | "forbidden";

export interface Admission {
  readonly access: Access;
  /** Set when granted. What the route shows must go through the limits of `auth/limited-*.ts` with this. */
  readonly who: NonNullable<Limited>;
  /** For links that give no more. */
  readonly signer: Signer;
  /** For what stays open longer than it takes to answer. */
  readonly lasting: Lasting;
}

/** What the right to keep something open hangs on. */
export interface Lasting {
  readonly standings: readonly Standing[];
  /**
   * Epoch microseconds. Of a link it is the end of whoever had it signed: the link is only for opening, and shorter.
   */
  readonly endsAtUs: number | undefined;
}

/** Whether the sender of `request` has at least `role`, and for which cameras. */
export async function admissionOf(
  authorize: Authorize,
  request: IncomingMessage,
  role: Role,
): Promise<Admission> {
  const identity = await authorize(request);
  const access =
    identity === undefined ? "unauthenticated" : roleIncludes(identity.role, role) ? "granted" : "forbidden";
  const standings = identity?.standings ?? [];
  const who = { cameras: access === "granted" ? identity?.cameras : new Set<string>() };
  return {
    access,
    who,
    signer: { ...who, standings, expiresAtUs: identity?.expiresAtUs },
    lasting: {
      standings,
      endsAtUs: identity?.method === "link" ? identity.signerExpiresAtUs : identity?.expiresAtUs,
    },
  };
}

/** The same for routes that tell of the whole hub: a credential limited to some cameras does not do. */
export async function accessOf(authorize: Authorize, request: IncomingMessage, role: Role): Promise<Access> {
  const { access, who } = await admissionOf(authorize, request, role);
  return access === "granted" && who.cameras !== undefined ? "forbidden" : access;
}
