/**
 * One WebSocket: taking messages in (bounded), handing them to the dispatcher, heartbeat, and the end. Who the
 * client is and what it speaks is in the session; sending is the outbox's.
 *
 * Invariants: at most `maxInFlight` requests run; while they do, the socket is paused and the client's own
 * connection waits. No message, however formed, ends the process or another connection. However much a client asks
 * at once, others have a turn every `turnMs`.
 */
import type { Duplex } from "node:stream";
import { setImmediate } from "node:timers/promises";
import { closeCodes, maxMessageBytes } from "@ocelli/protocol/camera-service";
import type { WebSocket } from "ws";
import type { Clock } from "../../clock/clock.ts";
import type { Log } from "../../log/log.ts";
import { answerOf } from "./answer.ts";
import type { Answer, Dispatcher } from "./dispatcher.ts";
import type { Outgoing } from "./frame.ts";
import type { Heartbeat } from "./heartbeat.ts";
import { type Member, readMessage } from "./message.ts";
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
  /** After so much work for one client those who wait have their turn. Default 10. */
  readonly turnMs: number;
  /** Of a message that has not arrived yet, from a client that has not shown who it is. Default 64 KiB. */
  readonly strangerBytes: number;
}

export const defaultConnectionLimits: ConnectionLimits = {
  maxInFlight: 100,
  highWaterBytes: 1024 * 1024,
  maxBufferedBytes: 4 * 1024 * 1024,
  pingEveryMs: 20_000,
  pongWithinMs: 10_000,
  closeWithinMs: 2000,
  quietMs: 1000,
  turnMs: 10,
  strangerBytes: 64 * 1024,
};

export interface ConnectionOptions {
  readonly socket: WebSocket;
  /** What `socket` speaks through. */
  readonly transport: Duplex;
  readonly session: Session;
  readonly dispatcher: Dispatcher;
  readonly heartbeat: Heartbeat;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits: ConnectionLimits;
  readonly hooks: ConnectionHooks;
}

export interface ConnectionHooks {
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
  readonly #hooks: ConnectionHooks;
  /** What cannot be taken up yet. */
  #inbox: string[] | undefined;
  /** Called when little enough waits to be sent. */
  #waiting: (() => void)[] | undefined;
  #inFlight = 0;
  /** Time spent on this client since others had their turn. */
  #busyUs = 0;
  /** While others have their turn. */
  #yields = false;
  /** While a part of a batch has not begun, since others have their turn. */
  #isAmidBatch = false;
  /** Bytes since the last whole message of a client that has not shown who it is. */
  #strangerBytes = 0;
  #cancelQuiet: (() => void) | undefined;
  /** What had been sent when the ping went that no pong has answered yet. */
  #progressAtPing: number | undefined;
  #closing = false;
  #isClosed = false;
  /** Made when somebody waits for the end. */
  #closed: PromiseWithResolvers<void> | undefined;

