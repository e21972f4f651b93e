/**
 * What belongs together: the devices of one recording, their common instant, their files in one folder, and a
 * `metadata.json` beside them as other MultiCam controllers write it (spec section 13).
 */
import { randomUUID } from "node:crypto";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import type { StatusResponse } from "@ocelli/protocol/multicam";
import type { MultiCamController } from "./controller.ts";
import type { MultiCamDevice } from "./device.ts";
import { MultiCamError } from "./errors.ts";
import type { DeviceResult, ManyOptions, StartOptions, StoppedFile } from "./options.ts";
import type { Transferred } from "./transfer.ts";

export interface SessionOptions {
  /** The session's own folder is made in it, named by its id. */
  readonly folder: string;
  /** Ids of devices; default all the controller has. */
  readonly devices?: readonly string[];
  readonly name?: string;
  /** Who records. Default `Unknown`. */
  readonly collector?: string;
  readonly task?: string;
}

export interface SessionDownloadOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (device: MultiCamDevice, bytes: number, total: number) => void;
}

/** As it is on disk: times with their offset from UTC, files by the name of the device. */
export interface SessionMetadata {
  readonly session_name: string;
  readonly collector_name: string;
  readonly task: string | null;
  /** ISO 8601, in UTC. */
  readonly time_collected: string;
  /** Of this machine: `+02:00`. */
  readonly local_timezone_offset: string;
  readonly files: Readonly<Record<string, string>>;
}

export class MultiCamSession {
  readonly id = randomUUID();
  /** Where its files and its metadata are. */
  readonly folder: string;
  readonly #controller: MultiCamController;
  readonly #options: SessionOptions;
  readonly #stopped = new Map<string, StoppedFile>();
  readonly #files = new Map<string, string>();
  #devices: readonly string[];
  #at: number | undefined;

  constructor(controller: MultiCamController, options: SessionOptions) {
    this.#controller = controller;
    this.#options = options;
    this.#devices = options.devices ?? controller.devices.map(({ id }) => id);
    this.folder = join(options.folder, this.id);
  }

  /** The common instant, Unix seconds; `undefined` before the start. */
  get at(): number | undefined {
    return this.#at;
  }

  /** Those that take part: all before the start, then those that accepted it. */
  get devices(): readonly string[] {
    return this.#devices;
  }

  /** Names of the files here, by id of the device. */
  get files(): ReadonlyMap<string, string> {
    return this.#files;
  }

  /** One device that accepts is a session; those that did not are in the results, and not asked again. */
  async start(options: Omit<StartOptions, "devices"> = {}): Promise<readonly DeviceResult<StatusResponse>[]> {
    if (this.#at !== undefined)
      throw new MultiCamError("refused", "This session has been started before; make a new one");
    const { at, results } = await this.#controller.startRecording({ ...options, devices: this.#devices });
    const accepted = results.filter(({ ok }) => ok).map(({ device }) => device.id);
    if (accepted.length > 0) {
      this.#devices = accepted;
      this.#at = at;
    }
    return results;
  }

  async stop(options: Omit<ManyOptions, "devices"> = {}): Promise<readonly DeviceResult<StoppedFile>[]> {
    const results = await this.#controller.stopRecording({ ...options, devices: this.#devices });
    for (const result of results) if (result.ok) this.#stopped.set(result.device.id, result.value);
    return results;
  }

  /**
   * Fetches the files of all devices that stopped, side by side, and writes the metadata. What is here already is not
   * fetched again, so that a second call makes up for what failed.
   */
  async download(options: SessionDownloadOptions = {}): Promise<readonly DeviceResult<Transferred>[]> {
    const { signal, onProgress } = options;
    const devices = [...this.#stopped.keys()].filter((id) => !this.#files.has(id));
    const results = await this.#controller.each(
      async (device) => {
        const file = this.#stopped.get(device.id);
        if (file === undefined) throw new MultiCamError("unknown_device", `${device.name} has not stopped`);
        const fetched = await this.#controller.download(device.id, file, {
          folder: this.folder,
          signal,
          onProgress: (bytes, total) => onProgress?.(device, bytes, total),
        });
        this.#files.set(device.id, basename(fetched.path));
        return fetched;
      },
      { devices },
    );
    await this.save();
    signal?.throwIfAborted();
    return results;
  }

  metadata(): SessionMetadata {
    const { name, collector, task } = this.#options;
    const at = new Date((this.#at ?? Date.now() / 1000) * 1000);
    return {
      session_name: name ?? this.id,
      collector_name: collector ?? "Unknown",
      task: task ?? null,
      time_collected: at.toISOString().replace("Z", "+00:00"),
      local_timezone_offset: offsetOf(at),
      files: this.#filesByName(),
    };
  }

  /** Devices of one name are told apart by their ids. */
  #filesByName(): Record<string, string> {
    const known = new Map(this.#controller.devices.map(({ id, name }) => [id, name]));
    const named = [...this.#files].map(([id, file]) => ({ id, name: known.get(id) ?? id, file }));
    const isOnly = (name: string): boolean => named.filter((one) => one.name === name).length === 1;
    return Object.fromEntries(named.map(({ id, name, file }) => [isOnly(name) ? name : id, file]));
  }

  /** Writes `metadata.json`. */
  async save(): Promise<void> {
    await mkdir(this.folder, { recursive: true });
    const path = join(this.folder, "metadata.json");
    await writeFile(`${path}.part`, `${JSON.stringify(this.metadata(), undefined, 2)}\n`);
    await rename(`${path}.part`, path);
  }
}

function offsetOf(at: Date): string {
  const minutes = -at.getTimezoneOffset();
  const two = (value: number): string => String(Math.floor(Math.abs(value))).padStart(2, "0");
  return `${minutes < 0 ? "-" : "+"}${two(minutes / 60)}:${two(minutes % 60)}`;
}
