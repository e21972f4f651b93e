/**
 * The MultiCam side of the hub: a port of its own for each further camera, the first bytes of the shared port, and who
 * may come at all: the protocol knows no credentials, so that the network of the socket's own address decides.
 */
import { createServer, type Server, type Socket } from "node:net";
import { messageOf, OcelliError } from "@ocelli/protocol";
import { clientKey, type Networks } from "../../auth/networks.ts";
import type { RecordingDevice } from "../../multicam/contract.ts";
import { type ConnectionOptions, MultiCamConnection } from "./connection.ts";

export interface MultiCamServerOptions extends Omit<ConnectionOptions, "device"> {
  readonly networks: Networks;
  /** The device on the shared port; `undefined` while its camera has never been there. */
  readonly shared: () => RecordingDevice | undefined;
  /** Further devices, each on its own port; 0 takes a free one. */
  readonly others: readonly {
    readonly device: () => RecordingDevice | undefined;
    readonly host: string;
    readonly port: number;
  }[];
  /** Connections at once. Default 256. */
  readonly maxConnections?: number;
  /** Of one machine, so that it leaves room for others. Default 64. */
  readonly maxPerClient?: number;
}

export interface MultiCamAddress {
  readonly port: number;
  readonly device: () => RecordingDevice | undefined;
}

const quietMs = 10_000;

export class MultiCamServer {
  readonly #options: MultiCamServerOptions;
  readonly #servers: Server[] = [];
  /** With the client each belongs to. */
  readonly #connections = new Map<MultiCamConnection, string>();
  #addresses: readonly MultiCamAddress[] = [];
  #toldMonoUs = Number.NEGATIVE_INFINITY;
  /** Turned away since then. */
  #untold = 0;
  #closing: Promise<void> | undefined;

  constructor(options: MultiCamServerOptions) {
    this.#options = options;
  }

  /** The device on the hub's own ports. */
  get shared(): RecordingDevice | undefined {
    return this.#options.shared();
  }

  /** Ports of their own. */
  get addresses(): readonly MultiCamAddress[] {
    return this.#addresses;
  }

  /** @throws OcelliError `port_in_use`, `config_invalid`; none stays open then */
  async open(): Promise<readonly MultiCamAddress[]> {
    const addresses: MultiCamAddress[] = [];
    try {
      for (const { device, host, port } of this.#options.others) {
        const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) =>
          this.#accept(socket, device),
        );
        await listen(server, host, port);
        server.on("error", (error) =>
          this.#options.log.error({ err: error, port }, "a MultiCam port has a problem"),
        );
        this.#servers.push(server);
        const bound = server.address();
        const real = bound !== null && typeof bound === "object" ? bound.port : port;
        addresses.push({ device, port: real });
      }
    } catch (error) {
      await this.close(0);
      throw error;
    }
    this.#addresses = addresses;
    return addresses;
  }

  /** A connection of the shared port that does not begin as HTTP. */
  acceptShared(socket: Socket): boolean {
    this.#accept(socket, this.#options.shared);
    return true;
  }

  /** Stops listening; running commands may finish within the bound. */
  close(timeoutMs: number): Promise<void> {
    this.#closing ??= (async () => {
      const servers = this.#servers.map(
        (server) => new Promise<void>((resolve) => server.close(() => resolve())),
      );
      await Promise.all([...this.#connections.keys()].map((connection) => connection.close(timeoutMs)));
      await Promise.all(servers);
    })();
    return this.#closing;
  }

  #accept(socket: Socket, deviceNow: () => RecordingDevice | undefined): void {
    const { networks, maxConnections = 256, maxPerClient = 64 } = this.#options;
    const peer = socket.remoteAddress;
    if (this.#closing !== undefined || peer === undefined || !networks.has(peer)) {
      this.#turnAway(socket, "a MultiCam controller from a network that is not allowed was turned away");
      return;
    }
    if (this.#connections.size >= maxConnections) {
      this.#turnAway(socket, `more than ${maxConnections} MultiCam connections: one was turned away`);
      return;
    }
    const client = clientKey(peer);
    if ([...this.#connections.values()].filter((one) => one === client).length >= maxPerClient) {
      this.#turnAway(
        socket,
        `more than ${maxPerClient} MultiCam connections of one client: one was turned away`,
      );
      return;
    }
    const device = deviceNow();
    if (device === undefined) {
      this.#turnAway(socket, "a MultiCam controller came to a camera that is not there yet");
      return;
    }
    const connection = new MultiCamConnection(socket, { ...this.#options, device });
    this.#connections.set(connection, client);
    connection.closed.finally(() => this.#connections.delete(connection));
  }

  /** Tells of it now and then only: whoever is turned away may come again at once, and again. */
  #turnAway(socket: Socket, why: string): void {
    const { log, clock } = this.#options;
    const peer = socket.remoteAddress;
    socket.destroy();
    const nowUs = clock.monoUs();
    if (nowUs - this.#toldMonoUs < quietMs * 1000) {
      this.#untold++;
      return;
    }
    log.warn({ peer, others: this.#untold }, why);
    this.#toldMonoUs = nowUs;
    this.#untold = 0;
  }
}

async function listen(server: Server, host: string, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const taken = error.code === "EADDRINUSE";
      reject(
        new OcelliError(
          taken ? "port_in_use" : "config_invalid",
          `A MultiCam device cannot listen on ${host}:${port}: ${messageOf(error)}. Choose another port in multicam.devices.`,
          { cause: error },
        ),
      );
    });
    server.listen(port, host, resolve);
  });
  server.removeAllListeners("error");
}
