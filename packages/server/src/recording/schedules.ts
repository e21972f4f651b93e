/**
 * Recordings at a later time. Owns when each one is started and what became of it; a recording that runs is
 * `recordings.ts`'s, to which the exact start is left: it is asked some seconds ahead, so that the camera is warm.
 *
 * A schedule lives from T0 to T0 + duration. Within that time whatever stands in its way is waited for: an absent
 * camera, another recording, a full disk, a hub that was down. It then records what is left of its time. What never
 * got a frame is `missed`: told as an event, logged, and listed. Until T0 a recording that somebody starts goes first.
 */
import { randomUUID } from "node:crypto";
import { extname } from "node:path";
import { codeOf, messageOf, OcelliError } from "@ocelli/protocol";
import type { Cameras } from "../cameras/contract.ts";
import type { Clock } from "../clock/clock.ts";
import type { EventBus } from "../events/bus.ts";
import type { RecordingView } from "../events/catalogue.ts";
import type { Log } from "../log/log.ts";
import type { Database } from "../store/database.ts";
import type { Recordings, StartRecordingRequest } from "./contract.ts";
import { isOpen, type Schedule, type ScheduleStore, scheduleStore } from "./schedule-store.ts";
import { yielded } from "./session.ts";

export interface SchedulesOptions {
  readonly recordings: Recordings;
  readonly cameras: Cameras;
  /** Opened with `scheduleMigrations` among its migrations. */
  readonly database: Database;
  readonly clock: Clock;
  readonly events: EventBus;
  readonly log: Log;
  /** How long before T0 the camera is opened. Default 15,000. */
  readonly warmUpMs?: number;
  /** Between attempts while something stands in the way. Default 2000. */
  readonly retryMs?: number;
  /** How many may be waiting. Default 1000. */
  readonly maxOpen?: number;
  /** How many that are over stay listed. Default 500. */
  readonly keepOver?: number;
}

export interface ScheduleRequest {
  readonly cameraId: string;
  /** Epoch microseconds. */
  readonly startAtUs: number;
  readonly durationS: number;
  readonly format?: Schedule["format"];
  readonly filename?: string;
}

/** These pass; any other error means that the schedule can never work. */
const passing: ReadonlySet<string> = new Set([
  "already_recording",
  "camera_busy",
  "camera_disconnected",
  "camera_not_found",
  "capture_failed",
  "ffmpeg_failed",
  "internal",
  "reader_too_slow",
  "start_timeout",
  "storage_critical",
  "storage_failed",
  "storage_low",
]);

/** A recording that ended for one of these has done its work; after any other end there is another attempt. */
const regularEnds: ReadonlySet<string> = new Set(["duration", "requested"]);

/** After another recording of this camera the frames since T0 are still held, if it is not long past. */
const stillHeldUs = 5_000_000;
/** With less than this left another attempt makes no sense. */
const leastUs = 500_000;
/** The wall clock may be corrected gently, so a far-off time is looked at again now and then. */
const longestWaitMs = 600_000;

export function noSuchSchedule(id: string): OcelliError {
  return new OcelliError("invalid_params", `There is no scheduled recording ${id}.`, {
    details: { param: "schedule_id" },
  });
}

export class Schedules {
  readonly #options: SchedulesOptions;
  readonly #store: ScheduleStore;
  readonly #open = new Map<string, Schedule>();
  /** Schedules being started, with what ends the attempts. */
  readonly #attending = new Map<string, { readonly stop: AbortController; readonly done: Promise<void> }>();
  readonly #stop: (() => void)[] = [];
  #cancelTimer: (() => void) | undefined;
  #closed: Promise<void> | undefined;

  constructor(options: SchedulesOptions) {
    this.#options = options;
    this.#store = scheduleStore(options.database);
  }

