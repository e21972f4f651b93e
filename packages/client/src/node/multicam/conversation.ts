/**
 * How the controller talks with a device: a command and its answer, noted in the list of devices, and said again where
 * the protocol allows it.
 */
import { COMMAND_TIMEOUT, CommandMessage, isError, type StatusResponse } from "@ocelli/protocol/multicam";
import { sleep } from "../../waiting.ts";
import { type MultiCamDevice, nameOfDevice, readStatus } from "./device.ts";
import type { DeviceList } from "./device-list.ts";
import { MultiCamError } from "./errors.ts";
import { type Exchanged, exchange } from "./exchange.ts";
import type { CallOptions, MultiCamControllerOptions } from "./options.ts";
import { refusal } from "./refusal.ts";

export class Conversation {
  readonly #options: MultiCamControllerOptions;
  readonly #devices: DeviceList;
  readonly #closing: AbortSignal;

  /** @param closing gives up whatever runs */
  constructor(options: MultiCamControllerOptions, devices: DeviceList, closing: AbortSignal) {
    this.#options = options;
    this.#devices = devices;
    this.#closing = closing;
  }

  /** Unix seconds by the clock of devices. */
  now(): number {
    return this.#options.now?.() ?? Date.now() / 1000;
  }

  sender(): { readonly deviceId: string; readonly timestamp: number } {
    return { deviceId: this.#options.deviceId ?? "controller", timestamp: this.now() };
  }

  signal(signal: AbortSignal | undefined): AbortSignal {
    return signal === undefined ? this.#closing : AbortSignal.any([signal, this.#closing]);
  }

  /** DEVICE_STATUS, once. @throws MultiCamError */
  status(device: MultiCamDevice, options: CallOptions): Promise<StatusResponse> {
    return this.ask(device, CommandMessage.deviceStatus(this.sender()), options);
  }

  /** @throws MultiCamError also when the device answers with an error status */
  async ask(
    device: MultiCamDevice,
    command: CommandMessage,
    options: CallOptions,
    replyTimeout?: number,
  ): Promise<StatusResponse> {
    const exchanged = await this.send(device, command, options, replyTimeout);
    const status = this.read(device, exchanged);
    this.#devices.answered(device, status, exchanged);
    // A state a device is in is no answer to a question for its state.
    if (isError(status.status) && command.command !== "DEVICE_STATUS")
      throw refusal(status, nameOfDevice(device));
    return status;
  }

  send(
    device: MultiCamDevice,
    command: CommandMessage,
    { signal }: CallOptions,
    replyTimeout = this.#options.commandTimeout ?? COMMAND_TIMEOUT,
  ): Promise<Exchanged> {
    const { connectTimeout } = this.#options;
    return this.noting(device, () =>
      exchange(device, command, { connectTimeout, replyTimeout, signal: this.signal(signal) }),
    );
  }

  /** @throws MultiCamError `malformed` */
  read(device: MultiCamDevice, exchanged: Exchanged): StatusResponse {
    try {
      return readStatus(device, exchanged);
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      const words = `${nameOfDevice(device)} answered with something else: ${why}`;
      const error = new MultiCamError("malformed", words, { cause });
      this.#devices.failed(device, error);
      throw error;
    }
  }

  /** Notes when the way to the device fails, or what comes is no answer. What was given up here says nothing of it. */
  async noting<T>(device: MultiCamDevice, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const isOurs = this.#closing.aborted || !(error instanceof MultiCamError);
      if (!isOurs && (error.retryable || error.code === "malformed")) this.#devices.failed(device, error);
      throw error;
    }
  }

  /**
   * Repeats what failed on the way, never what a device refused.
   * @param settled looks whether the failed attempt had its effect; `undefined` when it is to be made again
   */
  async repeat<T>(
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
        await sleep(delay, this.signal(signal));
      }
    }
  }
}
