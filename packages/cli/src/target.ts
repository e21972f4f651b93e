/** Which hub is meant, and the credential for it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CameraClient, nodeSocket, RpcConnection } from "@ocelli/client/node";
import { messageOf, OcelliError } from "@ocelli/protocol";
import { webSocketPath } from "@ocelli/protocol/camera-service";
import type { Io } from "./io.ts";
import { type Profile, type Profiles, profileNamed, readProfiles } from "./profile.ts";

export interface GlobalOptions {
  readonly url?: string;
  readonly host?: string;
  readonly port?: string;
  readonly key?: string;
  readonly ca?: string;
  readonly profile?: string;
  readonly dataDir?: string;
  readonly json?: boolean;
}

export interface Target {
  /** `http://127.0.0.1:8002` */
  readonly baseUrl: string;
  /** An API key or a token. */
  readonly key: string | undefined;
  /** Certificates to trust in place of the system's, as PEM. */
  readonly ca: string | undefined;
  /** Nobody named a hub: it is the one on this machine. */
  readonly isDefault: boolean;
}

/**
 * --url or --host and --port; else --profile or OCELLI_PROFILE; else OCELLI_URL; else the default profile; else the hub
 * on this machine. The credential: --key, or that of a profile named, or OCELLI_API_KEY, or that of the profile, and
 * for a hub on this machine the file it wrote at its first start, or OCELLI_ADMIN_KEY. What belongs to one hub is
 * never sent to another.
 * @throws OcelliError `invalid_params` for an address that is none; `config_invalid` for a profile file that is none
 */
export function targetOf(
  options: GlobalOptions,
  env: Io["env"],
  warn: (text: string) => void = () => {},
): Target {
  const { profile, isNamed } = profileOf(options, env, warn);
  const hasFlags = options.host !== undefined || options.port !== undefined;
  const fromFlags =
    options.url ??
    (hasFlags ? `http://${hostText(options.host ?? "127.0.0.1")}:${options.port ?? "8002"}` : undefined);
  const named = fromFlags ?? (isNamed ? profile?.url : undefined) ?? nonEmpty(env.OCELLI_URL) ?? profile?.url;
  const url = addressOf(named ?? "http://127.0.0.1:8002");
  const own = profile !== undefined && addressOf(profile.url).origin === url.origin ? profile : undefined;
  const key =
    nonEmpty(options.key) ??
    (isNamed ? nonEmpty(own?.key) : undefined) ??
    nonEmpty(env.OCELLI_API_KEY) ??
    nonEmpty(own?.key) ??
    localKey(url, options, env);
  const ca = nonEmpty(options.ca) ?? nonEmpty(env.OCELLI_CA) ?? own?.ca;
  return {
    baseUrl: url.origin,
    key,
    ca: ca === undefined ? undefined : certificates(ca),
    isDefault: named === undefined,
  };
}

/** Opens a connection that is ready for calls. Without a credential the hub decides what is allowed. */
export async function connect(target: Target, signal: AbortSignal): Promise<RpcConnection> {
  const connection = await RpcConnection.connect({
    url: socketUrl(target),
    openSocket: nodeSocket({ ca: target.ca }, {}),
    signal,
  });
  try {
    if (target.key !== undefined) await connection.authenticate(target.key);
    return connection;
  } catch (error) {
    await connection.close();
    throw error;
  }
}

/** A client that reconnects by itself; for commands that go on for long. Not connected yet. */
export function clientOf(target: Target, signal: AbortSignal): CameraClient {
  const url = new URL(target.baseUrl);
  const useSsl = url.protocol === "https:";
  return new CameraClient({
    host: url.hostname,
    port: url.port === "" ? (useSsl ? 443 : 80) : Number(url.port),
    useSsl,
    path: socketPath,
    maxRetries: 1,
    heartbeatInterval: 10,
    logger: null,
    ca: target.ca,
    signal,
    ...(target.key === undefined
      ? {}
      : isToken(target.key)
        ? { authToken: target.key }
        : { apiKey: target.key }),
  });
}

export function socketUrl(target: Pick<Target, "baseUrl">): string {
  return `${target.baseUrl.replace(/^http/, "ws")}${socketPath}`;
}

/** With HTTP requests. */
export function headersOf({ key }: Target): Record<string, string> {
  if (key === undefined) return {};
  return isToken(key) ? { Authorization: `Bearer ${key}` } : { "X-API-Key": key };
}

/** A JSON Web Token rather than an API key. */
export function isToken(key: string): boolean {
  return /^eyJ[\w-]*\.[\w-]+\.[\w-]*$/.test(key);
}

const socketPath = `${webSocketPath}?names=logical`;

function profileOf(
  options: GlobalOptions,
  env: Io["env"],
  warn: (text: string) => void,
): { profile?: Profile; isNamed: boolean } {
  const name = options.profile ?? nonEmpty(env.OCELLI_PROFILE);
  // Flags that say everything need no file, which then cannot stand in the way either.
  if (name === undefined && options.url !== undefined && options.key !== undefined) return { isNamed: false };
  const all: Profiles = readProfiles(env, warn);
  if (name !== undefined) return { profile: profileNamed(name, all, env), isNamed: true };
  return all.default === undefined
    ? { isNamed: false }
    : { profile: profileNamed(all.default, all, env), isNamed: false };
}

/** @throws OcelliError `invalid_params` */
export function addressOf(address: string): URL {
  try {
    const url = new URL(address.replace(/^ws/, "http"));
    if (!/^https?:$/.test(url.protocol)) throw new Error("not http");
    return url;
  } catch (error) {
    throw new OcelliError("invalid_params", `"${address}" is no address of a hub. Write http://host:port.`, {
      cause: error,
    });
  }
}

function hostText(host: string): string {
  return host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
}

function certificates(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new OcelliError("invalid_params", `The certificates ${path} cannot be read: ${messageOf(error)}.`, {
      cause: error,
    });
  }
}

/** The key of a hub on this machine is never sent to another one. */
function localKey(url: URL, options: GlobalOptions, env: Io["env"]): string | undefined {
  if (!/^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(url.hostname)) return undefined;
  try {
    const kept = readFileSync(join(dataFolder(options, env), "admin-key"), "utf8").trim();
    return nonEmpty(kept) ?? nonEmpty(env.OCELLI_ADMIN_KEY);
  } catch {
    return nonEmpty(env.OCELLI_ADMIN_KEY);
  }
}

/** Where a hub on this machine keeps what it has. */
export function dataFolder(options: GlobalOptions, env: Io["env"]): string {
  return options.dataDir ?? nonEmpty(env.OCELLI_DATA_DIR) ?? "data";
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === undefined || text === "" ? undefined : text;
}