  /** Takes up what the last run left. Called once, after `Recordings.recover()`. */
  start(): void {
    const { events, clock, recordings } = this.#options;
    for (const schedule of this.#store.open()) {
      const runs = recordings.active().some(({ id }) => id === schedule.recordingId);
      this.#open.set(schedule.id, runs ? schedule : { ...schedule, state: "scheduled" });
    }
    this.#stop.push(
      clock.onStep(() => this.#plan()),
      events.on("recording.started", ({ recording }) => this.#noteStarted(recording)),
      events.on("recording.stopped", ({ recording, reason }) => this.#noteEnd(recording, reason)),
      events.on("recording.failed", ({ recording, error }) =>
        this.#noteEnd(recording, error.code, error.message),
      ),
    );
    this.#plan();
  }

  /**
   * @throws OcelliError `camera_not_found` for an unknown camera (an absent one will do), `invalid_params` for a time
   *   that is past or when too many are waiting
   */
  add(request: ScheduleRequest): Schedule {
    const { cameras, clock, maxOpen = 1000 } = this.#options;
    const camera = cameras.find(request.cameraId);
    const nowUs = clock.wallUs();
    if (request.startAtUs <= nowUs) {
      throw new OcelliError("invalid_params", "start_time is past; give a time to come.", {
        details: { param: "start_time", now: nowUs / 1e6 },
      });
    }
    if (!(Number.isFinite(request.durationS) && request.durationS > 0)) {
      throw new OcelliError("invalid_params", "duration must be a number of seconds above 0.", {
        details: { param: "duration" },
      });
    }
    if (this.#open.size >= maxOpen) {
      throw new OcelliError(
        "invalid_params",
        `${maxOpen} scheduled recordings are waiting already; cancel one first.`,
        { details: { limit: maxOpen } },
      );
    }
    const schedule: Schedule = {
      id: randomUUID(),
      cameraId: camera.id,
      startAtUs: request.startAtUs,
      durationS: request.durationS,
      format: request.format ?? "mp4",
      ...(request.filename === undefined ? {} : { filename: request.filename }),
      state: "scheduled",
      createdAtUs: nowUs,
      files: [],
    };
    this.#put(schedule);
    this.#plan();
    return schedule;
  }

  /** Those to come by start, then those that are over, newest first. */
  list(options: { readonly over?: boolean } = {}): readonly Schedule[] {
    const open = [...this.#open.values()].sort((a, b) => a.startAtUs - b.startAtUs);
    return options.over === true ? [...open, ...this.#store.over(this.#options.keepOver ?? 500)] : open;
  }

  /** True from T0 on while a schedule of this camera waits to begin: nothing less urgent should take the camera. */
  isDue(cameraId: string): boolean {
    const nowUs = this.#options.clock.wallUs();
    return [...this.#open.values()].some(
      (one) =>
        one.cameraId === cameraId &&
        one.state === "scheduled" &&
        nowUs >= one.startAtUs &&
        nowUs <= endUs(one) - leastUs,
    );
  }

  /**
   * Takes back one that has not begun.
   * @throws OcelliError `invalid_params` when there is none of that id, or when it is over; `already_recording`
   */
  async cancel(id: string): Promise<Schedule> {
    const schedule = this.#open.get(id);
    if (schedule === undefined) {
      const over = this.#store.get(id);
      if (over === undefined) throw noSuchSchedule(id);
      throw new OcelliError("invalid_params", `The scheduled recording ${id} is over: ${over.state}.`, {
        details: { param: "schedule_id", state: over.state },
      });
    }
    if (schedule.state === "recording") {
      throw new OcelliError(
        "already_recording",
        "It is being recorded already: stop the recording instead.",
        {
          details: { cameraId: schedule.cameraId, recordingId: schedule.recordingId },
        },
      );
    }
    const cancelled = this.#end(schedule, "cancelled");
    const attending = this.#attending.get(id);
    attending?.stop.abort();
    await attending?.done;
    if (schedule.state === "armed") await this.#disarm(schedule.recordingId);
    return cancelled;
  }

  /** Leaves everything as it is for the next start. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= (async () => {
      for (const stop of this.#stop.splice(0)) stop();
      this.#cancelTimer?.();
      for (const { stop } of this.#attending.values()) stop.abort();
      await Promise.race([
        Promise.all([...this.#attending.values()].map(({ done }) => done)),
        // An attempt may be waiting for a camera; closing the recordings ends it.
        this.#options.clock.sleep(1000),
      ]);
    })();
    return this.#closed;
  }

  /** Attends to what is due, and sets the timer for what comes next. */
  #plan(): void {
    if (this.#closed !== undefined) return;
    const { clock, warmUpMs = 15_000 } = this.#options;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    let nextMs = longestWaitMs;
    for (const schedule of this.#open.values()) {
      if (schedule.state !== "scheduled" || this.#attending.has(schedule.id)) continue;
      const dueMs = (schedule.startAtUs - clock.wallUs()) / 1000 - warmUpMs;
      if (dueMs <= 0) this.#attend(schedule.id);
      else nextMs = Math.min(nextMs, dueMs);
    }
    if (this.#open.size > 0) this.#cancelTimer = clock.after(nextMs, () => this.#plan());
  }

  #attend(id: string): void {
    const stop = new AbortController();
    const done = this.#tryUntilOver(id, stop.signal)
      .catch((error: unknown) =>
        this.#options.log.error(
          { err: error, schedule: id },
          "a scheduled recording could not be attended to",
        ),
      )
      .finally(() => this.#attending.delete(id));
    this.#attending.set(id, { stop, done });
  }

  async #tryUntilOver(id: string, signal: AbortSignal): Promise<void> {
    const { clock, recordings, log } = this.#options;
    let waitedForAnother = false;
    for (let attempt = 0; !signal.aborted; attempt++) {
      const schedule = this.#open.get(id);
      if (schedule === undefined) return;
      const nowUs = clock.wallUs();
      if (nowUs > endUs(schedule) - leastUs) {
        this.#conclude(schedule, attempt === 0 ? "The hub was not running at that time." : schedule.reason);
        return;
      }
      try {
        const recording = await recordings.start(requestFor(schedule, nowUs, waitedForAnother));
        if (signal.aborted && this.#closed === undefined) await this.#disarm(recording.id);
        else this.#noteArmed(id, recording);
        return;
      } catch (error) {
        if (signal.aborted) return;
        const code = codeOf(error);
        const reason = messageOf(error);
        const known = this.#open.get(id) ?? schedule;
        if (!passing.has(code)) {
          this.#end({ ...known, reason }, "failed");
          return;
        }
        waitedForAnother = code === "already_recording";
        if (waitedForAnother && (await this.#takeTurn(known))) continue;
        if (known.reason !== reason) {
          log.warn({ schedule: id, camera: schedule.cameraId, reason }, "a scheduled recording has to wait");
          this.#put({ ...known, reason });
        }
      }
      await this.#mayWorkNow(schedule, signal);
    }
  }

  /**
   * Ends a continuous recording at T0: the frames since then are still held, and it goes on afterwards.
   * @returns true when the camera is free now
   */
  async #takeTurn({ cameraId, startAtUs }: Schedule): Promise<boolean> {
    const { recordings, cameras, clock } = this.#options;
    const active = recordings.activeOf(cameraId);
    const yields =
      active !== undefined &&
      active.requestedDurationS === undefined &&
      cameras.find(cameraId).settings.continuousRecording === true;
    if (!yields || clock.wallUs() < startAtUs) return false;
    await this.#disarm(active.id);
    return true;
  }

  /** Settles when something about the camera has changed, and after a while anyway. */
  async #mayWorkNow({ cameraId, startAtUs }: Schedule, signal: AbortSignal): Promise<void> {
    const { clock, events, retryMs = 2000 } = this.#options;
    const untilStartMs = (startAtUs - clock.wallUs()) / 1000;
    const delayMs = untilStartMs > 0 ? Math.min(retryMs, untilStartMs) : retryMs;
    const now = new AbortController();
    const off = [
      events.on("camera.status", ({ camera }) => {
        if (camera.id === cameraId && camera.status === "CONNECTED") now.abort();
      }),
      events.on("recording.stopped", ({ recording }) => {
        if (recording.cameraId === cameraId) now.abort();
      }),
    ];
    await clock.sleep(delayMs, AbortSignal.any([now.signal, signal])).catch(() => undefined);
    for (const stop of off) stop();
  }

  #noteArmed(id: string, recording: RecordingView): void {
    const schedule = this.#open.get(id);
    if (schedule === undefined) return;
    const { reason, ...rest } = schedule;
    this.#put({ ...rest, state: "armed", recordingId: recording.id });
    const { recordings } = this.#options;
    if (recording.frames > 0) this.#noteStarted(recording);
    // A short one may be over by now.
    if (!recordings.active().some((one) => one.id === recording.id)) this.#noteEnd(recording, "duration");
  }

  #noteStarted(recording: RecordingView): void {
    const schedule = this.#byRecording(recording);
    if (schedule === undefined) return;
    this.#put({
      ...schedule,
      state: "recording",
      startedAtUs: schedule.startedAtUs ?? recording.startedAtUs,
      files: withFiles(schedule.files, recording.segments),
    });
  }

  #noteEnd(recording: RecordingView, code: string, message: string = code): void {
    const schedule = this.#byRecording(recording);
    if (schedule === undefined || this.#closed !== undefined) return;
    const known: Schedule = {
      ...schedule,
      files: recording.frames > 0 ? withFiles(schedule.files, recording.segments) : schedule.files,
    };
    if (regularEnds.has(code) && recording.frames > 0) {
      this.#end(code === "requested" ? { ...known, reason: "stopped by request" } : known, "completed");
      return;
    }
    // By request before its first frame: somebody does not want it.
    if (code === "requested" || code === "not_recording") {
      this.#end({ ...known, reason: "stopped by request" }, "cancelled");
      return;
    }
    if (code === yielded) {
      this.#put({ ...known, state: "scheduled", reason: "Another recording was begun before its time." });
      this.#plan();
      return;
    }
    if (code !== "shutdown" && !passing.has(code) && !regularEnds.has(code) && code !== "camera_lost") {
      this.#end({ ...known, reason: message }, "failed");
      return;
    }
    this.#put({ ...known, state: "scheduled", reason: message });
    // While the hub stops, the rest is for the next start.
    if (code !== "shutdown") this.#plan();
  }

  #byRecording({ id }: RecordingView): Schedule | undefined {
    return [...this.#open.values()].find(({ recordingId }) => recordingId === id);
  }

  /** Its time is over. */
  #conclude(schedule: Schedule, reason: string | undefined): void {
    const known = reason === undefined ? schedule : { ...schedule, reason };
    this.#end(known, schedule.startedAtUs === undefined ? "missed" : "completed");
  }

