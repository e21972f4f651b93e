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
import type { EventBus } from "../../events/bus.ts";
import type { RecordingView } from "../../events/catalogue.ts";
import { cameraText, notification, recordingText, type TextFor } from "./announcer.ts";
import { Connection, type ConnectionLimits, defaultConnectionLimits } from "./connection.ts";
import { Dispatcher } from "./dispatcher.ts";
import type { RpcServices } from "./services.ts";
import { Session } from "./session.ts";

export interface RpcEndpointOptions extends RpcServices {
  readonly bus: EventBus;
  /** Shown in `server_welcome`. */
  readonly version: string;
  /** Default 20,000; further ones are closed with 1013. */
  readonly maxConnections?: number;
  readonly dialect?: DialectSettings;
  readonly limits?: Partial<ConnectionLimits>;
}

export interface RpcEndpoint {
  /** Takes over an open WebSocket; `request` is its upgrade request. Never throws. */
  handle(socket: WebSocket, request: IncomingMessage): void;
  readonly connections: number;
  /** Closes every connection with 1001. Idempotent, bounded. */
  close(): Promise<void>;
}

/** For the WebSocket server that does the handshake. */
export const rpcSocketOptions = {
  maxPayloadBytes: maxMessageBytes,
  selectProtocol: (offered: ReadonlySet<string>): string | undefined =>
    offered.has(welcomeSubprotocol) ? welcomeSubprotocol : undefined,
} as const;

export function createRpcEndpoint(options: RpcEndpointOptions): RpcEndpoint {
  return new Endpoint(options);
}

class Endpoint implements RpcEndpoint {
  readonly #options: RpcEndpointOptions;
  readonly #settings: DialectSettings;
  readonly #limits: ConnectionLimits;
  readonly #dispatcher: Dispatcher;
  readonly #connections = new Set<Connection>();
  readonly #unsubscribe: (() => void)[];
  #closing: Promise<void> | undefined;

  constructor(options: RpcEndpointOptions) {
    this.#options = options;
    this.#settings = options.dialect ?? defaultDialectSettings;
    this.#limits = { ...defaultConnectionLimits, ...options.limits };
    this.#dispatcher = new Dispatcher(options, this.#settings);
    const { bus } = options;
    this.#unsubscribe = [
      bus.on("camera.status", ({ camera, change }) => {
        this.#tell(cameraText(camera, change, options), (connection, text) => connection.announce(text));
      }),
      bus.on("recording.started", ({ recording }) =>
        this.#tellRecording(recording, recordingText(recording, "recordingStarted", options)),
      ),
      bus.on("recording.stopped", ({ recording, reason }) =>
        this.#tellRecording(recording, recordingText(recording, "recordingStopped", options, { reason })),
      ),
      bus.on("recording.failed", ({ recording, error }) =>
        this.#tellRecording(
          recording,
          recordingText(recording, "recordingFailed", options, { reason: error.code, error: error.message }),
        ),
      ),
    ];
  }

  get connections(): number {
    return this.#connections.size;
  }

  handle(socket: WebSocket, request: IncomingMessage): void {
    if (this.#closing !== undefined) {
      socket.close(closeCodes.goingAway, "Server shutdown");
      return;
    }
    if (this.#connections.size >= (this.#options.maxConnections ?? 20_000)) {
      socket.close(closeCodes.tryAgainLater, "Connection limit reached");
      return;
    }
    const { auth, clock, log, version } = this.#options;
    const address = request.socket.remoteAddress ?? "unknown";
    const query = new URLSearchParams(request.url?.split("?", 2)[1] ?? "");
    const session = new Session({
      address,
      dialect: openingDialect(query, socket.protocol, this.#settings),
      identity: auth.anonymous(request),
    });
    const connection = new Connection({
      socket,
      session,
      dispatcher: this.#dispatcher,
      clock,
      log,
      limits: this.#limits,
      onQuiet: () => this.#tellAllCameras(connection),
      onClosed: () => {
        this.#connections.delete(connection);
        log.info(
          { peer: address, session: session.id, clients: this.#connections.size },
          "client disconnected",
        );
      },
    });
    this.#connections.add(connection);
    log.info({ peer: address, session: session.id, clients: this.#connections.size }, "client connected");
    if (hasCredential(request)) {
      // A wrong credential in a header is no failed handshake: the client learns of it from `authenticate`.
      void session.gate.authenticating(async () => {
        session.identity = (await auth.identify(request)) ?? session.identity;
      });
    }
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

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    await Promise.all(
      [...this.#connections].map((connection) => connection.close(closeCodes.goingAway, "Server shutdown")),
    );
  }

  #tellRecording(recording: RecordingView, textFor: TextFor): void {
    this.#tell(textFor, (connection, text) => connection.announceRecording(recording.cameraId, text));
  }

  #tell(textFor: TextFor, deliver: (connection: Connection, text: string) => void): void {
    const nowUs = this.#options.clock.wallUs();
    for (const connection of this.#connections) {
      if (connection.session.mayBeTold(nowUs)) deliver(connection, textFor(connection.session.dialect.names));
    }
  }

  /** For clients that only listen. One that speaks first is never surprised by this. */
  #tellAllCameras(connection: Connection): void {
    if (!connection.session.mayBeTold(this.#options.clock.wallUs())) return;
    for (const camera of this.#options.cameras.list()) {
      connection.announce(
        cameraText(camera.view(), "initial", this.#options)(connection.session.dialect.names),
      );
    }
  }
}

function hasCredential(request: IncomingMessage): boolean {
  return request.headers.authorization !== undefined || request.headers["x-api-key"] !== undefined;
}
