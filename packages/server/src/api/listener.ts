/**
 * Opens the hub's TCP addresses for one Fastify instance and one table of WebSocket upgrades, and closes them.
 * Owns the sockets; knows nothing of the protocols. One `http.Server` per address, so that a later listener
 * can look at the first bytes of a connection and hand it to the right server.
 *
 * Rule for a taken port: one the user named is an error; one of the default list is a warning as long as
 * another address is up.
 */
import { createServer, type RequestListener, type Server, type ServerOptions } from "node:http";
import { createServer as createSecureServer, type Server as SecureServer } from "node:https";
import type { Server as NetServer, Socket } from "node:net";
import { messageOf, OcelliError } from "@ocelli/protocol";
import type { FastifyInstance } from "fastify";
import type { Clock } from "../clock/clock.ts";
import type { Log } from "../log/log.ts";
import type { Certificate } from "./edge/certificate.ts";
import { type SharedPort, sharePort } from "./first-bytes.ts";
import { answerMalformed } from "./malformed-requests.ts";
import { findPortHolder } from "./port-holder.ts";
import type { Upgrades } from "./upgrades.ts";

export interface BoundAddress {
  readonly host: string;
  /** The real one where 0 was asked for. */
  readonly port: number;
  /** Speaks TLS: https and wss. */
  readonly secure: boolean;
}

export interface ListenerOptions {
  readonly app: FastifyInstance;
  readonly upgrades: Upgrades;
  /** `host:port`; IPv6 hosts in brackets. */
  readonly addresses: readonly string[];
  /** True when the user named these addresses. */
  readonly explicit: boolean;
  readonly clock: Clock;
  readonly log: Log;
  /** With it every address speaks TLS. */
  readonly certificate?: Certificate | undefined;
  /** A request must have arrived within this long, its head as well as all of it; default 30,000 ms. */
  readonly requestTimeoutMs?: number;
  /** A client that takes nothing of its answer for so long is cut; default 300,000 ms. WebSockets have bounds of their own. */
  readonly stallTimeoutMs?: number;
  /**
   * TCP connections of all addresses together, silent ones included; further ones are cut, since what works here
   * needs open files too. No limit by default.
   */
  readonly maxConnections?: number | undefined;
  /** Takes connections that begin neither as HTTP nor as TLS; `false` when nobody wants one. */
  readonly otherProtocol?: ((socket: Socket) => boolean) | undefined;
  /** How long open connections get to finish at the end; default 5000 ms. */
  readonly closeTimeoutMs?: number;
}

export class Listener {
  readonly #options: ListenerOptions;
  readonly #servers: Server[] = [];
  /** Before servers that share their port. */
  readonly #fronts: SharedPort[] = [];
  readonly #bound: BoundAddress[] = [];
  readonly #warnings: string[] = [];
  #connections = 0;
  #closing: Promise<void> | undefined;

  constructor(options: ListenerOptions) {
    this.#options = options;
  }

  /** What is open now. */
  get addresses(): readonly BoundAddress[] {
    return this.#bound;
  }

  /** Addresses of the default list that could not be opened, in words for people. */
  get warnings(): readonly string[] {
    return this.#warnings;
  }

