import {
  type Box,
  BoxReader,
  boxBody,
  boxesIn,
  findBox,
  joinAdjacent,
  malformed,
  requireBox,
} from "./box-reader.ts";
import type { Fragment, InitSegment, Track } from "./fragment.ts";
import { buildFrameFragment } from "./frame-fragment.ts";
import type { FramePool } from "./frame-pool.ts";
import { parseInitSegment } from "./init-segment.ts";
import { ticksToUs, usToTicks } from "./time-scale.ts";
import { readTrafs, type SampleDefaults, type SampleRun } from "./track-fragment.ts";

/**
 * Reads the fragmented MP4 that one run of ffmpeg writes and gives its frames with the times of the stream.
 * It leaves sequence numbers, capture times and the shift to the hub's scale to `makeFragment`, and copies of
 * samples to nobody: a frame's bytes are a view of what came in.
 *
 * Times. A video frame's `prft` holds its absolute presentation time; `tfdt` may count from the start of the
 * run. ffmpeg writes no `prft` for audio, so the capture should add `+frag_discont` to its movflags: then
 * `tfdt` is absolute in every track. Without it, audio is taken to start together with the video. Audio that
 * comes before the first video frame is dropped, since its time cannot be known and no picture goes with it; so
 * are frames for which ffmpeg itself had no time (the first of an RTSP stream with B-frames).
 */

/** A frame as it came, on the time scale of its run. */
export interface RawFrame {
  readonly init: InitSegment;
  readonly track: Track;
  /** Presentation time in ticks of the track; may be negative. */
  readonly ptsTicks: number;
  readonly dtsTicks: number;
  /** The same in microseconds. */
  readonly ptsUs: number;
  readonly dtsUs: number;
  readonly durationUs: number;
  readonly keyframe: boolean;
  /** `moof`+`mdat`; its `tfdt` is not final before `makeFragment`. */
  readonly bytes: Buffer;
  readonly sample: Buffer;
  /** Where the 64-bit decode time lies in `bytes`. */
  readonly decodeTimeAt: number;
}

export interface FragmentParserOptions {
  /** Largest box, and so the largest frame, accepted. Default 64 MiB. */
  readonly maxBoxBytes?: number;
  /** Where frames are copied to, since chunks are only lent until `push` returns. Default: chunks are handed over. */
  readonly pool?: FramePool;
}

export class FragmentParser {
  readonly #boxes: BoxReader;
  #ftyp: Box | undefined;
  #init: InitSegment | undefined;
  #defaults = new Map<number, SampleDefaults>();
  /** Absolute media time from the last `prft`, by track, for the `moof` that follows. */
  #referenceTimes = new Map<number, number>();
  /** What to add to `tfdt` to get absolute ticks, by track, once known. */
  #shiftTicks = new Map<number, number>();
  /** Decode time of the first video frame, and whether its `tfdt` counted from the start of the run. */
  #videoStart: { readonly dtsUs: number; readonly relative: boolean } | undefined;
  #moof: Box | undefined;

