/** `ping` and `authenticate`. */
import { isoOf, permissionsOf } from "@ocelli/protocol/camera-service";
import type { MethodImplementation } from "./method.ts";

export const ping: MethodImplementation<"ping"> = { run: () => "pong" };

/** What `expires_at` says of a key that does not expire: clients require a time. It is not enforced. */
const unlimitedUs = 24 * 3600 * 1e6;

export const authenticate: MethodImplementation<"authenticate"> = {
  async run(params, { session, signal }, { auth, clock }) {
    const { auth_token, token, api_key, key, jwt, auth_type } = params;
    const credential = [auth_token, token, api_key, key, jwt].find((one) => one !== undefined && one !== "");
    const identity = await auth.verify(credential, {
      address: session.address,
      signal,
      ...(auth_type === undefined ? {} : { type: auth_type }),
    });
    session.identity = identity;
    return {
      authenticated: true,
      role: identity.role,
      permissions: permissionsOf(identity.role),
      expires_at: isoOf(identity.expiresAtUs ?? clock.wallUs() + unlimitedUs),
      session_id: session.id,
      user_id: identity.userId,
      auth_method: identity.method,
      cameras: identity.cameras === undefined ? null : [...identity.cameras],
    };
  },
};
