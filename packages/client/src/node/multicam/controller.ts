/**
 * Drives any number of MultiCam devices at once: finds or is given them, starts and stops them at one instant, fetches
 * their files. Leaves what is known of devices to `device-list.ts`, a command to `conversation.ts`, start and stop to
 * `recording.ts`, a file to `transfer.ts`.
 *
 * What is done to all is done side by side, and answered device by device: one that fails never hides the others.
 */
import { EventEmitter } from "node:events";
import {
  type CloudTarget,
  CommandMessage,
  type FileKey,
  type FileMetadata,
  type StatusResponse,
  SYNC_DELAY,
} from "@ocelli/protocol/multicam";
import { Conversation } from "./conversation.ts";
import { type DeviceAddress, type MultiCamDevice, newDevice } from "./device.ts";
import { DeviceList } from "./device-list.ts";
import { discoverDevices } from "./discovery.ts";
import { MultiCamError } from "./errors.ts";
import type {
  CallOptions,
  DeviceResult,
  DownloadOptions,
  ManyOptions,
  MultiCamControllerOptions,
  StartOptions,
  StoppedFile,
  Uploads,
} from "./options.ts";
import { Polling } from "./polling.ts";
import { filesOf, startDevice, stopDevice } from "./recording.ts";
import { fetchVideo, type Transferred } from "./transfer.ts";

interface ControllerEvents {
  /** A device is new, or something about it changed. */
  device: [device: MultiCamDevice];
  removed: [device: MultiCamDevice];
}

export class MultiCamController extends EventEmitter<ControllerEvents> {
  readonly #options: MultiCamControllerOptions;
  readonly #closing = new AbortController();
  readonly #devices = new DeviceList((device) => this.emit("device", device));
  readonly #talk: Conversation;
  readonly #polling = new Polling(this.#closing.signal);

  constructor(options: MultiCamControllerOptions = {}) {
    super();
    this.#options = options;
    this.#talk = new Conversation(options, this.#devices, this.#closing.signal);
  }

  get devices(): readonly MultiCamDevice[] {
    return this.#devices.all;
  }

  /** @throws MultiCamError `unknown_device` */
  device(id: string): MultiCamDevice {
    return this.#devices.get(id);
  }

  /** A device at a known address; the same one when it is here already. Nothing is sent to it. */
  add(address: DeviceAddress): MultiCamDevice {
    return this.#devices.add(newDevice(address, "manual"));
  }

