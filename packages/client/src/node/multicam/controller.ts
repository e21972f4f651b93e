/**
 * Drives any number of MultiCam devices at once: finds or is given them, starts and stops them at one instant, fetches
 * their files. Owns the list of devices; leaves one command to `exchange.ts`, one file to `transfer.ts`.
 *
 * What is done to all is done side by side, and answered device by device: one that fails never hides the others.
 */
import { EventEmitter } from "node:events";
import {
  type CloudTarget,
  CommandMessage,
  DeviceStatus,
  type FileKey,
  type FileMetadata,
  isError,
  MultiCamFormatError,
  parseFiles,
  type StatusResponse,
  SYNC_DELAY,
  type UploadItem,
} from "@ocelli/protocol/multicam";
import { sleep } from "../../waiting.ts";
import {
  afterAnswer,
  afterFailure,
  type DeviceAddress,
  type MultiCamDevice,
  newDevice,
  readStatus,
} from "./device.ts";
import { discoverDevices } from "./discovery.ts";
import { MultiCamError } from "./errors.ts";
import { type Exchanged, exchange } from "./exchange.ts";
import { refusal } from "./refusal.ts";
import { fetchVideo, type Transferred } from "./transfer.ts";

export interface MultiCamControllerOptions {
  /** How this controller calls itself. Default `controller`. */
  readonly deviceId?: string;
  /** Seconds. Default 5. */
  readonly connectTimeout?: number;
  /** Seconds for a reply. Default 60. */
  readonly commandTimeout?: number;
  /** Seconds for the reply to a stop: some devices finish the file first. Default 90. */
  readonly stopTimeout?: number;
  /** Seconds without a byte of a file. Default 600. */
  readonly stallTimeout?: number;
  /** Seconds before each further attempt after a connection failed. Default 1, 2, 4. */
  readonly retryDelays?: readonly number[];
  /** Unix seconds by the clock the devices shall start by. Default: this machine's clock. */
  readonly now?: () => number;
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface ManyOptions extends CallOptions {
  /** Ids of devices; default all. */
  readonly devices?: readonly string[] | undefined;
}

export interface StartOptions extends ManyOptions {
  /** The common instant, Unix seconds; default `delay` from now. */
  readonly at?: number | undefined;
  /** Seconds from now. Default 3. */
  readonly delay?: number | undefined;
}

export type DeviceResult<T> =
  | { readonly device: MultiCamDevice; readonly ok: true; readonly value: T }
  | { readonly device: MultiCamDevice; readonly ok: false; readonly error: Error };

export interface StoppedFile {
  readonly fileId: string | undefined;
  readonly fileName: string | undefined;
  /** Some devices say 0 before the file is asked for. */
  readonly fileSize: number | undefined;
  /** The answer to the stop was lost; the file is the newest one of the device's list. */
  readonly inferred: boolean;
}

export interface DownloadOptions extends CallOptions {
  readonly folder: string;
  readonly saveAs?: string | undefined;
  readonly onProgress?: ((bytes: number, total: number) => void) | undefined;
}

export interface Uploads {
  readonly running: readonly UploadItem[];
  readonly failed: readonly UploadItem[];
}

interface ControllerEvents {
  /** A device is new, or something about it changed. */
  device: [device: MultiCamDevice];
  removed: [device: MultiCamDevice];
}

export class MultiCamController extends EventEmitter<ControllerEvents> {
  readonly #options: MultiCamControllerOptions;
  readonly #devices = new Map<string, MultiCamDevice>();
  readonly #closing = new AbortController();
  #polling: Promise<void> | undefined;

  constructor(options: MultiCamControllerOptions = {}) {
    super();
    this.#options = options;
  }

