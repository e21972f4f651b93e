/**
 * One recording from its start to its last sidecar: feeds the recorder from the camera, and decides when it is over. The
 * camera's lease is `camera-link.ts`'s, journal and sidecars are `bookkeeper.ts`'s, what a file holds is `recorder.ts`'s.
 */
import { codeOf, OcelliError } from "@ocelli/protocol";
import type { OpenOptions } from "../capture/source.ts";
import type { RecordingView } from "../events/catalogue.ts";
import type { Log } from "../log/log.ts";
import type { Fragment } from "../media/fragment.ts";
import { Bookkeeper } from "./bookkeeper.ts";
import { CameraLink } from "./camera-link.ts";
import { exportSegments } from "./export-segments.ts";
import type { JournalEntry } from "./journal.ts";
import { Recorder, type RecorderOptions } from "./recorder.ts";
import { copyFormatOf } from "./segment-sidecar.ts";
import { asError, fellBehind, nothingRecorded, stoppedEarly } from "./session-errors.ts";
import type { SessionOptions, SessionParts } from "./session-options.ts";

/** How early before the request a plain recording may begin, so that it can begin at a keyframe. */
const earlyUs = 1_000_000;
/** Reason of the hole a crash of the hub or the machine left. */
export const hubWasDown = "hub_was_down";
/** Reason of the end of an armed start that gave its camera to another recording. */
export const yielded = "yielded";

export class RecordingSession {
  readonly #parts: SessionParts;
  readonly #options: SessionOptions;
  readonly #log: Log;
  readonly #camera: CameraLink;
  readonly #books: Bookkeeper;
  readonly #recorder: Recorder;
  /** The entry as it was found: what had been recorded before a crash. */
  readonly #earlier: JournalEntry;
  readonly #resumed: boolean;
  readonly #preRollUs: number;
  readonly #requestedAtUs: number;
  /** Aborted when the recording is to end; wakes whatever waits. */
  readonly #stopping = new AbortController();
  readonly #started = Promise.withResolvers<void>();
  readonly #closed = Promise.withResolvers<RecordingView>();
  readonly #cleanups: (() => void)[] = [];
  /** The instant it is armed for. */
  #startAtUs: number | undefined;
  #endReason: string | undefined;
  #stopAtMonoUs = Number.POSITIVE_INFINITY;
  /** When the hub's clock ends a recording that gets no frames. */
  #deadlineMonoUs = Number.POSITIVE_INFINITY;
  #lastFrameMonoUs: number;
  /** When progress was last told; 0 before the first frame. */
  #toldAtMonoUs = 0;
  /** True while the reader waits for a frame: then, and only then, may the clock append what is waiting. */
  #idle = true;
  #flushing: Promise<void> | undefined;
  #flushFailure: unknown;
  #state: RecordingView["state"] = "active";
  #endedAtUs: number | undefined;

