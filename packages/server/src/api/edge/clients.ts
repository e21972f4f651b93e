/**
 * Where a request comes from and how its sender reached the hub: by the socket, or, when that is a proxy named in
 * the settings, by what the proxy says. Nobody else is believed. Anonymous access does not ask here: it is judged
 * by the socket alone.
 */
import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";
import { Networks, plainAddress } from "../../auth/networks.ts";

type Request = Pick<IncomingMessage, "headers" | "socket">;

export class Clients {
  readonly #proxies: Networks;

  /**
   * @param trustedProxies addresses and CIDR networks
   * @throws OcelliError `config_invalid`
   */
  constructor(trustedProxies: readonly string[] = []) {
    this.#proxies = new Networks(trustedProxies);
  }

  /** The client's address: the first from the right in `X-Forwarded-For` that is no trusted proxy. */
  addressOf(request: Request): string {
    let address = plainAddress(request.socket.remoteAddress ?? "unknown");
    const hops = listOf(request.headers["x-forwarded-for"]);
    while (this.#proxies.has(address)) {
      const hop = addressIn(hops.pop() ?? "");
      if (hop === undefined) break;
      address = hop;
    }
    return address;
  }

  /** The `Host` the client asked for: `hub.example.org:8443`. */
  hostOf(request: Request): string | undefined {
    return this.#forwarded(request, "x-forwarded-host") ?? request.headers.host;
  }

  /** `https://hub.example.org`, as the client reached the hub; `undefined` when it did not tell or tells nonsense. */
  originOf(request: Request): string | undefined {
    const host = this.hostOf(request);
    if (host === undefined || !/^[\w.:[\]-]{1,255}$/.test(host)) return undefined;
    const proto = this.#forwarded(request, "x-forwarded-proto")?.toLowerCase();
    const secure = proto === undefined ? "encrypted" in request.socket : proto === "https" || proto === "wss";
    return `${secure ? "https" : "http"}://${host}`;
  }

  /** What the nearest proxy said; with several values the last one is its own. */
  #forwarded(request: Request, name: string): string | undefined {
    if (!this.#proxies.has(request.socket.remoteAddress ?? "")) return undefined;
    return listOf(request.headers[name]).at(-1);
  }
}

function listOf(header: string | string[] | undefined): string[] {
  const text = Array.isArray(header) ? header.join(",") : (header ?? "");
  return text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

/** `203.0.113.7`, `203.0.113.7:4711`, `2001:db8::1`, `[2001:db8::1]:4711`; `undefined` for anything else. */
function addressIn(text: string): string | undefined {
  const bare = /^\[([^\]]+)\](?::\d+)?$/.exec(text)?.[1] ?? /^([\d.]+)(?::\d+)?$/.exec(text)?.[1] ?? text;
  return isIP(bare.split("%", 1)[0] ?? "") === 0 ? undefined : plainAddress(bare);
}
