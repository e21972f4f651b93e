/**
 * One run of a source's ffmpeg: starts it, reads its stdout into frames, watches that frames keep coming, and
 * says why it ended. What the frames mean, and whether there is another run, is for others.
 */
import { OcelliError } from "@ocelli/protocol";
import type { Clock } from "../clock/clock.ts";
import type { FfmpegExit, FfmpegProcess, FfmpegSpawnOptions } from "../ffmpeg/contract.ts";
import { OutputPipe } from "../ffmpeg/output-pipe.ts";
import { spawnFfmpeg } from "../ffmpeg/process.ts";
import { exitInWords } from "../ffmpeg/run.ts";
import { FragmentParser, type RawFrame } from "../media/fragment-parser.ts";
import type { FramePool } from "../media/frame-pool.ts";
import { PacedOutput } from "./paced-output.ts";

export interface CaptureRunOptions {
  /** Names the source in errors. */
  readonly id: string;
  readonly clock: Clock;
  /** Where frames are copied to. */
  readonly pool: FramePool;
  readonly spawn: FfmpegSpawnOptions & { readonly program?: string };
  /** A run without a first video frame after this long is ended. */
  readonly firstFrameMs: number;
  /** A run without a further video frame for this long is ended. */
  readonly stallMs: number;
  /** False while no frame can be due: the watch then waits. Default: always true. */
  readonly expectsFrames?: () => boolean;
  /**
   * A throw ends the run, and is why it ended.
   * @param onTime false where the frame may have waited to be read: `receivedAtMonoUs` says nothing of when it came
   */
  readonly onFrame: (frame: RawFrame, receivedAtMonoUs: number, onTime: boolean) => void;
  /**
   * Which frames have to be read the moment they come once `readInBatches` allows waiting: `every` forbids it.
   * Default `every`.
   */
  readonly onTimeFrames?: () => "every" | "some" | "none";
  /** The run is read promptly for so long after its first frame, while its times settle; default 5000. */
  readonly promptAtFirstMs?: number;
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

/** A watch for stalls that is shorter than this has no patience for batches. */
const shortestStallMs = 1000;

export class CaptureRun {
  /** Settles when the process is gone. Never rejects. */
  readonly ended: Promise<RunEnd>;
  readonly #options: CaptureRunOptions;
  readonly #process: FfmpegProcess;
  readonly #parser: FragmentParser;
  readonly #output: PacedOutput | undefined;
  #firstFrameMonoUs: number | undefined;
  #mayWait = false;
  #over = false;
  #error: OcelliError | undefined;
  #frames = 0;
  #lastFrameMonoUs: number;
  #lastCheckMonoUs: number;
  #cancelCheck: () => void;

  /** @throws OcelliError `ffmpeg_missing` */
  constructor(options: CaptureRunOptions) {
    this.#options = options;
    this.#parser = new FragmentParser({ pool: options.pool });
    const pipe = OutputPipe.open((chunk) => this.#output?.watched(chunk));
    try {
      this.#process = spawnFfmpeg({
        ...options.spawn,
        clock: options.clock,
        quitMs: 700,
        termMs: 300,
        ignoreStderr: knownNoise,
        output: pipe,
      });
    } catch (error) {
      pipe?.close();
      throw error;
    }
    this.#lastFrameMonoUs = options.clock.monoUs();
    this.#lastCheckMonoUs = this.#lastFrameMonoUs;
    const onChunk = (chunk: Buffer, onTime: boolean): boolean => this.#read(chunk, onTime);
    if (pipe === undefined) this.#process.stdout.on("data", (chunk: Buffer) => onChunk(chunk, true));
    else this.#output = new PacedOutput({ clock: options.clock, pipe, onChunk });
    this.#output?.prompt();
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

  /** Whether frames may wait a moment to be read together: cheaper, and nobody in a hurry reads. Not so at first. */
  readInBatches(allowed: boolean): void {
    this.#mayWait = allowed;
    if (!allowed && this.#output?.inBatches) this.#output.prompt();
  }

  /** Reads now what waits. */
  poll(): void {
    if (!this.#over) this.#output?.poll();
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
    // Frames that came before count.
    this.poll();
    if (this.#over) return;
    this.#error ??= error;
    this.#silence();
    this.#process.kill();
  }

  #silence(): void {
    this.#over = true;
    this.#cancelCheck();
    // Read on and thrown away, so that the process is not held up in its end.
    this.#output?.prompt();
  }

  /** @returns whether a video frame came */
  #read(chunk: Buffer, onTime: boolean): boolean {
    if (this.#over) return false;
    const before = this.#frames;
    try {
      const receivedAtMonoUs = this.#options.clock.monoUs();
      for (const frame of this.#parser.push(chunk)) {
        if (frame.track.kind === "video") {
          this.#frames++;
          this.#firstFrameMonoUs ??= receivedAtMonoUs;
          this.#lastFrameMonoUs = receivedAtMonoUs;
        }
        this.#options.onFrame(frame, receivedAtMonoUs, onTime);
        if (this.#over) break;
      }
    } catch (error) {
      this.fail(
        error instanceof OcelliError
          ? error
          : new OcelliError("capture_failed", `${this.#options.id}: ${String(error)}`, { cause: error }),
      );
    }
    return this.#frames > before;
  }

  #check(checkMs: number): void {
    const now = this.#options.clock.monoUs();
    const late = now - this.#lastCheckMonoUs > checkMs * 2000;
    this.#lastCheckMonoUs = now;
    // The hub itself was held up: frames may be waiting in the pipe. Look again next time.
    if (late) return;
    this.#mayBatch(now);
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

  #mayBatch(now: number): void {
    if (!this.#mayWait || this.#output === undefined || this.#output.inBatches) return;
    const { promptAtFirstMs = 5000 } = this.#options;
    const first = this.#firstFrameMonoUs;
    if (first === undefined || now - first < promptAtFirstMs * 1000) return;
    const onTime = this.#options.onTimeFrames?.() ?? "every";
    if (onTime !== "every" && this.#options.stallMs >= shortestStallMs)
      this.#output.batches(onTime === "some");
  }

  #end(exit: FfmpegExit): RunEnd {
    this.poll();
    this.#output?.close();
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