  get devices(): readonly MultiCamDevice[] {
    return [...this.#devices.values()];
  }

  /** @throws MultiCamError `unknown_device` */
  device(id: string): MultiCamDevice {
    const device =
      this.#devices.get(id) ?? this.devices.find((one) => one.name === id || one.deviceId === id);
    if (device !== undefined) return device;
    const known = this.devices.map((one) => one.id).join(", ") || "none";
    throw new MultiCamError("unknown_device", `There is no device ${id} here. Known: ${known}`);
  }

  /** A device at a known address; the same one when it is here already. Nothing is sent to it. */
  add(address: DeviceAddress): MultiCamDevice {
    return this.#add(newDevice(address, "manual"));
  }

  remove(id: string): void {
    const device = this.device(id);
    this.#devices.delete(device.id);
    this.emit("removed", device);
  }

  /**
   * Looks for devices by mDNS in the networks of this machine, and adds those found.
   * @param options.seconds how long to listen; default 5
   * @param options.interface address of the interface to ask on; default: the system's choice
   */
  async discover(
    options: CallOptions & { readonly seconds?: number; readonly interface?: string } = {},
  ): Promise<readonly MultiCamDevice[]> {
    const found = await discoverDevices(options);
    return found.map((address) => this.#add(newDevice(address, "discovered")));
  }

  /** @throws MultiCamError; the signal's reason */
  async status(id: string, options: CallOptions = {}): Promise<StatusResponse> {
    return this.#repeat(this.device(id), options, (device) =>
      this.#command(device, CommandMessage.deviceStatus(this.#sender()), options),
    );
  }

  async heartbeat(id: string, options: CallOptions = {}): Promise<StatusResponse> {
    return this.#repeat(this.device(id), options, (device) =>
      this.#command(device, CommandMessage.heartbeat(this.#sender()), options),
    );
  }

  /** DEVICE_STATUS of many, side by side. */
  statusOf(options: ManyOptions = {}): Promise<readonly DeviceResult<StatusResponse>[]> {
    return this.#each(options, (device) => this.status(device.id, options));
  }

