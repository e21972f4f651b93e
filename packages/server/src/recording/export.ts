/**
 * Makes new library entries from finished recordings: another container by stream copy, or H.264. Owns the run of
 * ffmpeg and the temporary file; the name and the entry are the library's.
 *
 * The file is written under a hidden temporary name beside the recordings, checked with ffprobe, flushed, and renamed
 * when it is whole: nobody sees a part of an export, and a failed one leaves nothing. The capture times of the frames,
 * which ffmpeg does not copy, go into a file beside it.
 */

import { randomUUID } from "node:crypto";
import { open, readdir, rename, unlink } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { codeOf, messageOf, OcelliError } from "@ocelli/protocol";
import type { Clock } from "../clock/clock.ts";
import type { EventBus } from "../events/bus.ts";
import { probe } from "../ffmpeg/probe.ts";
import { runFfmpeg } from "../ffmpeg/run.ts";
import type { Library, MediaEntry, Sidecar, StorageGuard } from "../library/contract.ts";
import { frameTimesPath, writeFrameTimes } from "../library/frame-times-file.ts";
import { isEnclosure } from "../library/names.ts";
import { countPresentedFrames, hiddenLeadUs } from "../library/presented-frames.ts";
import { recordedFrames } from "../library/recorded-frames.ts";
import type { Log } from "../log/log.ts";
import { syncFolder } from "../store/atomic-file.ts";
import type { ExportRequest, ExportResult, Exports } from "./contract.ts";
import { type ExportPlan, exportArgs, planExport } from "./export-args.ts";

export interface ExporterOptions {
  readonly library: Library;
  readonly storage: StorageGuard;
  readonly clock: Clock;
  readonly log: Log;
  /** Where `export.progress` is told; nowhere when left out. */
  readonly bus?: EventBus;
  /** Exports at once; the others wait. Default 1. */
  readonly maxAtOnce?: number;
  /** Threads of one encoder. Default: half of the processors, so that captures keep theirs. */
  readonly threads?: number;
  /** Names or paths. */
  readonly ffmpeg?: string;
  readonly ffprobe?: string;
}

const temporaryPrefix = ".export-";

interface Job extends ExportRequest {
  readonly id: string;
  readonly stop: AbortSignal;
}

export class Exporter implements Exports {
  readonly #options: ExporterOptions;
  readonly #closing = new AbortController();
  readonly #running = new Set<Promise<unknown>>();
  readonly #waiting: (() => void)[] = [];
  #busy = 0;
  #closed: Promise<void> | undefined;
  /** Removes what an earlier hub's death left, before the first export writes. */
  readonly #cleaned: Promise<void>;

  constructor(options: ExporterOptions) {
    this.#options = options;
    this.#cleaned = this.#removeLeftovers();
  }

