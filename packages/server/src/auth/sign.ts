/**
 * Short-lived signed links, for places that cannot send headers: a picture in a page, a link that is opened, a
 * WebSocket of a browser. A link gives a viewer's access to exactly one path until it expires.
 *
 * The secret lives as long as the process, so that links die with the hub and no secret is stored.
 */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { Clock } from "../clock/clock.ts";

export interface LinkSignerOptions {
  readonly clock: Clock;
  /** Default 3600. */
  readonly lifetimeS?: number;
  /** Default: random. */
  readonly secret?: Uint8Array;
}

export class LinkSigner {
  readonly #clock: Clock;
  readonly #lifetimeS: number;
  readonly #secret: Uint8Array;

  constructor(options: LinkSignerOptions) {
    this.#clock = options.clock;
    this.#lifetimeS = options.lifetimeS ?? 3600;
    this.#secret = options.secret ?? randomBytes(32);
  }

  /**
   * `path` with `?exp=<unix seconds>&sig=<hmac>`.
   * @param path absolute, percent-encoded, without a query
   */
  sign(path: string, lifetimeS: number = this.#lifetimeS): string {
    const exp = Math.floor(this.#clock.wallUs() / 1e6) + lifetimeS;
    return `${path}?exp=${exp}&sig=${this.#signature(decoded(path) ?? path, exp).toString("base64url")}`;
  }

  /** Whether `url` (path and query) was signed here and has not expired. Further query parameters are not covered. */
  verify(url: string): boolean {
    const split = url.indexOf("?");
    if (split < 0) return false;
    const query = new URLSearchParams(url.slice(split + 1));
    const path = decoded(url.slice(0, split));
    const exp = query.get("exp") ?? "";
    const sig = query.get("sig") ?? "";
    if (path === undefined || !/^\d{1,12}$/.test(exp)) return false;
    if (Number(exp) * 1e6 <= this.#clock.wallUs()) return false;
    const wanted = this.#signature(path, Number(exp));
    const given = Buffer.from(sig, "base64url");
    return given.length === wanted.length && timingSafeEqual(given, wanted);
  }

  /** Over the decoded path: clients encode the same name in different ways. */
  #signature(path: string, exp: number): Buffer {
    return createHmac("sha256", this.#secret).update(`${exp}\n${path}`).digest();
  }
}

function decoded(path: string): string | undefined {
  try {
    return decodeURIComponent(path);
  } catch {
    return undefined;
  }
}
