/** What this client has subscribed to and the last event it has seen, so that both survive a new connection. */
import { CameraServiceError, ConnectionError, isObject } from "./errors.ts";
import type { JsonObject } from "./records.ts";
import type { RpcConnection } from "./rpc-connection.ts";

export interface SubscribeOptions {
  /** Equality on keys of the event, and `timestamp_after`, `timestamp_before`. */
  readonly filters?: JsonObject | undefined;
  /** Sequence number: events after it are sent again first, as far as the server still has them. */
  readonly since?: number | undefined;
}

export class Subscriptions {
  #topics = new Map<string, JsonObject | undefined>();
  #lastSeq: number | undefined;

  /** Of the last event received; `undefined` from servers that do not number theirs. */
  get lastSeq(): number | undefined {
    return this.#lastSeq;
  }

  get topics(): string[] {
    return [...this.#topics.keys()];
  }

  saw(params: unknown): void {
    const seq = isObject(params) ? params.seq : undefined;
    if (typeof seq === "number" && seq > (this.#lastSeq ?? -1)) this.#lastSeq = seq;
  }

  added(topics: readonly string[], filters: JsonObject | undefined): void {
    for (const topic of topics) this.#topics.set(topic, filters);
  }

  /** @param topics `undefined` for all */
  removed(topics: readonly string[] | undefined): void {
    if (topics === undefined) this.#topics.clear();
    else for (const topic of topics) this.#topics.delete(topic);
  }

  /** Subscribes again on a new connection. @returns the server's answers */
  async restore(connection: RpcConnection, signal: AbortSignal): Promise<unknown[]> {
    const groups = new Map<JsonObject | undefined, string[]>();
    for (const [topic, filters] of this.#topics) {
      groups.set(filters, [...(groups.get(filters) ?? []), topic]);
    }
    const since = this.#lastSeq;
    const answers: unknown[] = [];
    for (const [filters, topics] of groups) {
      const params = { topics, ...(filters === undefined ? {} : { filters }) };
      answers.push(
        since === undefined
          ? await connection.request("subscribe_events", params, { signal })
          : await connection
              .request("subscribe_events", { ...params, since }, { signal })
              .catch((error: unknown) => {
                // Servers that keep no events may refuse `since`.
                if (!(error instanceof CameraServiceError) || error instanceof ConnectionError) throw error;
                return connection.request("subscribe_events", params, { signal });
              }),
      );
    }
    return answers;
  }
}
