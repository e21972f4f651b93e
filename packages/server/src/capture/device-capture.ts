/**
 * The capture of one device: one ffmpeg at a time opens it, and comes back after a crash, a stall or an
 * unplugging. Leases, ring and timers are `OnDemandSource`'s, one run after another `RunSupervisor`'s, the
 * meaning of times `run-timing.ts`'s.
 */
import { OcelliError } from "@ocelli/protocol";
import type { CaptureInput } from "../devices/device.ts";
import { CaptureRun, type RunEnd } from "./capture-run.ts";
import { type OnDemandOptions, OnDemandSource } from "./on-demand-source.ts";
import { captureArgs, type Sound } from "./output-args.ts";
import type { RecoveryOptions } from "./recovery-policy.ts";
import type { RunPublisher } from "./run-publisher.ts";
import type { RunOutcome, RunSupervisor } from "./run-supervisor.ts";
import { runTiming } from "./run-timing.ts";
import type { CaptureMode, TimeSource } from "./source.ts";

export interface DeviceCaptureOptions extends OnDemandOptions {
  /**
   * How to open the device, asked before each run.
   * @param wanted the mode a lease insists on, or the one in use; without one the owner chooses
   */
  readonly input: (
    wanted: CaptureMode | undefined,
    signal: AbortSignal,
  ) => Promise<{ readonly mode: CaptureMode; readonly input: CaptureInput }>;
  /** Name or path of ffmpeg, default `ffmpeg`. */
  readonly ffmpeg?: string;
  /** Without a frame for this long (and at least five frame intervals) the run is ended; default 5000. */
  readonly stallTimeoutMs?: number;
  /** Every frame is read as it comes for so long after the first of each run; default 5000. */
  readonly promptAtFirstMs?: number;
  /** Video frames dropped at the start of each run, for sensors that need to warm up; default 0. */
  readonly skipFrames?: number;
  readonly recovery?: RecoveryOptions;
  /** For jitter; default `Math.random`. */
  readonly random?: () => number;
}

export class DeviceCapture extends OnDemandSource {
  readonly #options: DeviceCaptureOptions;
  readonly #publisher: RunPublisher;
  readonly #supervisor: RunSupervisor;
  #run: CaptureRun | undefined;
  #timeSource: TimeSource = "kernel";
  /** Of the camera's clock, at the end of the last run. */
  #skewUs = 0;
  #deviceLost = false;
  #mayWait = false;
  /** How the input's sound can be put into MP4, as far as runs have shown; where it cannot, the picture goes on without it. */
  #sound: Sound = "copy";

  constructor(options: DeviceCaptureOptions) {
    super(options);
    this.#options = options;
    this.#publisher = this.publisher();
    this.#supervisor = this.supervisor(options);
  }

  get timeSource(): TimeSource {
    return this.#timeSource;
  }

