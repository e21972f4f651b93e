import { crc32 } from "node:zlib";
import { OcelliError } from "@ocelli/protocol";
import { ascii, box, fullBox, u32, u64 } from "./box-builder.ts";
import type { Fragment, Track } from "./fragment.ts";
import { nonSyncSampleFlags, syncSampleFlags } from "./frame-fragment.ts";
import { buildFrameTimes, buildPrft } from "./frame-times-box.ts";
import { trackParts } from "./init-segment.ts";
import { buildFtyp, buildInitialMoov, type MoovTrack } from "./moov-builder.ts";
import type { RecordingScan } from "./mp4-recovery.ts";
import { type FinishedRecording, RecordingIndex, reservedBytes } from "./recording-index.ts";
import type { TableSample } from "./sample-table.ts";
import { ticksToUs, usToTicks } from "./time-scale.ts";

/**
 * Builds a recording byte by byte; writing them is the caller's job. While it grows the file is a fragmented
 * MP4: `ftyp`, a reserved `free` box, `moov`, then for about each second `prft`, frame times, `moof`, `mdat`.
 * At the end a `moov` with sample tables is appended and the reserved box becomes the header of one `mdat`
 * around all that lies between, which makes it a plain MP4 without moving a byte ("hybrid MP4").
 *
 * The time line follows media time: it starts with the decode time of the first frame, and an edit list
 * presents the first wanted frame at 0. (In a file that still grows, players built on ffmpeg show the frames
 * before it at negative times; from the finish on they are cut off everywhere.) A hole in the capture is a long
 * sample, so tracks stay in step.
 *
 * Nothing is held back: the last sample of a fragment has the duration its `Fragment` states, and the next
 * fragment's decode time, and later the sample tables, say how long it really lasted.
 */
export interface HybridMp4Options {
  /**
   * The first video frame that will be written, a keyframe. It sets the start of the time line and brings the
   * init segment. Audio decoded before it is left out.
   */
  readonly first: Fragment;
  /**
   * `mediaTimeUs` of the first frame to be presented; frames before it are in the file only because the codec
   * needs them, and an edit list cuts them off. Default: that of `first`.
   */
  readonly presentFromUs?: number;
  /** Epoch microseconds for the file's metadata, kept in whole seconds. Default: capture time of `first`. */
  readonly createdAtUs?: number;
}

/** Longest sample the tables can hold, in ticks. */
const maxTicks = 0xffffffff;
/** A new run of a source may begin a little before the last frame's end, but not as early as this. */
const maxStepBackUs = 2_000_000;

interface Pending {
  readonly length: number;
  readonly chunks: readonly { trackId: number; offset: number; samples: readonly TableSample[] }[];
}

export class HybridMp4Writer {
  readonly #fingerprint: string;
  readonly #baseUs: number;
  readonly #index: RecordingIndex;
  readonly #header: Buffer;
  /** End of the last fragment that is taken to be on the disk. */
  #length: number;
  /** The newest fragment: enters the tables with the next call, unless it is taken back. */
  #pending: Pending | undefined;
  #fragments = 0;

  constructor(options: HybridMp4Options) {
    const { first } = options;
    this.#fingerprint = first.init.fingerprint;
    this.#baseUs = first.decodeTimeUs;
    const presentFromUs = Math.max(options.presentFromUs ?? first.mediaTimeUs, first.decodeTimeUs);
    const createdAtUs = options.createdAtUs ?? first.capturedAtUs;
    const tracks: MoovTrack[] = trackParts(first.init.bytes).map((parts) => ({
      parts,
      presentTicks: this.#fileTicks(presentFromUs, parts.track),
    }));
    const ftyp = buildFtyp();
    const reserved = box("free", Buffer.alloc(reservedBytes - 8));
    this.#header = Buffer.concat([ftyp, reserved, buildInitialMoov(tracks, createdAtUs)]);
    this.#length = this.#header.length;
    this.#index = new RecordingIndex({ tracks, createdAtUs, reservedAt: ftyp.length });
  }

  /** Finishes a file found by `scanRecording`; it is cut to `scan.validLength` first. @throws OcelliError `media_malformed` */
  static resume(scan: RecordingScan): { finish(): FinishedRecording } {
    const { index } = scan;
    if (!index) {
      throw new OcelliError("media_malformed", `This recording cannot be finished: ${scan.reason}.`);
    }
    return { finish: () => index.finish(scan.validLength) };
  }

