/** The floors below in memory, for tests of the adapter: typed against the contracts, with no media behind them. */
import { randomUUID } from "node:crypto";
import { OcelliError } from "@ocelli/protocol";
import type { Camera, Cameras } from "../../../cameras/contract.ts";
import { cameraNotFound } from "../../../cameras/not-found.ts";
import type { FragmentSource } from "../../../capture/source.ts";
import type { Clock } from "../../../clock/clock.ts";
import type { DeviceCapabilities } from "../../../devices/device.ts";
import type { EventBus } from "../../../events/bus.ts";
import type { CameraView, RecordingView } from "../../../events/catalogue.ts";
import type { Library, MediaEntry, MediaKind, PageOptions } from "../../../library/contract.ts";
import { fileNotFound } from "../../../library/not-found.ts";
import type { ExportRequest, Exports, Recordings } from "../../../recording/contract.ts";
import type { Snapshots } from "../../../snapshots/contract.ts";

const atUs = 1_736_951_400_000_000;

export function cameraView(number: number, more: Partial<CameraView> = {}): CameraView {
  return {
    id: `camera${number}`,
    number,
    kind: number < 100 ? "v4l2" : "virtual",
    name: `Camera ${number}`,
    node: number < 100 ? `/dev/video${number}` : undefined,
    status: "CONNECTED",
    reason: undefined,
    reasonCode: undefined,
    mode: { format: "MJPG", width: 1280, height: 720, fps: 29.97 },
    formats: ["MJPG", "YUYV"],
    resolutions: ["1280x720", "640x480"],
    fpsOptions: [30, 15],
    driver: "uvcvideo",
    busPath: `usb-${number}`,
    serial: undefined,
    captureState: "idle",
    connectedAtUs: atUs - 10_000_000,
    disconnectedAtUs: undefined,
    lastSeenUs: atUs,
    ...more,
  };
}

export class FakeCameras implements Cameras {
  readonly views: CameraView[];
  /** Of each camera. */
  capabilities: DeviceCapabilities | undefined;

  constructor(views: CameraView[]) {
    this.views = views;
  }

  list(): readonly Camera[] {
    return this.views.map((view) => this.#camera(view));
  }

  find(name: string): Camera {
    const bare = name.replace(/^\/dev\//, "");
    const view = this.views.find(({ id, node }) => id === name || node === `/dev/${bare}`);
    if (view === undefined)
      throw cameraNotFound(
        name,
        this.views.map(({ id }) => id),
      );
    return this.#camera(view);
  }

  #camera(view: CameraView): Camera {
    const source = {
      stats: () => ({ bytesTotal: 1234, leases: ["recorder"] }),
      open: () => Promise.reject(new OcelliError("capture_failed", `${view.id} gives no frames`)),
    } as unknown as FragmentSource;
    const give = (): FragmentSource => source;
    return {
      id: view.id,
      settings: { recordCodec: "copy" },
      capabilities: this.capabilities,
      view: () => view,
      native: give,
      h264: give,
      mjpeg: give,
    };
  }
}

/** Recordings that take as long as `pace` lets them; every event is told before the promise settles. */
export class FakeRecordings implements Recordings {
  readonly #running = new Map<string, RecordingView>();
  readonly #bus: EventBus;
  readonly #clock: Clock;
  readonly calls: string[] = [];
  pace: (step: string) => Promise<void> = async () => undefined;
  startFailure: Error | undefined;
  lastRequest: unknown;

  constructor(bus: EventBus, clock: Clock) {
    this.#bus = bus;
    this.#clock = clock;
  }

  async start(request: Parameters<Recordings["start"]>[0]): Promise<RecordingView> {
    this.lastRequest = request;
    this.calls.push(`start ${request.cameraId}`);
    await this.pace(`start ${request.cameraId}`);
    if (this.startFailure !== undefined) throw this.startFailure;
    if (this.#running.has(request.cameraId)) {
      throw new OcelliError("already_recording", `${request.cameraId} is recording.`, {
        details: { cameraId: request.cameraId, recordingId: "r9", freeBytes: 5, path: "/data" },
      });
    }
    const format = request.format ?? "mp4";
    const filename = request.filename ?? `${request.cameraId}_2025-01-15_14-30-00.${format}`;
    const recording: RecordingView = {
      id: randomUUID(),
      cameraId: request.cameraId,
      filename,
      startedAtUs: this.#clock.wallUs(),
      endedAtUs: undefined,
      requestedDurationS: request.durationS,
      durationS: 0,
      bytes: 0,
      frames: 0,
      format,
      state: "active",
      segments: [filename],
    };
    this.#running.set(request.cameraId, recording);
    this.#bus.emit("recording.started", { recording });
    return recording;
  }

  rearm(): boolean {
    return false;
  }