  #end(schedule: Schedule, state: "completed" | "missed" | "failed" | "cancelled"): Schedule {
    const { clock, events, log } = this.#options;
    const over: Schedule = { ...schedule, state, endedAtUs: clock.wallUs() };
    this.#put(over);
    const facts = { schedule: over.id, camera: over.cameraId, files: over.files, reason: over.reason };
    if (state === "missed" || state === "failed")
      log.error(facts, `a scheduled recording was ${state === "missed" ? "missed" : "not possible"}`);
    else log.info(facts, `scheduled recording ${state}`);
    if (state === "missed" || state === "failed") events.emit("schedule.missed", { schedule: over });
    return over;
  }

  #put(schedule: Schedule): void {
    const { events, keepOver = 500 } = this.#options;
    this.#store.put(schedule, keepOver);
    if (isOpen(schedule)) this.#open.set(schedule.id, schedule);
    else this.#open.delete(schedule.id);
    events.emit("schedule.changed", { schedule });
  }

  async #disarm(recordingId: string | undefined): Promise<void> {
    if (recordingId === undefined) return;
    try {
      await this.#options.recordings.stop({ recordingId });
    } catch (error) {
      if (codeOf(error) !== "not_recording") throw error;
    }
  }
}

function endUs({ startAtUs, durationS }: Schedule): number {
  return startAtUs + durationS * 1e6;
}

function requestFor(schedule: Schedule, nowUs: number, waitedForAnother: boolean): StartRecordingRequest {
  const { cameraId, startAtUs, durationS, format, filename, startedAtUs } = schedule;
  const lateUs = nowUs - startAtUs;
  const exact = startedAtUs === undefined && (lateUs < 0 || (waitedForAnother && lateUs < stillHeldUs));
  return {
    cameraId,
    format,
    ...(filename === undefined ? {} : { filename }),
    ...(exact
      ? { startAtUs, durationS, yields: true }
      : { durationS: (endUs(schedule) - nowUs) / 1e6, preRollS: 0 }),
  };
}

/** A recording made into another format at its end has files of the same names but for the extension. */
function withFiles(known: readonly string[], made: readonly string[]): string[] {
  const stems = new Set(made.map(stemOfFile));
  return [...known.filter((name) => !stems.has(stemOfFile(name))), ...made];
}

function stemOfFile(name: string): string {
  return name.slice(0, name.length - extname(name).length);
}
