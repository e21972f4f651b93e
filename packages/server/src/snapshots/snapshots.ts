/**
 * Stills from the newest frame. Owns the way from a camera to a picture in memory or in a file; leaves starting and
 * stopping of the capture to its source, names and sidecars to the library.
 *
 * A camera that gives JPEG costs no process: the frame is completed and written. Anything else is decoded by one short
 * ffmpeg, shared by all who ask for the same frame in the same form. Every request gets a file of its own.
 */
import { codeOf, messageOf, OcelliError } from "@ocelli/protocol";
import type { Camera, Cameras } from "../cameras/contract.ts";
import type { Clock } from "../clock/clock.ts";
import { type ClockSync, stampOf } from "../clock/sync/state.ts";
import type { EventBus } from "../events/bus.ts";
import type { CameraView } from "../events/catalogue.ts";
import type { Library, MediaEntry, Sidecar, StorageGuard } from "../library/contract.ts";
import { defaultStem, extensionOf } from "../library/names.ts";
import { isoOfUs } from "../library/sidecar.ts";
import type { Log } from "../log/log.ts";
import type { Fragment } from "../media/fragment.ts";
import { completeJpeg, jpegSize } from "../media/jpeg.ts";
import { writeFileAtomic } from "../store/atomic-file.ts";
import { Limiter } from "../store/limiter.ts";
import type { SnapshotRequest, Snapshots, StillImage } from "./contract.ts";
import { decodeFrame } from "./decode.ts";
import { type NewestFrame, newestFrame } from "./newest-frame.ts";

export interface SnapshotOptions {
  readonly cameras: Cameras;
  readonly library: Library;
  readonly storage: StorageGuard;
  readonly bus: EventBus;
  readonly clock: Clock;
  /** Whose word about the clock goes into sidecars. */
  readonly clockSync?: Pick<ClockSync, "state">;
  readonly log: Log;
  /**
   * Frames skipped after a capture had to be started, by kind of camera. Defaults: 5 for `v4l2`, whose exposure and
   * white balance settle in the first frames; 0 for all others, which are running before anybody asks.
   */
  readonly warmUpFrames?: Partial<Record<CameraView["kind"], number>>;
  /** Skipping ends after this long however slow the camera is, milliseconds. Default 2000. */
  readonly warmUpMaxMs?: number;
  /** How long a new frame may take once the capture runs, milliseconds. Default 5000. */
  readonly frameTimeoutMs?: number;
  /** Decoders at once. Default 4. */
  readonly maxDecoders?: number;
  /** Flush pictures to the disk before answering. Default true. */
  readonly sync?: boolean;
  /** ffmpeg's name or path. */
  readonly ffmpeg?: string;
}

const defaultQuality = 85;

type Picture = Omit<SnapshotRequest, "filename">;

export class SnapshotService implements Snapshots {
  readonly #options: SnapshotOptions;
  readonly #limiter: Limiter;
  readonly #closing = new AbortController();
  readonly #running = new Set<Promise<unknown>>();
  /** Decoding under way by what makes its result the same. */
  readonly #decoding = new Map<string, Promise<Buffer>>();
  #closed: Promise<void> | undefined;

  constructor(options: SnapshotOptions) {
    this.#options = options;
    this.#limiter = new Limiter(options.maxDecoders ?? 4);
  }

