/** Who somebody is, once known. How that was found out is the authenticator's business. */
import { permissionsOf, type Role, roleIncludes } from "@ocelli/protocol/camera-service";

export type { Role };

export interface Identity {
  readonly role: Role;
  /** `api_key_<id>`, `anonymous`, `link`. */
  readonly userId: string;
  readonly method: "api_key" | "anonymous" | "link";
  /** Epoch microseconds after which this identity is void; `undefined` when it does not end by itself. */
  readonly expiresAtUs: number | undefined;
}

export { permissionsOf, roleIncludes };

export function isExpired(identity: Identity, nowUs: number): boolean {
  return identity.expiresAtUs !== undefined && identity.expiresAtUs <= nowUs;
}
