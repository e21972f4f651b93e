/**
 * What one connection speaks. Nearly every answer is a union that all clients read; the few things that must
 * differ hang on three attributes, which begin at a default, are changed by what the client does, and stay until
 * the connection closes. A client may fix them itself in the query of the WebSocket address. Pure: no connection here.
 */
import type { Names } from "./vocabulary.ts";

/** How the failure of a camera command is told: as a JSON-RPC error, or inside `result`. */
export type Failures = "error" | "inband";

export interface Dialect {
  readonly names: Names;
  readonly failures: Failures;
  /** Whether `server_welcome` is sent first. */
  readonly welcome: boolean;
  /** Attributes the client fixed in its address; nothing changes them afterwards. */
  readonly fixed: ReadonlySet<"names" | "failures">;
}

export interface DialectSettings {
  /** `auto`: to clients that negotiated the subprotocol. */
  readonly welcome: "auto" | "always" | "never";
  /** Error form for clients that ignore errors without `result`. `auto`: when the client shows to be one. */
  readonly legacyErrors: "auto" | "always" | "never";
}

export const defaultDialectSettings: DialectSettings = { welcome: "auto", legacyErrors: "auto" };

/** The subprotocol some clients ask for; having negotiated it they consume one message before their first request. */
export const welcomeSubprotocol = "echo-protocol";

/** What a connection speaks before its first request. */
export function openingDialect(
  query: { get(name: string): string | null },
  subprotocol: string,
  settings: DialectSettings = defaultDialectSettings,
): Dialect {
  const names = oneOf(query.get("names"), ["path", "logical"] as const);
  const failures = oneOf(query.get("failures"), ["error", "inband"] as const);
  const fixed = new Set<"names" | "failures">();
  if (names !== undefined) fixed.add("names");
  if (failures !== undefined) fixed.add("failures");
  const wanted = oneOf(query.get("welcome"), ["0", "1"] as const);
  const welcome =
    wanted !== undefined
      ? wanted === "1"
      : settings.welcome === "always" || (settings.welcome === "auto" && subprotocol === welcomeSubprotocol);
  return {
    names: names ?? "path",
    failures: failures ?? "error",
    welcome,
    fixed: fixed.size === 0 ? nothing : fixed,
  };
}

/** Shared by nearly all connections. */
const nothing: Dialect["fixed"] = new Set();

/** Methods only the logical dialect has: calling one, known to this hub or not, tells what the client speaks. */
const logicalOnly: ReadonlySet<string> = new Set([
  "subscribe_events",
  "unsubscribe_events",
  "get_subscription_stats",
  "get_system_status",
  "start_streaming",
  "stop_streaming",
  "get_stream_url",
  "get_stream_status",
  "set_discovery_interval",
]);
const externalStream = /^[a-z_]*_external_streams?$/;

export function afterMethod(dialect: Dialect, method: string): Dialect {
  const logical = logicalOnly.has(method) || (method.length < 64 && externalStream.test(method));
  return logical ? speakLogical(dialect) : dialect;
}

/**
 * @param device the caller's spelling
 * @param hasNode whether that camera has a device node, so that the caller had a choice of names
 */
export function afterDevice(dialect: Dialect, device: string, hasNode: boolean): Dialect {
  return hasNode && /^camera\d+$/.test(device) ? speakLogical(dialect) : dialect;
}

/** Applied before the credential is judged, so that a refusal is already told in the caller's form. */
export function afterAuthenticate(
  dialect: Dialect,
  params: unknown,
  settings: DialectSettings = defaultDialectSettings,
): Dialect {
  if (settings.legacyErrors === "never" || dialect.fixed.has("failures")) return dialect;
  const spelled = typeof params === "object" && params !== null && Object.hasOwn(params, "token");
  return spelled ? { ...dialect, failures: "inband" } : dialect;
}

function speakLogical(dialect: Dialect): Dialect {
  return dialect.fixed.has("names") || dialect.names === "logical"
    ? dialect
    : { ...dialect, names: "logical" };
}

function oneOf<const T extends string>(value: string | null, allowed: readonly T[]): T | undefined {
  return allowed.find((one) => one === value);
}
