/**
 * Posts events to addresses of the operator's choice. Each webhook is a reader of the event log with a place of its
 * own, kept in the log's database: there is no queue beside the log, a receiver that is down holds up nothing but
 * itself, and a restart goes on where it was.
 *
 * Promise: in order, each event at least once, as long as the log keeps it. What the log drops first is told of in
 * `missed` of the next delivery.
 */
import { createHash, createHmac } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { messageOf } from "@ocelli/protocol";
import type { Clock } from "../clock/clock.ts";
import { type EventRecord, type Events, transientEvents } from "../event-log/contract.ts";
import type { EventName } from "../events/catalogue.ts";
import type { Log } from "../log/log.ts";
import { type Database, integer, type Migration } from "../store/database.ts";

export interface WebhookSettings {
  /** http or https. */
  readonly url: string;
  /** Signs each delivery. */
  readonly secret: string;
  /** Names of events, or `recording.*`. Empty: all but transient ones. */
  readonly events: readonly string[];
}

export interface WebhooksOptions {
  readonly webhooks: readonly WebhookSettings[];
  readonly events: Events;
  /** That of the event log, opened with `webhookMigrations`. */
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  /** Sent as user agent. */
  readonly version: string;
  /** Wait before the second try, doubled with each further one; default 1 s. */
  readonly firstRetryMs?: number;
  /** Longest wait between tries, default 5 minutes. */
  readonly maxRetryMs?: number;
  /** How long a receiver may take, default 10 s. */
  readonly timeoutMs?: number;
  /** For jitter; default `Math.random`. */
  readonly random?: () => number;
}

export const webhookMigrations: readonly Migration[] = [
  {
    owner: "webhooks",
    version: 1,
    sql: "CREATE TABLE webhook_positions (id TEXT PRIMARY KEY, seq INTEGER NOT NULL) STRICT",
  },
];

const readAtATime = 100;

/** Of one webhook, since the start. */
export interface WebhookStats {
  /** Scheme, host and port of the address. */
  readonly receiver: string;
  readonly delivered: number;
  /** Tries that were not taken. */
  readonly failed: number;
  /** Newest events it has not come to yet, whether it wants them or not. */
  readonly waiting: number;
}

export class Webhooks {
  readonly #webhooks: readonly Webhook[];
  readonly #running: readonly Promise<void>[];
  readonly #closing = new AbortController();

  constructor(options: WebhooksOptions) {
    this.#webhooks = options.webhooks.map((settings) => new Webhook(settings, options));
    this.#running = this.#webhooks.map((webhook) => webhook.run(this.#closing.signal));
  }

  stats(): WebhookStats[] {
    return this.#webhooks.map((webhook) => webhook.stats());
  }

  /** Breaks off what is being sent; it is sent again after the next start. Idempotent. */
  async close(): Promise<void> {
    this.#closing.abort(new Error("The hub is stopping."));
    await Promise.all(this.#running);
  }
}

class Webhook {
  readonly #settings: WebhookSettings;
  readonly #options: WebhooksOptions;
  readonly #id: string;
  readonly #fits: (name: EventName) => boolean;
  readonly #save;
  /** Without path and query, which may be secret. */
  readonly #shown: string;
  #position: number;
  #missed = false;
  #delivered = 0;
  #failed = 0;

