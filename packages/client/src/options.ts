/** The options of a client, their defaults, and the older spellings of their names. */
import { AuthenticationError, ValidationError } from "./errors.ts";
import { defaultLogger, type Logger } from "./logger.ts";

export type AuthType = "jwt" | "api_key";

/** All times are seconds. */
export interface CameraClientOptions {
  /** Default `localhost`. */
  readonly host?: string | undefined;
  /** Default 8080. The hub listens on 8080 and 8002. */
  readonly port?: number | undefined;
  /** `wss:` and `https:`. Default false. */
  readonly useSsl?: boolean | undefined;
  /** Default `jwt`, or `api_key` when only an API key is given. */
  readonly authType?: AuthType | undefined;
  /** A JSON Web Token. */
  readonly authToken?: string | undefined;
  readonly apiKey?: string | undefined;
  /** Attempts of `connect()` in all. Default 3. */
  readonly maxRetries?: number | undefined;
  /** Wait before attempt n + 1 is n times this. Default 1. */
  readonly retryDelay?: number | undefined;
  /** Longest wait for an answer. Default 30; 0 waits without end. */
  readonly requestTimeout?: number | undefined;
  /** Longest wait for a socket to open. Default 10. */
  readonly connectTimeout?: number | undefined;
  /** Connects again by itself when the connection is lost. Default true. */
  readonly autoReconnect?: boolean | undefined;
  /** First wait before reconnecting; doubles up to `maxReconnectDelay`. Default 1. */
  readonly reconnectDelay?: number | undefined;
  /** Default 30. */
  readonly maxReconnectDelay?: number | undefined;
  /** Default: without end. */
  readonly maxReconnectAttempts?: number | undefined;
  /** A silent server is asked for a `ping` after this time, and given up if it does not answer. Default 30; 0 never asks. */
  readonly heartbeatInterval?: number | undefined;
  /** Path of the WebSocket, with a query if one is wanted (`/ws?names=logical`). Default `/ws`. */
  readonly path?: string | undefined;
  /** Node only: certificates, as PEM, trusted in place of those of the system; for a private CA. */
  readonly ca?: string | Uint8Array | readonly (string | Uint8Array)[] | undefined;
  /** Node only: the name the server's certificate must bear, when it is not `host`. */
  readonly serverName?: string | undefined;
  /** Certificates are always verified; `false` is refused. Trust your own with `ca`. */
  readonly rejectUnauthorized?: true | undefined;
  /** Asked for a new JWT (or API key) when the one in use is about to expire or was refused. */
  readonly refreshToken?: (() => string | Promise<string>) | undefined;
  /** Never sees a credential. Default: warnings and errors to the console. `null` for none. */
  readonly logger?: Logger | null | undefined;
  /** Aborting it disconnects. */
  readonly signal?: AbortSignal | undefined;
}

/** The names of the Python guide. */
export interface SnakeCaseOptions {
  readonly use_ssl?: boolean | undefined;
  readonly auth_type?: AuthType | undefined;
  readonly auth_token?: string | undefined;
  readonly api_key?: string | undefined;
  readonly max_retries?: number | undefined;
  readonly retry_delay?: number | undefined;
  readonly request_timeout?: number | undefined;
  readonly connect_timeout?: number | undefined;
  readonly auto_reconnect?: boolean | undefined;
}

export interface Settings {
  readonly host: string;
  readonly port: number;
  readonly useSsl: boolean;
  readonly authType: AuthType;
  readonly authToken: string | undefined;
  readonly apiKey: string | undefined;
  readonly maxRetries: number;
  readonly retryDelay: number;
  readonly requestTimeout: number;
  readonly connectTimeout: number;
  readonly autoReconnect: boolean;
  readonly reconnectDelay: number;
  readonly maxReconnectDelay: number;
  readonly maxReconnectAttempts: number;
  readonly heartbeatInterval: number;
  readonly path: string;
  readonly ca: CameraClientOptions["ca"];
  readonly serverName: string | undefined;
  readonly refreshToken: CameraClientOptions["refreshToken"];
  readonly logger: Logger;
  readonly signal: AbortSignal | undefined;
}

/** @throws ValidationError */
export function settingsOf(given: CameraClientOptions & SnakeCaseOptions): Settings {
  const authToken = given.authToken ?? given.auth_token;
  const apiKey = given.apiKey ?? given.api_key;
  const authType =
    given.authType ??
    given.auth_type ??
    (apiKey !== undefined && authToken === undefined ? "api_key" : "jwt");
  if (authType !== "jwt" && authType !== "api_key") {
    throw new ValidationError('authType must be "jwt" or "api_key"', { condition: "invalid_params" });
  }
  if ((given.rejectUnauthorized as unknown) === false) {
    throw new ValidationError(
      "Certificates are always verified. For a server with a certificate of your own, give it (or its CA) as ca.",
      { condition: "invalid_params" },
    );
  }
  const port = number("port", given.port, 8080, 1);
  if (port > 65_535) throw new ValidationError("port must be at most 65535", { condition: "invalid_params" });
  return {
    host: given.host ?? "localhost",
    port,
    useSsl: given.useSsl ?? given.use_ssl ?? false,
    authType,
    authToken,
    apiKey,
    maxRetries: Math.max(1, number("maxRetries", given.maxRetries ?? given.max_retries, 3)),
    retryDelay: number("retryDelay", given.retryDelay ?? given.retry_delay, 1),
    requestTimeout: number("requestTimeout", given.requestTimeout ?? given.request_timeout, 30),
    connectTimeout: number("connectTimeout", given.connectTimeout ?? given.connect_timeout, 10),
    autoReconnect: given.autoReconnect ?? given.auto_reconnect ?? true,
    reconnectDelay: number("reconnectDelay", given.reconnectDelay, 1),
    maxReconnectDelay: number("maxReconnectDelay", given.maxReconnectDelay, 30),
    maxReconnectAttempts: number(
      "maxReconnectAttempts",
      given.maxReconnectAttempts,
      Number.POSITIVE_INFINITY,
    ),
    heartbeatInterval: number("heartbeatInterval", given.heartbeatInterval, 30),
    path: given.path ?? "/ws",
    ca: given.ca,
    serverName: given.serverName,
    refreshToken: given.refreshToken,
    logger: given.logger === null ? {} : (given.logger ?? defaultLogger),
    signal: given.signal,
  };
}

/**
 * The credential for the chosen way to authenticate; `undefined` when none is given at all.
 * @throws AuthenticationError when only one of the other kind is there
 */
export function credentialOf(settings: Settings): string | undefined {
  const [wanted, other] =
    settings.authType === "jwt"
      ? [settings.authToken, settings.apiKey]
      : [settings.apiKey, settings.authToken];
  if (wanted) return wanted;
  if (!other) return undefined;
  throw new AuthenticationError(
    `No authentication token provided: authType is "${settings.authType}", but only ${settings.authType === "jwt" ? "apiKey" : "authToken"} is given`,
    { condition: "auth_failed" },
  );
}

/** `http://host:port`, or `ws:` likewise; an IPv6 address may be given with or without its brackets. */
export function originOf(settings: Settings, protocol: "http" | "ws"): string {
  const host = settings.host.includes(":") ? `[${settings.host.replace(/^\[|\]$/g, "")}]` : settings.host;
  return `${protocol}${settings.useSsl ? "s" : ""}://${host}:${settings.port}`;
}

function number(name: string, given: number | undefined, preset: number, min = 0): number {
  const value = given ?? preset;
  if (typeof value === "number" && value >= min) return value;
  throw new ValidationError(`${name} must be a number of at least ${min}`, { condition: "invalid_params" });
}
