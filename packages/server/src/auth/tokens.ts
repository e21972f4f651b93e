/**
 * The hub's own tokens: JWTs signed with HS256 and nothing else. A token says who, which role, which cameras and until
 * when; whether its user or the key that made it still counts is looked up when it is presented.
 */

import { type Role, roles } from "@ocelli/protocol/camera-service";
import { z } from "zod";
import type { Clock } from "../clock/clock.ts";
import type { Issuer } from "./identity.ts";

/** Later than that no date can be told. */
export const latestEndS = 8.64e12;

export const claimsSchema = z.object({
  user_id: z.string().min(1).max(200),
  role: z.enum(roles),
  iat: z.number(),
  /** Up to where there are dates. */
  exp: z.number().max(latestEndS),
  /** Ids; without it: all cameras. */
  cameras: z.array(z.string().max(64)).max(500).optional(),
  /** Of the user, who has another one after each change of password, role, limit or state. */
  ver: z.number().int().optional(),
  /** Seconds since 1970: when the password was given or an administrator made the first of a row of renewed tokens. */
  auth_time: z.number().optional(),
  /** The key or user that made the token, with which it ends. */
  by: z.string().max(200).optional(),
  /** The version of that user, or of the user the key belongs to. */
  by_ver: z.number().int().optional(),
});
export type TokenClaims = z.output<typeof claimsSchema>;

export interface NewToken {
  readonly token: string;
  readonly expiresAtUs: number;
}

export interface TokenWishes {
  readonly userId: string;
  readonly role: Role;
  readonly lifetimeS: number;
  readonly cameras?: ReadonlySet<string> | undefined;
  readonly version?: number | undefined;
  readonly by?: Issuer | undefined;
  /** Default: now. */
  readonly authTimeS?: number | undefined;
}

/** For clocks of machines that make tokens of their own with the hub's secret. The end is not stretched by it. */
const leewayS = 5;
const algorithm = "HS256";

/** Loaded with the first token: many hubs have none. */
const jose = () => import("jose");

export class Tokens {
  readonly #secret: Uint8Array;
  readonly #clock: Clock;

  constructor(options: { readonly secret: Uint8Array; readonly clock: Clock }) {
    this.#secret = options.secret;
    this.#clock = options.clock;
  }

  async issue(wishes: TokenWishes): Promise<NewToken> {
    const nowS = Math.floor(this.#clock.wallUs() / 1e6);
    const exp = nowS + Math.max(1, Math.floor(wishes.lifetimeS));
    const { userId, role, cameras, version, by, authTimeS } = wishes;
    const { SignJWT } = await jose();
    const token = await new SignJWT({
      user_id: userId,
      role,
      ...(cameras === undefined ? {} : { cameras: [...cameras] }),
      ...(version === undefined ? {} : { ver: version }),
      ...(by === undefined ? {} : { by: by.id }),
      ...(by?.userVersion === undefined ? {} : { by_ver: by.userVersion }),
      auth_time: authTimeS ?? nowS,
    })
      .setProtectedHeader({ alg: algorithm, typ: "JWT" })
      .setIssuedAt(nowS)
      .setExpirationTime(exp)
      .sign(this.#secret);
    return { token, expiresAtUs: exp * 1e6 };
  }

  /** What a token says, when it was signed here and has not ended; all other tokens are alike. */
  async verify(token: string): Promise<TokenClaims | undefined> {
    const nowUs = this.#clock.wallUs();
    const { jwtVerify } = await jose();
    try {
      const { payload } = await jwtVerify(token, this.#secret, {
        algorithms: [algorithm],
        clockTolerance: leewayS,
        currentDate: new Date(nowUs / 1000),
      });
      const claims = claimsSchema.parse(payload);
      const begins = claims.iat <= nowUs / 1e6 + leewayS;
      return begins && claims.exp * 1e6 > nowUs ? claims : undefined;
    } catch {
      return undefined;
    }
  }
}

/** Three parts, so that no signature is checked of what can be no token. */
export function looksLikeToken(credential: string): boolean {
  return /^[\w-]+\.[\w-]+\.[\w-]*$/.test(credential);
}