  constructor(options: ConnectionOptions) {
    const { socket, session, heartbeat, clock, log, limits, hooks } = options;
    this.session = session;
    this.#socket = socket;
    this.#dispatcher = options.dispatcher;
    this.#clock = clock;
    this.#log = log;
    this.#limits = limits;
    this.#hooks = hooks;
    this.#outbox = new Outbox(socket, options.transport, limits, {
      onDrain: () => {
        this.#release();
        this.#takeUp();
      },
      onDrop: (bufferedBytes) => {
        log.warn(
          { session: session.id, peer: session.address, bufferedBytes },
          "a client that does not read is dropped",
        );
        hooks.onDropped("slow");
        this.#end(closeCodes.tryAgainLater, "Client does not read");
      },
    });
    heartbeat.add(this);
    this.#cancelQuiet = clock.after(limits.quietMs, () => {
      this.#cancelQuiet = undefined;
      hooks.onQuiet(this);
    });
    socket.on("message", (data) => this.#receive(data));
    socket.on("pong", () => {
      this.#progressAtPing = undefined;
    });
    socket.on("error", (error) => log.debug({ err: error, session: session.id }, "a connection failed"));
    socket.on("close", () => {
      this.#closing = true;
      this.#isClosed = true;
      this.#inbox = undefined;
      this.#cancelQuiet?.();
      heartbeat.remove(this);
      session.end();
      hooks.onClosed(this);
      this.#release();
      this.#closed?.resolve();
    });
  }

  /** A broadcast; a client that does not read is dropped for it. */
  announce(message: Outgoing): void {
    this.#outbox.announce(message);
  }

  /** A notification about the recording of a camera: kept back while an answer about it is due. */
  announceRecording(cameraId: string, message: Outgoing): void {
    if (!this.session.keepBack(cameraId, message)) this.#outbox.announce(message);
  }

  /** Something for this client alone. */
  send(message: Outgoing): void {
    this.#outbox.send(message);
  }

  /** Resolves when little enough waits to be sent, or the connection has ended. */
  drained(): Promise<void> {
    if (this.#closing) return this.#ended();
    if (!this.#outbox.isFull) return Promise.resolve();
    this.#waiting ??= [];
    const waiting = this.#waiting;
    return new Promise((resolve) => waiting.push(resolve));
  }

  /**
   * Bounds what is kept of a message that is not there yet, until the client has shown who it is: anybody can have a
   * thousand of them.
   */
  watchStranger(transport: Duplex): void {
    const count = (chunk: Buffer): void => {
      this.#strangerBytes += chunk.length;
      if (this.session.identity !== undefined) transport.off("data", count);
      // What still comes until the other end closes is not kept.
      else if (this.#isTooLong(this.#strangerBytes)) transport.removeAllListeners("data").resume();
    };
    transport.on("data", count);
  }

  /** Parts from a client that has not shown who it is, nor is about to, for more than such a one may send at once. */
  #isTooLong(bytes: number): boolean {
    const { identity, gate } = this.session;
    if (bytes <= this.#limits.strangerBytes) return false;
    if (identity !== undefined || gate.opened !== undefined) return false;
    this.#end(closeCodes.tooBig, "Message too big: authenticate first");
    return true;
  }

  /** Idempotent; resolves when the socket is closed, cut if the other end does not answer. */
  close(code: number, reason: string): Promise<void> {
    this.#end(code, reason);
    return this.#ended();
  }

  #receive(data: Buffer | ArrayBuffer | Buffer[]): void {
    this.#cancelQuiet?.();
    this.#cancelQuiet = undefined;
    this.#strangerBytes = 0;
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
    if (this.#isTooLong(bytes.length)) return;
    const text = bytes.toString("utf8");
    if (this.#inbox === undefined && this.#mayTakeUp()) {
      this.#handle(text);
    } else {
      this.#inbox ??= [];
      this.#inbox.push(text);
      this.#takeUp();
    }
  }

  #mayTakeUp(): boolean {
    if (this.#closing || this.#yields || this.#isAmidBatch) return false;
    return this.#inFlight < this.#limits.maxInFlight && !this.#outbox.isFull;
  }

  /** Begins what may run now, and lets the socket read on only when nothing is left over. */
  #takeUp(): void {
    while (this.#inbox !== undefined && this.#mayTakeUp()) {
      const text = this.#inbox.shift();
      if (text === undefined) this.#inbox = undefined;
      else this.#handle(text);
    }
    if (this.#closing) return;
    if (this.#inbox !== undefined && this.#inbox.length > 0) this.#socket.pause();
    else if (this.#socket.isPaused) this.#socket.resume();
  }

  #handle(text: string): void {
    const beganMonoUs = this.#clock.monoUs();
    const message = readMessage(text);
    if (message.kind === "batch") {
      void this.#handleBatch(message.members);
      return;
    }
    void this.#handleSingle(message.member);
    if (this.#isTiredAfter(beganMonoUs)) void this.#letOthers().then(() => this.#takeUp());
  }

  /** Counts the work since then; whether it was enough for now. */
  #isTiredAfter(beganMonoUs: number): boolean {
    this.#busyUs += this.#clock.monoUs() - beganMonoUs;
    return !this.#yields && this.#busyUs >= this.#limits.turnMs * 1000;
  }

  /** Nothing further of this client is begun until those who wait had their turn. */
  async #letOthers(): Promise<void> {
    this.#yields = true;
    await setImmediate();
    this.#yields = false;
    this.#busyUs = 0;
  }

  async #handleSingle(member: Member): Promise<void> {
    this.#inFlight++;
    try {
      const { response, sent } = await this.#dispatcher.dispatch(member, this.session, (own) =>
        this.send(own),
      );
      if (response !== undefined) this.send(answerOf(response));
      sent?.();
    } catch (error) {
      this.#fault(error);
    } finally {
      this.#inFlight--;
      if (this.#inbox !== undefined || this.#socket.isPaused) this.#takeUp();
    }
  }

  async #handleBatch(members: readonly Member[]): Promise<void> {
    this.#inFlight += members.length;
    try {
      const answers = await Promise.all(await this.#beginAll(members));
      const responses = answers.flatMap(({ response }) => (response === undefined ? [] : [response]));
      if (responses.length > 0) this.send(JSON.stringify(responses));
      for (const { sent } of answers) sent?.();
    } catch (error) {
      this.#fault(error);
    } finally {
      this.#inFlight -= members.length;
      this.#takeUp();
    }
  }

  /** In their order, and nothing that came later before the last of them. */
  async #beginAll(members: readonly Member[]): Promise<Promise<Answer>[]> {
    const begun: Promise<Answer>[] = [];
    for (const member of members) {
      if (this.#closing) break;
      const beganMonoUs = this.#clock.monoUs();
      begun.push(this.#dispatcher.dispatch(member, this.session, (own) => this.send(own)));
      if (!this.#isTiredAfter(beganMonoUs)) continue;
      this.#isAmidBatch = true;
      await this.#letOthers();
    }
    if (this.#isAmidBatch) {
      this.#isAmidBatch = false;
      this.#takeUp();
    }
    return begun;
  }

  #fault(error: unknown): void {
    this.#log.error({ err: error, session: this.session.id }, "a message could not be handled");
  }

  #release(): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    for (const resolve of waiting ?? []) resolve();
  }

  /** From the heartbeat. */
  ping(): void {
    if (this.#closing || this.#progressAtPing !== undefined) return;
    this.#progressAtPing = this.#outbox.progress;
    this.#socket.ping();
  }

  /** From the heartbeat, some time after the ping. */
  expectPong(): void {
    const before = this.#progressAtPing;
    if (this.#closing || before === undefined) return;
    this.#progressAtPing = undefined;
    // A paused socket cannot hear the pong: then it counts as alive while requests run or messages go out.
    if (this.#socket.isPaused && (this.#inFlight > 0 || this.#outbox.progress > before)) return;
    this.#log.info(
      { session: this.session.id, peer: this.session.address },
      "a client answers no ping and is cut",
    );
    this.#hooks.onDropped("silent");
    this.#socket.terminate();
  }

  #ended(): Promise<void> {
    if (this.#isClosed) return Promise.resolve();
    this.#closed ??= Promise.withResolvers<void>();
    return this.#closed.promise;
  }

  #end(code: number, reason: string): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#inbox = undefined;
    // A paused socket would never see the answer to the close.
    this.#socket.resume();
    this.#socket.close(code, reason);
    const cancel = this.#clock.after(this.#limits.closeWithinMs, () => this.#socket.terminate());
    void this.#ended().then(cancel);
  }
}
