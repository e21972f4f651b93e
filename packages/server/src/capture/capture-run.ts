/**
 * One run of a source's ffmpeg: starts it, reads its stdout into frames, watches that frames keep coming, and
 * says why it ended. What the frames mean, and whether there is another run, is for others.
 */
import { OcelliError } from "@ocelli/protocol";
import type { Clock } from "../clock/clock.ts";
import type { FfmpegExit, FfmpegProcess, FfmpegSpawnOptions } from "../ffmpeg/contract.ts";
import { spawnFfmpeg } from "../ffmpeg/process.ts";
import { exitInWords } from "../ffmpeg/run.ts";
import { FragmentParser, type RawFrame } from "../media/fragment-parser.ts";

export interface CaptureRunOptions {
  /** Names the source in errors. */
  readonly id: string;
  readonly clock: Clock;
  readonly spawn: FfmpegSpawnOptions & { readonly program?: string };
  /** A run without a first video frame after this long is ended. */
  readonly firstFrameMs: number;
  /** A run without a further video frame for this long is ended. */
  readonly stallMs: number;
  /** False while no frame can be due: the watch then waits. Default: always true. */
  readonly expectsFrames?: () => boolean;
  /** A throw ends the run, and is why it ended. */
  readonly onFrame: (frame: RawFrame, receivedAtMonoUs: number) => void;
  /** Just before a run that stalled is killed. */
  readonly onStall?: () => void;
}

export interface RunEnd {
  /** Why, for people; `undefined` when it was asked to stop. */
  readonly error: OcelliError | undefined;
  readonly exit: FfmpegExit;
  readonly frames: number;
}

/** Warnings of every run: no edit list (the times need none), full-range JPEG colours (as they should be). */
const knownNoise = /No meaningful edit list|Unable to write PRFT|deprecated pixel format used/;

export class CaptureRun {
  /** Settles when the process is gone. Never rejects. */
  readonly ended: Promise<RunEnd>;
  readonly #options: CaptureRunOptions;
  readonly #process: FfmpegProcess;
  readonly #parser = new FragmentParser();
  #over = false;
  #error: OcelliError | undefined;
  #frames = 0;
  #lastFrameMonoUs: number;
  #lastCheckMonoUs: number;
  #cancelCheck: () => void;

  /** @throws OcelliError `ffmpeg_missing` */
  constructor(options: CaptureRunOptions) {
    this.#options = options;
    this.#process = spawnFfmpeg({
      ...options.spawn,
      clock: options.clock,
      quitMs: 700,
      termMs: 300,
      ignoreStderr: knownNoise,
    });
    this.#lastFrameMonoUs = options.clock.monoUs();
    this.#lastCheckMonoUs = this.#lastFrameMonoUs;
    this.#process.stdout.on("data", (chunk: Buffer) => this.#read(chunk));
    const checkMs = Math.max(20, Math.min(1000, options.stallMs / 4, options.firstFrameMs / 4));
    this.#cancelCheck = options.clock.every(checkMs, () => this.#check(checkMs));
    this.ended = this.#process.exited.then((exit) => this.#end(exit));
  }

  get pid(): number | undefined {
    return this.#over ? undefined : this.#process.pid;
  }

  get stdin(): NodeJS.WritableStream | undefined {
    return this.#process.stdin;
  }

  /** Ends the run politely, within about a second; no frames come any more. */
  stop(): Promise<RunEnd> {
    this.#silence();
    void this.#process.stop();
    return this.ended;
  }

  /** Ends the run at once; nothing of it is wanted any more. */
  kill(): void {
    this.#silence();
    this.#process.kill();
  }

  /** Ends the run at once for this reason. */
  fail(error: OcelliError): void {
    if (this.#over) return;
    this.#error ??= error;
    this.#silence();
    this.#process.kill();
  }

  #silence(): void {
    this.#over = true;
    this.#cancelCheck();
  }

  #read(chunk: Buffer): void {
    // Read on and thrown away, so that the process is not held up in its end.
    if (this.#over) return;
    try {
      const receivedAtMonoUs = this.#options.clock.monoUs();
      for (const frame of this.#parser.push(chunk)) {
        if (frame.track.kind === "video") {
          this.#frames++;
          this.#lastFrameMonoUs = receivedAtMonoUs;
        }
        this.#options.onFrame(frame, receivedAtMonoUs);
        if (this.#over) return;
      }
    } catch (error) {
      this.fail(
        error instanceof OcelliError
          ? error
          : new OcelliError("capture_failed", `${this.#options.id}: ${String(error)}`, { cause: error }),
      );
    }
  }

  #check(checkMs: number): void {
    const now = this.#options.clock.monoUs();
    const late = now - this.#lastCheckMonoUs > checkMs * 2000;
    this.#lastCheckMonoUs = now;
    // The hub itself was held up: frames may be waiting in the pipe. Look again next time.
    if (late) return;
    if (this.#options.expectsFrames?.() === false) {
      this.#lastFrameMonoUs = now;
      return;
    }
    const limitMs = this.#frames === 0 ? this.#options.firstFrameMs : this.#options.stallMs;
    if (now - this.#lastFrameMonoUs < limitMs * 1000) return;
    if (this.#frames > 0) this.#options.onStall?.();
    this.fail(
      new OcelliError(
        "capture_failed",
        `${this.#options.id}: ${this.#frames === 0 ? "no first frame" : "no frame"} for ${limitMs / 1000} s`,
      ),
    );
  }

  #end(exit: FfmpegExit): RunEnd {
    const stopped = this.#over && this.#error === undefined;
    this.#silence();
    const base = this.#error;
    const details = { exitCode: exit.code, signal: exit.signal, stderr: exit.stderrTail };
    let error: OcelliError | undefined;
    if (base !== undefined) {
      error = new OcelliError(base.code, base.message, {
        details: { ...base.details, ...details },
        cause: base,
      });
    } else if (!stopped) {
      const last = exit.signal === null ? exit.stderrTail.at(-1) : undefined;
      error = new OcelliError(
        "capture_failed",
        `${this.#options.id}: ffmpeg ${exitInWords(exit)}${last === undefined ? "" : `: ${last}`}`,
        { details },
      );
    }
    return { error, exit, frames: this.#frames };
  }
}
