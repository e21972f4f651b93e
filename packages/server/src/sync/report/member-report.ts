/** What the files of one member of a session show. */
import { messageOf, OcelliError } from "@ocelli/protocol";
import type { MediaEntry } from "../../library/contract.ts";
import { isEnclosure } from "../../library/names.ts";
import type { MemberReport, SessionMember, SyncSession } from "../contract.ts";
import { deviceClock } from "../times/device-clock.ts";
import { inHubTime } from "../times/hub-times.ts";
import type { StampedFrame } from "../times/one-clock.ts";
import { Settling } from "../times/settling.ts";
import { type FrameFigures, FrameMeter } from "./measure.ts";

export interface MemberParts {
  /** Of the library. @throws OcelliError `file_not_found` */
  readonly entry: (filename: string) => MediaEntry;
  /** A file's frames with their capture times. @throws OcelliError `unsupported` for a file without */
  readonly frames: (path: string) => AsyncIterable<StampedFrame>;
  readonly signal?: AbortSignal;
}

/**
 * Reads all frame times of its files, one after the other; an error of one of them is a note.
 * @throws the signal's reason
 */
export async function memberReport(
  session: SyncSession,
  member: SessionMember,
  parts: MemberParts,
): Promise<MemberReport> {
  const notes: string[] = member.error === undefined ? [] : [member.error];
  const entries: MediaEntry[] = [];
  const meter = new FrameMeter();
  const settling = new Settling();
  const whose = { kind: member.member.kind, declared: member.declared };
  const clock = deviceClock(whose);
  const framesOf = inHubTime(whose, parts.frames);
  let timed = member.files.length > 0;
  for (const file of member.files) {
    parts.signal?.throwIfAborted();
    try {
      const entry = parts.entry(file);
      entries.push(entry);
      if (isEnclosure(file))
        throw new OcelliError("unsupported", `${file} is no video: it is kept as it came.`);
      if (isUnreadable(entry)) throw new OcelliError("media_malformed", `${file} cannot be read as a video.`);
      for await (const frame of framesOf(entry)) {
        meter.add(frame.capturedAtUs);
        if (entries.length === 1) settling.add(frame);
      }
    } catch (error) {
      parts.signal?.throwIfAborted();
      timed = false;
      notes.push(messageOf(error));
    }
  }
  const [entry] = entries;
  const nominalMs = entry !== undefined && entry.fps > 0 ? 1000 / entry.fps : undefined;
  const common = {
    key: member.key,
    name: member.name,
    ...whose,
    files: member.files,
    nominalIntervalMs: nominalMs,
    gapReason: longestGap(entries)?.reason,
    endReason: entries.at(-1)?.endReason,
  };
  const figures = meter.figures(nominalMs === undefined ? undefined : nominalMs * 1000);
  const { firstFrameAtUs, lastFrameAtUs } = figures;
  if (entry === undefined || !timed || firstFrameAtUs === undefined || lastFrameAtUs === undefined) {
    return { ...common, ...untimed(entry, member, nominalMs), notes };
  }
  if (figures.stepsBack > 0) {
    const older = figures.stepsBack === 1 ? "1 frame is older" : `${figures.stepsBack} frames are older`;
    const why = settling.movedUs < 0 ? "the times of its stream settled" : "the clock was set back";
    notes.push(`${older} than the one before it: ${why}`);
  }
  const startErrorMs = (firstFrameAtUs - session.startAtUs) / 1000;
  const frameIntervalMs = msOf(figures.intervalUs) ?? nominalMs;
  return {
    ...common,
    timeSource: clock === undefined ? entry.timeSource : "file",
    firstFrameAtUs,
    startErrorMs,
    movedMs: settling.movedUs / 1000,
    frameIntervalMs,
    framesExpected: fittingBefore(startErrorMs, frameIntervalMs) + figures.frames + figures.missing,
    framesReceived: figures.frames,
    framesDropped: figures.missing,
    durationS: (lastFrameAtUs - firstFrameAtUs) / 1e6 + (frameIntervalMs ?? 0) / 1000,
    interval: intervalOf(figures),
    // Cameras of one hub share its clock; what a frame took to arrive is in no file.
    uncertaintyMs:
      clock === undefined ? (entry.timeSource === "kernel" ? 0 : undefined) : msOf(clock.uncertaintyUs),
    notes,
    curve: figures.curve.map((span) => ({
      fromMs: (span.fromUs - session.startAtUs) / 1000,
      toMs: (span.toUs - session.startAtUs) / 1000,
      shortestMs: span.shortestUs / 1000,
      longestMs: span.longestUs / 1000,
    })),
  };
}

function longestGap(entries: readonly MediaEntry[]): MediaEntry["gaps"][number] | undefined {
  const lengthOf = ({ fromUs, toUs }: MediaEntry["gaps"][number]): number => toUs - fromUs;
  return entries.flatMap(({ gaps }) => gaps).toSorted((a, b) => lengthOf(b) - lengthOf(a))[0];
}

/** How many frames could have been captured from T0 to the first one. Some jitter must not make it one. */
function fittingBefore(startErrorMs: number, intervalMs: number | undefined): number {
  return intervalMs === undefined ? 0 : Math.max(0, Math.floor(startErrorMs / intervalMs - 0.02));
}

function intervalOf({
  deviationUs,
  medianUs,
  percentile99Us,
  longestUs,
}: FrameFigures): MemberReport["interval"] {
  if (medianUs === undefined || percentile99Us === undefined || longestUs === undefined) return undefined;
  return {
    deviationMs: (deviationUs ?? 0) / 1000,
    medianMs: medianUs / 1000,
    percentile99Ms: percentile99Us / 1000,
    longestMs: longestUs / 1000,
  };
}

function msOf(us: number | undefined): number | undefined {
  return us === undefined ? undefined : us / 1000;
}

/** A file of another maker: what the container says, and no time of the hub's clock. */
function untimed(
  entry: MediaEntry | undefined,
  member: SessionMember,
  nominalMs: number | undefined,
): Omit<
  MemberReport,
  "key" | "name" | "kind" | "files" | "declared" | "nominalIntervalMs" | "gapReason" | "endReason" | "notes"
> {
  const isLooked = entry !== undefined && !isUnreadable(entry);
  return {
    timeSource: isLooked && member.declared !== undefined ? "declared" : "unknown",
    firstFrameAtUs: undefined,
    startErrorMs: undefined,
    movedMs: undefined,
    frameIntervalMs: nominalMs,
    framesExpected:
      nominalMs === undefined || entry?.durationS === undefined
        ? undefined
        : Math.round((entry.durationS * 1000) / nominalMs),
    framesReceived: entry?.frames,
    framesDropped: undefined,
    durationS: entry?.durationS,
    interval: undefined,
    uncertaintyMs: undefined,
    curve: [],
  };
}

/** Nothing could be found in it when it came in. */
function isUnreadable({ state, codec, filename }: MediaEntry): boolean {
  return state === "failed" && codec === "" && !isEnclosure(filename);
}

/** Whether its frames have times. */
export function isTimed({ timeSource }: Pick<MemberReport, "timeSource">): boolean {
  return timeSource !== "declared" && timeSource !== "unknown";
}
