/**
 * Short-lived signed links, for places that cannot send headers: a picture in a page, a link that is opened, a
 * WebSocket of a browser. A link gives a viewer's access to exactly one path until it expires, and no more than
 * whoever had it signed: it carries that one's limit to cameras, ends no later, and is void when that one is.
 *
 * What a link hangs on is written into it as numbers that mean something in this process only.
 * The secret lives as long as the process, so that links die with the hub and no secret is stored.
 */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { Clock } from "../clock/clock.ts";
import type { Identity, Standing } from "./identity.ts";

export interface LinkSignerOptions {
  readonly clock: Clock;
  /** Default 3600. */
  readonly lifetimeS?: number;
  /** Default: random. */
  readonly secret?: Uint8Array;
}

/** What a link may not exceed. */
export type Signer = Pick<Identity, "cameras" | "standings" | "expiresAtUs">;

export class LinkSigner {
  readonly #clock: Clock;
  readonly #lifetimeS: number;
  readonly #secret: Uint8Array;
  readonly #standings = new Map<string, Standing>();
  readonly #numbers = new Map<Standing, string>();
  #lastNumber = 0;

  constructor(options: LinkSignerOptions) {
    this.#clock = options.clock;
    this.#lifetimeS = options.lifetimeS ?? 3600;
    this.#secret = options.secret ?? randomBytes(32);
  }

  /**
   * `path` with `?exp=<unix seconds>&sig=<hmac>`, and `cams`, `by` and `until` where there is something to limit.
   * @param path absolute, percent-encoded, without a query
   * @param signer who asks; the hub itself otherwise
   */
  sign(path: string, lifetimeS: number = this.#lifetimeS, signer?: Signer): string {
    const latest = (signer?.expiresAtUs ?? Number.POSITIVE_INFINITY) / 1e6;
    const query = new URLSearchParams({
      exp: String(Math.floor(Math.min(this.#clock.wallUs() / 1e6 + lifetimeS, latest))),
    });
    if (signer?.cameras !== undefined) query.set("cams", [...signer.cameras].join(","));
    const by = signer?.standings.map((standing) => this.#numberOf(standing)).join(".") ?? "";
    if (by !== "") query.set("by", by);
    if (Number.isFinite(latest)) query.set("until", String(Math.floor(latest)));
    const sig = this.#signature(decoded(path) ?? path, query).toString("base64url");
    const [exp, ...limits] = query.toString().split("&");
    return `${path}?${[exp, `sig=${sig}`, ...limits].join("&")}`;
  }

  /**
   * Who comes with `url` (path and query) when it was signed here and still counts. Further query parameters are not
   * covered.
   */
  verify(url: string): Identity | undefined {
    const split = url.indexOf("?");
    if (split < 0) return undefined;
    const query = new URLSearchParams(url.slice(split + 1));
    const path = decoded(url.slice(0, split));
    const exp = query.get("exp") ?? "";
    if (path === undefined || !/^\d{1,12}$/.test(exp)) return undefined;
    if (Number(exp) * 1e6 <= this.#clock.wallUs()) return undefined;
    const wanted = this.#signature(path, query);
    const given = Buffer.from(query.get("sig") ?? "", "base64url");
    if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) return undefined;
    const standings = this.#standingsOf(query.get("by"));
    if (standings === undefined || standings.some(({ revoked }) => revoked)) return undefined;
    const cameras = query.get("cams");
    const until = query.get("until");
    return {
      role: "viewer",
      userId: "link",
      method: "link",
      expiresAtUs: Number(exp) * 1e6,
      cameras: cameras === null ? undefined : new Set(cameras.split(",")),
      standings,
      signerExpiresAtUs: until === null ? undefined : Number(until) * 1e6,
    };
  }

  #numberOf(standing: Standing): string {
    const known = this.#numbers.get(standing);
    if (known !== undefined) return known;
    // Links of the revoked are refused without remembering them.
    for (const [number, one] of this.#standings) {
      if (!one.revoked) continue;
      this.#standings.delete(number);
      this.#numbers.delete(one);
    }
    const number = String(++this.#lastNumber);
    this.#numbers.set(standing, number);
    this.#standings.set(number, standing);
    return number;
  }

  #standingsOf(by: string | null): Standing[] | undefined {
    if (by === null) return [];
    const standings = by.split(".").map((number) => this.#standings.get(number));
    return standings.every((one) => one !== undefined) ? standings : undefined;
  }

  /** Over the decoded path: clients encode the same name in different ways. */
  #signature(path: string, query: URLSearchParams): Buffer {
    const parts = [query.get("exp"), query.get("cams"), query.get("by"), query.get("until"), path];
    return createHmac("sha256", this.#secret).update(JSON.stringify(parts)).digest();
  }
}

function decoded(path: string): string | undefined {
  try {
    return decodeURIComponent(path);
  } catch {
    return undefined;
  }
}
