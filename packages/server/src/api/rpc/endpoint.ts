/**
 * The camera service on WebSockets: takes upgraded sockets in, keeps the list of connections, and tells them what
 * happens in the hub. Listening and the handshake are the listener's.
 */
import type { IncomingMessage } from "node:http";
import {
  closeCodes,
  type DialectSettings,
  defaultDialectSettings,
  isoOf,
  maxMessageBytes,
  methodNames,
  openingDialect,
  welcomeSubprotocol,
} from "@ocelli/protocol/camera-service";
import type { WebSocket } from "ws";
import type { Identity } from "../../auth/identity.ts";
import { limitedCameras } from "../../auth/limited-cameras.ts";
import type { Load } from "../../health/judgement.ts";
import { HeldStreams } from "../../live/held-streams.ts";
import type { DroppedConnections } from "../../metrics/hub-metrics.ts";
import { Clients } from "../edge/clients.ts";
import { Newcomers } from "../edge/newcomers.ts";
import { initialCameraText, notification } from "./announcer.ts";
import {
  Connection,
  type ConnectionHooks,
  type ConnectionLimits,
  defaultConnectionLimits,
} from "./connection.ts";
import { Dispatcher } from "./dispatcher.ts";
import { Heartbeat } from "./heartbeat.ts";
import { loadOf } from "./load.ts";
import { MachineFigures } from "./machine-figures.ts";
import { RequestFigures, type RequestListener } from "./request-figures.ts";
import type { RpcServices } from "./services.ts";
import { Session } from "./session.ts";
import { Subscriptions } from "./subscriptions.ts";

export interface RpcEndpointOptions extends Omit<RpcServices, "subscriptions" | "hub" | "heldStreams"> {
  /** Shown in `server_welcome`. */
  readonly version: string;
  /** Default 20,000; further ones are closed with 1013. A few more are kept for admins. */
  readonly maxConnections?: number;
  /** Connections of one address that have shown no credential; further ones are closed with 1013. Default: no limit. */
  readonly maxNewcomersPerAddress?: number;
  /** Where requests come from; the socket says it by default. */
  readonly clients?: Clients;
  readonly dialect?: DialectSettings;
  readonly limits?: Partial<ConnectionLimits>;
  /** Told of each request and how it went. */
  readonly onRequest?: RequestListener;
}

export interface RpcEndpoint {
  /** Takes over an open WebSocket; `request` is its upgrade request. Never throws. */
  handle(socket: WebSocket, request: IncomingMessage): void;
  readonly connections: number;
  /** Connections the hub parted from, since the start. */
  readonly dropped: DroppedConnections;
  /** Of the whole hub, as far as health goes. */
  readonly load: Load;
  /** Closes every connection with 1001. Idempotent, bounded. */
  close(): Promise<void>;
}

/** For the WebSocket server that does the handshake. */
export const rpcSocketOptions = {
  maxPayloadBytes: maxMessageBytes,
  selectProtocol: (offered: ReadonlySet<string>): string | undefined =>
    offered.has(welcomeSubprotocol) ? welcomeSubprotocol : undefined,
} as const;

/** Places beyond the limit for admins whose key comes with the upgrade: they may have to put things right. */
const placesForAdmins = 16;

export function createRpcEndpoint(options: RpcEndpointOptions): RpcEndpoint {
  return new Endpoint(options);
}

class Endpoint implements RpcEndpoint {
  readonly #options: RpcEndpointOptions;
  readonly #settings: DialectSettings;
  readonly #limits: ConnectionLimits;
  readonly #maxConnections: number;
  readonly #dispatcher: Dispatcher;
  readonly #connections = new Set<Connection>();
  readonly #heartbeat: Heartbeat;
  readonly #clients: Clients;
  readonly #newcomers: Newcomers;
  readonly #services: RpcServices;
  readonly #heldStreams: HeldStreams;
  readonly #subscriptions: Subscriptions;
  readonly #dropped = { slow: 0, silent: 0, refused: 0 };
  #closing: Promise<void> | undefined;

