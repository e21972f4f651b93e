/**
 * Turns a stream of fragments into the files of one recording: where the first begins, when frames are appended, when a
 * new file begins, where the last ends, and what is missing. Owns the open file and those being finished. Knows no
 * camera, no name and no sidecar: its host supplies and records those, in the order docs/recording.md demands.
 *
 * Invariants: `take`, `flush` and `end` are called by one caller at a time. What a file is said to hold has been written.
 */
import type { open } from "node:fs/promises";
import { OcelliError } from "@ocelli/protocol";
import type { MediaGap } from "../library/contract.ts";
import type { Fragment, InitSegment } from "../media/fragment.ts";
import { DropAccount } from "./drops.ts";
import { FirstFrameFinder } from "./first-frame.ts";
import { beginsSegment, EndRule, type SegmentLimits } from "./limits.ts";
import { type FinishOutcome, SegmentFile, type SyncPolicy } from "./segment-file.ts";

export interface ClockStep {
  readonly atUs: number;
  readonly stepUs: number;
}

/** One file of the recording, as it stands. */
export interface Segment {
  readonly path: string;
  /** 0 for the first file of the recording. */
  readonly index: number;
  readonly init: InitSegment;
  /** The first presented frame. */
  readonly first: Fragment;
  readonly bytes: number;
  readonly frames: number;
  readonly durationUs: number;
  readonly lastFrameAtUs: number | undefined;
  readonly droppedFrames: number;
  readonly gaps: readonly MediaGap[];
  readonly clockSteps: readonly ClockStep[];
}

export interface RecorderHost {
  /** Path of the next file, which the journal names durably before this resolves. */
  name(first: Fragment, index: number): Promise<string>;
  /** The file could not be made; there is none. */
  notMade(path: string): Promise<void>;
  /** The file exists, durable, with no frame in it yet. */
  created(segment: Segment): Promise<void>;
  /** The file has its final form, or the best one to be had. `frames` 0: it has been deleted. */
  ended(segment: Segment, outcome: FinishOutcome, reason: string): Promise<void>;
  /** Nominal interval of the source's frames. */
  intervalUs(): number | undefined;
  /** Why there was a hole before this frame. */
  outageBefore(frame: Fragment): string;
}

export interface RecorderOptions {
  readonly host: RecorderHost;
  /** The first frame is the first captured at or after this instant, epoch microseconds. */
  readonly notBeforeUs: number;
  /** Media microseconds from the first frame; `undefined` until stopped. */
  readonly durationUs?: number;
  /** Instead of `durationUs`, for a recording that goes on: capture time at which it is over. */
  readonly endAtUs?: number;
  /** Index of the first file; default 0. */
  readonly firstIndex?: number;
  /** For a recording that goes on: when its last frame was captured, and why there is a hole. */
  readonly resumedAfter?: { readonly lastFrameAtUs: number; readonly reason: string };
  readonly limits: SegmentLimits;
  /** Media appended at a time; default 1. */
  readonly fragmentSeconds?: number;
  /** Appended earlier when so much is waiting; default 8 MiB. */
  readonly maxFragmentBytes?: number;
  readonly sync?: SyncPolicy;
  readonly keepFragmented?: boolean;
  readonly openFile?: typeof open;
}

export interface RecorderTotals {
  readonly frames: number;
  readonly durationUs: number;
  readonly bytes: number;
  /** Frames that should have been there and were not. */
  readonly droppedFrames: number;
}

export class Recorder {
  readonly #options: RecorderOptions;
  readonly #host: RecorderHost;
  readonly #finder: FirstFrameFinder;
  readonly #fragmentUs: number;
  readonly #maxFragmentBytes: number;
  /** Files past their last frame whose final form is being made. */
  readonly #finishing = new Map<OpenSegment, Promise<void>>();
  /** Of the finished files, of which nothing else is kept: a recording may go on for months. */
  #done: RecorderTotals = { frames: 0, durationUs: 0, bytes: 0, droppedFrames: 0 };
  #finishFailure: unknown;
  #segment: OpenSegment | undefined;
  #nextIndex: number;
  #firstFrame: Fragment | undefined;
  #endRule: EndRule | undefined;
  #batch: Fragment[] = [];
  #batchBytes = 0;
  #failed = false;
  #ended: Promise<OcelliError | undefined> | undefined;

  constructor(options: RecorderOptions) {
    this.#options = options;
    this.#host = options.host;
    this.#finder = new FirstFrameFinder({ notBeforeUs: options.notBeforeUs });
    this.#fragmentUs = (options.fragmentSeconds ?? 1) * 1e6;
    this.#maxFragmentBytes = options.maxFragmentBytes ?? 8 * 2 ** 20;
    this.#nextIndex = options.firstIndex ?? 0;
  }

  /** The first presented frame, once it is in a file. */
  get firstFrame(): Fragment | undefined {
    return this.#firstFrame;
  }

  /** The file being written. */
  get segment(): Segment | undefined {
    return this.#segment;
  }