  constructor(settings: WebhookSettings, options: WebhooksOptions) {
    const { database, events } = options;
    this.#settings = settings;
    this.#options = options;
    this.#shown = new URL(settings.url).origin;
    this.#id = createHash("sha256").update(settings.url).digest("hex").slice(0, 32);
    this.#fits = matcher(settings.events);
    this.#save = database.command(
      "INSERT INTO webhook_positions (id, seq) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET seq = excluded.seq",
    );
    const kept = database
      .query("SELECT seq FROM webhook_positions WHERE id = ?", (row) => integer(row, "seq"))
      .get(this.#id);
    // A new one begins now; one whose log is no more begins anew.
    this.#position = Math.min(kept ?? events.latestSeq, events.latestSeq);
    if (kept !== this.#position) this.#moveTo(this.#position);
  }

  stats(): WebhookStats {
    const waiting = Math.max(0, this.#options.events.latestSeq - this.#position);
    return { receiver: this.#shown, delivered: this.#delivered, failed: this.#failed, waiting };
  }

  /** Until the signal aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { events, log } = this.#options;
    let wake: () => void = () => undefined;
    const stop = events.on(() => wake());
    signal.addEventListener("abort", () => wake(), { once: true });
    try {
      while (!signal.aborted) {
        const happened = new Promise<void>((resolve) => {
          wake = resolve;
        });
        const records = this.#next();
        for (const record of records) {
          if (this.#fits(record.name)) {
            if (!(await this.#deliver(record, signal))) return;
            this.#moveTo(record.seq);
          }
          this.#position = record.seq;
        }
        if (records.length === 0) await happened;
        else this.#moveTo(this.#position);
        // Others have their turn also where nothing is to be delivered.
        await setImmediate();
      }
    } catch (error) {
      if (!signal.aborted) log.error({ err: error, webhook: this.#shown }, "a webhook has stopped");
    } finally {
      stop();
    }
  }

  #next(): EventRecord[] {
    const { events, log } = this.#options;
    const { completeAfter } = events;
    if (this.#position < completeAfter) {
      log.warn({ webhook: this.#shown }, "events for a webhook were dropped before they could be delivered");
      this.#missed = true;
      this.#position = completeAfter;
    }
    return events.read({ after: this.#position, limit: readAtATime });
  }

  /** Tries until it is taken. @returns false when the hub stops first */
  async #deliver(record: EventRecord, signal: AbortSignal): Promise<boolean> {
    const { clock, log, random = Math.random, firstRetryMs = 1000, maxRetryMs = 300_000 } = this.#options;
    for (let tries = 1; ; tries++) {
      const failure = await this.#post(record, tries, signal);
      if (signal.aborted) return false;
      if (failure === undefined) {
        this.#delivered++;
        this.#missed = false;
        if (tries > 1) log.info({ webhook: this.#shown, tries }, "a webhook is delivered again");
        return true;
      }
      this.#failed++;
      if (tries === 1)
        log.warn({ webhook: this.#shown, failure }, "a webhook cannot be delivered; it is tried again");
      // It may have waited so long that the log has dropped it.
      if (record.seq <= this.#options.events.completeAfter) {
        this.#missed = true;
        return true;
      }
      const waitMs = Math.min(maxRetryMs, firstRetryMs * 2 ** Math.min(20, tries - 1));
      try {
        await clock.sleep(Math.round(waitMs * (0.75 + random() / 2)), signal);
      } catch {
        return false;
      }
    }
  }

  /** @returns why it was not taken; `undefined` when it was */
  async #post(record: EventRecord, tries: number, signal: AbortSignal): Promise<string | undefined> {
    const { clock, timeoutMs = 10_000, version } = this.#options;
    const { seq, atUs, name, payload } = record;
    const body = JSON.stringify({
      version: 1,
      seq,
      event: name,
      timestamp: new Date(atUs / 1000).toISOString(),
      data: payload,
      ...(this.#missed ? { missed: true } : {}),
    });
    const sentAt = Math.floor(clock.wallUs() / 1e6);
    const late = new AbortController();
    const cancel = clock.after(timeoutMs, () => late.abort(new Error(`no answer within ${timeoutMs} ms`)));
    try {
      const response = await fetch(this.#settings.url, {
        method: "POST",
        body,
        headers: {
          "Content-Type": "application/json",
          "User-Agent": `Ocelli/${version}`,
          "X-Ocelli-Event": name,
          "X-Ocelli-Delivery": String(seq),
          "X-Ocelli-Attempt": String(tries),
          "X-Ocelli-Timestamp": String(sentAt),
          "X-Ocelli-Signature": `sha256=${signatureOf(this.#settings.secret, sentAt, body)}`,
        },
        // Somewhere else is somebody else.
        redirect: "manual",
        signal: AbortSignal.any([signal, late.signal]),
      });
      await response.body?.cancel();
      return response.ok ? undefined : `answered ${response.status}`;
    } catch (error) {
      const cause = error instanceof Error ? error.cause : undefined;
      return cause === undefined ? messageOf(error) : messageOf(cause);
    } finally {
      cancel();
    }
  }

  #moveTo(seq: number): void {
    this.#position = seq;
    try {
      this.#save.run(this.#id, seq);
    } catch (error) {
      // At worst it is delivered again after a restart.
      this.#options.log.debug({ err: error }, "the place of a webhook cannot be kept");
    }
  }
}

/** HMAC-SHA256 of `timestamp.body`, as hexadecimal digits. */
export function signatureOf(secret: string, timestamp: number, body: string): string {
  return createHmac("sha256", secret).update(`${timestamp}.${body}`).digest("hex");
}

function matcher(wanted: readonly string[]): (name: EventName) => boolean {
  if (wanted.length === 0) return (name) => !transientEvents.has(name);
  return (name) =>
    wanted.some((one) => (one.endsWith(".*") ? name.startsWith(one.slice(0, -1)) : one === name));
}
