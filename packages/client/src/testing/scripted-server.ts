/** A WebSocket server that answers as it is told, to play the older servers and to fail on purpose. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { type WebSocket, WebSocketServer } from "ws";

export interface Request {
  readonly id: number;
  readonly method: string;
  readonly params: Record<string, unknown>;
}

/** Members of the answer; text is sent as it is; `undefined` answers nothing. */
export type Answer = object | string | undefined;
/** By method; a function gets the request. What is not there is answered with -32601. */
export type Script = Record<string, Answer | ((request: Request, socket: WebSocket) => Answer)>;

export class ScriptedServer implements AsyncDisposable {
  readonly requests: Request[] = [];
  readonly upgrades: IncomingMessage[] = [];
  script: Script;
  /** Sent to each connection when it opens. */
  greeting: object | undefined;
  /** Upgrades refused with this status while it is set. */
  refuse: number | undefined;
  readonly #http: Server;
  readonly #sockets: WebSocketServer;

  private constructor(http: Server, script: Script) {
    this.#http = http;
    this.script = script;
    this.#sockets = new WebSocketServer({ noServer: true });
    http.on("upgrade", (request, socket, head) => {
      this.upgrades.push(request);
      if (this.refuse !== undefined) {
        socket.end(`HTTP/1.1 ${this.refuse} Refused\r\nConnection: close\r\n\r\n`);
        return;
      }
      this.#sockets.handleUpgrade(request, socket, head, (client) => this.#serve(client));
    });
  }

  static async start(script: Script): Promise<ScriptedServer> {
    const http = createServer((_request, response) => response.writeHead(404).end());
    http.listen(0, "127.0.0.1");
    await once(http, "listening");
    return new ScriptedServer(http, { ping: { result: "pong" }, ...script });
  }

  get port(): number {
    return (this.#http.address() as AddressInfo).port;
  }

  get connections(): number {
    return this.#sockets.clients.size;
  }

  asked(method: string): Request[] {
    return this.requests.filter((request) => request.method === method);
  }

  tell(method: string, params: unknown): void {
    const text = JSON.stringify({ jsonrpc: "2.0", method, params });
    for (const socket of this.#sockets.clients) socket.send(text);
  }

  /** Ends all connections without a word. */
  drop(): void {
    for (const socket of this.#sockets.clients) socket.terminate();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.drop();
    this.#sockets.close();
    this.#http.closeAllConnections();
    await new Promise((resolve) => this.#http.close(resolve));
  }

  #serve(socket: WebSocket): void {
    if (this.greeting !== undefined) socket.send(JSON.stringify(this.greeting));
    socket.on("message", (data) => {
      const request: Request = JSON.parse(data.toString());
      this.requests.push(request);
      const scripted = this.script[request.method];
      const answer =
        typeof scripted === "function"
          ? scripted(request, socket)
          : request.method in this.script
            ? scripted
            : { error: { code: -32601, message: `Method not found: ${request.method}` } };
      if (answer === undefined) return;
      socket.send(
        typeof answer === "string" ? answer : JSON.stringify({ jsonrpc: "2.0", id: request.id, ...answer }),
      );
    });
  }
}
