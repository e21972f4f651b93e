/**
 * The client of a camera service, apart from what browsers and Node do differently: its methods, events and callbacks.
 * The connection is kept by `Link`, made and used by `Session`; listeners are kept by `Emitter`.
 */
import type { MethodName, ParamsInput, ResultOf } from "@ocelli/protocol/camera-service";
import { type CameraApi, cameraApi } from "./api-names.ts";
import {
  defined,
  type ListOptions,
  merged,
  type RecordingOptions,
  type RequestOptions,
  type SnapshotOptions,
} from "./call-options.ts";
import type { ClientEvents, NotificationCallback, ServerNotification } from "./client-events.ts";
import { Credential } from "./credential.ts";
import {
  AuthenticationError,
  CameraNotFoundError,
  CameraServiceError,
  isObject,
  ValidationError,
} from "./errors.ts";
import { Emitter, type IterateOptions, type ListenOptions } from "./events.ts";
import { credentialHeaders } from "./files.ts";
import { Link } from "./link.ts";
import { describe, SafeLog } from "./logger.ts";
import {
  type CameraClientOptions,
  originOf,
  type Settings,
  type SnakeCaseOptions,
  settingsOf,
} from "./options.ts";
import * as records from "./records.ts";
import { notConnected, type Success } from "./rpc-connection.ts";
import { type Platform, Session } from "./session.ts";
import type { SubscribeOptions } from "./subscriptions.ts";
import { unlessAborted } from "./waiting.ts";

type Callback = { camera: NotificationCallback; recording: NotificationCallback; lost: () => unknown };

export abstract class CameraClientCore implements AsyncDisposable {
  /** Every method of the protocol by its camelCase name: `client.api.getStorageInfo()`. Parameters as on the wire. */
  readonly api: CameraApi;
  protected readonly settings: Settings;
  protected readonly log: SafeLog;
  readonly #link: Link;
  readonly #session: Session;
  readonly #credential: Credential;
  readonly #emitter: Emitter;
  readonly #callbacks: Partial<Callback> = {};