  run(request: ExportRequest): Promise<ExportResult> {
    if (this.#closing.signal.aborted) return Promise.reject(this.#closing.signal.reason);
    const signals = [this.#closing.signal, ...(request.signal === undefined ? [] : [request.signal])];
    const run = this.#run({ ...request, id: randomUUID(), stop: AbortSignal.any(signals) });
    this.#running.add(run);
    const forget = (): void => void this.#running.delete(run);
    run.then(forget, forget);
    return run;
  }

  /** Ends exports under way; their partial files are removed. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= (async () => {
      this.#closing.abort(new OcelliError("ffmpeg_failed", "The hub is stopping: the export was given up."));
      await Promise.allSettled([this.#cleaned, ...this.#running]);
    })();
    return this.#closed;
  }

  async #run(job: Job): Promise<ExportResult> {
    const { filename, codec } = this.#finished(job.filename);
    // What cannot be done is refused at once, not after a wait.
    const plan = planExport(codec, job.format, job.codec);
    const release = await this.#turn(job.stop);
    try {
      await this.#cleaned;
      // It may have been deleted meanwhile.
      const result = await this.#export(job, this.#finished(filename), plan);
      job.onProgress?.(1);
      this.#tell(job, filename, 1, "done");
      return result;
    } catch (error) {
      this.#tell(job, filename, 0, "failed", messageOf(error));
      throw error;
    } finally {
      release();
    }
  }

  #finished(filename: string): MediaEntry {
    const entry = this.#options.library.get("recording", filename);
    if (isEnclosure(entry.filename)) {
      throw new OcelliError(
        "unsupported",
        `${entry.filename} is no video that could be exported. Download it as it is.`,
        { details: { filename: entry.filename } },
      );
    }
    if (entry.state !== "recording") return entry;
    throw new OcelliError(
      "file_in_use",
      `${entry.filename} is still being recorded. Stop the recording first.`,
      { details: { filename: entry.filename } },
    );
  }

  async #export(job: Job, entry: MediaEntry, plan: ExportPlan): Promise<ExportResult> {
    const { library } = this.#options;
    const folder = library.folder("recording");
    const temporary = join(folder, `${temporaryPrefix}${job.id}.part`);
    let reserved: string | undefined;
    try {
      await this.#assertSpace(entry);
      await this.#convert(job, entry, plan, temporary);
      const found = await this.#check(temporary, entry, plan, job.stop);
      await flush(temporary);
      const hasTimes = await this.#keepFrameTimes(entry, found, temporary, job.stop);
      job.stop.throwIfAborted();
      reserved = library.reserveCopy(entry, plan.format);
      const sidecar = describeExport(entry, plan, reserved, found, this.#options.clock.wallUs());
      await library.put(sidecar, { after: place(temporary, join(folder, reserved), hasTimes) });
      return { filename: reserved, bytes: found.bytes };
    } catch (error) {
      if (reserved !== undefined) library.release("recording", reserved);
      for (const one of [temporary, frameTimesPath(temporary)]) await unlink(one).catch(() => undefined);
      throw error;
    }
  }

  /** A copy is as large as its source; an encoded one is taken to be no larger. */
  async #assertSpace(entry: MediaEntry): Promise<void> {
    await this.#options.storage.assertMayRecord();
    const { freeBytes, totalBytes } = this.#options.storage.state;
    if (freeBytes > entry.bytes) return;
    throw new OcelliError(
      "storage_low",
      `Exporting ${entry.filename} needs about ${Math.ceil(entry.bytes / 2 ** 20)} MiB and ${Math.floor(freeBytes / 2 ** 20)} MiB are free. Delete recordings first.`,
      { details: { filename: entry.filename, freeBytes, totalBytes, neededBytes: entry.bytes } },
    );
  }

  async #convert(job: Job, entry: MediaEntry, plan: ExportPlan, temporary: string): Promise<void> {
    const {
      clock,
      storage,
      ffmpeg,
      threads = Math.max(1, Math.floor(availableParallelism() / 2)),
    } = this.#options;
    const full = new AbortController();
    const durationUs = (entry.durationS ?? 0) * 1e6;
    await runFfmpeg({
      clock,
      purpose: `exporting ${entry.filename}`,
      args: exportArgs(plan, entry.path, temporary, threads),
      timeoutMs: Number.POSITIVE_INFINITY,
      signal: AbortSignal.any([job.stop, full.signal]),
      ...(ffmpeg === undefined ? {} : { program: ffmpeg }),
      onProgress: ({ outTimeUs }) => {
        if (storage.state.level === "critical") {
          full.abort(
            new OcelliError(
              "storage_critical",
              `Exporting ${entry.filename} was given up: storage space is critical.`,
              {
                details: { filename: entry.filename, freeBytes: storage.state.freeBytes },
              },
            ),
          );
        }
        if (outTimeUs === undefined || durationUs <= 0) return;
        // The end is told of when the file is in its place.
        const fraction = Math.min(0.99, Math.max(0, outTimeUs / durationUs));
        job.onProgress?.(fraction);
        this.#tell(job, entry.filename, fraction, "running");
      },
    });
  }

