/**
 * One camera as a MultiCam device: starts at an instant of true time, stops, and hands out its files. Holds what waits
 * for its instant; the recording itself is `recording/`'s, files are the library's.
 *
 * Invariant: it ends and cancels only what MultiCam controllers began. The camera may also be recorded by users, schedules
 * and sync groups, who are known to the hub; whoever reaches a MultiCam port is not.
 */
import { OcelliError } from "@ocelli/protocol";
import { fileIdOf, generateFileId, SCHEDULE_THRESHOLD } from "@ocelli/protocol/multicam";
import type { Cameras } from "../cameras/contract.ts";
import type { Clock } from "../clock/clock.ts";
import type { ClockSync } from "../clock/sync/state.ts";
import type { RecordingView } from "../events/catalogue.ts";
import type { Library, MediaEntry, StorageGuard } from "../library/contract.ts";
import type { Log } from "../log/log.ts";
import type { Recordings } from "../recording/contract.ts";
import type { DeviceActivity, DeviceFile, OpenableFile, RecordingDevice } from "./contract.ts";
import type { KeptDevice } from "./device-ids.ts";

export interface CameraDeviceOptions {
  readonly kept: KeptDevice;
  readonly cameraId: string;
  readonly cameras: Cameras;
  readonly recordings: Recordings;
  readonly library: Library;
  readonly storage: Pick<StorageGuard, "state">;
  readonly clock: Clock;
  readonly clockSync: ClockSync;
  readonly log: Log;
}

/** A start that waits. */
interface Armed {
  /** True time. */
  readonly atUs: number;
  /** The same by the hub's clock, as it was reckoned last. */
  readonly wallUs: number;
  readonly recordingId: string;
}

/** The clock's offset may change by so much before a waiting start is set anew. */
const rearmBeyondUs = 1000;

export class CameraDevice implements RecordingDevice {
  readonly deviceId: string;
  readonly cameraId: string;
  readonly #options: CameraDeviceOptions;
  readonly #offClock: () => void;
  #armed: Armed | undefined;
  /** One thing at a time: two controllers may ask at once. */
  #busy: Promise<unknown> = Promise.resolve();
  #stopping = false;
  /** The recording that a controller began last. */
  #begunId: string | undefined;

  constructor(options: CameraDeviceOptions) {
    this.deviceId = options.kept.deviceId;
    this.#begunId = options.kept.recordingId;
    this.cameraId = options.cameraId;
    this.#options = options;
    this.#offClock = options.clockSync.onChange(() => this.#rearm());
  }

  activity(): DeviceActivity {
    if (this.#stopping) return "stopping";
    const running = this.#running();
    if (running !== undefined) return this.#waits(running) ? "armed" : "recording";
    if (!this.#isThere()) return "absent";
    return this.#options.storage.state.level === "ok" ? "idle" : "full";
  }

  start(atUs: number): Promise<"armed" | "recording"> {
    return this.#one(() => this.#start(atUs));
  }

  stop(): Promise<DeviceFile> {
    return this.#one(() => this.#stop());
  }

  files(limit: number): readonly DeviceFile[] {
    const { library } = this.#options;
    return library
      .page("recording", { limit, offset: 0, cameraId: this.cameraId })
      .entries.filter((entry) => entry.state !== "recording")
      .map(fileOf);
  }

  file(key: string): OpenableFile {
    const { library } = this.#options;
    const entry = this.#entry(key);
    if (entry.state === "recording") {
      throw new OcelliError(
        "file_in_use",
        `${entry.filename} is still being recorded. Stop the recording first.`,
      );
    }
    return { ...fileOf(entry), path: library.get("recording", entry.filename).path };
  }

  close(): void {
    this.#offClock();
  }

  async #start(atUs: number): Promise<"armed" | "recording"> {
    const { clock, clockSync } = this.#options;
    const { synchronised, offsetUs, reason } = clockSync.state;
    const running = this.#running();
    if (running !== undefined) return this.#startAgain(running, atUs);
    const aheadUs = atUs - (clock.wallUs() + offsetUs);
    if (aheadUs < SCHEDULE_THRESHOLD * 1e6) {
      await this.#record(clock.wallUs() + offsetUs, undefined);
      return "recording";
    }
    if (!synchronised) {
      throw new OcelliError("clock_not_synchronised", reason ?? "This machine's clock is not synchronised.");
    }
    await this.#arm(atUs);
    return "armed";
  }

  /** A controller that repeats itself, or a second controller. */
  #startAgain(running: RecordingView, atUs: number): "armed" | "recording" {
    if (!this.#isOurs(running)) {
      throw new OcelliError(
        "already_recording",
        `${this.cameraId} ${this.#waits(running) ? "is to be" : "is being"} recorded by another client of the hub, which no MultiCam controller can stop. Stop that first, or choose another camera.`,
      );
    }
    if (!this.#waits(running)) return "recording";
    const waitingForUs = this.#armed?.atUs ?? running.startedAtUs + this.#options.clockSync.state.offsetUs;
    if (Math.abs(waitingForUs - atUs) <= 1000) return "armed";
    throw new OcelliError(
      "already_recording",
      `${this.cameraId} waits already for a start at ${new Date(waitingForUs / 1000).toISOString()}. Send STOP_RECORDING to cancel that first.`,
    );
  }

  async #arm(atUs: number): Promise<void> {
    const wallUs = Math.round(atUs - this.#options.clockSync.state.offsetUs);
    const { id } = await this.#record(atUs, wallUs);
    this.#armed = { atUs, wallUs, recordingId: id };
    // More may be known of the time by now.
    this.#rearm();
  }

  async #record(nameUs: number, startAtUs: number | undefined): Promise<RecordingView> {
    const { recordings, kept, log } = this.#options;
    const begun = await recordings.start({
      cameraId: this.cameraId,
      filename: generateFileId(this.deviceId, nameUs / 1000),
      ...(startAtUs === undefined ? { preRollS: 0 } : { startAtUs }),
    });
    this.#begunId = begun.id;
    try {
      kept.keepRecordingId(begun.id);
    } catch (error) {
      log.warn({ err: error }, "after a restart of the hub no MultiCam controller could stop this recording");
    }
    return begun;
  }

