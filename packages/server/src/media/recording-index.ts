import { ascii, u32, u64 } from "./box-builder.ts";
import { buildFinalMoov, type MoovTrack } from "./moov-builder.ts";
import { SampleTable, type TableSample } from "./sample-table.ts";
import { ticksToUs } from "./time-scale.ts";

/**
 * What a recording holds so far, enough to finish it. Filled by the writer while it records and by recovery
 * from what is on the disk; both then end a file in the same way.
 */

/** Bytes of the `free` box behind `ftyp` that becomes the header of one big `mdat`. */
export const reservedBytes = 16;

export interface FinishedRecording {
  /** The complete `moov`, to be written at `moovOffset`: right behind the last whole fragment. */
  readonly moov: Buffer;
  readonly moovOffset: number;
  /** To be written only after the `moov` is safely on the disk. */
  readonly patch: { readonly offset: number; readonly bytes: Buffer };
  /** Size of the finished file. */
  readonly length: number;
}

export interface IndexTrack extends MoovTrack {
  readonly table: SampleTable;
}

export class RecordingIndex {
  readonly tracks: readonly IndexTrack[];
  readonly createdAtUs: number;
  readonly #reservedAt: number;
  #presentedFrames = 0;

  constructor(options: {
    readonly tracks: readonly MoovTrack[];
    readonly createdAtUs: number;
    /** Offset of the reserved box. */
    readonly reservedAt: number;
  }) {
    this.tracks = options.tracks.map((track) => ({ ...track, table: new SampleTable() }));
    this.createdAtUs = options.createdAtUs;
    this.#reservedAt = options.reservedAt;
  }

  get video(): IndexTrack | undefined {
    return this.tracks.find(({ parts }) => parts.track.kind === "video");
  }

  track(id: number): IndexTrack | undefined {
    return this.tracks.find(({ parts }) => parts.track.id === id);
  }

  addChunk(trackId: number, offset: number, samples: readonly TableSample[]): void {
    const track = this.track(trackId);
    if (!track) return;
    track.table.addChunk(offset, samples);
    if (track.parts.track.kind !== "video") return;
    for (const sample of samples) if (sample.pts >= track.presentTicks) this.#presentedFrames++;
  }

  /** Video frames that a player shows: without those that an edit list cuts off. */
  get presentedFrames(): number {
    return this.#presentedFrames;
  }

  /** From the first presented frame to the end of the last, in microseconds of media time. */
  get durationUs(): number {
    const video = this.video;
    if (!video || video.table.count === 0) return 0;
    return Math.max(0, ticksToUs(video.table.endPts - video.presentTicks, video.parts.track.timescale));
  }

  /** @param length end of the last whole fragment, where the `moov` goes */
  finish(length: number): FinishedRecording {
    const moov = buildFinalMoov(this.tracks, this.createdAtUs);
    return {
      moov,
      moovOffset: length,
      patch: {
        offset: this.#reservedAt,
        bytes: Buffer.concat([u32(1), ascii("mdat"), u64(length - this.#reservedAt)]),
      },
      length: length + moov.length,
    };
  }
}
