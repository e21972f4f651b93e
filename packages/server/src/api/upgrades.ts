/**
 * WebSocket upgrades of all listeners: one table from path to handler, one list of open sockets. It performs
 * the handshake; what is spoken afterwards belongs to the adapters.
 *
 * Invariants: an unknown path is accepted and closed with 1008 "Invalid path" (a browser cannot see an HTTP
 * status); compression is off, so that one shared Buffer is written to every socket without a copy.
 */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import type { Clock } from "../clock/clock.ts";
import type { Log } from "../log/log.ts";

/** Of every socket; some are younger than the library's types. */
const socketOptions = {
  noServer: true,
  perMessageDeflate: false,
  /** A peer that does not answer a close, or sent no WebSocket frames at all, is cut after this. */
  closeTimeout: 2000,
  /** A piece of a message takes far more memory than its bytes. */
  maxFragments: 256,
  maxBufferedChunks: 4096,
};

export type PathParams = Readonly<Record<string, string>>;

export interface UpgradeRoute {
  /** `/ws`, `/live/:camera/mse`; `:name` stands for one segment, percent-decoded. */
  readonly path: string;
  /** Larger messages close the socket with 1009. */
  readonly maxPayloadBytes: number;
  /** Chooses among the subprotocols offered; none by default. */
  readonly selectProtocol?: (offered: ReadonlySet<string>) => string | undefined;
  readonly accept: (socket: WebSocket, request: IncomingMessage, params: PathParams) => void;
}

interface Entry {
  readonly segments: readonly string[];
  readonly server: WebSocketServer;
  readonly accept: UpgradeRoute["accept"];
}

export class Upgrades {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #originAllowed: (origin: string, request: IncomingMessage) => boolean;
  readonly #maxSockets: number;
  readonly #entries: Entry[] = [];
  readonly #sockets = new Set<WebSocket>();
  readonly #invalid = new WebSocketServer({ ...socketOptions, maxPayload: 1024 });
  #closing: Promise<void> | undefined;

  constructor(options: {
    readonly clock: Clock;
    readonly log: Log;
    /** Pages of refused origins get HTTP 403. All are allowed by default; without an Origin always. */
    readonly originAllowed?: (origin: string, request: IncomingMessage) => boolean;
    /** Open sockets of all kinds; further ones get HTTP 503. No limit by default. */
    readonly maxSockets?: number;
  }) {
    this.#clock = options.clock;
    this.#log = options.log;
    this.#originAllowed = options.originAllowed ?? (() => true);
    this.#maxSockets = options.maxSockets ?? Number.POSITIVE_INFINITY;
  }

  /** How many sockets are open. */
  get size(): number {
    return this.#sockets.size;
  }

  add(route: UpgradeRoute): void {
    const { selectProtocol } = route;
    const server = new WebSocketServer({
      ...socketOptions,
      maxPayload: route.maxPayloadBytes,
      clientTracking: false,
      handleProtocols: (offered) => selectProtocol?.(offered) ?? false,
    });
    this.#entries.push({ segments: route.path.split("/"), server, accept: route.accept });
  }

  /** The `upgrade` event of an HTTP server. */
  handle(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    // Until the handshake is done nobody else listens for errors of this socket.
    socket.on("error", destroySocket);
    const refusal = this.#refusalOf(request);
    if (refusal !== undefined) {
      const { status, text, headers = "" } = refusal;
      socket.end(
        `HTTP/1.1 ${status}\r\n${headers}Connection: close\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
      );
      return;
    }
    const found = this.#find(pathOf(request));
    const server = found?.entry.server ?? this.#invalid;
    server.handleUpgrade(request, socket, head, (webSocket) => {
      this.#keep(webSocket);
      if (found === undefined) {
        webSocket.close(1008, "Invalid path");
        return;
      }
      try {
        found.entry.accept(webSocket, request, found.params);
      } catch (error) {
        this.#log.error({ err: error, path: pathOf(request) }, "a WebSocket handler failed");
        webSocket.close(1011, "Internal error");
      }
    });
  }

  /** Apart from `handle`, so that what listens for the end of a socket does not keep its request in memory. */
  #keep(webSocket: WebSocket): void {
    this.#sockets.add(webSocket);
    webSocket.on("close", () => this.#sockets.delete(webSocket));
    webSocket.on("error", this.#onError);
  }

  readonly #onError = (error: Error): void => this.#log.debug({ err: error }, "a WebSocket failed");

  #refusalOf(
    request: IncomingMessage,
  ): { readonly status: string; readonly text: string; readonly headers?: string } | undefined {
    const { origin } = request.headers;
    if (this.#closing !== undefined)
      return { status: "503 Service Unavailable", text: "The hub is shutting down" };
    if (origin !== undefined && !this.#originAllowed(origin, request)) {
      return {
        status: "403 Forbidden",
        text: "Pages of this site may not connect: it is not in the setting security.allowedOrigins",
      };
    }
    if (this.#sockets.size >= this.#maxSockets) {
      return {
        status: "503 Service Unavailable",
        text: `All ${this.#maxSockets} places for connections are taken; try again later`,
        headers: "Retry-After: 5\r\n",
      };
    }
    return undefined;
  }

  /** Closes every socket with 1001 "Server shutdown"; those that do not answer in time are cut. */
  close(timeoutMs: number): Promise<void> {
    this.#closing ??= this.#closeAll(timeoutMs);
    return this.#closing;
  }

  async #closeAll(timeoutMs: number): Promise<void> {
    const gone = [...this.#sockets].map(
      (socket) =>
        new Promise<void>((resolve) => {
          socket.once("close", () => resolve());
          socket.close(1001, "Server shutdown");
        }),
    );
    const cancel = this.#clock.after(timeoutMs, () => {
      for (const socket of this.#sockets) socket.terminate();
    });
    await Promise.all(gone);
    cancel();
  }

  #find(path: string): { entry: Entry; params: PathParams } | undefined {
    const segments = path.split("/");
    for (const entry of this.#entries) {
      const params = match(entry.segments, segments);
      if (params !== undefined) return { entry, params };
    }
    return undefined;
  }
}

function destroySocket(this: Duplex): void {
  this.destroy();
}

function match(pattern: readonly string[], segments: readonly string[]): PathParams | undefined {
  if (pattern.length !== segments.length) return undefined;
  const params: Record<string, string> = {};
  for (const [index, wanted] of pattern.entries()) {
    const given = segments[index] ?? "";
    if (!wanted.startsWith(":")) {
      if (wanted !== given) return undefined;
      continue;
    }
    try {
      params[wanted.slice(1)] = decodeURIComponent(given);
    } catch {
      return undefined;
    }
  }
  return params;
}

function pathOf(request: IncomingMessage): string {
  return (request.url ?? "/").split("?", 1)[0] ?? "/";
}
