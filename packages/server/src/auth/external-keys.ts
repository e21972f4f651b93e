/**
 * The public keys of an identity provider (JWKS): fetched when first needed, bounded in time and size, kept while the
 * provider is away. Tokens with unknown keys make it ask again, but not more often than `cooldownMs`.
 */
import { messageOf } from "@ocelli/protocol";
import { createLocalJWKSet, type JSONWebKeySet, type JWK, type LocalJWKSet } from "jose";
import { z } from "zod";
import type { Clock } from "../clock/clock.ts";
import type { Log } from "../log/log.ts";

export interface ExternalKeysOptions {
  readonly url: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Default 5000. */
  readonly timeoutMs?: number;
  /** Default 262,144. */
  readonly maxBytes?: number;
  /** After this long they are fetched again, while the old ones go on. Default 600,000. */
  readonly freshMs?: number;
  /** After this long without the provider they are not believed any more. Default 86,400,000. */
  readonly maxAgeMs?: number;
  /** Between two questions at least. Default 30,000. */
  readonly cooldownMs?: number;
}

/** Keys for checking signatures; a shared secret (`oct`) is none, whatever the provider says. */
const keySetSchema = z.object({
  keys: z
    .array(z.looseObject({ kty: z.string() }))
    .max(200)
    .transform((keys) => keys.filter(({ kty }) => kty === "RSA" || kty === "EC" || kty === "OKP")),
});

export class ExternalKeys {
  readonly #options: Required<ExternalKeysOptions>;
  #set: LocalJWKSet | undefined;
  #fetchedMonoUs = 0;
  #askedMonoUs: number | undefined;
  #asking: Promise<void> | undefined;
  readonly #ended = new AbortController();

  constructor(options: ExternalKeysOptions) {
    this.#options = {
      ...{
        timeoutMs: 5000,
        maxBytes: 256 * 1024,
        freshMs: 600_000,
        maxAgeMs: 86_400_000,
        cooldownMs: 30_000,
      },
      ...options,
    };
  }

  /** The keys now; `undefined` while there are none to believe. Never rejects. */
  async current(): Promise<LocalJWKSet | undefined> {
    const { clock, freshMs, maxAgeMs } = this.#options;
    const ageMs = (clock.monoUs() - this.#fetchedMonoUs) / 1000;
    if (this.#set === undefined || ageMs > maxAgeMs) {
      await this.#ask();
      const isYoung = (clock.monoUs() - this.#fetchedMonoUs) / 1000 <= maxAgeMs;
      return isYoung ? this.#set : undefined;
    }
    if (ageMs > freshMs) void this.#ask();
    return this.#set;
  }

  /** The keys after asking again, where that may help; `undefined` when it was asked just now. Never rejects. */
  async renewed(): Promise<LocalJWKSet | undefined> {
    const before = this.#set;
    await this.#ask();
    return this.#set === before ? undefined : this.#set;
  }

  /** Idempotent. */
  close(): void {
    this.#ended.abort();
  }

  #ask(): Promise<void> {
    const { clock, cooldownMs } = this.#options;
    if (this.#asking !== undefined) return this.#asking;
    const nowMonoUs = clock.monoUs();
    if (this.#askedMonoUs !== undefined && nowMonoUs - this.#askedMonoUs < cooldownMs * 1000) {
      return Promise.resolve();
    }
    this.#askedMonoUs = nowMonoUs;
    this.#asking = this.#fetch().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  async #fetch(): Promise<void> {
    const { url, clock, log, timeoutMs } = this.#options;
    const late = new AbortController();
    const cancel = clock.after(timeoutMs, () => late.abort(new Error(`no answer within ${timeoutMs} ms`)));
    try {
      const response = await fetch(url, {
        // A provider that moves says so to its users, and they to the settings.
        redirect: "error",
        headers: { accept: "application/jwk-set+json, application/json" },
        signal: AbortSignal.any([late.signal, this.#ended.signal]),
      });
      if (response.status !== 200) {
        await response.body?.cancel();
        throw new Error(`it answered with status ${response.status}`);
      }
      const { keys } = keySetSchema.parse(JSON.parse(await this.#text(response)));
      // Judged key by key when one is used.
      this.#set = createLocalJWKSet({ keys: keys as JWK[] } satisfies JSONWebKeySet);
      this.#fetchedMonoUs = clock.monoUs();
      log.debug({ keys: keys.length }, "the keys of the identity provider were fetched");
    } catch (error) {
      if (this.#ended.signal.aborted) return;
      const kept = this.#set !== undefined;
      log.warn(
        { url, kept, reason: messageOf(error) },
        kept
          ? "the identity provider gives no keys; those it gave before are used for a day at most"
          : "the identity provider gives no keys; its tokens are refused",
      );
    } finally {
      cancel();
    }
  }

  async #text(response: Response): Promise<string> {
    const { maxBytes } = this.#options;
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of response.body ?? []) {
      bytes += chunk.length;
      if (bytes > maxBytes) throw new Error(`its answer is larger than ${maxBytes} bytes`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks).toString("utf8");
  }
}
