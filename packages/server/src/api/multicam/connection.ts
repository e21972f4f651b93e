/**
 * One controller's connection: commands in order, each answered in one write; a file streamed with the socket's own
 * back-pressure. Source: seed 001, spec sections 2.5, 6 and 7. Translates; what a device does is `multicam/`'s.
 */
import type { Socket } from "node:net";
import { setImmediate } from "node:timers/promises";
import { codeOf, messageOf, OcelliError } from "@ocelli/protocol";
import {
  CommandMessage,
  type DeviceFacts,
  type FramedMessage,
  type FramingMode,
  MessageDecoder,
  MultiCamFormatError,
  withLength,
  writeStatus,
  writeStopped,
  writeUploadQueued,
  writeUploadStatus,
} from "@ocelli/protocol/multicam";
import type { Clock } from "../../clock/clock.ts";
import type { Log } from "../../log/log.ts";
import type { DeviceActivity, RecordingDevice, Uploads } from "../../multicam/contract.ts";
import { activityStatus, errorReply, filesReply, fittingReply, replyLimit, uploadLists } from "./replies.ts";
import { sendVideo } from "./send-video.ts";

export interface ConnectionOptions {
  readonly device: RecordingDevice;
  readonly uploads: Uploads;
  readonly clock: Clock;
  readonly log: Log;
  /** How the hub calls this device's kind. */
  readonly deviceType: string;
  /**
   * A connection without a whole command, or whose answers are not taken on, is closed after this long. Default 120,000.
   */
  readonly idleTimeoutMs?: number;
  /** A file that nobody takes on is given up after this long. Default 600,000. */
  readonly stallTimeoutMs?: number;
}

const defaultIdleMs = 120_000;
/** More files than fit into what controllers read at once. */
const maxListed = 500;
/** Commands that wait behind a running one. */
const maxWaiting = 32;
/** After the last answer a controller has so long to take it. */
const lingerMs = 5000;

export class MultiCamConnection {
  readonly #options: ConnectionOptions;
  readonly #socket: Socket;
  readonly #decoder = new MessageDecoder();
  /** In order; garbage is last. */
  readonly #waiting: (FramedMessage | MultiCamFormatError)[] = [];
  readonly #closed = Promise.withResolvers<void>();
  #working: Promise<void> | undefined;
  #cancelIdle: (() => void) | undefined;
  #cancelLinger: (() => void) | undefined;

