/**
 * Pages of which sites may talk to the hub: the answer to the `Origin` of upgrades and HTTP requests, and the
 * headers by which browsers are told (CORS). Programs that are no browser send no origin and are not concerned; a
 * page that may talk still needs a credential.
 */
import type { IncomingMessage } from "node:http";
import type { FastifyInstance } from "fastify";
import type { Clients } from "./clients.ts";

export interface OriginsOptions {
  /** `https://cam.example.org`, or `*` for every site. */
  readonly allowed: readonly string[];
  readonly clients: Clients;
  /** Whether a `Host` is a name of the hub: pages it serves itself are always allowed. */
  readonly isOwnHost: (host: string | undefined) => boolean;
}

export class Origins {
  readonly #options: OriginsOptions;
  readonly #allowed: ReadonlySet<string>;

  constructor(options: OriginsOptions) {
    this.#options = options;
    this.#allowed = new Set(options.allowed.map((origin) => normal(origin) ?? origin));
  }

  get allowsAll(): boolean {
    return this.#allowed.has("*");
  }

  /** Whether the page that sent `request`, if it was one, may. */
  allows(request: IncomingMessage): boolean {
    const { origin } = request.headers;
    if (origin === undefined || this.allowsAll) return true;
    const site = normal(origin);
    if (site === undefined) return false;
    if (this.#allowed.has(site)) return true;
    const { clients, isOwnHost } = this.#options;
    const own = clients.originOf(request);
    return own !== undefined && normal(own) === site && isOwnHost(clients.hostOf(request));
  }
}

const exposed = [
  "Accept-Ranges",
  "Content-Disposition",
  "Content-Length",
  "Content-Range",
  "ETag",
  "Repr-Digest",
  "Retry-After",
  "X-Timestamp",
].join(", ");
const accepted = "Authorization, Content-Type, If-None-Match, If-Range, Range, X-API-Key, X-Request-Id";

/** Tells browsers whether the page may read the answers; answers their question beforehand (preflight). */
export function registerCors(app: FastifyInstance, origins: Origins): void {
  app.addHook("onRequest", (request, reply, done) => {
    const { origin } = request.headers;
    if (!origins.allowsAll) reply.header("Vary", "Origin");
    if (origin === undefined || !origins.allows(request.raw)) return done();
    reply.header("Access-Control-Allow-Origin", origins.allowsAll ? "*" : origin);
    reply.header("Access-Control-Expose-Headers", exposed);
    if (request.method !== "OPTIONS" || request.headers["access-control-request-method"] === undefined)
      return done();
    reply
      .code(204)
      .header("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, DELETE")
      .header("Access-Control-Allow-Headers", accepted)
      .header("Access-Control-Max-Age", "600")
      .send();
  });
}

/** Small letters and no port that goes without saying; `undefined` for what is no origin, `null` among it. */
function normal(origin: string): string | undefined {
  if (origin === "*") return origin;
  if (!/^https?:\/\/[^/?#@\s]+\/?$/i.test(origin) || !URL.canParse(origin)) return undefined;
  return new URL(origin).origin;
}
