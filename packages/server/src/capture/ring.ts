/**
 * The one store of a source's recent fragments. Readers are positions in it (`cursor.ts`): nothing is copied
 * a reader, a push costs the same with one reader or a hundred (but for waking those who wait), and what a
 * reader has not read yet is two subtractions.
 *
 * Invariants: positions grow for ever and are never reused. `[start, end)` is what anybody may join at,
 * bounded in bytes and in seconds; a reader that must not lose anything may pin older fragments, within its
 * own budget. The newest fragment is always held, however large. A GOP larger than the bounds loses its
 * beginning (`cutGops`), and who joins then waits for the next keyframe.
 */
import type { Fragment } from "../media/fragment.ts";
import type { RingBudget } from "./ring-budget.ts";
import type { CursorItem } from "./source.ts";

export interface RingOptions {
  /** Default 64 MiB. */
  readonly maxBytes?: number;
  /** By the time of arrival; default 15. */
  readonly maxSeconds?: number;
  /** Shared among the hub's rings. */
  readonly budget?: RingBudget;
  /** Given each fragment that was dropped and that nobody has but readers who only borrow: its bytes may be used anew. */
  readonly recycle?: (fragment: Fragment) => void;
}

/** One place of the ring, with running totals *before* it. */
export interface Slot {
  readonly fragment: Fragment;
  /** The same object for every reader. */
  readonly item: CursorItem;
  readonly bytesBefore: number;
  readonly videoBefore: number;
  /** Position of the newest video keyframe at or before this place, -1 when there was none. */
  readonly keyframeAt: number;
  /** Somebody may keep the fragment for as long as he likes. */
  kept: boolean;
}

/** What the ring needs of a reader. */
export interface RingReader {
  /** First position the ring has to keep for this reader beyond its own bounds; `undefined` when it pins nothing. */
  pinnedFrom(): number | undefined;
  /** New fragments, or the end. Called only while registered as waiting. */
  wake(): void;
  /** The ring dropped places. Called on every trim for readers that pin. */
  trimmed(): void;
}

export class Ring {
  readonly maxBytes: number;
  readonly maxSeconds: number;
  readonly #budget: RingBudget | undefined;
  readonly #recycle: ((fragment: Fragment) => void) | undefined;
  #slots: (Slot | undefined)[] = new Array(64);
  /** Oldest place physically held (pinned or not), oldest place to join at, and the place after the newest. */
  #held = 0;
  #start = 0;
  #end = 0;
  #totalBytes = 0;
  #totalVideo = 0;
  #newestKeyframe = -1;
  #closed = false;
  #cutGops = 0;
  readonly #waiting = new Set<RingReader>();
  readonly #pinning = new Set<RingReader>();

  constructor(options: RingOptions = {}) {
    this.maxBytes = options.maxBytes ?? 64 * 2 ** 20;
    this.maxSeconds = options.maxSeconds ?? 15;
    this.#budget = options.budget;
    this.#recycle = options.recycle;
    this.#budget?.join(this);
  }

  get start(): number {
    return this.#start;
  }

  get end(): number {
    return this.#end;
  }

  get closed(): boolean {
    return this.#closed;
  }

  get fragments(): number {
    return this.#end - this.#start;
  }

