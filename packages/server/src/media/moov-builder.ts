import { ascii, box, fullBox, u8, u16, u32, u64 } from "./box-builder.ts";
import type { TrackParts } from "./init-segment.ts";
import { SampleTable } from "./sample-table.ts";

/**
 * Builds the two `moov` boxes of a recording: the one at its start, which announces fragments, and the final
 * one with sample tables. Sample descriptions and handlers are those of the source's init segment.
 */

/** Ticks a second of `mvhd`, `tkhd` and edit durations: fine enough to keep tracks in step to the microsecond. */
export const movieTimescale = 1_000_000;

const epoch1904S = 2_082_844_800;
const u32Max = 0xffffffff;

export interface MoovTrack {
  readonly parts: TrackParts;
  /** Instant of the file's time line, in ticks of the track, that is presented at 0. */
  readonly presentTicks: number;
}

/** The `moov` of a growing file. */
export function buildInitialMoov(tracks: readonly MoovTrack[], createdAtUs: number): Buffer {
  const empty = new SampleTable();
  return box(
    "moov",
    buildMvhd(createdAtUs, 0, tracks),
    ...tracks.map(({ parts, presentTicks }) => {
      // Duration 0 in an edit of a fragmented file means: all that will come.
      const edits = presentTicks === 0 ? [] : [{ duration: 0, mediaTime: presentTicks }];
      return buildTrak(parts, createdAtUs, 0, 0, edits, empty);
    }),
    box("mvex", ...tracks.map(({ parts }) => fullBox("trex", 0, 0, u32(parts.track.id, 1, 0, 0, 0)))),
  );
}

/** The `moov` of a finished file. Tracks without samples are left out while another has some. */
export function buildFinalMoov(
  tracks: readonly (MoovTrack & { readonly table: SampleTable })[],
  createdAtUs: number,
): Buffer {
  const filled = tracks.filter(({ table }) => table.count > 0);
  const kept = filled.length > 0 ? filled : tracks;
  const planned = kept.map((track) => ({ ...track, ...planEdits(track) }));
  const duration = Math.max(0, ...planned.map((track) => track.duration));
  return box(
    "moov",
    buildMvhd(createdAtUs, duration, kept),
    ...planned.map(({ parts, table, edits, duration }) =>
      buildTrak(parts, createdAtUs, duration, table.mediaDuration, edits, table),
    ),
  );
}

interface Edit {
  /** Movie ticks. */
  readonly duration: number;
  /** Track ticks; -1 for an empty edit. */
  readonly mediaTime: number;
}

/**
 * The media of a finished track starts with its first sample at 0. An edit leads to the instant presented
 * first: into the media where earlier samples are only there to be decoded, after a pause where the track
 * begins late.
 */
function planEdits({ parts, presentTicks, table }: MoovTrack & { readonly table: SampleTable }): {
  edits: Edit[];
  duration: number;
} {
  const { timescale } = parts.track;
  const lead = presentTicks - table.firstDts;
  const shown = toMovieTicks(Math.max(0, table.endPts - Math.max(presentTicks, table.firstDts)), timescale);
  if (table.count === 0 || lead === 0) return { edits: [], duration: shown };
  if (lead > 0) return { edits: [{ duration: shown, mediaTime: lead }], duration: shown };
  const pause = Math.round((-lead * movieTimescale) / timescale);
  return {
    edits: [
      { duration: pause, mediaTime: -1 },
      { duration: shown, mediaTime: 0 },
    ],
    duration: pause + shown,
  };
}

/** Rounded up, so that no sample falls behind the end of its edit. */
function toMovieTicks(ticks: number, timescale: number): number {
  return timescale === movieTimescale ? ticks : Math.ceil((ticks * movieTimescale) / timescale);
}

function buildMvhd(createdAtUs: number, duration: number, tracks: readonly MoovTrack[]): Buffer {
  const created = to1904(createdAtUs);
  const nextTrack = Math.max(0, ...tracks.map(({ parts }) => parts.track.id)) + 1;
  return timedBox("mvhd", 0, [created, created], [movieTimescale], duration, [
    u32(0x00010000),
    u16(0x0100, 0),
    u32(0, 0),
    u32(0x00010000, 0, 0, 0, 0x00010000, 0, 0, 0, 0x40000000),
    u32(0, 0, 0, 0, 0, 0),
    u32(nextTrack),
  ]);
}

function buildTrak(
  parts: TrackParts,
  createdAtUs: number,
  duration: number,
  mediaDuration: number,
  edits: readonly Edit[],
  table: SampleTable,
): Buffer {
  const created = to1904(createdAtUs);
  // Layer, group, volume, matrix and size stand in the last 60 bytes of tkhd whatever its version.
  const tkhd = timedBox("tkhd", 3, [created, created], [parts.track.id, 0], duration, [
    parts.tkhd.bytes.subarray(-60),
  ]);
  // Likewise the language in the last 4 bytes of mdhd.
  const mdhd = timedBox("mdhd", 0, [created, created], [parts.track.timescale], mediaDuration, [
    parts.mdhd.bytes.subarray(-4),
  ]);
  const minf = box("minf", ...parts.minf.map((child) => child.bytes), table.build(parts.stsd.bytes));
  return box("trak", tkhd, ...buildEdits(edits), box("mdia", mdhd, parts.hdlr.bytes, minf));
}

function buildEdits(edits: readonly Edit[]): Buffer[] {
  if (edits.length === 0) return [];
  const wide = edits.some((edit) => edit.duration > u32Max || edit.mediaTime > 0x7fffffff);
  const entries = edits.map((edit) =>
    Buffer.concat([
      wide ? u64(edit.duration, edit.mediaTime) : u32(edit.duration, edit.mediaTime),
      u16(1, 0),
    ]),
  );
  return [box("edts", fullBox("elst", wide ? 1 : 0, 0, u32(edits.length), ...entries))];
}

/** A full box that holds times and a duration, in 32 bits where they fit, since old players know only those. */
function timedBox(
  type: string,
  flags: number,
  times: readonly number[],
  between: readonly number[],
  duration: number,
  rest: readonly Buffer[],
): Buffer {
  const wide = duration > u32Max || times.some((time) => time > u32Max);
  const put = wide ? u64 : u32;
  return fullBox(type, wide ? 1 : 0, flags, put(...times), u32(...between), put(duration), ...rest);
}

function to1904(us: number): number {
  return Math.max(0, Math.floor(us / 1_000_000) + epoch1904S);
}

/** Creation time of a `moov` as epoch microseconds (whole seconds), from its `mvhd` content. */
export function createdAtFromMvhd(body: Buffer): number {
  const seconds = body[0] === 1 ? Number(body.readBigUInt64BE(4)) : body.readUInt32BE(4);
  return (seconds - epoch1904S) * 1_000_000;
}

/** `ftyp` of a recording: default-base-is-moof needs `iso5`, signed composition offsets `iso4`. */
export function buildFtyp(): Buffer {
  return box(
    "ftyp",
    ascii("isom"),
    u32(0x200),
    ascii("isom"),
    ascii("iso5"),
    ascii("iso2"),
    ascii("mp41"),
    u8(),
  );
}