  /**
   * Opens the addresses; none stays open when it rejects.
   * @throws OcelliError `port_in_use`, `permission_denied`, `config_invalid`
   */
  async open(): Promise<readonly BoundAddress[]> {
    const { app, addresses, explicit, log } = this.#options;
    await app.ready();
    let failure: OcelliError | undefined;
    for (const text of addresses) {
      try {
        await this.#openOne(parseListenAddress(text));
      } catch (error) {
        failure =
          error instanceof OcelliError
            ? error
            : new OcelliError("internal", messageOf(error), { cause: error });
        if (explicit || failure.code !== "port_in_use") break;
        this.#warnings.push(failure.message);
      }
    }
    if (failure !== undefined && (this.#bound.length === 0 || explicit || failure.code !== "port_in_use")) {
      await this.close();
      throw failure;
    }
    for (const warning of this.#warnings) log.warn(warning);
    return this.#bound;
  }

  /**
   * Stops accepting, says goodbye to WebSockets (1001), lets running requests finish within the bound, then
   * cuts what is left. Endless responses (live pictures) are ended by their owners before this.
   */
  close(): Promise<void> {
    this.#closing ??= this.#closeAll();
    return this.#closing;
  }

  async #openOne(address: Omit<BoundAddress, "secure">): Promise<void> {
    const { app, upgrades, certificate } = this.#options;
    const server = this.#makeServer((request, response) => app.routing(request, response));
    server.on("upgrade", (request, socket, head) => upgrades.handle(request, socket, head));
    server.on("clientError", answerMalformed);
    const { otherProtocol, clock, requestTimeoutMs } = this.#options;
    const shared =
      otherProtocol === undefined
        ? undefined
        : sharePort({
            http: server,
            secure: certificate !== undefined,
            other: otherProtocol,
            clock,
            ...(requestTimeoutMs === undefined ? {} : { silentTimeoutMs: requestTimeoutMs }),
          });
    const front: NetServer = shared?.server ?? server;
    front.on("connection", (socket) => this.#count(socket));
    await listen(front, address);
    front.on("error", (error) => this.#options.log.error({ err: error }, "a listener failed"));
    this.#servers.push(server);
    if (shared !== undefined) this.#fronts.push(shared);
    const bound = front.address();
    const port = bound !== null && typeof bound === "object" ? bound.port : address.port;
    this.#bound.push({ host: address.host, port, secure: certificate !== undefined });
  }

  #count(socket: Socket): void {
    const { maxConnections = Number.POSITIVE_INFINITY } = this.#options;
    this.#connections++;
    socket.once("close", this.#uncount);
    if (this.#connections > maxConnections) socket.destroy();
  }

  /** One for all: what listens to a socket lives as long as that. */
  readonly #uncount = (): void => {
    this.#connections--;
  };

  #makeServer(serve: RequestListener): Server {
    const { certificate, requestTimeoutMs = 30_000, stallTimeoutMs = 300_000 } = this.#options;
    const options: ServerOptions = {
      // Some clients offer HTTP/2 in each plain request (`Upgrade: h2c`); those stay plain requests.
      shouldUpgradeCallback: ({ headers }) => headers.upgrade?.toLowerCase() === "websocket",
      headersTimeout: requestTimeoutMs,
      requestTimeout: requestTimeoutMs,
      connectionsCheckingInterval: Math.min(5000, requestTimeoutMs),
    };
    if (certificate === undefined) {
      const server = createServer(options, serve);
      server.timeout = stallTimeoutMs;
      return server;
    }
    const server: SecureServer = createSecureServer(
      { ...options, ...certificate.settings, handshakeTimeout: requestTimeoutMs },
      serve,
    );
    server.timeout = stallTimeoutMs;
    certificate.onChange((settings) => server.setSecureContext(settings));
    return server;
  }

  async #closeAll(): Promise<void> {
    const { clock, upgrades, closeTimeoutMs = 5000 } = this.#options;
    const closed = [...this.#servers, ...this.#fronts.map(({ server }) => server)].map(
      (server) => new Promise<void>((resolve) => server.close(() => resolve())),
    );
    for (const front of this.#fronts) front.dropSilent();
    // A kept-alive connection goes idle only when its running response is done.
    const idle = clock.every(50, () => {
      for (const server of this.#servers) server.closeIdleConnections();
    });
    const cut = clock.after(closeTimeoutMs, () => {
      for (const server of this.#servers) server.closeAllConnections();
    });
    await Promise.all([upgrades.close(closeTimeoutMs), ...closed]);
    idle();
    cut();
    this.#bound.length = 0;
  }
}

/** @throws OcelliError `config_invalid` */
export function parseListenAddress(text: string): Omit<BoundAddress, "secure"> {
  const found = /^(?:\[([0-9a-fA-F:.]+)\]|([^:\s]+)):(\d{1,5})$/.exec(text);
  const host = found?.[1] ?? found?.[2];
  const port = Number(found?.[3]);
  if (host === undefined || port > 65_535) {
    throw new OcelliError(
      "config_invalid",
      `"${text}" is not an address to listen on; use host:port, such as 0.0.0.0:8002`,
    );
  }
  return { host, port };
}

async function listen(server: NetServer, address: Omit<BoundAddress, "secure">): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host: address.host, port: address.port }, () => {
        server.off("error", reject);
        resolve();
      });
    });
  } catch (error) {
    throw await explain(error, address);
  }
}

async function explain(error: unknown, { host, port }: Omit<BoundAddress, "secure">): Promise<OcelliError> {
  const reason = error instanceof Error && "code" in error ? String(error.code) : "";
  const where = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
  const details = { host, port };
  if (reason === "EADDRINUSE") {
    const holder = await findPortHolder(port);
    const by = holder === undefined ? "another process" : `process ${holder.pid} (${holder.command})`;
    return new OcelliError(
      "port_in_use",
      `Port ${port} (${where}) is already in use by ${by}. Stop it, or choose other addresses with OCELLI_LISTEN or --listen.`,
      { details: { ...details, ...(holder === undefined ? {} : { holder }) }, cause: error },
    );
  }
  if (reason === "EACCES") {
    return new OcelliError(
      "permission_denied",
      `This user may not listen on ${where}. Ports below 1024 need root or CAP_NET_BIND_SERVICE; choose a higher port.`,
      { details, cause: error },
    );
  }
  return new OcelliError(
    "config_invalid",
    `Cannot listen on ${where}: ${messageOf(error)}. Check the host name or address.`,
    {
      details,
      cause: error,
    },
  );
}