  async stop(target: { cameraId: string } | { recordingId: string }): Promise<RecordingView> {
    const running = this.active().find((one) =>
      "cameraId" in target ? one.cameraId === target.cameraId : one.id === target.recordingId,
    );
    this.calls.push(`stop ${running?.cameraId ?? "nothing"}`);
    if (running === undefined) throw new OcelliError("not_recording", "Nothing is being recorded.");
    await this.pace(`stop ${running.cameraId}`);
    const recording: RecordingView = {
      ...running,
      endedAtUs: this.#clock.wallUs(),
      durationS: 2.5,
      bytes: 5000,
      frames: 75,
      state: "completed",
    };
    this.#running.delete(running.cameraId);
    this.#bus.emit("recording.stopped", { recording, reason: "requested" });
    return recording;
  }

  active(): readonly RecordingView[] {
    return [...this.#running.values()];
  }

  activeOf(cameraId: string): RecordingView | undefined {
    return this.#running.get(cameraId);
  }

  async recover(): Promise<void> {}
  async close(): Promise<void> {}
}

export function mediaEntry(kind: MediaKind, filename: string, more: Partial<MediaEntry> = {}): MediaEntry {
  const recording = kind === "recording";
  return {
    version: 1,
    kind,
    filename,
    cameraId: "camera0",
    cameraName: "Camera 0",
    device: { node: "/dev/video0", busPath: "usb-0" },
    state: "complete",
    format: recording ? "mp4" : "jpg",
    codec: recording ? "h264" : "mjpeg",
    resolution: "1280x720",
    fps: 30,
    bytes: 204_800,
    createdAtUs: atUs,
    timeSource: "kernel",
    firstFrameAtUs: atUs,
    lastFrameAtUs: atUs + 2_466_667,
    durationS: recording ? 2.5 : undefined,
    frames: recording ? 75 : 1,
    droppedFrames: 0,
    gaps: recording ? [{ fromUs: atUs, toUs: atUs + 100_000, reason: "stall", missingFrames: 2 }] : [],
    clockSteps: [],
    recordingId: recording ? "r1" : undefined,
    segment: recording ? 1 : undefined,
    requestedDurationS: undefined,
    scheduledStart: undefined,
    endReason: undefined,
    started_at: "2025-01-15T14:30:00.000Z",
    stopped_at: null,
    sha256: undefined,
    path: `/data/${kind}s/${filename}`,
    modifiedAtUs: atUs + 3_000_000,
    ...more,
  };
}

export class FakeLibrary implements Library {
  entries: MediaEntry[] = [];
  lastPage: unknown;
  pages = 0;

  folder(kind: MediaKind): string {
    return `/data/${kind}s`;
  }
  reserve(_kind: MediaKind, wanted: string): string {
    return wanted;
  }
  reserveCopy({ filename }: MediaEntry): string {
    return filename;
  }
  release(): void {}
  async put(): Promise<void> {}
  get(kind: MediaKind, filename: string): MediaEntry {
    if (filename.includes("..")) throw new OcelliError("invalid_filename", "No name may contain two dots.");
    const entry = this.entries.find(
      (one) => one.kind === kind && (one.filename === filename || one.filename.startsWith(`${filename}.`)),
    );
    if (entry === undefined) {
      throw fileNotFound(kind, filename);
    }
    return entry;
  }
  page(kind: MediaKind, options: PageOptions) {
    this.lastPage = options;
    this.pages++;
    const all = this.entries.filter(
      (one) =>
        one.kind === kind &&
        (options.cameraId === undefined || one.cameraId === options.cameraId) &&
        (options.cameraIds === undefined || options.cameraIds.has(one.cameraId)),
    );
    return { entries: all.slice(options.offset, options.offset + options.limit), total: all.length };
  }
  async delete(kind: MediaKind, filename: string): Promise<void> {
    const entry = this.get(kind, filename);
    if (entry.state === "recording") throw new OcelliError("file_in_use", `${filename} is being written.`);
    this.entries = this.entries.filter((one) => one !== entry);
  }
  async rebuild() {
    return { added: 0, removed: 0 };
  }
}

export class FakeSnapshots implements Snapshots {
  failure: Error | undefined;
  lastRequest: unknown;
  pace: (cameraId: string) => Promise<void> = async () => undefined;

  async take(request: Parameters<Snapshots["take"]>[0]): Promise<MediaEntry> {
    this.lastRequest = request;
    await this.pace(request.cameraId);
    if (this.failure !== undefined) throw this.failure;
    return mediaEntry("snapshot", request.filename ?? `${request.cameraId}_snapshot.${request.format}`, {
      cameraId: request.cameraId,
      format: request.format ?? "jpg",
    });
  }
  async still(): Promise<never> {
    throw new OcelliError("unsupported", "No stills here.");
  }
  async close(): Promise<void> {}
}

export class FakeExports implements Exports {
  aborted = false;
  /** Progress told before it ends; it never ends without. */
  fractions: number[] | undefined = [0.1, 0.5, 1];

  async run(request: ExportRequest) {
    if (this.fractions === undefined) {
      await new Promise((_resolve, reject) =>
        request.signal?.addEventListener("abort", () => {
          this.aborted = true;
          reject(new OcelliError("ffmpeg_failed", "The export was cancelled."));
        }),
      );
    }
    for (const fraction of this.fractions ?? []) request.onProgress?.(fraction);
    return { filename: request.filename.replace(/\.\w+$/, `_export.${request.format}`), bytes: 777 };
  }
  async close(): Promise<void> {}
}
