/** Which hub is meant, and the key for it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { RpcConnection } from "@ocelli/client";
import { OcelliError } from "@ocelli/protocol";
import { webSocketPath } from "@ocelli/protocol/camera-service";
import type { Io } from "./io.ts";

export interface GlobalOptions {
  readonly url?: string;
  readonly host?: string;
  readonly port?: string;
  readonly key?: string;
  readonly dataDir?: string;
  readonly json?: boolean;
}

export interface Target {
  /** `http://127.0.0.1:8002` */
  readonly baseUrl: string;
  readonly key: string | undefined;
}

/**
 * --url, or --host and --port, or OCELLI_URL, or the hub on this machine. The key: --key, OCELLI_API_KEY, and for
 * a hub on this machine the file it wrote at its first start, or OCELLI_ADMIN_KEY.
 * @throws OcelliError `invalid_params` for an address that is none
 */
export function targetOf(options: GlobalOptions, env: Io["env"]): Target {
  const named = options.host !== undefined || options.port !== undefined;
  const address =
    options.url ??
    (named ? undefined : env.OCELLI_URL) ??
    `http://${options.host ?? "127.0.0.1"}:${options.port ?? "8002"}`;
  let url: URL;
  try {
    url = new URL(address.replace(/^ws/, "http"));
    if (!/^https?:$/.test(url.protocol)) throw new Error("not http");
  } catch (error) {
    throw new OcelliError("invalid_params", `"${address}" is no address of a hub. Write http://host:port.`, {
      cause: error,
    });
  }
  const key = nonEmpty(options.key) ?? nonEmpty(env.OCELLI_API_KEY) ?? localKey(url, options, env);
  return { baseUrl: url.origin, key };
}

/** Opens a connection that is ready for calls. Without a key the hub decides what is allowed. */
export async function connect(target: Target): Promise<RpcConnection> {
  const connection = await RpcConnection.connect({
    url: `${target.baseUrl.replace(/^http/, "ws")}${webSocketPath}?names=logical`,
  });
  try {
    if (target.key !== undefined) await connection.authenticate(target.key);
    return connection;
  } catch (error) {
    await connection.close();
    throw error;
  }
}

/** The key of a hub on this machine is never sent to another one. */
function localKey(url: URL, options: GlobalOptions, env: Io["env"]): string | undefined {
  if (!/^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(url.hostname)) return undefined;
  const folder = options.dataDir ?? nonEmpty(env.OCELLI_DATA_DIR) ?? "data";
  try {
    return nonEmpty(readFileSync(join(folder, "admin-key"), "utf8").trim()) ?? nonEmpty(env.OCELLI_ADMIN_KEY);
  } catch {
    return nonEmpty(env.OCELLI_ADMIN_KEY);
  }
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === undefined || text === "" ? undefined : text;
}