  constructor(options: RpcEndpointOptions) {
    this.#options = options;
    this.#settings = options.dialect ?? defaultDialectSettings;
    this.#limits = { ...defaultConnectionLimits, ...options.limits };
    const { events, clock, log, version } = options;
    const startedAtMonoUs = clock.monoUs();
    this.#heartbeat = new Heartbeat({ clock, ...this.#limits });
    this.#maxConnections = options.maxConnections ?? 20_000;
    this.#clients = options.clients ?? new Clients();
    this.#newcomers = new Newcomers(options.maxNewcomersPerAddress ?? 0);
    this.#subscriptions = new Subscriptions({
      events,
      log,
      context: { services: options, version, startedAtMonoUs },
    });
    this.#heldStreams = new HeldStreams({ cameras: options.cameras, clock });
    const hub = {
      ...{ version, startedAtMonoUs, maxConnections: this.#maxConnections },
      connections: () => this.connections,
      requests: new RequestFigures(options.onRequest),
      machine: new MachineFigures(clock),
    };
    this.#services = { ...options, subscriptions: this.#subscriptions, hub, heldStreams: this.#heldStreams };
    this.#dispatcher = new Dispatcher(this.#services, this.#settings);
  }

  get connections(): number {
    return this.#connections.size;
  }

  get load(): Load {
    return loadOf(this.#services.hub);
  }

  get dropped(): DroppedConnections {
    return this.#dropped;
  }

  handle(socket: WebSocket, request: IncomingMessage): void {
    if (this.#closing !== undefined) {
      socket.close(closeCodes.goingAway, "Server shutdown");
      return;
    }
    const reason = this.#whyNot(request, this.#options.auth.anonymous(request));
    if (reason === undefined) this.#takeIn(socket, request);
    else if (hasCredential(request)) void this.#takeInKnown(socket, request);
    else this.#refuse(socket, reason);
  }

  /** The reason a client with these rights cannot be taken in. */
  #whyNot(request: IncomingMessage, known: Identity | undefined): string | undefined {
    const isAdmin = known?.role === "admin" && known.method !== "anonymous";
    const places = this.#maxConnections + (isAdmin ? placesForAdmins : 0);
    if (this.#connections.size >= places) return "Connection limit reached";
    return known === undefined && !this.#newcomers.hasRoom(this.#clients.addressOf(request))
      ? "Too many connections from this address have not authenticated"
      : undefined;
  }

  /** Where there is no place for everybody: whoever shows a credential may have more right to one. */
  async #takeInKnown(socket: WebSocket, request: IncomingMessage): Promise<void> {
    // What is sent meanwhile waits in the socket.
    socket.pause();
    const known = await this.#options.auth.identify(request);
    socket.resume();
    const reason = this.#closing === undefined ? this.#whyNot(request, known) : "Server shutdown";
    if (reason === undefined) this.#takeIn(socket, request);
    else this.#refuse(socket, reason);
  }

  #refuse(socket: WebSocket, reason: string): void {
    this.#dropped.refused++;
    socket.close(closeCodes.tryAgainLater, reason);
    // One that does not answer the close must not keep its place among the sockets.
    const cancel = this.#options.clock.after(this.#limits.closeWithinMs, () => socket.terminate());
    socket.once("close", cancel);
  }

  #takeIn(socket: WebSocket, request: IncomingMessage): void {
    const { auth, clock, log, version, rateLimits } = this.#options;
    const address = this.#clients.addressOf(request);
    const identity = auth.anonymous(request);
    // No function made here may outlive it: it would keep the request, and more, for as long as the connection.
    const query = new URLSearchParams(request.url?.split("?", 2)[1] ?? "");
    const session = new Session({
      address,
      origin: this.#clients.originOf(request),
      allowance: rateLimits?.allowance(),
      dialect: openingDialect(query, socket.protocol, this.#settings),
      identity,
    });
    if (identity === undefined) this.#newcomers.add(address, session);
    const connection = new Connection({
      socket,
      transport: request.socket,
      session,
      dispatcher: this.#dispatcher,
      heartbeat: this.#heartbeat,
      clock,
      log,
      limits: this.#limits,
      hooks: this.#hooks,
    });
    this.#connections.add(connection);
    this.#subscriptions.add(connection);
    log.info({ peer: address, session: session.id, clients: this.#connections.size }, "client connected");
    if (hasCredential(request)) {
      void session.gate.authenticating(() => this.#identify(session, request));
    }
    if (identity === undefined) connection.watchStranger(request.socket);
    if (session.dialect.welcome) {
      connection.send(
        notification("server_welcome", {
          server: "WebSocket JSON-RPC Camera Server",
          version,
          timestamp: isoOf(clock.wallUs()),
          available_methods: methodNames,
        }),
      );
    }
  }

  /** A wrong credential in a header is no failed handshake: the client learns of it from `authenticate`. */
  async #identify(session: Session, request: IncomingMessage): Promise<void> {
    session.identity = (await this.#options.auth.identify(request)) ?? session.identity;
  }

  /** The same for all connections. */
  readonly #hooks: ConnectionHooks = {
    onQuiet: (connection) => this.#tellAllCameras(connection),
    onDropped: (why) => {
      this.#dropped[why]++;
    },
    onClosed: (connection) => {
      const { session } = connection;
      this.#connections.delete(connection);
      this.#newcomers.remove(session.address, session);
      this.#subscriptions.remove(session);
      this.#options.log.info(
        { peer: session.address, session: session.id, clients: this.#connections.size },
        "client disconnected",
      );
    },
  };

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#subscriptions.close();
    this.#heartbeat.close();
    this.#heldStreams.close();
    await Promise.all(
      [...this.#connections].map((connection) => connection.close(closeCodes.goingAway, "Server shutdown")),
    );
  }

  /** For clients that only listen. One that speaks first is never surprised by this. */
  #tellAllCameras(connection: Connection): void {
    const { session } = connection;
    if (!session.mayBeTold(this.#options.clock.wallUs())) return;
    for (const camera of limitedCameras(session.identity, this.#options.cameras).list()) {
      const text = initialCameraText(camera.view(), session.dialect.names, this.#services);
      connection.announce(text);
    }
  }
}

function hasCredential(request: IncomingMessage): boolean {
  return request.headers.authorization !== undefined || request.headers["x-api-key"] !== undefined;
}