  /** What the new file really holds. */
  async #check(path: string, entry: MediaEntry, plan: ExportPlan, signal: AbortSignal): Promise<Found> {
    const { clock, ffprobe, log } = this.#options;
    const common = { clock, signal };
    const counting = { ...common, ...(ffprobe === undefined ? {} : { ffprobe }) };
    const probed = await probe(path, { ...common, ...(ffprobe === undefined ? {} : { program: ffprobe }) });
    const { presented: frames } = await countPresentedFrames(path, counting);
    const { video } = probed;
    if (video === undefined || frames === 0) {
      throw new OcelliError("ffmpeg_failed", `The export of ${entry.filename} holds no pictures.`, {
        details: { filename: entry.filename },
      });
    }
    const same = entry.frames === undefined || frames === entry.frames;
    // Containers without edit lists show the frames that the recording hides before its scheduled start.
    const leadUs = same || plan.transcode ? 0 : await hiddenLeadUs(entry.path, counting);
    if (!same && leadUs === 0) {
      log.warn(
        { filename: entry.filename, frames, expected: entry.frames },
        "an export has another number of frames than its recording",
      );
    }
    return {
      bytes: probed.sizeBytes ?? 0,
      frames,
      leadUs,
      durationS: (same ? entry.durationS : undefined) ?? video.durationS ?? probed.durationS,
      codec: video.codec ?? entry.codec,
      resolution: `${video.width ?? 0}x${video.height ?? 0}`,
    };
  }

  /** @returns false when the recording has none, or none that fit: no times are better than those of other frames */
  async #keepFrameTimes(
    entry: MediaEntry,
    { frames, leadUs }: Found,
    temporary: string,
    signal: AbortSignal,
  ): Promise<boolean> {
    try {
      const times = recordedFrames(entry.path, signal, { hiddenToo: leadUs > 0 });
      const kept = await writeFrameTimes(temporary, times);
      if (kept === frames) return true;
      const { filename } = entry;
      this.#options.log.warn(
        { filename, frames, kept },
        "an export has no capture times: frames are missing",
      );
    } catch (error) {
      if (codeOf(error) !== "unsupported") throw error;
    }
    await unlink(frameTimesPath(temporary));
    return false;
  }

  async #turn(signal: AbortSignal): Promise<() => void> {
    const max = this.#options.maxAtOnce ?? 1;
    while (this.#busy >= max) {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const onAbort = (): void => reject(signal.reason);
      signal.addEventListener("abort", onAbort, { once: true });
      this.#waiting.push(resolve);
      try {
        signal.throwIfAborted();
        await promise;
      } catch (error) {
        // A place that came at the same moment goes on to the next one.
        const at = this.#waiting.indexOf(resolve);
        if (at >= 0) this.#waiting.splice(at, 1);
        else this.#waiting.shift()?.();
        throw error;
      } finally {
        signal.removeEventListener("abort", onAbort);
      }
    }
    this.#busy++;
    return () => {
      this.#busy--;
      this.#waiting.shift()?.();
    };
  }

  #tell(
    job: Job,
    filename: string,
    fraction: number,
    state: "running" | "done" | "failed",
    error?: string,
  ): void {
    this.#options.bus?.emit("export.progress", {
      exportId: job.id,
      filename,
      fraction,
      state,
      ...(error === undefined ? {} : { error }),
    });
  }

  async #removeLeftovers(): Promise<void> {
    const folder = this.#options.library.folder("recording");
    try {
      const names = await readdir(folder);
      const left = names.filter((name) => name.startsWith(temporaryPrefix));
      await Promise.all(left.map((name) => unlink(join(folder, name))));
    } catch (error) {
      this.#options.log.warn(
        { err: error, folder },
        "partial exports of an earlier run could not be removed",
      );
    }
  }
}

interface Found {
  readonly bytes: number;
  readonly frames: number;
  /** Media time before the recording's first frame. */
  readonly leadUs: number;
  readonly durationS: number | undefined;
  readonly codec: string;
  readonly resolution: string;
}

/** What is said of the recording holds for its export too; what the file is, is its own. */
function describeExport(
  entry: MediaEntry,
  plan: ExportPlan,
  filename: string,
  found: Found,
  createdAtUs: number,
): Sidecar {
  const { path: _path, modifiedAtUs: _modified, becomes: _becomes, ...source } = entry;
  return {
    ...source,
    filename,
    state: "complete",
    format: plan.format,
    codec: found.codec,
    resolution: found.resolution,
    bytes: found.bytes,
    frames: found.frames,
    durationS: found.durationS,
    firstFrameAtUs: source.firstFrameAtUs === undefined ? undefined : source.firstFrameAtUs - found.leadUs,
    createdAtUs,
    // It is no segment of the recording.
    recordingId: undefined,
    segment: undefined,
    exportedFrom: entry.filename,
    sha256: undefined,
  };
}

/** The medium first: its times alone would keep its name from the next try. */
async function place(temporary: string, path: string, hasTimes: boolean): Promise<void> {
  await rename(temporary, path);
  if (hasTimes) await rename(frameTimesPath(temporary), frameTimesPath(path));
  await syncFolder(dirname(path));
}

async function flush(path: string): Promise<void> {
  const file = await open(path, "r+");
  try {
    await file.datasync();
  } finally {
    await file.close();
  }
}