  take(request: SnapshotRequest): Promise<MediaEntry> {
    return this.#track(() => this.#take(request)).catch((error: unknown) => {
      this.#tellFailure(request.cameraId, error);
      throw error;
    });
  }

  still(request: Picture): Promise<StillImage> {
    return this.#track(async () => {
      const camera = this.#options.cameras.find(request.cameraId);
      return (await this.#picture(camera, request)).image;
    });
  }

  /** Ends what is under way. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= (async () => {
      this.#closing.abort(
        new OcelliError("capture_failed", "The hub is stopping: no snapshot can be taken."),
      );
      await Promise.allSettled(this.#running);
    })();
    return this.#closed;
  }

  /** Not of what the caller did wrong. */
  #tellFailure(cameraId: string, error: unknown): void {
    const code = codeOf(error);
    const callers = code === "camera_not_found" || code === "invalid_filename" || code === "invalid_params";
    if (callers || this.#closing.signal.aborted) return;
    this.#options.bus.emit("snapshot.failed", { cameraId, error: { code, message: messageOf(error) } });
  }

  async #take(request: SnapshotRequest): Promise<MediaEntry> {
    const { cameras, library, clock, bus } = this.#options;
    const camera = cameras.find(request.cameraId);
    const format = request.format ?? (extensionOf(request.filename ?? "") === "png" ? "png" : "jpg");
    await this.#assertSpace();
    // A bad name is refused before the camera is started for it; the default one carries the frame's own time.
    let reserved =
      request.filename === undefined ? undefined : library.reserve("snapshot", request.filename, format);
    try {
      const { image, source } = await this.#picture(camera, { ...request, format });
      reserved ??= library.reserve(
        "snapshot",
        defaultStem("snapshot", camera.id, image.capturedAtUs),
        format,
      );
      const filename = reserved;
      const { clockSync } = this.#options;
      const sidecar = {
        ...describePicture(camera.view(), filename, format, image, source, clock.wallUs()),
        ...(clockSync === undefined ? {} : { clock: stampOf(clockSync.state) }),
      };
      const path = `${library.folder("snapshot")}/${filename}`;
      const written = writeFileAtomic(path, image.bytes, { sync: this.#options.sync ?? true }).catch(
        (error: unknown) => {
          throw new OcelliError(
            "storage_failed",
            `The snapshot ${path} could not be written: ${messageOf(error)}. Check the permissions and the free space of its folder.`,
            { details: { path }, cause: error },
          );
        },
      );
      await library.put(sidecar, { after: written });
      bus.emit("snapshot.taken", {
        cameraId: camera.id,
        filename,
        bytes: image.bytes.length,
        resolution: sidecar.resolution,
      });
      return library.get("snapshot", filename);
    } catch (error) {
      if (reserved !== undefined) library.release("snapshot", reserved);
      throw error;
    }
  }

  async #picture(
    camera: Camera,
    request: Picture,
  ): Promise<{ image: StillImage; source: "kernel" | "arrival" }> {
    const { quality, format = "jpg" } = request;
    if (quality !== undefined && !(Number.isInteger(quality) && quality >= 1 && quality <= 100)) {
      throw new OcelliError(
        "invalid_params",
        `The quality of a snapshot is a whole number from 1 to 100, not ${quality}.`,
        {
          details: { quality },
        },
      );
    }
    const { clock, warmUpFrames, warmUpMaxMs = 2000, frameTimeoutMs = 5000 } = this.#options;
    const { kind } = camera.view();
    const source = camera.native();
    const newest = await newestFrame(source, {
      clock,
      holder: `snapshot of ${camera.id}`,
      warmUpFrames: warmUpFrames?.[kind] ?? (kind === "v4l2" ? 5 : 0),
      warmUpMaxMs,
      frameTimeoutMs,
      signal: this.#closing.signal,
    });
    const { frame } = newest;
    const asItIs = format === "jpg" && isJpeg(frame) && (quality === undefined || quality === defaultQuality);
    const bytes = asItIs
      ? completeJpeg(frame.sample)
      : await this.#decode(source.id, newest, format, quality ?? defaultQuality);
    const size = format === "jpg" ? jpegSize(bytes) : pngSize(bytes);
    return {
      image: {
        bytes,
        contentType: format === "jpg" ? "image/jpeg" : "image/png",
        capturedAtUs: frame.capturedAtUs,
        ...size,
      },
      source: source.timeSource,
    };
  }

  #decode(
    sourceId: string,
    { frame, gop }: NewestFrame,
    format: "jpg" | "png",
    quality: number,
  ): Promise<Buffer> {
    const key = `${sourceId} ${frame.sequence} ${format} ${quality}`;
    const running = this.#decoding.get(key);
    if (running !== undefined) return running;
    const { clock, ffmpeg } = this.#options;
    const signal = this.#closing.signal;
    const run = this.#limiter
      .run(() =>
        decodeFrame(frame, gop, {
          clock,
          format,
          quality,
          signal,
          ...(ffmpeg === undefined ? {} : { ffmpeg }),
        }),
      )
      .finally(() => this.#decoding.delete(key));
    this.#decoding.set(key, run);
    return run;
  }

  async #assertSpace(): Promise<void> {
    const { level, freeBytes, totalBytes } = await this.#options.storage.check();
    if (level !== "critical") return;
    throw new OcelliError(
      "storage_critical",
      `Storage space is critical: ${Math.floor(freeBytes / 2 ** 20)} MiB free. Delete recordings or give the hub a larger disk.`,
      { details: { freeBytes, totalBytes } },
    );
  }

  #track<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closing.signal.aborted) return Promise.reject(this.#closing.signal.reason);
    const run = work();
    this.#running.add(run);
    const forget = (): void => void this.#running.delete(run);
    run.then(forget, forget);
    return run;
  }
}

function isJpeg(frame: Fragment): boolean {
  return frame.track.kind === "video" && frame.track.codec === "mjpeg";
}

/** Width and height of the IHDR chunk, which is always the first (ISO/IEC 15948, 11.2.2). */
function pngSize(png: Buffer): { width: number; height: number } {
  if (png.length < 24 || png.toString("latin1", 12, 16) !== "IHDR") {
    throw new OcelliError("ffmpeg_failed", "ffmpeg gave something that is not a PNG picture.");
  }
  return { width: png.readUInt32BE(16), height: png.readUInt32BE(20) };
}

function describePicture(
  view: CameraView,
  filename: string,
  format: "jpg" | "png",
  image: StillImage,
  timeSource: "kernel" | "arrival",
  createdAtUs: number,
): Sidecar {
  return {
    version: 1,
    kind: "snapshot",
    filename,
    cameraId: view.id,
    cameraName: view.name,
    device: {
      busPath: view.busPath,
      ...(view.node === undefined ? {} : { node: view.node }),
      ...(view.serial === undefined ? {} : { serial: view.serial }),
    },
    state: "complete",
    format,
    codec: format === "jpg" ? "mjpeg" : "png",
    resolution: `${image.width}x${image.height}`,
    fps: view.mode?.fps ?? 0,
    bytes: image.bytes.length,
    createdAtUs,
    timeSource,
    firstFrameAtUs: image.capturedAtUs,
    lastFrameAtUs: image.capturedAtUs,
    durationS: undefined,
    frames: 1,
    droppedFrames: undefined,
    gaps: [],
    clockSteps: [],
    recordingId: undefined,
    segment: undefined,
    requestedDurationS: undefined,
    scheduledStart: undefined,
    endReason: undefined,
    started_at: isoOfUs(image.capturedAtUs),
    stopped_at: null,
    sha256: undefined,
  };
}
