/**
 * Keeps the journal, the sidecars and the names of one recording in step with its files. The recorder calls it at each
 * step of a file's life, in the order docs/recording.md demands.
 */
import { basename, join } from "node:path";
import type { Clock } from "../clock/clock.ts";
import { type ClockSync, stampOf } from "../clock/sync/state.ts";
import type { Library, Sidecar } from "../library/contract.ts";
import { defaultStem, stemOf } from "../library/names.ts";
import type { Fragment } from "../media/fragment.ts";
import type { CameraFacts } from "./camera-facts.ts";
import type { CameraLink } from "./camera-link.ts";
import type { JournalEntry, RecordingJournal } from "./journal.ts";
import type { RecorderHost, Segment } from "./recorder.ts";
import type { FinishOutcome } from "./segment-file.ts";
import { becomes, buildSidecar, contentOf, copyFormatOf } from "./segment-sidecar.ts";

export interface BookkeeperParts {
  readonly library: Library;
  readonly journal: RecordingJournal;
  readonly clock: Clock;
  readonly clockSync?: Pick<ClockSync, "state"> | undefined;
  readonly camera: CameraLink;
}

export class Bookkeeper implements RecorderHost {
  readonly #parts: BookkeeperParts;
  #entry: JournalEntry;
  /** By file name: a camera that comes back may give another picture. */
  readonly #facts = new Map<string, CameraFacts>();
  /** Reserved for the first file and not used yet. */
  #reserved: string | undefined;
  #final: readonly string[] | undefined;

  constructor(entry: JournalEntry, parts: BookkeeperParts) {
    this.#entry = entry;
    this.#parts = parts;
  }

  get entry(): JournalEntry {
    return this.#entry;
  }

  /** Names of the files as clients are told them: from the beginning those the files will have at the end. */
  get segments(): readonly string[] {
    return this.#final ?? this.#entry.segments.map((filename) => this.#becomes(filename) ?? filename);
  }

  /** That of the newest file, or of the first one to come. */
  get filename(): string {
    const first = this.#reserved;
    return this.segments.at(-1) ?? (first === undefined ? "" : (this.#becomes(first) ?? first));
  }

  /** Takes the name of the first file. @throws OcelliError `invalid_filename` */
  reserveName(): void {
    const { cameraId, filename, startAtUs } = this.#entry;
    const stem =
      filename === undefined
        ? defaultStem("recording", cameraId, startAtUs ?? this.#parts.clock.wallUs())
        : stemOf("recording", filename);
    this.#reserved = this.#reserve(stem);
  }

  releaseName(): void {
    if (this.#reserved !== undefined) this.#release(this.#reserved);
    this.#reserved = undefined;
  }

  /** Changes the journal entry; durable when it resolves. @throws OcelliError `storage_failed` */
  async save(change: Partial<JournalEntry> = {}): Promise<void> {
    this.#entry = { ...this.#entry, ...change };
    await this.#parts.journal.write(this.#entry);
  }

  /** The last word in the journal: nothing, unless a file could not be finished. @throws OcelliError `storage_failed` */
  async conclude(): Promise<void> {
    if (this.#entry.unfinished.length === 0) await this.#parts.journal.remove(this.#entry.id);
    else await this.save({ over: true });
  }

  /** The names the files have in the end: a copy that could not be made has left its MP4. */
  settleSegments(segments: readonly string[]): void {
    this.#final = [...segments];
  }

  async name(first: Fragment, index: number): Promise<string> {
    const { library, camera } = this.#parts;
    const filename = this.#reserved ?? this.#reserve(this.#stem(first, index));
    this.#reserved = undefined;
    const facts = camera.facts(first.init) ?? this.#entry.facts;
    if (facts !== undefined) this.#facts.set(filename, facts);
    const path = join(library.folder("recording"), filename);
    try {
      await this.save({
        startedAtUs: this.#entry.startedAtUs ?? first.capturedAtUs,
        segments: [...this.#entry.segments, filename],
        unfinished: [...this.#entry.unfinished, { filename, index }],
        facts,
      });
    } catch (error) {
      await this.notMade(path);
      throw error;
    }
    return path;
  }

  async notMade(path: string): Promise<void> {
    const filename = basename(path);
    this.#release(filename);
    await this.#forget(filename).catch(() => undefined);
  }

  async created(segment: Segment): Promise<void> {
    await this.#put(segment, "recording");
  }

  /** Brings the sidecar of the growing file up to date. */
  async refresh(segment: Segment): Promise<void> {
    await this.#put(segment, "recording");
  }

  async ended(segment: Segment, outcome: FinishOutcome, reason: string): Promise<void> {
    const filename = basename(segment.path);
    if (segment.frames === 0) {
      await this.#put(segment, "failed", reason);
      await this.#parts.library.delete("recording", filename);
      await this.#forget(filename);
      return;
    }
    await this.#put(segment, "complete", reason);
    // A file that had to be left fragmented stays in the journal: the next start finishes it.
    if (outcome.error !== undefined) return;
    const { recordedUs, recordedFrames, recordedBytes } = this.#entry;
    await this.save({
      unfinished: this.#unfinishedBut(filename),
      recordedUs: recordedUs + segment.durationUs,
      recordedFrames: recordedFrames + segment.frames,
      recordedBytes: recordedBytes + segment.bytes,
      lastFrameAtUs: segment.lastFrameAtUs,
    });
    this.#facts.delete(filename);
  }

  intervalUs(): number | undefined {
    return this.#parts.camera.intervalUs;
  }

  outageBefore(frame: Fragment): string {
    return this.#parts.camera.outageBefore(frame);
  }

  #reserve(stem: string): string {
    return this.#parts.library.reserve("recording", stem, "mp4", copyFormatOf(this.#entry));
  }

  #release(filename: string): void {
    for (const name of [filename, this.#becomes(filename)]) {
      if (name !== undefined) this.#parts.library.release("recording", name);
    }
  }

  #becomes(filename: string): string | undefined {
    return becomes(this.#entry, filename);
  }

  #unfinishedBut(filename: string): JournalEntry["unfinished"] {
    return this.#entry.unfinished.filter((file) => file.filename !== filename);
  }

  /** A file that is not there, or not any more. */
  async #forget(filename: string): Promise<void> {
    this.#facts.delete(filename);
    await this.save({
      segments: this.#entry.segments.filter((name) => name !== filename),
      unfinished: this.#unfinishedBut(filename),
    });
  }

  #stem(first: Fragment, index: number): string {
    const { filename, cameraId } = this.#entry;
    if (filename === undefined) return defaultStem("recording", cameraId, first.capturedAtUs);
    const stem = stemOf("recording", filename);
    return index === 0 ? stem : `${stem}_part${index + 1}`;
  }

  async #put(segment: Segment, state: Sidecar["state"], reason?: string): Promise<void> {
    const facts = this.#facts.get(basename(segment.path));
    if (facts === undefined) return;
    const end = { state, nowUs: this.#parts.clock.wallUs(), ...(reason === undefined ? {} : { reason }) };
    const { library, clockSync } = this.#parts;
    const clock = clockSync === undefined ? undefined : stampOf(clockSync.state);
    await library.put(buildSidecar(this.#entry, facts, { ...contentOf(segment), clock }, end));
  }
}
