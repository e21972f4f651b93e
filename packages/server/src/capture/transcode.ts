/**
 * Another rendition of a source: ffmpeg fed with its fragments, giving H.264 or MJPEG. Runs only while
 * somebody holds a lease of it, and then holds one of its input.
 *
 * Invariants: a frame keeps the media time and the capture time of the frame it was made from; a discontinuity of the
 * input is one of the output (a new run); when the encoder is slower than the camera, frames are left out
 * rather than delayed without end.
 */
import { OcelliError } from "@ocelli/protocol";
import type { Fragment } from "../media/fragment.ts";
import type { RawFrame } from "../media/fragment-parser.ts";
import { CaptureRun } from "./capture-run.ts";
import { type OnDemandOptions, OnDemandSource } from "./on-demand-source.ts";
import { type TranscodeSettings, transcodeArgs } from "./output-args.ts";
import type { RecoveryOptions } from "./recovery-policy.ts";
import type { RunPublisher } from "./run-publisher.ts";
import type { RunOutcome, RunSupervisor } from "./run-supervisor.ts";
import type { CaptureMode, Cursor, FragmentSource, TimeSource } from "./source.ts";

export interface TranscodeOptions extends OnDemandOptions {
  readonly input: FragmentSource;
  readonly settings: TranscodeSettings;
  /** Name or path of ffmpeg, default `ffmpeg`. */
  readonly ffmpeg?: string;
  /** Frames older than this on their way to the encoder are left out; default 700. */
  readonly maxLagMs?: number;
  /** Without an output for this long, while fed, the run is ended; default 5000. */
  readonly stallTimeoutMs?: number;
  readonly recovery?: RecoveryOptions;
  readonly random?: () => number;
}

/** Capture times kept for frames on their way through the encoder. */
const maxInFlight = 512;

/** How much later than `maxLagMs` a frame may be that others depend on. */
const dependentGraceUs = 2_000_000;

export class Transcode extends OnDemandSource {
  readonly #options: TranscodeOptions;
  readonly #publisher: RunPublisher;
  readonly #supervisor: RunSupervisor;
  #run: CaptureRun | undefined;
  /** Capture times by media time, oldest first. */
  readonly #capturedAt = new Map<number, number>();
  /** Why frames of the input were missing last. */
  #inputGap: string | undefined;
  /** Read from the input, but belonging to the next run. */
  #pending: Fragment | undefined;
  /** Frames fed since the last one came out. */
  #unanswered = 0;
  /** The encoder does not take in what it is given. */
  #blocked = false;
  #skipped = 0;

  constructor(options: TranscodeOptions) {
    super(options);
    this.#options = options;
    this.#publisher = this.publisher();
    this.#supervisor = this.supervisor(options);
  }

  get timeSource(): TimeSource {
    return this.#options.input.timeSource;
  }

  /** Input frames left out because the encoder was too slow. */
  get skippedFrames(): number {
    return this.#skipped;
  }

  protected get pid(): number | undefined {
    return this.#run?.pid;
  }