  /** The first bytes of the file: a valid, empty fragmented MP4. */
  header(): Buffer {
    return this.#header;
  }

  /** Bytes given out so far, the header included. */
  get length(): number {
    return this.#pending?.length ?? this.#length;
  }

  /** Video frames given out that a player will show. */
  get presentedFrames(): number {
    const video = this.#index.video;
    const pending = this.#pendingSamples(video?.parts.track.id);
    const shown = pending.filter((sample) => sample.pts >= (video?.presentTicks ?? 0));
    return this.#index.presentedFrames + shown.length;
  }

  /** Media microseconds from the first presented frame to the end of the last. */
  get durationUs(): number {
    const video = this.#index.video;
    const ends = this.#pendingSamples(video?.parts.track.id).map((sample) => sample.pts + sample.duration);
    if (!video || ends.length === 0) return this.#index.durationUs;
    const end = Math.max(...ends) - video.presentTicks;
    return Math.max(this.#index.durationUs, ticksToUs(end, video.parts.track.timescale));
  }

  /**
   * Whether this frame may go into this file. Not when its init segment differs, and not after a hole of more
   * than 71 minutes (what a sample's duration can hold) or a step back: begin another file then.
   */
  accepts(frame: Fragment): boolean {
    return this.#fits(frame, this.#lastDts(frame.track.id));
  }

  /**
   * The next fragment of the file from frames of about a second, both tracks in the order they came. Samples
   * are handed on, not copied: write the buffers one after another with one `writev`. Empty when nothing of it
   * belongs into the file (audio before the first picture).
   * @throws OcelliError `internal` when a frame is not accepted; the writer is unchanged then
   */
  fragment(frames: readonly Fragment[]): Buffer[] {
    this.#checkAll(frames);
    const start = this.length;
    const runs = this.#index.tracks.flatMap(({ parts }) => {
      const run = this.#buildRun(frames, parts.track);
      return run ? [run] : [];
    });
    const first = runs[0];
    const firstFrame = first?.frames[0];
    const firstSample = first?.samples[0];
    if (!first || !firstFrame || !firstSample) return [];
    this.#settle();
    this.#fragments++;

    const moof = buildMoof(this.#fragments, runs);
    const payload = runs.flatMap((run) => run.frames.map((frame) => frame.sample));
    const payloadBytes = payload.reduce((sum, sample) => sum + sample.length, 0);
    const mdat =
      payloadBytes + 8 <= maxTicks
        ? Buffer.concat([u32(payloadBytes + 8), ascii("mdat")])
        : Buffer.concat([u32(1), ascii("mdat"), u64(payloadBytes + 16)]);
    moof.setDataStart(mdat.length);
    let crc = crc32(mdat, crc32(moof.bytes));
    for (const sample of payload) crc = crc32(sample, crc);

    const pictures = runs.find((run) => run.track.kind === "video")?.frames ?? [];
    const head = Buffer.concat([
      buildPrft(first.track.id, firstFrame.capturedAtUs, firstSample.pts),
      buildFrameTimes(crc, pictures),
      moof.bytes,
      mdat,
    ]);
    let at = start + head.length;
    const chunks = runs.map((run) => {
      const chunk = { trackId: run.track.id, offset: at, samples: run.samples };
      for (const sample of run.samples) at += sample.size;
      return chunk;
    });
    this.#pending = { length: at, chunks };
    return [head, ...payload];
  }

  /**
   * Forgets the newest fragment, which could not be written: the file ends before it. Cut the file to the new
   * `length`. Only right after `fragment`.
   */
  takeBack(): void {
    if (!this.#pending) return;
    this.#pending = undefined;
    this.#fragments--;
  }

  /** What turns the file into a plain MP4; may be called more than once, and before more fragments. */
  finish(): FinishedRecording {
    this.#settle();
    return this.#index.finish(this.#length);
  }

  #settle(): void {
    const pending = this.#pending;
    if (!pending) return;
    this.#pending = undefined;
    this.#length = pending.length;
    for (const chunk of pending.chunks) this.#index.addChunk(chunk.trackId, chunk.offset, chunk.samples);
  }

  #fileTicks(us: number, track: Track): number {
    return usToTicks(us, track.timescale) - usToTicks(this.#baseUs, track.timescale);
  }