  constructor(options: FragmentParserOptions = {}) {
    const { pool } = options;
    this.#boxes = new BoxReader({
      joinNext: "moof",
      ...(pool === undefined ? {} : { allocate: (bytes) => pool.take(bytes) }),
      ...(options.maxBoxBytes === undefined ? {} : { maxBoxBytes: options.maxBoxBytes }),
    });
  }

  /** Known from the first `moov` on. */
  get init(): InitSegment | undefined {
    return this.#init;
  }

  /** Bytes of a fragment that is not complete; not 0 at the end of a run means that its last frame was torn. */
  get pendingBytes(): number {
    return this.#boxes.pendingBytes;
  }

  /**
   * Takes the next bytes of the run, which now belong to the parser (unless it has a pool), and gives the frames they complete.
   * @throws OcelliError `media_malformed`, `unsupported` codec; the run is then of no further use
   */
  push(chunk: Buffer): RawFrame[] {
    const frames: RawFrame[] = [];
    for (const box of this.#boxes.push(chunk)) {
      switch (box.type) {
        case "ftyp":
          this.#ftyp = box;
          break;
        case "moov":
          this.#takeInit(box);
          break;
        case "prft":
          this.#takeReferenceTime(box);
          break;
        case "moof":
          this.#moof = box;
          break;
        case "mdat":
          if (this.#moof) this.#takeFragment(this.#moof, box, frames);
          this.#moof = undefined;
          break;
        // Others (free, styp, sidx, mfra) carry nothing needed here.
      }
    }
    return frames;
  }

  #takeInit(moov: Box): void {
    const init = parseInitSegment(
      this.#ftyp ? Buffer.concat([this.#ftyp.bytes, moov.bytes]) : Buffer.from(moov.bytes),
    );
    this.#ftyp = undefined;
    this.#defaults = readDefaults(moov);
    this.#init = init;
  }

  #takeReferenceTime(prft: Box): void {
    const { bytes, headerBytes: at } = prft;
    const wide = bytes[at] !== 0;
    if (bytes.length < at + (wide ? 24 : 20)) boxBody(prft, wide ? 24 : 20);
    const time = wide
      ? bytes.readInt32BE(at + 16) * 2 ** 32 + bytes.readUInt32BE(at + 20)
      : bytes.readUInt32BE(at + 16);
    this.#referenceTimes.set(bytes.readUInt32BE(at + 4), time);
  }

  #takeFragment(moof: Box, mdat: Box, frames: RawFrame[]): void {
    const init = this.#init;
    if (!init) throw malformed("a fragment came before the init segment", { offset: moof.offset });
    const runs = readTrafs(moof, (id) => this.#defaults.get(id));
    const whole = joinAdjacent(moof.bytes, mdat.bytes);
    const payloadAt = moof.bytes.length + mdat.headerBytes;
    const single = runs.length === 1 && runs[0]?.samples.length === 1 ? runs[0] : undefined;
    for (const run of runs) {
      const track = init.tracks.find((candidate) => candidate.id === run.trackId);
      if (!track) throw malformed(`a fragment for track ${run.trackId}, which the moov does not know`);
      const start = this.#decodeTimeOf(track, run);
      if (start === undefined) continue;
      let dts = start;
      for (const found of run.samples) {
        if (found.at < payloadAt || found.at + found.size > whole.length) {
          throw malformed(`a sample of track ${run.trackId} lies outside its mdat`, { offset: moof.offset });
        }
        const pts = dts + found.compositionOffset;
        const keyframe = track.kind === "audio" || (found.flags & nonSyncFlag) === 0;
        const sample = whole.subarray(found.at, found.at + found.size);
        const inPlace = single !== undefined && run.decodeTimeAt !== undefined && run.selfContained;
        const made = inPlace
          ? { bytes: whole, sample, decodeTimeAt: run.decodeTimeAt ?? 0 }
          : buildFrameFragment({ ...found, trackId: track.id, sample, keyframe });
        frames.push({
          init,
          track,
          ptsTicks: pts,
          dtsTicks: dts,
          ptsUs: ticksToUs(pts, track.timescale),
          dtsUs: ticksToUs(dts, track.timescale),
          durationUs: ticksToUs(dts + found.duration, track.timescale) - ticksToUs(dts, track.timescale),
          keyframe,
          ...made,
        });
        dts += found.duration;
      }
    }
  }

  /** Absolute decode time of the run's first sample in ticks; `undefined` while that cannot be known. */
  #decodeTimeOf(track: Track, run: SampleRun): number | undefined {
    const reference = this.#referenceTimes.get(track.id);
    const first = run.samples[0];
    if (reference !== undefined && first) {
      // A prft speaks of one fragment only.
      this.#referenceTimes.delete(track.id);
      const dts = reference - first.compositionOffset;
      const shift = run.decodeTime === undefined ? 0 : dts - run.decodeTime;
      this.#shiftTicks.set(track.id, shift);
      this.#noteVideoStart(track, dts, shift > 0);
      return dts;
    }
    if (run.decodeTime === undefined) return undefined;
    const known = this.#shiftTicks.get(track.id);
    if (known !== undefined) return run.decodeTime + known;
    let shift = 0;
    if (track.kind === "video") this.#noteVideoStart(track, run.decodeTime, false);
    else if (this.#init?.tracks.some((other) => other.kind === "video")) {
      if (!this.#videoStart) return undefined;
      if (this.#videoStart.relative)
        shift = usToTicks(this.#videoStart.dtsUs, track.timescale) - run.decodeTime;
    }
    this.#shiftTicks.set(track.id, shift);
    return run.decodeTime + shift;
  }

  #noteVideoStart(track: Track, dtsTicks: number, relative: boolean): void {
    if (track.kind === "video" && !this.#videoStart) {
      this.#videoStart = { dtsUs: ticksToUs(dtsTicks, track.timescale), relative };
    }
  }
}

export interface FragmentFacts {
  /** Added to the run's times to put them on the source's clock. Microseconds, whole. */
  readonly offsetUs: number;
  readonly sequence: number;
  readonly capturedAtUs: number;
  readonly receivedAtMonoUs: number;
  readonly discontinuity: boolean;
}

/**
 * Gives a frame its place on the hub's scale. Writes the decode time into the frame's own bytes, so a frame
 * becomes a fragment once.
 * @throws OcelliError `media_malformed` when the decode time would be before zero: choose a greater `offsetUs`
 */
export function makeFragment(frame: RawFrame, facts: FragmentFacts): Fragment {
  const { timescale } = frame.track;
  const offsetTicks = usToTicks(facts.offsetUs, timescale);
  const dtsTicks = frame.dtsTicks + offsetTicks;
  if (dtsTicks < 0) {
    throw malformed(
      `the decode time ${ticksToUs(dtsTicks, timescale)} µs of track ${frame.track.id} is before zero`,
      {
        offsetUs: facts.offsetUs,
      },
    );
  }
  frame.bytes.writeUInt32BE(Math.floor(dtsTicks / 2 ** 32), frame.decodeTimeAt);
  frame.bytes.writeUInt32BE(dtsTicks % 2 ** 32, frame.decodeTimeAt + 4);
  return Object.freeze({
    init: frame.init,
    track: frame.track,
    sequence: facts.sequence,
    mediaTimeUs: ticksToUs(frame.ptsTicks + offsetTicks, timescale),
    decodeTimeUs: ticksToUs(dtsTicks, timescale),
    durationUs: frame.durationUs,
    keyframe: frame.keyframe,
    capturedAtUs: facts.capturedAtUs,
    receivedAtMonoUs: facts.receivedAtMonoUs,
    discontinuity: facts.discontinuity,
    bytes: frame.bytes,
    sample: frame.sample,
  });
}

const nonSyncFlag = 0x00010000;

/** `trex`: what a track's fragments leave out. */
function readDefaults(moov: Box): Map<number, SampleDefaults> {
  const defaults = new Map<number, SampleDefaults>();
  const mvex = findBox(moov, "mvex");
  if (!mvex) throw malformed("the moov announces no fragments (no mvex box)");
  for (const box of boxesIn(mvex)) {
    if (box.type !== "trex") continue;
    const body = boxBody(box, 24);
    defaults.set(body.readUInt32BE(4), {
      duration: body.readUInt32BE(12),
      size: body.readUInt32BE(16),
      flags: body.readUInt32BE(20),
    });
  }
  requireBox(mvex, "trex");
  return defaults;
}
