/**
 * One WebSocket: taking messages in (bounded), handing them to the dispatcher, heartbeat, and the end. Who the
 * client is and what it speaks is in the session; sending is the outbox's.
 *
 * Invariants: at most `maxInFlight` requests run; while they do, the socket is paused and the client's own
 * connection waits. No message, however formed, ends the process or another connection.
 */
import { closeCodes, maxMessageBytes } from "@ocelli/protocol/camera-service";
import type { WebSocket } from "ws";
import type { Clock } from "../../clock/clock.ts";
import type { Log } from "../../log/log.ts";
import type { Dispatcher } from "./dispatcher.ts";
import { readMessage } from "./message.ts";
import { Outbox } from "./outbox.ts";
import type { Session } from "./session.ts";

export interface ConnectionLimits {
  /** Requests of one connection that run at a time; more are read when those are done. Default 100. */
  readonly maxInFlight: number;
  /** Default 1 MiB: with more waiting to be sent no further request is taken up. */
  readonly highWaterBytes: number;
  /** Default 4 MiB: with more waiting to be sent a notification drops the client. */
  readonly maxBufferedBytes: number;
  /** Default 20,000. */
  readonly pingEveryMs: number;
  /** Default 10,000. */
  readonly pongWithinMs: number;
  /** How long the other end may take to answer a close. Default 2000. */
  readonly closeWithinMs: number;
  /** After this long without a request the client is told the state of each camera. Default 1000. */
  readonly quietMs: number;
}

export const defaultConnectionLimits: ConnectionLimits = {
  maxInFlight: 100,
  highWaterBytes: 1024 * 1024,
  maxBufferedBytes: 4 * 1024 * 1024,
  pingEveryMs: 20_000,
  pongWithinMs: 10_000,
  closeWithinMs: 2000,
  quietMs: 1000,
};

export interface ConnectionOptions {
  readonly socket: WebSocket;
  readonly session: Session;
  readonly dispatcher: Dispatcher;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits: ConnectionLimits;
  /** Called when the client has said nothing for `quietMs`. */
  readonly onQuiet: (connection: Connection) => void;
  readonly onClosed: (connection: Connection) => void;
  /** The hub parts from a client that does not read, or answers no ping. */
  readonly onDropped: (why: "slow" | "silent") => void;
}

export class Connection {
  readonly session: Session;
  readonly #socket: WebSocket;
  readonly #outbox: Outbox;
  readonly #dispatcher: Dispatcher;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #limits: ConnectionLimits;
  readonly #onDropped: ConnectionOptions["onDropped"];
  readonly #inbox: string[] = [];
  readonly #closed = Promise.withResolvers<void>();
  #waiting: (() => void)[] = [];
  #inFlight = 0;
  #cancelQuiet: (() => void) | undefined;
  #cancelPing: () => void;
  #cancelPong: (() => void) | undefined;
  #closing = false;