  get totals(): RecorderTotals {
    const open = this.#segment === undefined ? [] : [this.#segment];
    return [...this.#finishing.keys(), ...open].reduce(sumOf, this.#done);
  }

  /** Monotonic time since which the oldest frame waits to be appended. */
  get waitingSinceMonoUs(): number | undefined {
    return this.#batch[0]?.receivedAtMonoUs;
  }

  /** Frames are held whose bytes are not in a file yet. */
  get holdsFrames(): boolean {
    return this.#batch.length > 0 || !this.#finder.isEmpty;
  }

  /**
   * Another instant to begin at.
   * @param nowMonoUs what has been received by now is not looked at again
   * @returns false when it has begun
   */
  rearm(notBeforeUs: number, nowMonoUs: number): boolean {
    if (this.#nextIndex !== (this.#options.firstIndex ?? 0)) return false;
    this.#finder.rearm(notBeforeUs, nowMonoUs);
    return true;
  }

  noteClockStep(step: ClockStep): void {
    this.#segment?.clockSteps.push(step);
  }

  /**
   * Takes the next fragment of the source.
   * @returns `ended` when the duration is over: the fragment is not part of the recording
   * @throws OcelliError `storage_failed`: call `end`
   */
  async take(fragment: Fragment): Promise<"more" | "ended"> {
    if (this.#ended !== undefined || this.#failed) return "ended";
    try {
      return await this.#take(fragment);
    } catch (error) {
      this.#failed = true;
      throw error;
    }
  }

  /** Appends what is waiting. @throws OcelliError `storage_failed`: call `end` */
  async flush(): Promise<void> {
    const segment = this.#segment;
    const batch = this.#batch;
    if (segment === undefined || batch.length === 0) return;
    this.#batch = [];
    this.#batchBytes = 0;
    try {
      await segment.file.append(batch);
    } catch (error) {
      this.#failed = true;
      throw error;
    }
    segment.account(batch, this.#host);
  }

  /**
   * Appends what is waiting and finishes every file. Same promise each time; never rejects.
   * @returns what went wrong doing so, if anything
   */
  end(reason: string): Promise<OcelliError | undefined> {
    this.#ended ??= this.#end(reason);
    return this.#ended;
  }

  async #end(reason: string): Promise<OcelliError | undefined> {
    let failure: OcelliError | undefined;
    const note = (error: unknown): void => {
      failure ??=
        error instanceof OcelliError ? error : new OcelliError("internal", String(error), { cause: error });
    };
    if (!this.#failed) await this.flush().catch(note);
    const segment = this.#segment;
    if (segment !== undefined) this.#finish(segment, failure === undefined ? reason : failure.code);
    this.#segment = undefined;
    await Promise.all(this.#finishing.values());
    if (this.#finishFailure !== undefined) note(this.#finishFailure);
    return failure;
  }

  async #take(fragment: Fragment): Promise<"more" | "ended"> {
    const segment = this.#segment;
    if (segment === undefined) {
      const begin = this.#finder.take(fragment);
      if (begin !== undefined) await this.#begin(begin.frame, begin.frames);
      return "more";
    }
    const fits = segment.file.accepts(fragment);
    if (fragment.track.kind === "video") {
      const intervalUs = this.#host.intervalUs();
      if (!fits && fragment.keyframe) this.#rebase(fragment, segment);
      if (this.#endRule?.endsBefore(fragment, intervalUs)) {
        await this.flush();
        return "ended";
      }
      const file = { firstMediaTimeUs: segment.first.mediaTimeUs, bytes: segment.bytes + this.#batchBytes };
      if ((!fits && fragment.keyframe) || beginsSegment(fragment, file, this.#options.limits, intervalUs)) {
        await this.flush();
        await this.#begin(fragment, [fragment]);
        return "more";
      }
    }
    // What does not fit waits for the keyframe that begins another file.
    if (!fits) return "more";
    this.#batch.push(fragment);
    this.#batchBytes += fragment.sample.length;
    const oldest = this.#batch[0] ?? fragment;
    const spanUs = fragment.decodeTimeUs + fragment.durationUs - oldest.decodeTimeUs;
    if (spanUs >= this.#fragmentUs || this.#batchBytes >= this.#maxFragmentBytes) await this.flush();
    return "more";
  }

  /** Begins a file, and finishes the one before. */
  async #begin(frame: Fragment, frames: readonly Fragment[]): Promise<void> {
    const index = this.#nextIndex++;
    const path = await this.#host.name(frame, index);
    const before = this.#segment;
    const drops = before?.newDropAccount() ?? this.#firstDropAccount(frame);
    let segment: OpenSegment;
    try {
      segment = await this.#create(path, index, frame, frames, drops);
    } catch (error) {
      await this.#host.notMade(path);
      throw error;
    }
    this.#segment = segment;
    if (before === undefined) this.#setEnd(frame);
    else this.#finish(before, "segment");
    this.#batch = [...frames];
    await this.flush();
    this.#firstFrame ??= frame;
  }

  async #create(
    path: string,
    index: number,
    frame: Fragment,
    frames: readonly Fragment[],
    drops: DropAccount,
  ): Promise<OpenSegment> {
    const { sync = "fragment", keepFragmented = false, openFile } = this.#options;
    const file = await SegmentFile.create({
      ...{ path, first: frames[0] ?? frame, presentFromUs: frame.mediaTimeUs, sync, keepFragmented },
      ...(openFile === undefined ? {} : { openFile }),
    });
    const segment = new OpenSegment(file, index, frame, drops);
    try {
      await this.#host.created(segment);
    } catch (error) {
      await file.discard();
      throw error;
    }
    return segment;
  }

  #firstDropAccount(frame: Fragment): DropAccount {
    const account = new DropAccount();
    const after = this.#options.resumedAfter;
    if (after !== undefined && after.lastFrameAtUs < frame.capturedAtUs) {
      account.outageBetween(after.lastFrameAtUs, frame.capturedAtUs, after.reason, this.#host.intervalUs());
    }
    return account;
  }

  #setEnd(frame: Fragment): void {
    const { durationUs, endAtUs } = this.#options;
    if (endAtUs !== undefined) this.#endRule = new EndRule(frame.mediaTimeUs + endAtUs - frame.capturedAtUs);
    else if (durationUs !== undefined) this.#endRule = new EndRule(frame.mediaTimeUs + durationUs);
  }

  /** The source's clock began anew (another source): the end moves with it, by capture time. */
  #rebase(frame: Fragment, segment: OpenSegment): void {
    const last = segment.last;
    if (this.#endRule === undefined || last === undefined || frame.mediaTimeUs >= last.mediaTimeUs) return;
    const leftUs = this.#endRule.endUs - last.mediaTimeUs;
    this.#endRule = new EndRule(frame.mediaTimeUs + leftUs - (frame.capturedAtUs - last.capturedAtUs));
  }

  /** In the background: the next file is written meanwhile. A failure is reported by `end`. */
  #finish(segment: OpenSegment, reason: string): void {
    const work = (async () => {
      if (segment.isEmpty) await segment.file.discard();
      const outcome = await segment.file.finish();
      segment.finishedBytes = outcome.bytes;
      await this.#host.ended(segment, outcome, reason);
      if (outcome.error !== undefined) throw outcome.error;
    })()
      .catch((error: unknown) => {
        this.#finishFailure ??= error;
      })
      .then(() => {
        this.#finishing.delete(segment);
        this.#done = sumOf(this.#done, segment);
      });
    this.#finishing.set(segment, work);
  }
}

function sumOf(a: RecorderTotals, b: RecorderTotals): RecorderTotals {
  return {
    frames: a.frames + b.frames,
    durationUs: a.durationUs + b.durationUs,
    bytes: a.bytes + b.bytes,
    droppedFrames: a.droppedFrames + b.droppedFrames,
  };
}

class OpenSegment implements Segment {
  readonly file: SegmentFile;
  readonly index: number;
  readonly first: Fragment;
  readonly clockSteps: ClockStep[] = [];
  readonly #drops: DropAccount;
  #lastDecoded: Fragment | undefined;
  /** The newest by presentation. */
  #last: Fragment | undefined;
  finishedBytes: number | undefined;

  constructor(file: SegmentFile, index: number, first: Fragment, drops: DropAccount) {
    this.file = file;
    this.index = index;
    this.first = first;
    this.#drops = drops;
  }

  get path(): string {
    return this.file.path;
  }
  get init(): InitSegment {
    return this.first.init;
  }
  get bytes(): number {
    return this.finishedBytes ?? this.file.bytes;
  }
  get frames(): number {
    return this.file.frames;
  }
  get durationUs(): number {
    return this.file.durationUs;
  }
  get isEmpty(): boolean {
    return this.#lastDecoded === undefined;
  }
  get last(): Fragment | undefined {
    return this.#last;
  }
  get lastFrameAtUs(): number | undefined {
    return this.#last?.capturedAtUs;
  }
  get droppedFrames(): number {
    return this.#drops.missing;
  }
  get gaps(): readonly MediaGap[] {
    return this.#drops.gaps;
  }

  /** Notes frames that have been written. */
  account(frames: readonly Fragment[], host: RecorderHost): void {
    for (const frame of frames) {
      if (frame.track.kind !== "video" || frame.mediaTimeUs < this.first.mediaTimeUs) continue;
      this.#drops.frame(frame, host.intervalUs(), frame.discontinuity ? host.outageBefore(frame) : undefined);
      this.#lastDecoded = frame;
      if (frame.mediaTimeUs >= (this.#last?.mediaTimeUs ?? 0)) this.#last = frame;
    }
  }

  /** For the file that goes on where this one ends. */
  newDropAccount(): DropAccount {
    return new DropAccount(this.#lastDecoded === undefined ? {} : { previous: this.#lastDecoded });
  }
}
