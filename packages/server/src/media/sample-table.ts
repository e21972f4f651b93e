import { box, fullBox, u32 } from "./box-builder.ts";
import { NumberList } from "./number-list.ts";

/**
 * The sample tables of one track of a finished file (ISO/IEC 14496-12, 8.6 and 8.7), gathered while it is
 * recorded. A frame costs 8 bytes of memory (size and duration), 16 where the codec reorders frames and 4 more
 * for each keyframe of a codec that has others: four hours of MJPEG at 60 fps take 7 MB.
 */

export interface TableSample {
  /** Ticks on the file's time line; strictly greater than the sample's before. */
  readonly dts: number;
  readonly pts: number;
  /** Ticks; counts only for the last sample, the others last until the next one's `dts`. */
  readonly duration: number;
  readonly size: number;
  readonly keyframe: boolean;
}

export class SampleTable {
  readonly #sizes = new NumberList("u32");
  readonly #durations = new NumberList("u32");
  /** Runs of equal composition offsets: how many, and the offset as its 32 bits. */
  readonly #offsetCounts = new NumberList("u32");
  readonly #offsets = new NumberList("u32");
  #negativeOffsets = false;
  /** Sample numbers, from 1; filled from the first sample on that is not a keyframe. */
  readonly #keyframes = new NumberList("u32");
  #allKeyframes = true;
  readonly #chunkOffsets = new NumberList("f64");
  readonly #chunkCounts = new NumberList("u32");
  #firstDts = 0;
  #lastDts = 0;
  #lastDuration = 0;
  #endPts = 0;

  get count(): number {
    return this.#sizes.length;
  }

  get firstDts(): number {
    return this.#firstDts;
  }

  /** Decode time of the newest sample; meaningless while `count` is 0. */
  get lastDts(): number {
    return this.#lastDts;
  }

  /** Where the last presented sample ends, in ticks. */
  get endPts(): number {
    return this.#endPts;
  }

  /** Length of the media in ticks, as `mdhd` states it. */
  get mediaDuration(): number {
    return this.count === 0 ? 0 : this.#lastDts + this.#lastDuration - this.#firstDts;
  }

  /** Samples that lie one after another in the file from `offset` on. */
  addChunk(offset: number, samples: readonly TableSample[]): void {
    if (samples.length === 0) return;
    this.#chunkOffsets.push(offset);
    this.#chunkCounts.push(samples.length);
    for (const sample of samples) this.#add(sample);
  }

  #add(sample: TableSample): void {
    const number = this.#sizes.length + 1;
    if (number === 1) this.#firstDts = sample.dts;
    else this.#durations.set(number - 2, sample.dts - this.#lastDts);
    this.#sizes.push(sample.size);
    this.#durations.push(sample.duration);
    this.#lastDts = sample.dts;
    this.#lastDuration = sample.duration;
    this.#endPts =
      number === 1 ? sample.pts + sample.duration : Math.max(this.#endPts, sample.pts + sample.duration);
    this.#addOffset(sample.pts - sample.dts);
    if (sample.keyframe && !this.#allKeyframes) this.#keyframes.push(number);
    if (!sample.keyframe && this.#allKeyframes) {
      this.#allKeyframes = false;
      for (let earlier = 1; earlier < number; earlier++) this.#keyframes.push(earlier);
    }
  }

  #addOffset(offset: number): void {
    if (offset < 0) this.#negativeOffsets = true;
    const last = this.#offsets.length - 1;
    if (last >= 0 && this.#offsets.at(last) === offset >>> 0) {
      this.#offsetCounts.set(last, this.#offsetCounts.at(last) + 1);
    } else {
      this.#offsets.push(offset >>> 0);
      this.#offsetCounts.push(1);
    }
  }

  /** The `stbl` box with this table behind the given sample description. */
  build(stsd: Buffer): Buffer {
    return box(
      "stbl",
      stsd,
      this.#buildStts(),
      ...this.#buildCtts(),
      ...this.#buildStss(),
      this.#buildStsc(),
      this.#buildStsz(),
      this.#buildChunkOffsets(),
    );
  }

  #buildStts(): Buffer {
    const runs = Buffer.allocUnsafe(this.#durations.length * 8);
    let count = 0;
    for (let i = 0; i < this.#durations.length; i++) {
      const duration = this.#durations.at(i);
      if (count > 0 && runs.readUInt32BE(count * 8 - 4) === duration) {
        runs.writeUInt32BE(runs.readUInt32BE(count * 8 - 8) + 1, count * 8 - 8);
      } else {
        runs.writeUInt32BE(1, count * 8);
        runs.writeUInt32BE(duration, count * 8 + 4);
        count++;
      }
    }
    return fullBox("stts", 0, 0, u32(count), runs.subarray(0, count * 8));
  }

  /** Left out where nothing is reordered. Offsets below zero need version 1. */
  #buildCtts(): Buffer[] {
    const runs = this.#offsets.length;
    if (runs === 0 || (runs === 1 && this.#offsets.at(0) === 0)) return [];
    const table = Buffer.allocUnsafe(runs * 8);
    for (let i = 0; i < runs; i++) {
      table.writeUInt32BE(this.#offsetCounts.at(i), i * 8);
      table.writeUInt32BE(this.#offsets.at(i), i * 8 + 4);
    }
    return [fullBox("ctts", this.#negativeOffsets ? 1 : 0, 0, u32(runs), table)];
  }

  /** Left out where every sample is a keyframe. */
  #buildStss(): Buffer[] {
    if (this.#allKeyframes) return [];
    return [fullBox("stss", 0, 0, u32(this.#keyframes.length), toBuffer(this.#keyframes))];
  }

  #buildStsc(): Buffer {
    const runs: number[] = [];
    for (let i = 0; i < this.#chunkCounts.length; i++) {
      const count = this.#chunkCounts.at(i);
      if (i === 0 || count !== this.#chunkCounts.at(i - 1)) runs.push(i + 1, count, 1);
    }
    const table = Buffer.allocUnsafe(runs.length * 4);
    for (const [i, value] of runs.entries()) table.writeUInt32BE(value, i * 4);
    return fullBox("stsc", 0, 0, u32(runs.length / 3), table);
  }

  #buildStsz(): Buffer {
    return fullBox("stsz", 0, 0, u32(0, this.#sizes.length), toBuffer(this.#sizes));
  }

  #buildChunkOffsets(): Buffer {
    const count = this.#chunkOffsets.length;
    if (count === 0 || this.#chunkOffsets.at(count - 1) <= 0xffffffff) {
      return fullBox("stco", 0, 0, u32(count), toBuffer(this.#chunkOffsets));
    }
    const table = Buffer.allocUnsafe(count * 8);
    for (let i = 0; i < count; i++) table.writeBigUInt64BE(BigInt(this.#chunkOffsets.at(i)), i * 8);
    return fullBox("co64", 0, 0, u32(count), table);
  }
}

function toBuffer(list: NumberList): Buffer {
  const bytes = Buffer.allocUnsafe(list.length * 4);
  for (let i = 0; i < list.length; i++) bytes.writeUInt32BE(list.at(i), i * 4);
  return bytes;
}