  /** Asks every device for its status again and again, so that `devices` and the `device` event are current. */
  startPolling(intervalSeconds = 3): void {
    const { signal } = this.#closing;
    this.#polling ??= (async () => {
      while (!signal.aborted) {
        await this.#each({ signal }, (device) =>
          this.#command(device, CommandMessage.deviceStatus(this.#sender()), { signal }),
        );
        await sleep(intervalSeconds, signal);
      }
    })().catch(() => undefined);
  }

  /**
   * Starts devices at one instant.
   * @returns the instant, Unix seconds, and what each device said
   */
  async startRecording(
    options: StartOptions = {},
  ): Promise<{ readonly at: number; readonly results: readonly DeviceResult<StatusResponse>[] }> {
    const at = options.at ?? this.#now() + (options.delay ?? SYNC_DELAY);
    const results = await this.#each(options, (device) => this.#start(device, at, options));
    return { at, results };
  }

  /** Stops devices; a device answers when its file is usable. */
  stopRecording(options: ManyOptions = {}): Promise<readonly DeviceResult<StoppedFile>[]> {
    return this.#each(options, (device) => this.#stop(device, options));
  }

  /**
   * The device's files, newest first. Devices of the first kind may not know this command.
   * @throws MultiCamError
   */
  async listFiles(id: string, options: CallOptions = {}): Promise<readonly FileMetadata[]> {
    return this.#repeat(this.device(id), options, async (device) => {
      const exchanged = await this.#send(device, CommandMessage.listFiles(this.#sender()), options);
      try {
        const { files } = parseFiles(exchanged.text, { deviceId: device.id });
        return [...files].sort((a, b) => b.creationDate - a.creationDate);
      } catch (error) {
        if (!(error instanceof MultiCamFormatError)) throw error;
        throw refusal(this.#readStatus(device, exchanged), this.#nameOf(device));
      }
    });
  }

  /**
   * Fetches one file. A transfer that breaks begins again, at most as often as commands do.
   * @throws MultiCamError
   */
  async download(id: string, file: FileKey, options: DownloadOptions): Promise<Transferred> {
    const { connectTimeout, stallTimeout } = this.#options;
    return this.#repeat(this.device(id), options, (device) =>
      this.#noting(device, () =>
        fetchVideo(device, file, this.#sender(), {
          ...{ ...options, connectTimeout, stallTimeout },
          signal: this.#signal(options.signal),
        }),
      ),
    );
  }

  /**
   * Has a device upload a file by itself, to a presigned address or with temporary S3 credentials.
   * @throws MultiCamError
   */
  async uploadToCloud(
    id: string,
    file: FileKey,
    target: { readonly uploadUrl: string } | CloudTarget,
    options: CallOptions = {},
  ): Promise<StatusResponse> {
    const command =
      "uploadUrl" in target
        ? CommandMessage.uploadToCloud(file, target.uploadUrl, this.#sender())
        : CommandMessage.uploadToCloudWithIam(file, target, this.#sender());
    return this.#repeat(this.device(id), options, (device) => this.#command(device, command, options));
  }

  /** How the uploads of a device go. @throws MultiCamError */
  async uploads(id: string, options: CallOptions = {}): Promise<Uploads> {
    const known = this.device(id);
    // Devices of the second dialect may never answer UPLOAD_STATUS.
    const command = known.speaksV1
      ? CommandMessage.uploadStatus(this.#sender())
      : CommandMessage.deviceStatus(this.#sender());
    const reply = await this.#repeat(known, options, (device) => this.#command(device, command, options));
    const running = reply.currentUpload === undefined ? [] : [reply.currentUpload];
    return { running: [...running, ...reply.uploadQueue], failed: reply.failedUploadQueue };
  }

  /** Ends polling; what runs is given up. */
  async close(): Promise<void> {
    this.#closing.abort(new MultiCamError("unreachable", "The controller has been closed"));
    await this.#polling;
  }

  async #start(device: MultiCamDevice, at: number, options: CallOptions): Promise<StatusResponse> {
    const command = CommandMessage.startRecording({ ...this.#sender(), timestamp: at });
    return this.#repeat(
      device,
      options,
      (current) => this.#command(current, command, options),
      // The answer may be what got lost: a start is repeated only where it did not take, and is not too late.
      async (current, error) => {
        const now = await this.#command(current, CommandMessage.deviceStatus(this.#sender()), options);
        if (now.isRecording) return now;
        if (this.#now() > at) throw error;
        return undefined;
      },
    );
  }

  async #stop(device: MultiCamDevice, options: CallOptions): Promise<StoppedFile> {
    const before = await this.#repeat(device, options, (current) =>
      this.#command(current, CommandMessage.deviceStatus(this.#sender()), options),
    );
    // A device that does not record may never answer a stop (spec section 6.2).
    if (!before.isRecording && before.status === DeviceStatus.READY) {
      throw new MultiCamError("refused", `${this.#nameOf(device)} is not recording`, {
        status: before.status,
      });
    }
    return this.#repeat<StoppedFile>(
      device,
      options,
      async (current) => {
        const reply = await this.#command(
          current,
          CommandMessage.stopRecording(this.#sender()),
          options,
          this.#stopTimeout,
        );
        return { fileId: reply.fileId, fileName: reply.fileName, fileSize: reply.fileSize, inferred: false };
      },
      async (current) => {
        const now = await this.#command(current, CommandMessage.deviceStatus(this.#sender()), options);
        return now.isRecording ? undefined : this.#newestFile(current, options);
      },
    );
  }

  /** What a stop made whose answer was lost. */
  async #newestFile(device: MultiCamDevice, options: CallOptions): Promise<StoppedFile> {
    const [newest] = await this.listFiles(device.id, options);
    if (newest === undefined) {
      throw new MultiCamError("refused", `${this.#nameOf(device)} has stopped and lists no file`);
    }
    return { fileId: newest.fileId, fileName: newest.fileName, fileSize: newest.fileSize, inferred: true };
  }

  get #stopTimeout(): number {
    return this.#options.stopTimeout ?? 90;
  }

  /** @throws MultiCamError also when the device answers with an error status */
  async #command(
    device: MultiCamDevice,
    command: CommandMessage,
    options: CallOptions,
    replyTimeout = this.#options.commandTimeout ?? 60,
  ): Promise<StatusResponse> {
    const exchanged = await this.#send(device, command, options, replyTimeout);
    const status = this.#readStatus(device, exchanged);
    this.#keep(afterAnswer(this.#devices.get(device.id) ?? device, status, exchanged));
    // A state a device is in is no answer to a question for its state.
    if (isError(status.status) && command.command !== "DEVICE_STATUS")
      throw refusal(status, this.#nameOf(device));
    return status;
  }

  #readStatus(device: MultiCamDevice, exchanged: Exchanged): StatusResponse {
    try {
      return readStatus(device, exchanged);
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new MultiCamError("malformed", `${this.#nameOf(device)} answered with something else: ${why}`, {
        cause,
      });
    }
  }

  #send(
    device: MultiCamDevice,
    command: CommandMessage,
    { signal }: CallOptions,
    replyTimeout = this.#options.commandTimeout ?? 60,
  ): Promise<Exchanged> {
    const { connectTimeout } = this.#options;
    return this.#noting(device, () =>
      exchange(device, command, { connectTimeout, replyTimeout, signal: this.#signal(signal) }),
    );
  }

  async #noting<T>(device: MultiCamDevice, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const known = this.#devices.get(device.id);
      if (known !== undefined && error instanceof MultiCamError && error.retryable) {
        this.#keep(afterFailure(known, error));
      }
      throw error;
    }
  }

  /**
   * Repeats what failed on the way, never what a device refused.
   * @param settled looks whether the failed attempt had its effect; `undefined` when it is to be made again
   */
  async #repeat<T>(
    device: MultiCamDevice,
    { signal }: CallOptions,
    attempt: (device: MultiCamDevice) => Promise<T>,
    settled?: (device: MultiCamDevice, error: MultiCamError) => Promise<T | undefined>,
  ): Promise<T> {
    const delays = this.#options.retryDelays ?? [1, 2, 4];
    let failed: MultiCamError | undefined;
    for (let failures = 0; ; failures++) {
      try {
        if (failed !== undefined && settled !== undefined) {
          const outcome = await settled(device, failed);
          if (outcome !== undefined) return outcome;
        }
        return await attempt(device);
      } catch (error) {
        const delay = delays[failures];
        if (!(error instanceof MultiCamError) || !error.retryable || delay === undefined) throw error;
        failed = error;
        await sleep(delay, this.#signal(signal));
      }
    }
  }

  async #each<T>(
    { devices, signal }: ManyOptions,
    work: (device: MultiCamDevice) => Promise<T>,
  ): Promise<readonly DeviceResult<T>[]> {
    const chosen = devices === undefined ? this.devices : devices.map((id) => this.device(id));
    const results = await Promise.all(
      chosen.map(async (device): Promise<DeviceResult<T>> => {
        try {
          const value = await work(device);
          return { device: this.#devices.get(device.id) ?? device, ok: true, value };
        } catch (error) {
          const known = this.#devices.get(device.id) ?? device;
          return {
            device: known,
            ok: false,
            error: error instanceof Error ? error : new Error(String(error)),
          };
        }
      }),
    );
    signal?.throwIfAborted();
    return results;
  }

  #signal(signal: AbortSignal | undefined): AbortSignal {
    return signal === undefined ? this.#closing.signal : AbortSignal.any([signal, this.#closing.signal]);
  }

  #add(device: MultiCamDevice): MultiCamDevice {
    const same = this.devices.find(
      (one) => one.id === device.id || (one.host === device.host && one.port === device.port),
    );
    if (same === undefined) return this.#keep(device);
    // It may have another address now.
    const { host, port } = device;
    return this.#keep({ ...same, host, port, deviceId: device.deviceId ?? same.deviceId });
  }

  #keep(device: MultiCamDevice): MultiCamDevice {
    this.#devices.set(device.id, device);
    this.emit("device", device);
    return device;
  }

  #sender(): { readonly deviceId: string; readonly timestamp: number } {
    return { deviceId: this.#options.deviceId ?? "controller", timestamp: this.#now() };
  }

  #now(): number {
    return this.#options.now?.() ?? Date.now() / 1000;
  }

  #nameOf(device: MultiCamDevice): string {
    return device.name === `${device.host}:${device.port}`
      ? device.name
      : `${device.name} (${device.host}:${device.port})`;
  }
}
