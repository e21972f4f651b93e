/**
 * What a connection consists of, each time one is made: the credential shown, the server known, what was subscribed to
 * subscribed to again, a sign of life now and then. Calls on it get a new token when the one in use is refused.
 */
import type { RequestOptions } from "./call-options.ts";
import type { Credential } from "./credential.ts";
import { AuthenticationError, CameraServiceError, ConnectionError, isObject } from "./errors.ts";
import { credentialHeaders } from "./files.ts";
import { watchHeartbeat } from "./heartbeat.ts";
import type { SafeLog } from "./logger.ts";
import { originOf, type Settings } from "./options.ts";
import type { JsonObject } from "./records.ts";
import { RpcConnection } from "./rpc-connection.ts";
import { ServerKnowledge } from "./server-knowledge.ts";
import type { OpenSocket } from "./socket.ts";
import { type LostEvents, Subscriptions } from "./subscriptions.ts";
import { unlessAborted } from "./waiting.ts";

export interface Platform {
  readonly openSocket: (settings: Settings, headers: Readonly<Record<string, string>>) => OpenSocket;
}

export interface SessionOptions {
  readonly settings: Settings;
  readonly credential: Credential;
  readonly platform: Platform;
  readonly log: SafeLog;
  readonly onNotification: (method: string, params: unknown) => void;
  readonly onEventsLost: (lost: LostEvents) => void;
}

export class Session {
  readonly subscriptions = new Subscriptions();
  readonly #options: SessionOptions;
  #server: ServerKnowledge | undefined;
  #answer: JsonObject | undefined;

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  /** Of the latest connection. */
  get server(): ServerKnowledge | undefined {
    return this.#server;
  }

  /** What the server answered to `authenticate`. */
  get answer(): Readonly<JsonObject> | undefined {
    return this.#answer;
  }

  end(): void {
    this.#answer = undefined;
  }

  /** One attempt. */
  async open(attempt: { signal: AbortSignal; reconnect: boolean }): Promise<RpcConnection> {
    const { settings, credential, platform, onNotification } = this.#options;
    const { signal, reconnect } = attempt;
    const shown = await unlessAborted(credential.fresh(), signal);
    const connection = await RpcConnection.connect({
      url: this.#url(reconnect),
      connectTimeoutMs: settings.connectTimeout * 1000,
      requestTimeoutMs: settings.requestTimeout * 1000,
      openSocket: platform.openSocket(settings, credentialHeaders(settings.authType, shown)),
      onNotification,
      signal,
    });
    try {
      if (shown !== undefined) {
        await this.authenticate(connection, shown, signal).catch(async (error: unknown) => {
          if (!(error instanceof AuthenticationError) || !credential.canRefresh) throw error;
          await unlessAborted(credential.refresh(), signal);
          await this.authenticate(connection, credential.current ?? shown, signal);
        });
      }
      await connection.request("ping", {}, { signal });
      this.#server = new ServerKnowledge((method, params) => connection.request(method, params));
      if (reconnect) await this.#resubscribe(connection, signal);
      this.#watch(connection);
      return connection;
    } catch (error) {
      connection.destroy();
      throw error;
    }
  }

  /** @throws AuthenticationError */
  async authenticate(
    connection: RpcConnection,
    credential: string,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { settings, log } = this.#options;
    const params = { token: credential, auth_token: credential, auth_type: settings.authType };
    try {
      const answer = await connection.request("authenticate", params, { signal });
      this.#answer = isObject(answer) ? answer : undefined;
    } catch (error) {
      // The earliest servers have no authentication: everybody may do everything.
      if (!(error instanceof CameraServiceError && error.code === -32601)) throw error;
      log.write("debug", "The server knows no authentication");
    }
  }

  async request(
    connection: RpcConnection,
    method: string,
    params: object,
    { signal, timeout }: RequestOptions,
  ): Promise<unknown> {
    const { credential, log } = this.#options;
    const call = { signal, timeoutMs: timeout === undefined ? undefined : timeout * 1000 };
    try {
      return await connection.request(method, params, call);
    } catch (error) {
      if (!(error instanceof AuthenticationError) || method === "authenticate") throw error;
      if (!credential.canRefresh) throw error;
      log.write("info", `Refreshing the token: ${error.message}`);
      await unlessAborted(credential.refresh(), signal);
      await this.authenticate(connection, credential.current ?? "", signal);
      return connection.request(method, params, call);
    }
  }

  #url(reconnect: boolean): string {
    const { settings } = this.#options;
    const url = new URL(settings.path, originOf(settings, "ws"));
    const query = reconnect && !url.searchParams.has("names") ? this.subscriptions.query() : undefined;
    if (query !== undefined) url.search += `${url.search === "" ? "?" : "&"}${query}`;
    return url.href;
  }

  async #resubscribe(connection: RpcConnection, signal: AbortSignal): Promise<void> {
    const { log, onEventsLost } = this.#options;
    try {
      for (const lost of await this.subscriptions.restore(connection, signal)) {
        log.write("warn", `Events after ${lost.since} are lost: the server no longer has them`);
        onEventsLost(lost);
      }
    } catch (error) {
      if (signal.aborted || !(error instanceof CameraServiceError) || error instanceof ConnectionError) {
        throw error;
      }
      log.write("warn", `Not subscribed again after the reconnect: ${error.message}`);
    }
  }

  #watch(connection: RpcConnection): void {
    const { settings, log } = this.#options;
    if (settings.heartbeatInterval === 0) return;
    watchHeartbeat(connection, settings.heartbeatInterval * 1000, () =>
      log.write("warn", "The server no longer answers"),
    );
  }
}