  /** The device is gone: its process is ended, leases wait for it, new ones are refused. */
  deviceLost(): void {
    if (this.#deviceLost) return;
    this.#deviceLost = true;
    this.#supervisor.setDeviceLost(true);
    const error = this.#lostError();
    this.#run?.fail(error);
    this.failOpeners(error);
  }

  /** The device is back: restarts at once if somebody waits. */
  deviceBack(): void {
    if (!this.#deviceLost) return;
    this.#deviceLost = false;
    this.#supervisor.setDeviceLost(false);
  }

  protected get pid(): number | undefined {
    return this.#run?.pid;
  }

  protected override readInBatches(allowed: boolean): void {
    this.#mayWait = allowed;
    this.#run?.readInBatches(allowed);
  }

  protected override poll(): void {
    this.#run?.poll();
  }

  protected override refusal(): OcelliError | undefined {
    return this.#deviceLost ? this.#lostError() : undefined;
  }

  protected work(signal: AbortSignal, wantedMode: CaptureMode | undefined): Promise<void> {
    this.#publisher.reset();
    this.#skewUs = 0;
    this.#sound = "copy";
    return this.#supervisor.run(signal, (gapReason) => this.#oneRun(signal, wantedMode, gapReason));
  }

  async #oneRun(
    signal: AbortSignal,
    wantedMode: CaptureMode | undefined,
    gapReason: string | undefined,
  ): Promise<RunOutcome> {
    const { mode, input } = await unlessAborted(this.#options.input(this.mode ?? wantedMode, signal), signal);
    // Between the answer and this nobody heard of it.
    signal.throwIfAborted();
    // It may have gone while it was asked.
    if (this.#deviceLost) throw this.#lostError();
    this.beginRun(mode);
    const intervalUs = mode.fps > 0 ? Math.round(1e6 / mode.fps) : undefined;
    const stallMs = Math.max(this.#options.stallTimeoutMs ?? 5000, (5 * (intervalUs ?? 0)) / 1000);
    const timing = runTiming({
      timeSource: input.timeSource,
      times: input.times ?? "stream",
      ...(input.keptBack === undefined ? {} : { keptBack: input.keptBack }),
      afterUs: this.#publisher.newestDecodeUs,
      skewUs: this.#skewUs,
      nominalIntervalUs: intervalUs,
      jumpUs: Math.max(15_000_000, stallMs * 2000),
    });
    this.#publisher.beginRun(this.#options.skipFrames ?? 0, gapReason);
    const sound = input.audio ? this.#sound : "none";
    const run = new CaptureRun({
      id: this.id,
      clock: this.clock,
      pool: this.frames,
      spawn: {
        args: captureArgs(input, sound),
        onStderrLine: (line) => this.log.debug({ line }, "ffmpeg"),
        ...(this.#options.ffmpeg === undefined ? {} : { program: this.#options.ffmpeg }),
        ...(input.env === undefined ? {} : { env: input.env }),
        ...(input.secrets === undefined ? {} : { secrets: input.secrets }),
      },
      firstFrameMs: this.startTimeoutMs,
      stallMs,
      onFrame: (frame, receivedAtMonoUs, onTime) => {
        for (const timed of timing.add(frame, receivedAtMonoUs, onTime)) {
          this.#timeSource = timing.timeSource;
          this.#publisher.add(timed);
        }
      },
      onTimeFrames: () => timing.onTimeFrames,
      ...(this.#options.promptAtFirstMs === undefined
        ? {}
        : { promptAtFirstMs: this.#options.promptAtFirstMs }),
      onStall: () => this.setState("stalled", `no frame for ${stallMs / 1000} s`),
    });
    this.#run = run;
    run.readInBatches(this.#mayWait);
    const stop = (): void => void run.stop();
    signal.addEventListener("abort", stop, { once: true });
    const end = await run.ended;
    signal.removeEventListener("abort", stop);
    this.#run = undefined;
    this.#skewUs = timing.skewUs;
    const better = soundInstead(sound, end);
    if (better !== undefined) {
      this.#sound = better;
      if (better === "none") this.log.warn(`${this.id}: its audio cannot be kept in MP4; going on without`);
      return { error: undefined };
    }
    return end;
  }

  #lostError(): OcelliError {
    return new OcelliError("camera_disconnected", `${this.id} is not attached`, {
      details: { source: this.id },
    });
  }
}

/** The promise's value, or the abort reason as soon as the signal aborts. */
function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}

/** What to try instead of `sound` after that run, if it ended for its sake. */
function soundInstead(sound: Sound, { error, exit, frames }: RunEnd): Sound | undefined {
  const said = (pattern: RegExp): boolean => exit.stderrTail.some((line) => pattern.test(line));
  // Pictures may have come before the first of the sound.
  if (sound === "copy" && said(/malformed AAC bitstream/i)) return "adts";
  if (sound === "none" || frames > 0) return undefined;
  // ffmpeg finds no place for the codec in MP4, or the parser does not know it.
  const refused =
    error?.code === "unsupported" ||
    said(/could not find tag for codec|codec not currently supported in container/i);
  return refused ? "none" : undefined;
}