  /** What is known of true time has changed while a start waits. Who is not sure any more knows best what he knew last. */
  #rearm(): void {
    const { clockSync, recordings } = this.#options;
    const armed = this.#armed;
    if (armed === undefined || !clockSync.state.synchronised) return;
    const wallUs = Math.round(armed.atUs - clockSync.state.offsetUs);
    if (Math.abs(wallUs - armed.wallUs) <= rearmBeyondUs) return;
    if (recordings.rearm(armed.recordingId, wallUs)) this.#armed = { ...armed, wallUs };
  }

  async #stop(): Promise<DeviceFile> {
    const { recordings, library } = this.#options;
    const running = this.#running();
    if (running === undefined) throw notRecording(this.cameraId);
    if (!this.#isOurs(running)) {
      throw new OcelliError(
        "not_recording",
        `${this.cameraId} is not recording for a MultiCam controller. What is recorded was begun by another client of the hub, and is stopped there.`,
      );
    }
    const waited = this.#waits(running);
    this.#stopping = true;
    try {
      const ended = await recordings.stop({ recordingId: running.id });
      this.#armed = undefined;
      if (ended.frames === 0) {
        throw waited
          ? new OcelliError(
              "not_recording",
              "The start that was waited for has been cancelled; nothing was recorded.",
            )
          : notRecording(this.cameraId);
      }
      return fileOf(library.get("recording", ended.filename));
    } finally {
      this.#stopping = false;
    }
  }

  #running(): RecordingView | undefined {
    return this.#options.recordings.activeOf(this.cameraId);
  }

  #isOurs({ id }: RecordingView): boolean {
    return id === this.#begunId;
  }

  /** A start may also have been set by others, or before a restart of the hub. */
  #waits({ id, frames, startedAtUs }: RecordingView): boolean {
    return frames === 0 && (this.#armed?.recordingId === id || startedAtUs > this.#options.clock.wallUs());
  }

  /** A camera may also be taken out of the hub for good, such as a stream that is removed. */
  #isThere(): boolean {
    try {
      return this.#options.cameras.find(this.cameraId).view().status === "CONNECTED";
    } catch {
      return false;
    }
  }

  /** @throws OcelliError `file_not_found` also for a file of another camera */
  #entry(key: string): MediaEntry {
    const { library } = this.#options;
    const missing = new OcelliError(
      "file_not_found",
      `${this.deviceId} has no file ${key.slice(0, 200)}. LIST_FILES names them.`,
    );
    // Never a path: the library refuses, too.
    if (/[/\\]/.test(key)) throw missing;
    for (const name of [key, fileIdOf(key)]) {
      try {
        const entry = library.get("recording", name);
        if (entry.cameraId === this.cameraId) return entry;
      } catch (error) {
        if (!(error instanceof OcelliError)) throw error;
      }
    }
    throw missing;
  }

  #one<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#busy.then(work, work);
    this.#busy = result.catch(() => undefined);
    return result;
  }
}

function notRecording(cameraId: string): OcelliError {
  return new OcelliError("not_recording", `${cameraId} is not recording.`);
}

function fileOf(entry: MediaEntry): DeviceFile {
  const { filename, bytes, firstFrameAtUs, createdAtUs, lastFrameAtUs, modifiedAtUs } = entry;
  return {
    fileName: filename,
    fileSize: bytes,
    creationDate: (firstFrameAtUs ?? createdAtUs) / 1e6,
    modificationDate: Math.max(lastFrameAtUs ?? 0, modifiedAtUs) / 1e6,
  };
}
