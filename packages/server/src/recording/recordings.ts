/**
 * All recordings of the hub: one at a time of each camera, what a crash left behind, the end of all of them. Owns the
 * sessions; a session owns its files.
 */
import { randomUUID } from "node:crypto";
import { OcelliError } from "@ocelli/protocol";
import type { RecordingView } from "../events/catalogue.ts";
import type { Recordings, StartRecordingRequest } from "./contract.ts";
import type { JournalEntry } from "./journal.ts";
import { recoverEntry, recoverWithoutJournal } from "./recovery.ts";
import { RecordingSession, yielded } from "./session.ts";
import type { SessionOptions, SessionParts } from "./session-options.ts";

export interface RecordingServiceOptions extends SessionParts, SessionOptions {
  /** How long `close` waits for files to be finished; what is not done by then the next start does. Default 20,000. */
  readonly closeTimeoutMs?: number;
}

export class RecordingService implements Recordings {
  readonly #options: RecordingServiceOptions;
  readonly #sessions = new Map<string, RecordingSession>();
  readonly #offStorage: () => void;
  #closed: Promise<void> | undefined;

  constructor(options: RecordingServiceOptions) {
    this.#options = options;
    this.#offStorage = options.events.on("storage.level", ({ level }) => {
      if (level !== "critical") return;
      for (const session of this.#sessions.values()) session.stop("storage_critical");
    });
  }

  async start(request: StartRecordingRequest): Promise<RecordingView> {
    const camera = this.#options.cameras.find(request.cameraId);
    checkStartTime(request.startAtUs, this.#options.clock.wallUs());
    this.#refuseWhenClosed();
    let running = this.#sessions.get(camera.id);
    if (running?.yieldsNow === true && request.startAtUs === undefined) {
      checkRequest(request);
      await running.stop(yielded);
      this.#refuseWhenClosed();
      // Another may have been quicker.
      running = this.#sessions.get(camera.id);
    }
    if (running !== undefined) {
      const { id, filename, armedForUs } = running.view();
      const what =
        armedForUs === undefined
          ? `is being recorded already, to ${filename}`
          : `is kept ready to record at ${new Date(armedForUs / 1000).toISOString()}, to ${filename}`;
      throw new OcelliError("already_recording", `${camera.id} ${what}.`, {
        details: { cameraId: camera.id, recordingId: id, filename },
      });
    }
    checkRequest(request);
    const entry: JournalEntry = {
      ...blankEntry(randomUUID(), camera.id),
      format: request.format ?? "mp4",
      ...(request.filename === undefined ? {} : { filename: request.filename }),
      ...(request.durationS === undefined ? {} : { durationS: request.durationS }),
      ...(request.startAtUs === undefined ? {} : { startAtUs: request.startAtUs }),
      ...(request.yields === true ? { yields: true } : {}),
      ...(request.sync === undefined ? {} : { sync: { ...request.sync } }),
    };
    const preRollS =
      request.preRollS ?? (request.startAtUs === undefined ? camera.settings.preRollS : undefined);
    const how = preRollS === undefined ? {} : { preRollS };
    const session = new RecordingSession(entry, this.#options, this.#options, how);
    this.#keep(session);
    return session.start();
  }

  rearm(recordingId: string, startAtUs: number): boolean {
    const session = [...this.#sessions.values()].find(({ id }) => id === recordingId);
    return session?.rearm(startAtUs) ?? false;
  }

  async stop(target: { cameraId: string } | { recordingId: string }): Promise<RecordingView> {
    let session: RecordingSession | undefined;
    let what: string;
    if ("recordingId" in target) {
      session = [...this.#sessions.values()].find((one) => one.id === target.recordingId);
      what = `the recording ${target.recordingId}`;
    } else {
      // A camera that is not known any more can still have a recording that waits for it.
      what = this.#sessions.has(target.cameraId)
        ? target.cameraId
        : this.#options.cameras.find(target.cameraId).id;
      session = this.#sessions.get(what);
    }
    if (session === undefined) {
      throw new OcelliError("not_recording", `Nothing is being recorded for ${what}.`, {
        details: { ...target },
      });
    }
    return session.stop("requested");
  }

  active(): readonly RecordingView[] {
    return [...this.#sessions.values()].map((session) => session.view());
  }

  activeOf(cameraId: string): RecordingView | undefined {
    return this.#sessions.get(cameraId)?.view();
  }

  async recover(): Promise<void> {
    const { journal, log } = this.#options;
    if (journal.isNew) await recoverWithoutJournal(this.#options);
    for (const entry of await journal.list()) {
      try {
        const resumable = await recoverEntry(entry, this.#options);
        if (resumable === undefined) continue;
        const session = new RecordingSession(resumable, this.#options, this.#options, { resumed: true });
        this.#keep(session);
        session.resume();
      } catch (error) {
        // One bad disk or file must not keep the hub from starting; the entry stays for the next time.
        log.error(
          { err: error, recording: entry.id, files: entry.unfinished },
          "a recording could not be recovered",
        );
      }
    }
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#offStorage();
    const sessions = [...this.#sessions.values()];
    const all = Promise.all(sessions.map((session) => session.stop("shutdown")));
    const overdue = new AbortController();
    const timeout = this.#options.clock.sleep(this.#options.closeTimeoutMs ?? 20_000, overdue.signal).then(
      () => true,
      () => false,
    );
    const late = await Promise.race([all.then(() => false), timeout]);
    overdue.abort();
    if (late) {
      const files = this.active().map(({ filename }) => filename);
      this.#options.log.error(
        { files },
        "recordings could not be finished in time; the next start finishes them",
      );
    }
  }

  #keep(session: RecordingSession): void {
    this.#sessions.set(session.cameraId, session);
    session.closed.then(() => {
      if (this.#sessions.get(session.cameraId) === session) this.#sessions.delete(session.cameraId);
    });
  }

  #refuseWhenClosed(): void {
    if (this.#closed !== undefined) throw new OcelliError("capture_failed", "The hub is shutting down.");
  }
}

/** An entry of the journal with nothing recorded. */
export function blankEntry(id: string, cameraId: string): JournalEntry {
  return {
    version: 1,
    id,
    cameraId,
    format: "mp4",
    over: false,
    segments: [],
    unfinished: [],
    recordedUs: 0,
    recordedFrames: 0,
    recordedBytes: 0,
  };
}

/** A start that has just passed may still be in the ring; one further off is a mistake, or a job for a schedule. */
const longestPastUs = 10e6;
const longestAheadUs = 86_400e6;

function checkStartTime(startAtUs: number | undefined, nowUs: number): void {
  if (startAtUs === undefined) return;
  const aheadUs = startAtUs - nowUs;
  if (aheadUs >= -longestPastUs && aheadUs <= longestAheadUs) return;
  const when = aheadUs < 0 ? `${Math.round(-aheadUs / 1e6)} s in the past` : "more than a day ahead";
  throw new OcelliError(
    "invalid_params",
    `The start asked for is ${when}; it must be between 10 s ago and 24 h from now. Check the clocks of both machines.`,
    { details: { startAtUs, nowUs } },
  );
}

function checkRequest(request: StartRecordingRequest): void {
  const { durationS, preRollS, startAtUs } = request;
  const wrong = (name: string, value: unknown, allowed: string): OcelliError =>
    new OcelliError("invalid_params", `${name} is ${String(value)}; it must be ${allowed}.`, {
      details: { [name]: value },
    });
  if (durationS !== undefined && !(Number.isFinite(durationS) && durationS > 0)) {
    throw wrong("durationS", durationS, "a number of seconds above 0");
  }
  if (preRollS !== undefined && !(Number.isFinite(preRollS) && preRollS >= 0)) {
    throw wrong("preRollS", preRollS, "a number of seconds, 0 or more");
  }
  if (startAtUs !== undefined && !(Number.isSafeInteger(startAtUs) && startAtUs > 0)) {
    throw wrong("startAtUs", startAtUs, "epoch microseconds");
  }
  if (startAtUs !== undefined && preRollS !== undefined && preRollS > 0) {
    throw wrong("preRollS", preRollS, "left out together with startAtUs");
  }
}
