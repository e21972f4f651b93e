/**
 * What this client has subscribed to and the last event it has seen of each subscription, so that a new connection
 * goes on where the old one ended. A client that never subscribed is sent the broadcasts; what it misses of those
 * is asked for by subscribing to them.
 *
 * Invariant: the events of one call to `subscribe_events` come in the order of their numbers, replayed or live.
 * That is why the last number is kept for each call and not for the whole client.
 */
import { CameraServiceError, ConnectionError, isObject } from "./errors.ts";
import type { JsonObject } from "./records.ts";
import type { RpcConnection } from "./rpc-connection.ts";

export interface SubscribeOptions {
  /** Equality on keys of the event, and `timestamp_after`, `timestamp_before`. */
  readonly filters?: JsonObject | undefined;
  /** Sequence number: events after it are sent again first, as far as the server still has them. */
  readonly since?: number | undefined;
}

/** Events that the server no longer has. */
export interface LostEvents {
  readonly topics: readonly string[];
  /** The last event seen. */
  readonly since: number;
  /** What comes after this number is sent again. `undefined` when the server does not say. */
  readonly completeAfter: number | undefined;
}

const broadcasts = ["camera_status_update", "recording_status_update", "system_health_update"];

interface Subscription {
  readonly topics: Set<string>;
  readonly filters: JsonObject | undefined;
  lastSeq: number | undefined;
}

export class Subscriptions {
  #all: Subscription[] = [];
  /** Of broadcasts, while nothing is subscribed to. */
  #lastSeq: number | undefined;
  #names: "path" | "logical" = "path";
  /** The user has subscribed: from then on only what is subscribed to is sent, even if that is nothing. */
  #explicit = false;
  /** The broadcasts are subscribed to, by this class and not by its user. */
  #standIn = false;

  saw(method: string, params: unknown): void {
    if (!isObject(params)) return;
    if (method === "camera_status_update" || method === "recording_status_update") {
      this.#names = "device_path" in params ? "path" : "logical";
    }
    const { seq } = params;
    if (typeof seq !== "number") return;
    if (!this.#explicit) this.#lastSeq = Math.max(seq, this.#lastSeq ?? 0);
    for (const one of this.#all) {
      if (one.topics.has(method)) one.lastSeq = Math.max(seq, one.lastSeq ?? 0);
    }
  }

  /**
   * @param answer of `subscribe_events`
   * @returns topics that are to be unsubscribed, since nobody but this class wanted them
   */
  added(topics: readonly string[], { filters, since }: SubscribeOptions, answer: unknown): string[] {
    this.#forget(topics);
    this.#explicit = true;
    const latest = isObject(answer) && typeof answer.latest_seq === "number" ? answer.latest_seq : undefined;
    this.#all.push({ topics: new Set(topics), filters, lastSeq: since ?? latest });
    if (!this.#standIn) return [];
    this.#standIn = false;
    return broadcasts.filter((topic) => !topics.includes(topic));
  }

  /** @param topics `undefined` for all */
  removed(topics: readonly string[] | undefined): void {
    this.#explicit = true;
    if (topics === undefined) this.#all = [];
    else this.#forget(topics);
  }

  /** Parameters for the address of a new connection: the vocabulary of cameras is to stay as it was. */
  query(): string | undefined {
    return this.#missesBroadcasts() ? `names=${this.#names}` : undefined;
  }

  /** Subscribes again on a new connection. @returns what cannot be replayed */
  async restore(connection: RpcConnection, signal: AbortSignal): Promise<LostEvents[]> {
    this.#standIn = false;
    if (this.#missesBroadcasts()) {
      const lost = await this.#ask(connection, signal, broadcasts, undefined, this.#lastSeq);
      this.#standIn = true;
      return lost;
    }
    if (this.#explicit && this.#all.length === 0) {
      await connection.request("unsubscribe_events", {}, { signal });
    }
    const lost: LostEvents[] = [];
    for (const { topics, filters, lastSeq } of this.#all) {
      lost.push(...(await this.#ask(connection, signal, [...topics], filters, lastSeq)));
    }
    return lost;
  }

  /** Only a server that numbers its events has any to send again. */
  #missesBroadcasts(): boolean {
    return !this.#explicit && this.#lastSeq !== undefined;
  }

  async #ask(
    connection: RpcConnection,
    signal: AbortSignal,
    topics: readonly string[],
    filters: JsonObject | undefined,
    since: number | undefined,
  ): Promise<LostEvents[]> {
    const params = { topics, ...(filters === undefined ? {} : { filters }) };
    if (since === undefined) {
      await connection.request("subscribe_events", params, { signal });
      return [];
    }
    try {
      const answer = await connection.request("subscribe_events", { ...params, since }, { signal });
      const replay = isObject(answer) && isObject(answer.replay) ? answer.replay : {};
      const completeAfter = typeof replay.complete_after === "number" ? replay.complete_after : undefined;
      return replay.gone === true ? [{ topics, since, completeAfter }] : [];
    } catch (error) {
      // Servers that keep no events may refuse `since`.
      if (!(error instanceof CameraServiceError) || error instanceof ConnectionError) throw error;
      await connection.request("subscribe_events", params, { signal });
      return [];
    }
  }

  #forget(topics: readonly string[]): void {
    for (const one of this.#all) for (const topic of topics) one.topics.delete(topic);
    this.#all = this.#all.filter((one) => one.topics.size > 0);
  }
}