  #checkAll(frames: readonly Fragment[]): void {
    const last = new Map<number, number | undefined>();
    for (const frame of frames) {
      const { id } = frame.track;
      if (!this.#fits(frame, last.has(id) ? last.get(id) : this.#lastDts(id))) {
        throw new OcelliError(
          "internal",
          `Frame ${frame.sequence} does not fit into this recording: another init segment or too long a hole. Begin another file.`,
        );
      }
      last.set(id, this.#fileTicks(frame.decodeTimeUs, frame.track));
    }
  }

  /** @param last decode time of the sample before it in its track, in ticks */
  #fits(frame: Fragment, last: number | undefined): boolean {
    const { track } = frame;
    if (frame.init.fingerprint !== this.#fingerprint || !this.#index.track(track.id)) return false;
    const ticks = this.#fileTicks(frame.decodeTimeUs, track);
    if (last === undefined) return ticks <= maxTicks && (track.kind === "audio" || ticks >= 0);
    return ticks - last <= maxTicks && ticks - last >= -usToTicks(maxStepBackUs, track.timescale);
  }

  /** Decode time of the newest sample of a track, the pending fragment included. */
  #lastDts(trackId: number): number | undefined {
    const pending = this.#pendingSamples(trackId).at(-1);
    if (pending) return pending.dts;
    const table = this.#index.track(trackId)?.table;
    return table && table.count > 0 ? table.lastDts : undefined;
  }

  #pendingSamples(trackId: number | undefined): readonly TableSample[] {
    return this.#pending?.chunks.find((chunk) => chunk.trackId === trackId)?.samples ?? [];
  }

  #buildRun(frames: readonly Fragment[], track: Track): Run | undefined {
    const wanted = frames.filter(
      (frame) => frame.track.id === track.id && frame.decodeTimeUs >= this.#baseUs,
    );
    if (wanted.length === 0) return undefined;
    let previous = this.#lastDts(track.id) ?? -1;
    const times = wanted.map((frame) => {
      // Decode times must rise; where a new run overlaps the last one, the presentation time still holds.
      const dts = Math.max(this.#fileTicks(frame.decodeTimeUs, track), previous + 1);
      previous = dts;
      return { frame, dts, pts: track.kind === "audio" ? dts : this.#fileTicks(frame.mediaTimeUs, track) };
    });
    const samples = times.map(({ frame, dts, pts }, i) => ({
      dts,
      pts,
      duration: (times[i + 1]?.dts ?? dts + Math.max(0, usToTicks(frame.durationUs, track.timescale))) - dts,
      size: frame.sample.length,
      keyframe: frame.keyframe,
    }));
    return { track, frames: wanted, samples };
  }
}

interface Run {
  readonly track: Track;
  readonly frames: readonly Fragment[];
  readonly samples: readonly TableSample[];
}

function buildMoof(
  sequence: number,
  runs: readonly Run[],
): { bytes: Buffer; setDataStart(mdatHeader: number): void } {
  const trafs = runs.map(buildTraf);
  const bytes = box("moof", fullBox("mfhd", 0, 0, u32(sequence)), ...trafs.map((traf) => traf.bytes));
  return {
    bytes,
    setDataStart(mdatHeader) {
      let data = bytes.length + mdatHeader;
      let at = 8 + 16;
      for (const [i, traf] of trafs.entries()) {
        bytes.writeInt32BE(data, at + traf.dataOffsetAt);
        at += traf.bytes.length;
        for (const sample of runs[i]?.samples ?? []) data += sample.size;
      }
    },
  };
}

function buildTraf({ track, samples }: Run): { bytes: Buffer; dataOffsetAt: number } {
  const tfhd = fullBox("tfhd", 0, 0x20000, u32(track.id));
  const tfdt = fullBox("tfdt", 1, 0, u64(samples[0]?.dts ?? 0));
  const entries = Buffer.allocUnsafe(samples.length * 16);
  for (const [i, sample] of samples.entries()) {
    entries.writeUInt32BE(sample.duration, i * 16);
    entries.writeUInt32BE(sample.size, i * 16 + 4);
    entries.writeUInt32BE(sample.keyframe ? syncSampleFlags : nonSyncSampleFlags, i * 16 + 8);
    entries.writeInt32BE(sample.pts - sample.dts, i * 16 + 12);
  }
  // Version 1 (signed offsets); data offset, duration, size, flags and offset of each sample.
  const trun = fullBox("trun", 1, 0xf01, u32(samples.length, 0), entries);
  return { bytes: box("traf", tfhd, tfdt, trun), dataOffsetAt: 8 + tfhd.length + tfdt.length + 16 };
}
