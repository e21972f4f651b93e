/**
 * From a credential to an identity, for all adapters: what `authenticate` sends, headers, signed links, and the
 * networks that need none. Each kind of credential is a `CredentialKind`; a further kind is one more in the list.
 */
import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { messageOf, OcelliError } from "@ocelli/protocol";
import type { Clock } from "../clock/clock.ts";
import type { Log } from "../log/log.ts";
import type { AnonymousAccess } from "./anonymous.ts";
import { type GuardOptions, GuessingGuard } from "./guard.ts";
import type { Identity } from "./identity.ts";
import type { LinkSigner } from "./signed-links.ts";

export interface CredentialKind {
  /** The value of `auth_type` that asks for this kind. */
  readonly type: string;
  /** What is said when a credential is not one of this kind. */
  readonly failure: string;
  verify(credential: string): Identity | undefined | Promise<Identity | undefined>;
}

/** Known values of `auth_type`, also those no credential kind here answers to; anything else means: try all. */
const failureOf: Readonly<Record<string, string>> = {
  jwt: "Invalid or expired JWT token",
  api_key: "Invalid or expired API key",
};

const maxAccepted = 1000;

export interface AuthenticatorOptions {
  /** In the order they are tried. */
  readonly kinds: readonly CredentialKind[];
  readonly anonymous: AnonymousAccess;
  readonly links: LinkSigner;
  readonly clock: Clock;
  readonly log: Log;
  readonly guard?: GuardOptions;
  /** The client's address, for the guard against guessing; the socket's peer by default. */
  readonly addressOf?: (request: IncomingMessage) => string;
  /** Whether a `Host` header names this hub; without rights of its network otherwise. All do by default. */
  readonly isOwnHost?: (host: string | undefined) => boolean;
}

export class Authenticator {
  readonly #kinds: readonly CredentialKind[];
  readonly #anonymous: AnonymousAccess;
  readonly #links: LinkSigner;
  readonly #log: Log;
  readonly #guard: GuessingGuard;
  readonly #addressOf: (request: IncomingMessage) => string;
  readonly #isOwnHost: (host: string | undefined) => boolean;
  /**
   * Hashes of credentials that were right before, the longest unused first. They are verified each time, but do not
   * wait: a client with a stale key must not hold up the others behind its address. Nothing is told by that to
   * somebody who guesses.
   */
  readonly #accepted = new Set<string>();
  #refusals = 0;

  constructor(options: AuthenticatorOptions) {
    this.#kinds = options.kinds;
    this.#anonymous = options.anonymous;
    this.#links = options.links;
    this.#log = options.log;
    this.#guard = new GuessingGuard(options.clock, options.guard);
    this.#addressOf = options.addressOf ?? ((request) => request.socket.remoteAddress ?? "unknown");
    this.#isOwnHost = options.isOwnHost ?? (() => true);
  }

  /**
   * @param credential a leading `Bearer ` is cut
   * @param peer.type `jwt` or `api_key` when only that kind may be tried
   * @throws OcelliError `auth_failed`; `rate_limited` when an address tries too often at once
   */
  async verify(
    credential: string | undefined,
    peer: { readonly address: string; readonly type?: string; readonly signal?: AbortSignal },
  ): Promise<Identity> {
    const bare = credential?.replace(/^Bearer\s+/i, "").trim();
    if (bare === undefined || bare === "") throw new OcelliError("auth_failed", "Missing auth_token");
    const fingerprint = createHash("sha256").update(bare).digest("base64");
    if (!this.#accepted.has(fingerprint)) await this.#guard.admit(peer.address, peer.signal);
    const only = peer.type !== undefined && Object.hasOwn(failureOf, peer.type) ? peer.type : undefined;
    const kinds = this.#kinds.filter((kind) => only === undefined || kind.type === only);
    for (const kind of kinds) {
      const identity = await kind.verify(bare);
      if (identity !== undefined) {
        this.#remember(fingerprint);
        return identity;
      }
    }
    this.#accepted.delete(fingerprint);
    this.#guard.failed(peer.address);
    this.#refusals++;
    this.#log.info({ peer: peer.address, type: only ?? "auto" }, "a credential was refused");
    throw new OcelliError(
      "auth_failed",
      (only === undefined ? undefined : failureOf[only]) ?? kinds[0]?.failure ?? "Security not configured",
    );
  }

  /** Credentials refused since the start. */
  get refusals(): number {
    return this.#refusals;
  }

  /**
   * A try to come in by other means than a credential, such as a password, slowed down in the same way.
   * @param work resolves to `undefined` when it was a wrong guess
   * @throws OcelliError `rate_limited`; errors of `work`
   */
  async attempt<T>(
    peer: { readonly address: string; readonly signal?: AbortSignal },
    work: () => Promise<T | undefined>,
  ): Promise<T | undefined> {
    await this.#guard.admit(peer.address, peer.signal);
    const result = await work();
    if (result === undefined) this.#guard.failed(peer.address);
    return result;
  }

  #remember(fingerprint: string): void {
    this.#accepted.delete(fingerprint);
    this.#accepted.add(fingerprint);
    if (this.#accepted.size <= maxAccepted) return;
    const [oldest] = this.#accepted;
    if (oldest !== undefined) this.#accepted.delete(oldest);
  }

  /**
   * Whether `request` may have the rights of the network it comes from. A page of another site does not get those of
   * the network its visitor happens to sit in, nor does one whose name was made to point here (DNS rebinding).
   */
  isOwnClient(request: IncomingMessage): boolean {
    return !isForeignPage(request) && this.#isOwnHost(request.headers.host);
  }

  /** Who the sender of `request` is without a credential. */
  anonymous(request: IncomingMessage): Identity | undefined {
    if (!this.isOwnClient(request)) return undefined;
    return this.#anonymous.identityFor(request.socket.remoteAddress);
  }

  /**
   * Who sent this HTTP request or upgrade: `Authorization: Bearer`, `X-API-Key`, a signed link, or else its
   * network. A wrong credential counts as none. Never throws.
   */
  async identify(request: IncomingMessage): Promise<Identity | undefined> {
    const address = this.#addressOf(request);
    const credential = credentialIn(request);
    if (credential !== undefined) {
      try {
        return await this.verify(credential, { address });
      } catch (error) {
        this.#log.debug(
          { peer: address, reason: messageOf(error) },
          "a request came with a wrong credential",
        );
      }
    }
    return this.#links.verify(request.url ?? "") ?? this.anonymous(request);
  }
}

function credentialIn(request: IncomingMessage): string | undefined {
  const { authorization, "x-api-key": key } = request.headers;
  const bearer = authorization === undefined ? null : /^Bearer\s+(\S+)\s*$/i.exec(authorization);
  return bearer?.[1] ?? (typeof key === "string" && key !== "" ? key : undefined);
}

/**
 * Browsers name the site of a page in `Origin`; other clients send none. What a page only embeds comes without one:
 * of that they tell by `Sec-Fetch-Site`, over TLS and to localhost. A link that is followed is the visitor's own doing.
 */
function isForeignPage({ headers }: IncomingMessage): boolean {
  const { origin, host } = headers;
  if (origin === undefined) {
    const site = headers["sec-fetch-site"];
    const isElsewhere = site === "cross-site" || site === "same-site";
    return isElsewhere && headers["sec-fetch-dest"] !== "document";
  }
  try {
    return new URL(origin).host !== host?.toLowerCase();
  } catch {
    return true;
  }
}