  constructor(
    entry: JournalEntry,
    parts: SessionParts,
    options: SessionOptions,
    how: { readonly preRollS?: number; readonly resumed?: boolean } = {},
  ) {
    const { clock, cameras, events, library, journal } = parts;
    this.#parts = parts;
    this.#options = options;
    this.#log = parts.log.child({ recording: entry.id, camera: entry.cameraId });
    this.#earlier = entry;
    this.#startAtUs = entry.startAtUs;
    this.#resumed = how.resumed ?? false;
    this.#preRollUs = (how.preRollS ?? 0) * 1e6;
    this.#requestedAtUs = clock.wallUs();
    this.#lastFrameMonoUs = clock.monoUs();
    this.#camera = new CameraLink({
      ...{ cameras, clock, events, log: this.#log, cameraId: entry.cameraId },
      budgetBytes: options.budgetBytes ?? 64 * 2 ** 20,
      retryMs: options.retryMs ?? 2000,
    });
    this.#books = new Bookkeeper(entry, {
      library,
      journal,
      clock,
      clockSync: parts.clockSync,
      camera: this.#camera,
    });
    this.#recorder = new Recorder(this.#recorderOptions());
    // Nobody may be waiting for the start any more when it fails.
    this.#started.promise.catch(() => undefined);
  }

  get id(): string {
    return this.#earlier.id;
  }

  get cameraId(): string {
    return this.#earlier.cameraId;
  }

  /** Settles when all is over and every file has its final sidecar. Never rejects. */
  get closed(): Promise<RecordingView> {
    return this.#closed.promise;
  }

  view(): RecordingView {
    const { durationS, startedAtUs, startAtUs, format } = this.#books.entry;
    const { recordedUs, recordedBytes, recordedFrames } = this.#earlier;
    const totals = this.#recorder.totals;
    return {
      id: this.id,
      cameraId: this.cameraId,
      filename: this.#books.filename,
      segments: this.#books.segments,
      startedAtUs: startedAtUs ?? startAtUs ?? this.#requestedAtUs,
      endedAtUs: this.#endedAtUs,
      requestedDurationS: durationS,
      durationS: (recordedUs + totals.durationUs) / 1e6,
      bytes: recordedBytes + totals.bytes,
      frames: recordedFrames + totals.frames,
      droppedFrames: totals.droppedFrames,
      format,
      state: this.#state,
      ...(startAtUs !== undefined && this.#waitsForStart() && startAtUs > this.#parts.clock.wallUs()
        ? { armedForUs: startAtUs }
        : {}),
    };
  }

  /** Settles with the first frame in the file, or armed. @throws OcelliError see `Recordings.start` */
  async start(): Promise<RecordingView> {
    try {
      await this.#prepare();
    } catch (error) {
      throw await this.#abandon(error);
    }
    this.#run();
    if (this.#earlier.startAtUs === undefined) {
      const timeoutMs = this.#options.firstFrameTimeoutMs ?? 15_000;
      const cancel = this.#parts.clock.after(timeoutMs, () => {
        if (this.#toldAtMonoUs === 0) this.#end("start_timeout");
      });
      await this.#started.promise.finally(cancel);
    }
    return this.view();
  }

  /** Goes on with a recording that a crash interrupted, as soon as the camera gives frames. */
  resume(): void {
    const { startAtUs, segments } = this.#earlier;
    // Armed, it is known by the file it promised, which nobody else may take meanwhile.
    if (startAtUs !== undefined && segments.length === 0) this.#books.reserveName();
    this.#run();
  }

  /** It is armed, and gives its camera to a recording that is to begin at once. */
  get yieldsNow(): boolean {
    return this.#earlier.yields === true && this.#waitsForStart();
  }

  /**
   * Arms it for another instant.
   * @returns false when it has begun, or is not armed
   */
  rearm(startAtUs: number): boolean {
    const { clock } = this.#parts;
    const before = this.#startAtUs;
    if (before === undefined || !this.#waitsForStart() || this.#stopping.signal.aborted) return false;
    if (!this.#recorder.rearm(startAtUs, clock.monoUs())) return false;
    this.#startAtUs = startAtUs;
    this.#deadlineMonoUs += startAtUs - before;
    const { sync } = this.#books.entry;
    const change = { startAtUs, ...(sync === undefined ? {} : { sync: { ...sync, startAtUs } }) };
    this.#books.save(change).catch((error: unknown) => {
      this.#log.warn({ err: error }, "the new instant of an armed recording is not in the journal yet");
    });
    return true;
  }

  /** Ends it; settles when every file is finished and indexed. */
  stop(reason: string): Promise<RecordingView> {
    this.#end(reason);
    return this.closed;
  }

  #recorderOptions(): RecorderOptions {
    const { startAtUs, startedAtUs, durationS, format, segments, lastFrameAtUs } = this.#earlier;
    const { limits, fragmentSeconds, maxFragmentBytes, sync, openFile } = this.#options;
    const goesOn = startedAtUs !== undefined;
    const armedAtUs = goesOn ? undefined : startAtUs;
    return {
      host: this.#books,
      notBeforeUs: armedAtUs ?? this.#requestedAtUs - this.#preRollUs - earlyUs,
      limits,
      keepFragmented: format === "fmp4",
      firstIndex: segments.length,
      ...(durationS === undefined
        ? {}
        : goesOn
          ? { endAtUs: this.#requestedAtUs + this.#remainingUs(durationS, this.#requestedAtUs) }
          : { durationUs: durationS * 1e6 }),
      ...(lastFrameAtUs === undefined ? {} : { resumedAfter: { lastFrameAtUs, reason: hubWasDown } }),
      ...(fragmentSeconds === undefined ? {} : { fragmentSeconds }),
      ...(maxFragmentBytes === undefined ? {} : { maxFragmentBytes }),
      ...(sync === undefined ? {} : { sync }),
      ...(openFile === undefined ? {} : { openFile }),
    };
  }

  /** What a duration leaves from now on. The wall clock may have jumped back, so what is in the files counts too. */
  #remainingUs(durationS: number, nowUs: number): number {
    const { startedAtUs, recordedUs } = this.#earlier;
    const beganAtUs = startedAtUs ?? this.#startAtUs ?? nowUs;
    const leftUs = beganAtUs + durationS * 1e6 - nowUs;
    return startedAtUs === undefined ? leftUs : Math.min(leftUs, durationS * 1e6 - recordedUs);
  }

  async #prepare(): Promise<void> {
    const { cameras, storage, exports } = this.#parts;
    const { format, startAtUs } = this.#earlier;
    // Says at once that the camera is unknown, before a name is taken.
    cameras.find(this.cameraId);
    if (copyFormatOf(this.#earlier) !== undefined && exports === undefined) {
      throw new OcelliError("unsupported", `This hub cannot make ${format} files; use mp4.`, {
        details: { format },
      });
    }
    await storage.assertMayRecord();
    this.#books.reserveName();
    if (startAtUs !== undefined) await this.#books.save();
    await this.#camera.open(this.#holder(), this.#from(), this.#stopping.signal);
    if (format === "ts" && this.#camera.codec === "mjpeg") {
      throw new OcelliError(
        "unsupported",
        "MPEG-TS cannot hold MJPEG; use mp4 or mkv, or set recordCodec to h264.",
        {
          details: { format, codec: "mjpeg" },
        },
      );
    }
  }

  /** Ends a start that did not come so far that there is a file. */
  async #abandon(cause: unknown): Promise<OcelliError> {
    const stopped = this.#stopping.signal.aborted && cause === this.#stopping.signal.reason;
    const error = stopped ? stoppedEarly(this.cameraId) : asError(cause);
    this.#camera.close();
    const promised = this.#books.filename;
    this.#books.releaseName();
    await this.#books.conclude().catch((failure: unknown) => {
      this.#log.error({ err: failure }, "the recording journal could not be brought up to date");
    });
    this.#state = "failed";
    this.#endedAtUs = this.#parts.clock.wallUs();
    this.#closed.resolve(stopped ? this.#takenBackView(promised) : this.view());
    return error;
  }

  /** Of an armed start that did not come to its instant: what was promised. */
  #takenBackView(filename: string): RecordingView {
    const { startAtUs } = this.#books.entry;
    return startAtUs === undefined ? this.view() : { ...this.view(), filename, armedForUs: startAtUs };
  }

  #run(): void {
    const { clock } = this.#parts;
    const { startAtUs, durationS, startedAtUs } = this.#earlier;
    if (durationS !== undefined && (startedAtUs ?? startAtUs) !== undefined) {
      this.#deadlineMonoUs =
        clock.monoUs() + this.#remainingUs(durationS, clock.wallUs()) + this.#overdueUs();
    }
    const fragmentMs = this.#fragmentUs() / 1000;
    this.#cleanups.push(clock.every(Math.min(500, Math.max(50, fragmentMs / 2)), () => this.#tick()));
    this.#cleanups.push(clock.onStep((stepUs) => this.#noteClockStep(stepUs)));
    this.#read().then(
      (reason) => this.#conclude(reason, undefined),
      (error: unknown) => this.#conclude(codeOf(error), error),
    );
  }

  /** Reads frames until the recording is over; returns why it is. */
  async #read(): Promise<string> {
    const { signal } = this.#stopping;
    for (;;) {
      if (this.#camera.cursor === undefined) {
        if (!(await this.#camera.openWhenBack(this.#holder(), this.#from(), signal))) break;
      }
      const before = this.#lastFrameMonoUs;
      const reason = await this.#readLease();
      if (reason !== undefined) return reason;
      // The source was closed under us; another one may take its place.
      this.#camera.close();
      this.#idle = true;
      if (this.#lastFrameMonoUs === before) await this.#camera.mayBeBack(signal);
    }
    return this.#endReason ?? "requested";
  }

  /** @returns why the recording is over; `undefined` when the source is */
  async #readLease(): Promise<string | undefined> {
    const { cursor } = this.#camera;
    const { signal } = this.#stopping;
    if (cursor === undefined) return undefined;
    while (!signal.aborted) {
      const item = await cursor.next(signal).catch((error: unknown) => {
        if (signal.aborted && error === signal.reason) return "stop" as const;
        throw error;
      });
      this.#idle = false;
      await this.#flushing;
      if (this.#flushFailure !== undefined) throw this.#flushFailure;
      if (item === "stop") break;
      if (item === undefined) return undefined;
      if (item.kind === "lost") throw fellBehind(this.cameraId, item.frames);
      if ((await this.#take(item.fragment)) === "ended") return "duration";
      this.#idle = true;
    }
    await this.#flushing;
    // What had reached the hub when the end was asked for belongs to the recording.
    for (let left = cursor.lag().fragments; left > 0; left--) {
      const item = await cursor.next();
      if (item?.kind !== "fragment" || item.fragment.receivedAtMonoUs > this.#stopAtMonoUs) break;
      if ((await this.#take(item.fragment)) === "ended") return "duration";
    }
    return this.#endReason ?? "requested";
  }

  async #take(fragment: Fragment): Promise<"more" | "ended"> {
    this.#lastFrameMonoUs = fragment.receivedAtMonoUs;
    const verdict = await this.#recorder.take(fragment);
    if (!this.#recorder.holdsFrames) this.#camera.cursor?.release?.();
    const first = this.#recorder.firstFrame;
    if (first !== undefined && this.#toldAtMonoUs === 0) this.#noteStarted(first);
    return verdict;
  }

  #noteStarted(first: Fragment): void {
    const { clock, events } = this.#parts;
    const { durationS, lastFrameAtUs } = this.#earlier;
    this.#toldAtMonoUs = clock.monoUs();
    if (durationS !== undefined && this.#earlier.startedAtUs === undefined) {
      this.#deadlineMonoUs = first.receivedAtMonoUs + durationS * 1e6 + this.#overdueUs();
    }
    this.#started.resolve();
    const recording = this.view();
    this.#log.info({ file: recording.filename }, "recording");
    events.emit("recording.started", { recording });
    if (!this.#resumed) return;
    events.emit("recording.recovered", {
      filename: recording.filename,
      cameraId: this.cameraId,
      frames: recording.frames,
      resumed: true,
      ...(lastFrameAtUs === undefined ? {} : { gap: { fromUs: lastFrameAtUs, toUs: first.capturedAtUs } }),
    });
  }

  #tick(): void {
    const { clock, events, storage } = this.#parts;
    if (this.#stopping.signal.aborted) return;
    const now = clock.monoUs();
    const { waitingSinceMonoUs } = this.#recorder;
    if (this.#idle && this.#flushing === undefined && waitingSinceMonoUs !== undefined) {
      // No frame comes to complete the fragment: what there is must not wait in memory for it.
      if (now - waitingSinceMonoUs > 1.5 * this.#fragmentUs()) this.#flushNow();
    }
    if (this.#toldAtMonoUs > 0 && now - this.#toldAtMonoUs >= 1_000_000) {
      this.#toldAtMonoUs = now;
      events.emit("recording.progress", { recording: this.view() });
    }
    const absentUs = (this.#options.cameraAbsentSeconds ?? 0) * 1e6;
    const armed = this.#toldAtMonoUs === 0 && (this.#startAtUs ?? 0) > clock.wallUs();
    if (storage.state.level === "critical") this.#end("storage_critical");
    else if (this.#idle && now > this.#deadlineMonoUs) this.#end("duration");
    else if (this.#idle && !armed && absentUs > 0 && now - this.#lastFrameMonoUs > absentUs)
      this.#end("camera_lost");
  }

  #flushNow(): void {
    this.#flushing = this.#recorder
      .flush()
      .catch((error: unknown) => {
        this.#flushFailure = error;
        this.#end(codeOf(error));
      })
      .finally(() => {
        this.#flushing = undefined;
      });
  }

  #noteClockStep(stepUs: number): void {
    // T0 is an instant of the wall clock, which is now so much nearer or further off.
    if (this.#toldAtMonoUs === 0 && this.#earlier.startAtUs !== undefined) this.#deadlineMonoUs -= stepUs;
    this.#recorder.noteClockStep({ atUs: this.#parts.clock.wallUs(), stepUs });
    const { segment } = this.#recorder;
    if (segment === undefined) return;
    this.#books.refresh(segment).catch((error: unknown) => {
      this.#log.warn({ err: error }, "the step of the clock is not in the sidecar yet");
    });
  }

  #end(reason: string): void {
    if (this.#endReason !== undefined) return;
    this.#endReason = reason;
    this.#camera.refresh();
    this.#stopAtMonoUs = this.#parts.clock.monoUs();
    this.#stopping.abort(
      new OcelliError("capture_failed", `The recording of ${this.cameraId} ended: ${reason}.`),
    );
  }

  async #conclude(reason: string, cause: unknown): Promise<void> {
    const { clock, events } = this.#parts;
    this.#endReason ??= reason;
    for (const cleanup of this.#cleanups) cleanup();
    this.#camera.close();
    await this.#flushing;
    const failure = cause ?? this.#flushFailure;
    // From here on a crash must not bring the recording back to life. If this fails the last word below is logged.
    const over = this.#books.save({ over: true }).catch(() => undefined);
    const finishFailure = await this.#recorder.end(failure === undefined ? reason : codeOf(failure));
    await over;
    let error = failure ?? finishFailure;
    const takenBack =
      (reason === "requested" || reason === "shutdown" || reason === yielded) && this.#waitsForStart();
    if (this.view().frames === 0 && !takenBack) error ??= nothingRecorded(this.cameraId, reason);
    await this.#export();
    const promised = this.#books.filename;
    this.#books.releaseName();
    await this.#books.conclude().catch((journalError: unknown) => {
      this.#log.error({ err: journalError }, "the recording journal could not be brought up to date");
    });
    this.#endedAtUs = clock.wallUs();
    this.#state = error === undefined && !takenBack ? "completed" : "failed";
    const recording = takenBack ? this.#takenBackView(promised) : this.view();
    const { filename, frames } = recording;
    this.#closed.resolve(recording);
    // By then whoever keeps the sessions has let go of this one: a listener may start the next recording.
    await this.#closed.promise;
    if (error === undefined) {
      const what = takenBack ? "the start of a recording is taken back" : "recording finished";
      this.#log.info({ file: filename, frames, reason }, what);
      events.emit("recording.stopped", { recording, reason });
      return;
    }
    const known = asError(error);
    this.#started.reject(known);
    this.#log.error({ err: known, file: filename, frames }, "recording failed");
    events.emit("recording.failed", { recording, error: { code: known.code, message: known.message } });
  }

  async #export(): Promise<void> {
    const { exports, library } = this.#parts;
    const { segments, unfinished } = this.#books.entry;
    const format = copyFormatOf(this.#books.entry);
    if (exports === undefined || format === undefined) return;
    const untouchable = new Set(unfinished.map(({ filename }) => filename));
    const made = await exportSegments(segments, format, { exports, library, log: this.#log, untouchable });
    this.#books.settleSegments(made);
  }

  #holder(): string {
    return `recording ${this.#books.filename || this.id}`;
  }

  /** Where in the ring to begin. */
  #from(): OpenOptions["from"] {
    const { startAtUs, startedAtUs } = this.#books.entry;
    if (startedAtUs !== undefined) return "keyframe";
    const nowUs = this.#parts.clock.wallUs();
    if (startAtUs !== undefined) return startAtUs > nowUs ? "keyframe" : { capturedAtUs: startAtUs };
    return this.#preRollUs > 0 ? { capturedAtUs: nowUs - this.#preRollUs } : "keyframe";
  }

  /** It is to begin at an instant, and there is no frame yet. */
  #waitsForStart(): boolean {
    const { startAtUs, startedAtUs } = this.#earlier;
    const waits = startAtUs !== undefined && startedAtUs === undefined;
    return waits && this.#state === "active" && this.#recorder.totals.frames === 0;
  }

  #fragmentUs(): number {
    return (this.#options.fragmentSeconds ?? 1) * 1e6;
  }

  #overdueUs(): number {
    return (this.#options.overdueMs ?? 3000) * 1000;
  }
}