  constructor(socket: Socket, options: ConnectionOptions) {
    this.#socket = socket;
    this.#options = options;
    // A controller that has said all it wants may still read the answer.
    socket.allowHalfOpen = true;
    socket.setNoDelay(true);
    socket.on("data", (chunk) => this.#received(chunk));
    socket.on("end", () => this.#ended());
    socket.on("error", (error) => options.log.debug({ err: error }, "a MultiCam connection failed"));
    socket.on("close", () => {
      this.#cancelIdle?.();
      this.#cancelLinger?.();
      this.#closed.resolve();
    });
    this.#idle();
  }

  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  /** Cuts it, unless a command finishes first within the bound. */
  async close(timeoutMs: number): Promise<void> {
    this.#waiting.length = 0;
    const late = Promise.withResolvers<void>();
    const cancel = this.#options.clock.after(timeoutMs, late.resolve);
    await Promise.race([this.#working, late.promise]);
    cancel();
    this.#socket.destroy();
    await this.closed;
  }

  #received(chunk: Buffer): void {
    // What comes after the last answer is read, so that the answer is not lost with it, and left at that.
    if (this.#cancelLinger !== undefined) return;
    try {
      for (const message of this.#decoder.read(chunk)) this.#waiting.push(message);
    } catch (error) {
      if (!(error instanceof MultiCamFormatError)) throw error;
      // What was whole before it is answered first: a file may be on its way.
      this.#waiting.push(error);
    }
    // One who sends faster than is answered waits in the kernel, not here.
    if (this.#waiting.length > maxWaiting) this.#socket.pause();
    // Part of a command counts for nothing: whoever sends no more than that is idle.
    if (this.#waiting.length > 0) this.#work();
  }

  #ended(): void {
    if (this.#working === undefined && this.#waiting.length === 0) this.#socket.end();
  }

  #work(): void {
    this.#working ??= this.#answerAll()
      .catch((error: unknown) => {
        this.#options.log.error({ err: error }, "a MultiCam connection is cut");
        this.#socket.destroy();
      })
      .finally(() => {
        this.#working = undefined;
        if (this.#socket.destroyed) return;
        this.#idle();
        if (this.#socket.readableEnded) this.#socket.end();
      });
  }

  async #answerAll(): Promise<void> {
    for (;;) {
      const message = this.#waiting.shift();
      if (message === undefined || this.#socket.destroyed) return;
      if (this.#waiting.length <= maxWaiting && this.#socket.isPaused()) this.#socket.resume();
      this.#cancelIdle?.();
      if (message instanceof MultiCamFormatError) this.#last("raw", unreadable(message));
      else await this.#answer(message);
      // Many commands at once must not keep everybody else waiting.
      await setImmediate();
    }
  }

  async #answer(message: FramedMessage): Promise<void> {
    const { mode, text } = message;
    const { clock, log, device } = this.#options;
    let command: CommandMessage;
    try {
      command = CommandMessage.fromJson(text, { now: clock.wallUs() / 1e6 });
    } catch (error) {
      this.#last(mode, unreadable(error));
      return;
    }
    log.debug(
      { command: command.command, device: device.deviceId, controller: command.fields.deviceId },
      "a MultiCam command",
    );
    try {
      if (command.command === "GET_VIDEO") await this.#sendVideo(mode, command);
      else await this.#reply(mode, await this.#perform(command, replyLimit(text)));
    } catch (error) {
      this.#report(command, error);
      await this.#reply(mode, errorReply(this.#facts(), error, command.command));
    }
  }

  async #perform(command: CommandMessage, limit: number): Promise<string> {
    const { device, uploads } = this.#options;
    const fitting = (facts: DeviceFacts, write: (facts: DeviceFacts) => string): string =>
      fittingReply(facts, write, limit);
    switch (command.command) {
      case "START_RECORDING": {
        const state = await device.start(Math.round(command.fields.timestamp * 1e6));
        const status = state === "armed" ? "scheduled_recording_accepted" : "recording";
        return fitting(this.#facts(), (facts) => writeStatus(facts, status));
      }
      case "STOP_RECORDING": {
        const file = await device.stop();
        return fitting(this.#facts({ isRecording: false }), (facts) => writeStopped(facts, file));
      }
      case "DEVICE_STATUS":
      case "HEARTBEAT":
        return this.#status(fitting);
      case "LIST_FILES":
        return filesReply(this.#facts(), device.files(maxListed));
      case "UPLOAD_STATUS": {
        const { current, waiting, failed } = uploads.of(device.deviceId);
        const lists = { uploadQueue: waiting, failedUploadQueue: failed };
        return fitting({ ...this.#facts(), ...lists }, (facts) => writeUploadStatus(facts, current));
      }
      case "UPLOAD_TO_CLOUD": {
        const write = this.#queueUpload(command);
        // With the upload in the queue: controllers take one that is in no list for done.
        return fitting(this.#facts(), write);
      }
      default:
        throw new OcelliError("unsupported", `${command.command} is not known here.`);
    }
  }

  /**
   * While a full disk is being emptied by uploads that is what is told: controllers look for the queues in it, and find
   * none in an error.
   */
  #status(fitting: (facts: DeviceFacts, write: (facts: DeviceFacts) => string) => string): string {
    const facts = this.#facts();
    const activity = this.#activity();
    const status = activityStatus(activity, (facts.uploadQueue ?? []).length > 0);
    if (status !== "error") return fitting(facts, (some) => writeStatus(some, status));
    return errorReply(
      facts,
      new OcelliError(
        "storage_low",
        "There is no room for a recording. Delete some, or give the hub a larger disk.",
      ),
    );
  }

  #queueUpload(command: CommandMessage): (facts: DeviceFacts) => string {
    const { device, uploads } = this.#options;
    const file = device.file(keyOf(command));
    const { uploadUrl } = command.fields;
    const { cloudTarget } = command;
    if (uploadUrl !== undefined) uploads.queue(device, file, { kind: "presigned", uploadUrl });
    else if (cloudTarget !== undefined) uploads.queue(device, file, { kind: "s3", target: cloudTarget });
    else {
      throw new OcelliError(
        "invalid_params",
        "UPLOAD_TO_CLOUD needs uploadUrl, or all of s3Bucket, s3Key, awsAccessKeyId, awsSecretAccessKey, awsSessionToken and awsRegion.",
      );
    }
    return (facts) => writeUploadQueued(facts, file);
  }

  async #sendVideo(mode: FramingMode, command: CommandMessage): Promise<void> {
    const { device, clock, stallTimeoutMs = 600_000 } = this.#options;
    try {
      await sendVideo(this.#socket, device.deviceId, device.file(keyOf(command)), { clock, stallTimeoutMs });
    } catch (error) {
      this.#report(command, error);
      if (this.#socket.destroyed) return;
      // Controllers read the answer as a length: a connection that stays open would let them wait for ever.
      this.#last(mode, error);
    }
  }

  #report(command: CommandMessage, error: unknown): void {
    const { log, device } = this.#options;
    const facts = { command: command.command, device: device.deviceId };
    if (codeOf(error) === "internal") log.error({ ...facts, err: error }, "a MultiCam command failed");
    else log.info({ ...facts, reason: messageOf(error) }, "a MultiCam command was refused");
  }

  #facts(more: { readonly isRecording?: boolean } = {}): DeviceFacts {
    const { device, uploads, clock, deviceType } = this.#options;
    return {
      deviceId: device.deviceId,
      timestamp: clock.wallUs() / 1e6,
      isRecording: this.#activity() === "recording",
      deviceType,
      ...uploadLists(uploads.of(device.deviceId)),
      ...more,
    };
  }

  /** Never throws: the answer that says what is wrong needs it, too. */
  #activity(): DeviceActivity {
    try {
      return this.#options.device.activity();
    } catch {
      return "absent";
    }
  }

  /** Waits for one who does not read: answers to commands sent on and on would pile up here otherwise. */
  async #reply(mode: FramingMode, text: string): Promise<void> {
    const socket = this.#socket;
    if (socket.destroyed || !socket.writable || socket.write(framed(mode, text))) return;
    const { clock, idleTimeoutMs = defaultIdleMs } = this.#options;
    const taken = Promise.withResolvers<void>();
    const cancel = clock.after(idleTimeoutMs, () => socket.destroy());
    const settle = (): void => taken.resolve();
    socket.once("drain", settle).once("close", settle);
    await taken.promise;
    socket.off("drain", settle).off("close", settle);
    cancel();
  }

  /** Nothing is done after it: behind what cannot be read nothing else can be. */
  #last(mode: FramingMode, error: unknown): void {
    this.#waiting.length = 0;
    if (this.#cancelLinger !== undefined) return;
    this.#cancelLinger = this.#options.clock.after(lingerMs, () => this.#socket.destroy());
    this.#socket.resume();
    if (this.#socket.writable) this.#socket.end(framed(mode, errorReply(this.#facts(), error)));
  }

  #idle(): void {
    const { clock, idleTimeoutMs = defaultIdleMs } = this.#options;
    this.#cancelIdle?.();
    this.#cancelIdle = clock.after(idleTimeoutMs, () => {
      if (this.#working === undefined) this.#socket.destroy();
    });
  }
}

function keyOf({ fields: { fileName, fileId, command } }: CommandMessage): string {
  const key = fileName ?? fileId;
  if (key !== undefined && key !== "") return key;
  throw new OcelliError("invalid_params", `${command} needs fileName or fileId.`);
}

function unreadable(error: unknown): OcelliError {
  return new OcelliError("invalid_params", messageOf(error));
}

/** Line readers want a newline; behind a length there is none. */
function framed(mode: FramingMode, text: string): Uint8Array | string {
  return mode === "raw" ? `${text}\n` : withLength(text);
}