  /** Bytes between `start` and `end`. */
  get bytes(): number {
    return this.bytesFrom(this.#start);
  }

  /** Bytes held for readers that must not lose anything, beyond the ring's own bounds. */
  get pinnedBytes(): number {
    return this.bytesFrom(this.#held) - this.bytes;
  }

  get seconds(): number {
    const oldest = this.slot(this.#start);
    const newest = this.slot(this.#end - 1);
    if (oldest === undefined || newest === undefined) return 0;
    return (newest.fragment.receivedAtMonoUs - oldest.fragment.receivedAtMonoUs) / 1e6;
  }

  /** GOPs whose keyframe had to be dropped while they were the newest. */
  get cutGops(): number {
    return this.#cutGops;
  }

  /** Position of the newest video keyframe one may join at; `undefined` when none is held. */
  get newestKeyframe(): number | undefined {
    return this.#newestKeyframe >= this.#start ? this.#newestKeyframe : undefined;
  }

  slot(position: number): Slot | undefined {
    if (position < this.#held || position >= this.#end) return undefined;
    return this.#slots[position & (this.#slots.length - 1)];
  }

  /** Bytes from `position` (held, or the end) to the end. */
  bytesFrom(position: number): number {
    return this.#totalBytes - (this.slot(position)?.bytesBefore ?? this.#totalBytes);
  }

  /** Video frames ever pushed before `position`. */
  videoBefore(position: number): number {
    return this.slot(position)?.videoBefore ?? this.#totalVideo;
  }

  push(fragment: Fragment): void {
    if (this.#closed) return;
    if (this.#end - this.#held === this.#slots.length) this.#grow();
    const position = this.#end;
    const video = fragment.track.kind === "video";
    if (video && fragment.keyframe) this.#newestKeyframe = position;
    this.#slots[position & (this.#slots.length - 1)] = {
      fragment,
      item: { kind: "fragment", fragment },
      bytesBefore: this.#totalBytes,
      videoBefore: this.#totalVideo,
      keyframeAt: this.#newestKeyframe,
      kept: false,
    };
    this.#end++;
    this.#totalBytes += fragment.bytes.length;
    if (video) this.#totalVideo++;
    this.#budget?.changed(fragment.bytes.length);

    while (this.#overBounds() && this.#dropOldest());
    this.#budget?.enforce();
    this.#release();
    this.#wakeAll();
  }

  /** Position of the last keyframe captured at or before `capturedAtUs`, else of the oldest keyframe held. */
  keyframeAtOrBefore(capturedAtUs: number): number | undefined {
    let found: number | undefined;
    for (let at = this.#newestKeyframe; at >= this.#start; at = this.slot(at - 1)?.keyframeAt ?? -1) {
      found = at;
      const slot = this.slot(at);
      if (slot !== undefined && slot.fragment.capturedAtUs <= capturedAtUs) break;
    }
    return found;
  }

  /** Video frames since and including the newest keyframe, oldest first. */
  newestGop(): Fragment[] {
    const gop: Fragment[] = [];
    for (let at = this.newestKeyframe ?? this.#end; at < this.#end; at++) {
      const slot = this.slot(at);
      if (slot?.fragment.track.kind !== "video") continue;
      slot.kept = true;
      gop.push(slot.fragment);
    }
    return gop;
  }

  /** For the budget. */
  trimOldest(): boolean {
    const dropped = this.#dropOldest();
    this.#release();
    return dropped;
  }

  /** Forgets everything one could join at; readers that pin keep their part. */
  clear(): void {
    this.#budget?.changed(-this.bytes);
    this.#start = this.#end;
    this.#newestKeyframe = -1;
    this.#release();
  }

  /** No more fragments: readers get what is left, then the end. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#budget?.changed(-this.bytes);
    this.#budget?.leave(this);
    this.#wakeAll();
  }

  wait(reader: RingReader): void {
    this.#waiting.add(reader);
  }

  stopWaiting(reader: RingReader): void {
    this.#waiting.delete(reader);
  }

  pin(reader: RingReader): void {
    this.#pinning.add(reader);
  }

  unpin(reader: RingReader): void {
    if (this.#pinning.delete(reader)) this.#release();
  }

  #overBounds(): boolean {
    return this.bytes > this.maxBytes || this.seconds > this.maxSeconds;
  }

  #dropOldest(): boolean {
    const slot = this.slot(this.#start);
    if (this.#closed || slot === undefined || this.#start >= this.#end - 1) return false;
    if (this.#start === this.#newestKeyframe) this.#cutGops++;
    this.#start++;
    this.#budget?.changed(-slot.fragment.bytes.length);
    return true;
  }

  /** Lets go of places nobody needs any more. */
  #release(): void {
    let keep = this.#start;
    for (const reader of this.#pinning) {
      reader.trimmed();
      keep = Math.min(keep, reader.pinnedFrom() ?? keep);
    }
    const mask = this.#slots.length - 1;
    for (; this.#held < keep; this.#held++) {
      const at = this.#held & mask;
      const slot = this.#slots[at];
      this.#slots[at] = undefined;
      if (slot?.kept === false) this.#recycle?.(slot.fragment);
    }
  }

  #wakeAll(): void {
    if (this.#waiting.size === 0) return;
    const readers = [...this.#waiting];
    this.#waiting.clear();
    for (const reader of readers) reader.wake();
  }

  #grow(): void {
    const slots: (Slot | undefined)[] = new Array(this.#slots.length * 2);
    for (let at = this.#held; at < this.#end; at++) slots[at & (slots.length - 1)] = this.slot(at);
    this.#slots = slots;
  }
}