  /** @throws ValidationError */
  constructor(options: CameraClientOptions & SnakeCaseOptions, platform: Platform) {
    this.settings = settingsOf(options);
    const credential = new Credential(this.settings);
    this.#credential = credential;
    this.log = new SafeLog(this.settings.logger, () => credential.secrets);
    this.#emitter = new Emitter((name, error) =>
      this.log.write("error", `A callback for ${name} failed: ${describe(error)}`),
    );
    this.#session = new Session({
      ...{ settings: this.settings, credential, platform, log: this.log },
      onNotification: (method, params) => this.#notified(method, params),
      onEventsLost: (lost) => this.#emitter.emit("eventsLost", lost),
    });
    this.#link = new Link({
      ...this.settings,
      open: (attempt) => this.#session.open(attempt),
      onConnected: (reconnected) => {
        this.log.write("info", `${reconnected ? "Reconnected" : "Connected"} to ${this.origin("ws")}`);
        this.#emitter.emit("connected", { reconnected });
      },
      onLost: (how) => this.#lost(how),
      onReconnecting: (next) => {
        this.log.write("info", `Reconnecting in ${next.delay.toFixed(1)} s (attempt ${next.attempt})`);
        this.#emitter.emit("reconnecting", next);
      },
      onReconnectFailed: (error) => {
        this.log.write("error", `No more attempts to reconnect: ${error.message}`);
        this.#emitter.emit("reconnectFailed", { error });
        this.#emitter.endStreams();
      },
      onAttemptFailed: (error) =>
        this.log.write("warn", `No connection: ${error instanceof Error ? error.message : String(error)}`),
    });
    this.api = cameraApi((method, params, request) => this.call(method, params, request));
    this.settings.signal?.addEventListener("abort", () => void this.disconnect());
  }

  get isConnected(): boolean {
    return this.#link.current !== undefined;
  }

  /** What the server answered to `authenticate`: role, permissions, expiry. */
  get session(): Readonly<records.JsonObject> | undefined {
    return this.#session.answer;
  }

  /**
   * Opens the connection, authenticates and pings, in up to `maxRetries` attempts. Joins an attempt that runs.
   * @throws AuthenticationError at once when the credential is refused
   * @throws ConnectionError
   */
  async connect(options: { readonly signal?: AbortSignal | undefined } = {}): Promise<void> {
    this.settings.signal?.throwIfAborted();
    await this.#link.connect(options.signal);
  }

  /** Idempotent. Ends iterations and attempts to reconnect; the connection-lost callback is not called. */
  async disconnect(): Promise<void> {
    const wasOpen = this.isConnected || this.#link.reconnecting;
    await this.#link.close();
    this.#session.end();
    if (wasOpen) this.#emitter.emit("disconnected", {});
    this.#emitter.endStreams();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.disconnect();
  }

  /**
   * Any method of the server. A failure, in whatever form the server tells it, is thrown.
   * @throws CameraServiceError, or the class of it that fits
   */
  async call<M extends MethodName | (string & {})>(
    method: M,
    params?: M extends MethodName ? ParamsInput<M> : object,
    options: RequestOptions = {},
  ): Promise<M extends MethodName ? Success<ResultOf<M>> : unknown> {
    // The shape is the server's promise.
    return (await this.#request(method, params ?? {}, options)) as M extends MethodName
      ? Success<ResultOf<M>>
      : unknown;
  }

  async ping(options?: RequestOptions): Promise<string> {
    return String(await this.#request("ping", {}, options));
  }

  async getCameraList(options?: RequestOptions): Promise<records.CameraInfo[]> {
    const answer = await this.#request("get_camera_list", {}, options);
    this.#session.server?.learnList(answer);
    const cameras = isObject(answer) ? answer.cameras : answer;
    return Array.isArray(cameras) ? cameras.map(records.cameraOf) : [];
  }

  /** @throws CameraNotFoundError */
  getCameraStatus(devicePath: string, options?: RequestOptions): Promise<records.CameraInfo> {
    return this.#withDevice(devicePath, async (device) => {
      const answer = await this.#request("get_camera_status", { device }, options);
      if (!isObject(answer) || answer.status === "UNKNOWN") {
        throw new CameraNotFoundError(`Camera not found: ${devicePath}`, { condition: "camera_not_found" });
      }
      return records.cameraOf({ device, ...answer });
    });
  }

  /**
   * @throws CameraNotFoundError
   * @throws MediaMTXError
   */
  takeSnapshot(
    devicePath: string,
    filename?: string | SnapshotOptions | null,
    options?: RequestOptions,
  ): Promise<records.SnapshotResult> {
    const { customFilename, format, quality, ...request } = merged<SnapshotOptions>(
      filename,
      "customFilename",
      options,
    );
    return this.#withDevice(devicePath, async (device) => {
      const params = defined({ device, filename: customFilename, format, quality });
      try {
        return (await this.#request("take_snapshot", params, request)) as records.SnapshotResult;
      } catch (error) {
        // The earliest servers know it under another name.
        if (!(error instanceof CameraServiceError && error.code === -32601)) throw error;
        return (await this.#request("capture_snapshot", params, request)) as records.SnapshotResult;
      }
    });
  }

  /**
   * @param duration seconds; until stopped when absent
   * @throws CameraNotFoundError
   * @throws MediaMTXError
   */
  startRecording(
    devicePath: string,
    duration?: number | RecordingOptions | null,
    customFilename?: string | null,
    options?: RequestOptions,
  ): Promise<records.RecordingInfo> {
    const given: RecordingOptions = {
      ...merged<RecordingOptions>(duration, "duration", options),
      ...(customFilename == null ? {} : { customFilename }),
    };
    const { customFilename: filename, format, preRoll, startAt, ...rest } = given;
    const { duration: seconds, ...request } = rest;
    return this.#withDevice(devicePath, async (device) => {
      const params = defined({
        device,
        duration: seconds,
        filename,
        format,
        pre_roll: preRoll,
        start_at: startAt instanceof Date ? startAt.toISOString() : startAt,
      });
      try {
        return records.recordingOf(await this.#request("start_recording", params, request), device, seconds);
      } catch (error) {
        if (filename !== undefined || !isParameterError(error) || !(await this.#session.server?.isEarliest()))
          throw error;
        const named = { ...params, filename: `${device.replace(/^.*\//, "")}_${timeInName()}.mp4` };
        return records.recordingOf(await this.#request("start_recording", named, request), device, seconds);
      }
    });
  }

  /**
   * @throws CameraNotFoundError
   * @throws MediaMTXError
   */
  stopRecording(devicePath: string, options?: RequestOptions): Promise<records.StoppedRecording> {
    return this.#withDevice(devicePath, async (device) => {
      try {
        return (await this.#request("stop_recording", { device }, options)) as records.StoppedRecording;
      } catch (error) {
        if (!isParameterError(error) || !(await this.#session.server?.isEarliest())) throw error;
        return (await this.#request("stop_recording", {}, options)) as records.StoppedRecording;
      }
    });
  }

  listRecordings(limit?: number | ListOptions | null, offset?: number | null): Promise<records.FileList> {
    return this.#list("list_recordings", limit, offset);
  }

  listSnapshots(limit?: number | ListOptions | null, offset?: number | null): Promise<records.FileList> {
    return this.#list("list_snapshots", limit, offset);
  }

  /** From then on the server sends these topics only. They are subscribed to again after a reconnect. */
  async subscribeEvents(
    topics: readonly string[],
    options: SubscribeOptions & RequestOptions = {},
  ): Promise<records.JsonObject> {
    const { filters, since, ...request } = options;
    const answer = await this.#request("subscribe_events", defined({ topics, filters, since }), request);
    const unwanted = this.#session.subscriptions.added(topics, options, answer);
    if (unwanted.length > 0) await this.#request("unsubscribe_events", { topics: unwanted }, request);
    return isObject(answer) ? answer : {};
  }

  /** @param topics all when absent */
  async unsubscribeEvents(topics?: readonly string[], options?: RequestOptions): Promise<void> {
    await this.#request("unsubscribe_events", defined({ topics }), options);
    this.#session.subscriptions.removed(topics);
  }

  /** Replaces the credential and authenticates this connection with it; reconnects use it, too. */
  async authenticate(credential: string, options: RequestOptions = {}): Promise<void> {
    const connection = this.#link.current;
    if (connection === undefined) throw notConnected();
    await this.#session.authenticate(connection, credential, options.signal);
    this.#credential.replace(credential);
  }

  /** Called with the raw parameters, `camera` filled in. `null` for none. */
  setCameraStatusCallback(callback: NotificationCallback | null): void {
    this.#set("camera", callback);
  }

  /** Called with the raw parameters, `recording` filled in. `null` for none. */
  setRecordingStatusCallback(callback: NotificationCallback | null): void {
    this.#set("recording", callback);
  }

  /** Called once for each connection that ends unasked. It may call `connect()`. */
  setConnectionLostCallback(callback: (() => unknown) | null): void {
    this.#set("lost", callback);
  }

  /** Returns the function that unsubscribes. Names with a dot are topics of `subscribeEvents`. */
  on<N extends keyof ClientEvents>(
    name: N,
    listener: (event: ClientEvents[N]) => unknown,
    options?: ListenOptions,
  ): () => void;
  on(
    name: `${string}.${string}`,
    listener: (params: records.JsonObject) => unknown,
    options?: ListenOptions,
  ): () => void;
  on(name: string, listener: (event: never) => unknown, options?: ListenOptions): () => void {
    return this.#emitter.on(name, listener as (event: unknown) => unknown, options); // each name has one type
  }

  /** The next event of this name. */
  once<N extends keyof ClientEvents>(name: N, options: ListenOptions = {}): Promise<ClientEvents[N]> {
    const next = Promise.withResolvers<ClientEvents[N]>();
    const off = this.on(name, next.resolve);
    return unlessAborted(next.promise, options.signal).finally(off);
  }

  /** Events as they come, until `disconnect()` or until no more reconnects are tried. */
  events<N extends keyof ClientEvents>(
    name: N,
    options?: IterateOptions,
  ): AsyncIterableIterator<ClientEvents[N]>;
  events(name: `${string}.${string}`, options?: IterateOptions): AsyncIterableIterator<records.JsonObject>;
  events(name: string, options?: IterateOptions): AsyncIterableIterator<never> {
    return this.#emitter.iterate(name, options) as AsyncIterableIterator<never>;
  }

  /** Every notification of the server. */
  [Symbol.asyncIterator](): AsyncIterableIterator<ServerNotification> {
    return this.events("notification");
  }

  protected origin(protocol: "http" | "ws"): string {
    return originOf(this.settings, protocol);
  }

  /** For requests over HTTP. */
  protected async headers(): Promise<Record<string, string>> {
    return credentialHeaders(this.settings.authType, await this.#credential.fresh());
  }

  /** Does `work`, and once more with a new token when the one in use is refused. */
  protected async authorized<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof AuthenticationError) || !this.#credential.canRefresh) throw error;
      await this.#credential.refresh();
      return work();
    }
  }

  async #request(method: string, params: object, options: RequestOptions = {}): Promise<unknown> {
    options.signal?.throwIfAborted();
    const connection = this.#link.current;
    if (connection === undefined) throw notConnected();
    return this.#session.request(connection, method, params, options);
  }

  async #withDevice<T>(devicePath: string, work: (device: string) => Promise<T>): Promise<T> {
    const { server } = this.#session;
    const name = server?.nameOf(devicePath) ?? devicePath;
    try {
      return await work(name);
    } catch (error) {
      if (!(error instanceof ValidationError || error instanceof CameraNotFoundError)) throw error;
      const other = await server?.anotherName(devicePath, name).catch(() => undefined);
      if (other === undefined) throw error;
      return work(other);
    }
  }

  async #list(
    method: string,
    limit: number | ListOptions | null | undefined,
    offset: number | null | undefined,
  ): Promise<records.FileList> {
    const { limit: most, offset: from, device, ...request } = merged<ListOptions>(limit, "limit");
    const params = defined({ limit: most, offset: offset ?? from, device });
    return records.fileListOf(await this.#request(method, params, request));
  }

  #notified(method: string, params: unknown): void {
    this.#session.subscriptions.saw(method, params);
    if (method === "camera_status_update") {
      this.#deliver(method, records.withCamera(params), this.#callbacks.camera);
    } else if (method === "recording_status_update") {
      this.#deliver(method, records.withRecording(params), this.#callbacks.recording);
    } else {
      this.log.write("debug", `Notification ${method}`);
      this.#deliver(method, isObject(params) ? params : {}, undefined);
    }
  }

  #deliver(method: string, params: records.JsonObject, callback: NotificationCallback | undefined): void {
    if (callback !== undefined) this.#emitter.run(method, () => callback(params));
    // The client's own events are one word: no notification can be taken for one of them.
    if (/[._]/.test(method)) this.#emitter.emit(method, params);
    this.#emitter.emit("notification", { method, params });
  }

  #lost(how: { code: number; reason: string; willReconnect: boolean }): void {
    this.log.write("warn", `Connection lost (${how.code}${how.reason === "" ? "" : ` ${how.reason}`})`);
    const callback = this.#callbacks.lost;
    if (callback !== undefined) this.#emitter.run("connectionLost", callback);
    this.#emitter.emit("connectionLost", how);
    if (!how.willReconnect) this.#emitter.endStreams();
  }

  #set<K extends keyof Callback>(name: K, callback: Callback[K] | null): void {
    if (callback === null) delete this.#callbacks[name];
    else this.#callbacks[name] = callback;
  }
}

function isParameterError(error: unknown): boolean {
  return error instanceof CameraServiceError && (error.code === -32602 || error.code === -32603);
}

/** `2025-01-15_14-30-00`, local time. */
function timeInName(): string {
  const now = new Date();
  const local = new Date(now.getTime() - now.getTimezoneOffset() * 60_000);
  return local.toISOString().slice(0, 19).replace("T", "_").replaceAll(":", "-");
}