  remove(id: string): void {
    this.emit("removed", this.#devices.remove(id));
  }

  /**
   * Looks for devices by mDNS in the networks of this machine, and adds each as it is found.
   * @param options.seconds how long to listen; default 5
   * @param options.interface name or address of the interface to ask on; default: the system's choice
   * @throws MultiCamError `unreachable`; the signal's reason
   */
  async discover(
    options: CallOptions & { readonly seconds?: number; readonly interface?: string } = {},
  ): Promise<readonly MultiCamDevice[]> {
    const found = new Set<string>();
    await discoverDevices(options, (address) => {
      found.add(this.#devices.add(newDevice(address, "discovered")).id);
    });
    return this.devices.filter(({ id }) => found.has(id));
  }

  /** @throws MultiCamError; the signal's reason */
  status(id: string, options: CallOptions = {}): Promise<StatusResponse> {
    return this.#ask(id, CommandMessage.deviceStatus, options);
  }

  heartbeat(id: string, options: CallOptions = {}): Promise<StatusResponse> {
    return this.#ask(id, CommandMessage.heartbeat, options);
  }

  /** DEVICE_STATUS of many, side by side. */
  statusOf(options: ManyOptions = {}): Promise<readonly DeviceResult<StatusResponse>[]> {
    return this.each((device) => this.status(device.id, options), options);
  }

  /** Asks every device for its status again and again, so that `devices` and the `device` event are current. */
  startPolling(intervalSeconds = 3): void {
    this.#polling.start(
      intervalSeconds,
      () => this.devices,
      (device) => this.#talk.status(device, {}),
    );
  }

  /**
   * Starts devices at one instant.
   * @returns the instant, Unix seconds, and what each device said
   */
  async startRecording(
    options: StartOptions = {},
  ): Promise<{ readonly at: number; readonly results: readonly DeviceResult<StatusResponse>[] }> {
    const at = options.at ?? this.#talk.now() + (options.delay ?? SYNC_DELAY);
    const results = await this.each((device) => startDevice(this.#talk, device, at, options), options);
    return { at, results };
  }

  /** Stops devices; a device answers when its file is usable. */
  stopRecording(options: ManyOptions = {}): Promise<readonly DeviceResult<StoppedFile>[]> {
    const { stopTimeout = 90 } = this.#options;
    return this.each((device) => stopDevice(this.#talk, device, stopTimeout, options), options);
  }

  /**
   * The device's files, newest first. Devices of the first kind may not know this command.
   * @throws MultiCamError
   */
  async listFiles(id: string, options: CallOptions = {}): Promise<readonly FileMetadata[]> {
    return filesOf(this.#talk, this.device(id), options);
  }

  /**
   * Fetches one file. A transfer that breaks begins again, at most as often as commands do.
   * @throws MultiCamError
   */
  async download(id: string, file: FileKey, options: DownloadOptions): Promise<Transferred> {
    const { connectTimeout, stallTimeout } = this.#options;
    const talk = this.#talk;
    return talk.repeat(this.device(id), options, (device) =>
      talk.noting(device, () =>
        fetchVideo(device, file, talk.sender(), {
          ...{ ...options, connectTimeout, stallTimeout },
          signal: talk.signal(options.signal),
        }),
      ),
    );
  }

  /**
   * Has a device upload a file by itself, to a presigned address or with temporary S3 credentials.
   * @throws MultiCamError
   */
  uploadToCloud(
    id: string,
    file: FileKey,
    target: { readonly uploadUrl: string } | CloudTarget,
    options: CallOptions = {},
  ): Promise<StatusResponse> {
    return this.#ask(
      id,
      (sender) =>
        "uploadUrl" in target
          ? CommandMessage.uploadToCloud(file, target.uploadUrl, sender)
          : CommandMessage.uploadToCloudWithIam(file, target, sender),
      options,
    );
  }

  /** How the uploads of a device go. @throws MultiCamError */
  async uploads(id: string, options: CallOptions = {}): Promise<Uploads> {
    // Devices of the second dialect may never answer UPLOAD_STATUS.
    const command = this.device(id).speaksV1 ? CommandMessage.uploadStatus : CommandMessage.deviceStatus;
    const reply = await this.#ask(id, command, options);
    const running = reply.currentUpload === undefined ? [] : [reply.currentUpload];
    return { running: [...running, ...reply.uploadQueue], failed: reply.failedUploadQueue };
  }

  /**
   * Does the same with many devices, side by side; the result of one never hides another's.
   * @throws the signal's reason
   */
  async each<T>(
    work: (device: MultiCamDevice) => Promise<T>,
    { devices, signal }: ManyOptions = {},
  ): Promise<readonly DeviceResult<T>[]> {
    const chosen = devices === undefined ? this.devices : devices.map((id) => this.device(id));
    const results = await Promise.all(
      chosen.map(async (device): Promise<DeviceResult<T>> => {
        try {
          const value = await work(device);
          return { device: this.#devices.newest(device), ok: true, value };
        } catch (cause) {
          const error = cause instanceof Error ? cause : new Error(String(cause));
          return { device: this.#devices.newest(device), ok: false, error };
        }
      }),
    );
    signal?.throwIfAborted();
    return results;
  }

  /** Ends polling; what runs is given up. */
  async close(): Promise<void> {
    this.#closing.abort(new MultiCamError("unreachable", "The controller has been closed"));
    await this.#polling.ended();
  }

  async #ask(
    id: string,
    command: (sender: ReturnType<Conversation["sender"]>) => CommandMessage,
    options: CallOptions,
  ): Promise<StatusResponse> {
    return this.#talk.repeat(this.device(id), options, (device) =>
      this.#talk.ask(device, command(this.#talk.sender()), options),
    );
  }
}