  protected async work(signal: AbortSignal): Promise<void> {
    this.#publisher.reset();
    const { input } = this.#options;
    const lease = await input.open({ holder: this.id, from: "keyframe", overflow: "skip", signal });
    const offState = input.on("state", ({ to, reason }) => {
      if (this.state === "live" && (to === "recovering" || to === "stalled")) this.setState(to, reason);
    });
    const offGap = input.on("gap", ({ reason }) => {
      this.#inputGap = reason;
    });
    try {
      this.#pending = undefined;
      await this.#supervisor.run(signal, (gapReason) =>
        this.#oneRun(lease.cursor, lease.mode, signal, gapReason),
      );
    } finally {
      offState();
      offGap();
      lease.close();
      this.#capturedAt.clear();
    }
  }

  async #oneRun(
    cursor: Cursor,
    inputMode: CaptureMode,
    signal: AbortSignal,
    gapReason: string | undefined,
  ): Promise<RunOutcome> {
    const first = await this.#firstFragment(cursor, signal);
    signal.throwIfAborted();
    if (first === undefined) return { error: this.#inputEnded(undefined), final: true };
    this.beginRun(this.#modeOf(inputMode));
    this.#publisher.beginRun(0, gapReason ?? this.#inputGap ?? "the input was interrupted");
    this.#unanswered = 0;
    this.#blocked = false;
    const run = new CaptureRun({
      id: this.id,
      clock: this.clock,
      pool: this.frames,
      spawn: {
        args: transcodeArgs(this.#options.settings),
        stdin: "pipe",
        onStderrLine: (line) => this.log.debug({ line }, "ffmpeg"),
        ...(this.#options.ffmpeg === undefined ? {} : { program: this.#options.ffmpeg }),
      },
      firstFrameMs: this.startTimeoutMs,
      stallMs: this.#options.stallTimeoutMs ?? 5000,
      // The encoder and the muxer each hold a frame back.
      expectsFrames: () => this.#blocked || this.#unanswered > 3,
      onFrame: (frame, receivedAtMonoUs) => this.#take(frame, receivedAtMonoUs),
    });
    this.#run = run;
    const over = new AbortController();
    const stop = (): void => {
      over.abort();
      run.kill();
    };
    signal.addEventListener("abort", stop, { once: true });
    void run.ended.then(() => over.abort());
    let inputEnded: OcelliError | undefined;
    try {
      await this.#feed(run, first, cursor, over.signal);
      // The run ended, or the next fragment begins another one: let the encoder give what it has.
      run.stdin?.end();
    } catch (error) {
      if (!over.signal.aborted) inputEnded = this.#inputEnded(error);
    }
    if (inputEnded !== undefined) run.kill();
    const end = await this.#drain(run, over.signal);
    signal.removeEventListener("abort", stop);
    this.#run = undefined;
    if (inputEnded !== undefined) return { error: inputEnded, final: true };
    // Ended because its input did, as it should.
    if (this.#pending !== undefined && end.exit.code === 0) return { error: undefined };
    return end;
  }

  /** Waits for the end of a run whose input was closed; a run that does not end by itself is stopped. */
  async #drain(run: CaptureRun, over: AbortSignal): Promise<Awaited<CaptureRun["ended"]>> {
    const cancel = over.aborted ? undefined : this.clock.after(1000, () => run.kill());
    const end = await run.ended;
    cancel?.();
    return end;
  }

  async #firstFragment(cursor: Cursor, signal: AbortSignal): Promise<Fragment | undefined> {
    const pending = this.#pending;
    this.#pending = undefined;
    if (pending !== undefined) return pending;
    for (;;) {
      const item = await cursor.next(signal);
      if (item === undefined) return undefined;
      if (item.kind === "fragment" && item.fragment.track.kind === "video" && item.fragment.keyframe) {
        return item.fragment;
      }
    }
  }

  /** Feeds fragments until the signal aborts or one needs another run (then `#pending`). */
  async #feed(run: CaptureRun, first: Fragment, cursor: Cursor, signal: AbortSignal): Promise<void> {
    const { stdin } = run;
    if (stdin === undefined) return;
    stdin.write(first.init.bytes);
    const maxLagUs = (this.#options.maxLagMs ?? 700) * 1000;
    const startedAtMonoUs = this.clock.monoUs();
    let skipping = false;
    for (let fragment: Fragment = first; ; ) {
      // What a new run begins with is old, since it begins at a keyframe, and is soon caught up with. A
      // frame others depend on costs a whole GOP, so it may be later than one that stands alone.
      const grace = fragment.keyframe ? 0 : dependentGraceUs;
      const late =
        fragment.receivedAtMonoUs > startedAtMonoUs &&
        this.clock.monoUs() - fragment.receivedAtMonoUs > maxLagUs + grace;
      if (late) skipping = true;
      // After a skip only a keyframe can be decoded.
      else if (fragment.keyframe) skipping = false;
      if (skipping) this.#skipped++;
      else {
        this.#remember(fragment);
        this.#unanswered++;
        this.#blocked = !stdin.write(fragment.bytes);
        if (this.#blocked) await drained(stdin, signal);
        this.#blocked = false;
      }
      const next = await this.#nextVideo(cursor, signal);
      if (next.discontinuity || next.init.fingerprint !== first.init.fingerprint) {
        this.#pending = next;
        return;
      }
      fragment = next;
    }
  }

  async #nextVideo(cursor: Cursor, signal: AbortSignal): Promise<Fragment> {
    for (;;) {
      const item = await cursor.next(signal);
      if (item === undefined) throw this.#inputEnded(undefined);
      if (item.kind === "lost") this.#skipped += item.frames;
      else if (item.fragment.track.kind === "video") return item.fragment;
    }
  }

  #take(frame: RawFrame, receivedAtMonoUs: number): void {
    this.#unanswered = 0;
    if (frame.track.kind !== "video") return;
    const { width, height } = frame.track;
    const mode = this.mode;
    if (mode !== undefined && (mode.width !== width || mode.height !== height)) {
      this.setMode({ ...mode, width, height });
    }
    const timed = { frame, offsetUs: 0, capturedAtMonoUs: frame.ptsUs, receivedAtMonoUs };
    this.#publisher.add(timed, this.#capturedAtOf(frame.ptsUs));
  }

  #remember(fragment: Fragment): void {
    this.#capturedAt.set(fragment.mediaTimeUs, fragment.capturedAtUs);
    if (this.#capturedAt.size <= maxInFlight) return;
    const [oldest] = this.#capturedAt.keys();
    if (oldest !== undefined) this.#capturedAt.delete(oldest);
  }

  /** Times pass through exactly; the nearest input frame serves where an encoder rounded. */
  #capturedAtOf(mediaTimeUs: number): number {
    const exact = this.#capturedAt.get(mediaTimeUs);
    if (exact !== undefined) return exact;
    let best: number | undefined;
    let distance = Number.POSITIVE_INFINITY;
    for (const [media, captured] of this.#capturedAt) {
      if (Math.abs(media - mediaTimeUs) >= distance) continue;
      distance = Math.abs(media - mediaTimeUs);
      best = captured + mediaTimeUs - media;
    }
    return best ?? this.clock.monoToWallUs(mediaTimeUs);
  }

  #modeOf(input: CaptureMode): CaptureMode {
    const { codec, maxFps } = this.#options.settings;
    return {
      ...input,
      format: codec === "h264" ? "H264" : "MJPG",
      fps: maxFps === undefined ? input.fps : Math.min(input.fps, maxFps),
    };
  }

  #inputEnded(cause: unknown): OcelliError {
    if (cause instanceof OcelliError) return cause;
    return new OcelliError("capture_failed", `${this.id}: its input ${this.#options.input.id} ended`, {
      cause,
    });
  }
}

/** Settles when the pipe takes more, or never will. */
function drained(stream: NodeJS.WritableStream, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      stream.off("drain", done);
      stream.off("close", done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    stream.on("drain", done);
    stream.on("close", done);
    signal.addEventListener("abort", done, { once: true });
    if (signal.aborted) done();
  });
}