  constructor(options: ConnectionOptions) {
    const { socket, session, clock, log, limits } = options;
    this.session = session;
    this.#socket = socket;
    this.#dispatcher = options.dispatcher;
    this.#clock = clock;
    this.#log = log;
    this.#limits = limits;
    this.#onDropped = options.onDropped;
    this.#outbox = new Outbox(socket, limits, {
      onDrain: () => {
        this.#release();
        this.#takeUp();
      },
      onDrop: (bufferedBytes) => {
        log.warn(
          { session: session.id, peer: session.address, bufferedBytes },
          "a client that does not read is dropped",
        );
        options.onDropped("slow");
        this.#end(closeCodes.tryAgainLater, "Client does not read");
      },
    });
    this.#cancelPing = clock.every(limits.pingEveryMs, () => this.#ping());
    this.#cancelQuiet = clock.after(limits.quietMs, () => options.onQuiet(this));
    socket.on("message", (data) => this.#receive(data));
    socket.on("pong", () => this.#heard());
    socket.on("error", (error) => log.debug({ err: error, session: session.id }, "a connection failed"));
    socket.on("close", () => {
      this.#closing = true;
      this.#inbox.length = 0;
      this.#cancelQuiet?.();
      this.#cancelPing();
      this.#cancelPong?.();
      session.ended.abort(new Error("The connection has ended."));
      options.onClosed(this);
      this.#release();
      this.#closed.resolve();
    });
  }

  /** A broadcast; a client that does not read is dropped for it. */
  announce(text: string): void {
    this.#outbox.announce(text);
  }

  /** A notification about the recording of a camera: kept back while an answer about it is due. */
  announceRecording(cameraId: string, text: string): void {
    if (!this.session.keepBack(cameraId, text)) this.#outbox.announce(text);
  }

  /** Something for this client alone. */
  send(text: string): void {
    this.#outbox.send(text);
  }

  /** Resolves when little enough waits to be sent, or the connection has ended. */
  drained(): Promise<void> {
    if (this.#closing) return this.#closed.promise;
    if (!this.#outbox.isFull) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Idempotent; resolves when the socket is closed, cut if the other end does not answer. */
  close(code: number, reason: string): Promise<void> {
    this.#end(code, reason);
    return this.#closed.promise;
  }

  #receive(data: Buffer | ArrayBuffer | Buffer[]): void {
    this.#cancelQuiet?.();
    this.#cancelQuiet = undefined;
    if (this.#closing) return;
    const bytes = Array.isArray(data)
      ? Buffer.concat(data)
      : Buffer.isBuffer(data)
        ? data
        : Buffer.from(data);
    if (bytes.length > maxMessageBytes) {
      this.#end(closeCodes.tooBig, "Message too big");
      return;
    }
    this.#inbox.push(bytes.toString("utf8"));
    this.#takeUp();
  }

  /** Begins what may run now, and lets the socket read on only when nothing is left over. */
  #takeUp(): void {
    while (!this.#closing && this.#inFlight < this.#limits.maxInFlight && !this.#outbox.isFull) {
      const text = this.#inbox.shift();
      if (text === undefined) break;
      void this.#handle(text);
    }
    if (this.#closing) return;
    if (this.#inbox.length > 0) this.#socket.pause();
    else if (this.#socket.isPaused) this.#socket.resume();
  }

  async #handle(text: string): Promise<void> {
    const message = readMessage(text);
    const members = message.kind === "single" ? [message.member] : message.members;
    this.#inFlight += members.length;
    try {
      const answers = await Promise.all(
        members.map((member) => this.#dispatcher.dispatch(member, this.session, (own) => this.send(own))),
      );
      const responses = answers.flatMap(({ response }) => (response === undefined ? [] : [response]));
      if (responses.length > 0)
        this.send(JSON.stringify(message.kind === "single" ? responses[0] : responses));
      for (const { sent } of answers) sent();
    } catch (error) {
      this.#log.error({ err: error, session: this.session.id }, "a message could not be handled");
    } finally {
      this.#inFlight -= members.length;
      this.#takeUp();
    }
  }

  #release(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #ping(): void {
    if (this.#closing || this.#cancelPong !== undefined) return;
    const { progress } = this.#outbox;
    this.#socket.ping();
    this.#cancelPong = this.#clock.after(this.#limits.pongWithinMs, () => {
      this.#cancelPong = undefined;
      // A paused socket cannot hear the pong: then it counts as alive while requests run or messages go out.
      if (this.#socket.isPaused && (this.#inFlight > 0 || this.#outbox.progress > progress)) return;
      this.#log.info(
        { session: this.session.id, peer: this.session.address },
        "a client answers no ping and is cut",
      );
      this.#onDropped("silent");
      this.#socket.terminate();
    });
  }

  #heard(): void {
    this.#cancelPong?.();
    this.#cancelPong = undefined;
  }

  #end(code: number, reason: string): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#inbox.length = 0;
    // A paused socket would never see the answer to the close.
    this.#socket.resume();
    this.#socket.close(code, reason);
    const cancel = this.#clock.after(this.#limits.closeWithinMs, () => this.#socket.terminate());
    void this.#closed.promise.then(cancel);
  }
}
