/**
 * What a session's files show, member by member, and a verdict. Nothing here is taken from a promise: first frames,
 * counts and jitter are read from the files; what a device only declared is called so.
 */
import { messageOf } from "@ocelli/protocol";
import type { MediaEntry } from "../library/contract.ts";
import type { MemberReport, SessionMember, SyncReport, SyncSession } from "./contract.ts";
import { measureFrames, thinned } from "./measure.ts";

export interface ReportParts {
  /** Of the library. @throws OcelliError `file_not_found` */
  readonly entry: (filename: string) => MediaEntry;
  /** Capture times of a file's frames, epoch microseconds. @throws OcelliError `unsupported` for a file without */
  readonly frameTimes: (path: string) => AsyncIterable<number>;
  readonly nowUs: () => number;
}

/** Members stopped by hand end not quite together. */
const earlyEndMs = 500;
/** Points a member has in the plot. */
const plotted = 600;
/** Longest recording that is looked at frame by frame: a day at 60 frames/s. */
const maxFrames = 6_000_000;

export async function buildReport(session: SyncSession, parts: ReportParts): Promise<SyncReport> {
  const members: MemberReport[] = [];
  for (const member of session.members) members.push(await memberReport(session, member, parts));
  const timed = members.filter((one) => one.timeSource === "kernel" || one.timeSource === "arrival");
  const firsts = timed.flatMap((one) => (one.firstFrameAtUs === undefined ? [] : [one.firstFrameAtUs]));
  const skewMs = firsts.length < 2 ? undefined : (Math.max(...firsts) - Math.min(...firsts)) / 1000;
  const slowest = Math.max(0, ...timed.map((one) => one.frameIntervalMs ?? 0));
  const toleranceMs = session.toleranceMs ?? slowest;
  const findings = judge(session, members, skewMs, toleranceMs);
  // Of a device that only declares its start nothing can be measured; a file that is gone is another matter.
  const measured =
    timed.length > 0 &&
    members.every((one) => one.timeSource === "declared" || one.startErrorMs !== undefined);
  const failed = findings.some(({ bad }) => bad);
  return {
    session,
    members,
    skewMs,
    toleranceMs,
    verdict: failed ? "out_of_tolerance" : measured ? "within_tolerance" : "not_measured",
    findings: findings.map(({ text }) => text),
    common: commonOf(timed),
    madeAtUs: parts.nowUs(),
  };
}

async function memberReport(
  session: SyncSession,
  member: SessionMember,
  parts: ReportParts,
): Promise<MemberReport> {
  const notes: string[] = member.error === undefined ? [] : [member.error];
  const entries: MediaEntry[] = [];
  const times: number[] = [];
  let timed = member.files.length > 0;
  for (const file of member.files) {
    try {
      const entry = parts.entry(file);
      entries.push(entry);
      for await (const time of parts.frameTimes(entry.path)) if (times.length < maxFrames) times.push(time);
    } catch (error) {
      timed = false;
      notes.push(messageOf(error));
    }
  }
  const [entry] = entries;
  const common = {
    key: member.key,
    name: member.name,
    kind: member.member.kind,
    files: member.files,
    declared: member.declared,
  };
  if (entry === undefined || !timed || times.length === 0) {
    return { ...common, ...untimed(entry, member), notes };
  }
  const nominalUs = entry.fps > 0 ? 1e6 / entry.fps : undefined;
  const figures = measureFrames(times, nominalUs);
  const { firstFrameAtUs, intervalUs, endAtUs } = figures;
  const from = session.startAtUs;
  const expected =
    intervalUs === undefined || endAtUs === undefined
      ? undefined
      : Math.floor((endAtUs - from) / intervalUs + 0.01);
  return {
    ...common,
    timeSource: entry.timeSource,
    firstFrameAtUs,
    startErrorMs: firstFrameAtUs === undefined ? undefined : (firstFrameAtUs - from) / 1000,
    frameIntervalMs: intervalUs === undefined ? undefined : intervalUs / 1000,
    framesExpected: expected,
    framesReceived: figures.frames,
    framesDropped: figures.missing,
    durationS:
      firstFrameAtUs === undefined || endAtUs === undefined ? undefined : (endAtUs - firstFrameAtUs) / 1e6,
    interval:
      figures.meanUs === undefined
        ? undefined
        : {
            meanMs: figures.meanUs / 1000,
            deviationMs: (figures.deviationUs ?? 0) / 1000,
            longestMs: (figures.longestUs ?? 0) / 1000,
          },
    uncertaintyMs: uncertaintyOf(session, member, entry.timeSource),
    notes,
    frames: thinned(
      times.map((time) => (time - from) / 1000),
      plotted,
    ),
  };
}

/** A file of another maker: what the container says, and no time of the hub's clock. */
function untimed(
  entry: MediaEntry | undefined,
  member: SessionMember,
): Omit<MemberReport, "key" | "name" | "kind" | "files" | "declared" | "notes"> {
  const interval = entry !== undefined && entry.fps > 0 ? 1000 / entry.fps : undefined;
  return {
    timeSource: entry === undefined || member.declared === undefined ? "unknown" : "declared",
    firstFrameAtUs: undefined,
    startErrorMs: undefined,
    frameIntervalMs: interval,
    framesExpected:
      interval === undefined || entry?.durationS === undefined
        ? undefined
        : Math.round((entry.durationS * 1000) / interval),
    framesReceived: entry?.frames,
    framesDropped: undefined,
    durationS: entry?.durationS,
    interval: undefined,
    uncertaintyMs: undefined,
    frames: [],
  };
}

/**
 * Cameras of one hub share its clock: frames stamped by the kernel compare exactly. What a frame took to arrive is
 * in no file. A device elsewhere has the uncertainty of both clocks.
 */
function uncertaintyOf(
  session: SyncSession,
  member: SessionMember,
  timeSource: MediaEntry["timeSource"],
): number | undefined {
  if (member.member.kind === "camera") return timeSource === "kernel" ? 0 : undefined;
  const { uncertaintyUs } = session.clock;
  const roundTrip = member.declared?.roundTrip;
  return uncertaintyUs === undefined || roundTrip === undefined
    ? undefined
    : uncertaintyUs / 1000 + (roundTrip * 1000) / 2;
}

interface Finding {
  readonly text: string;
  readonly bad: boolean;
}

function judge(
  session: SyncSession,
  members: readonly MemberReport[],
  skewMs: number | undefined,
  toleranceMs: number,
): Finding[] {
  const findings: Finding[] = [];
  for (const member of members) {
    const { key, startErrorMs, framesDropped, timeSource } = member;
    const { state, armedAtUs = 0 } = session.members.find((one) => one.key === key) ?? {};
    const lateMs = (armedAtUs - session.startAtUs) / 1000;
    if (lateMs > 0) {
      findings.push({
        bad: false,
        text: `${key} was ready only ${ms(lateMs)} after the common instant: start with a longer delay`,
      });
    }
    if (state === "failed")
      findings.push({ bad: true, text: `${key} failed: ${member.notes[0] ?? "no reason is known"}` });
    else if (timeSource === "declared") {
      findings.push({
        bad: false,
        text: `${key} declared its start; its file holds no times that could be checked`,
      });
    } else if (startErrorMs === undefined) {
      findings.push({ bad: false, text: `${key} has no file whose times could be read` });
    } else if (startErrorMs < 0) {
      findings.push({ bad: true, text: `${key} began ${ms(-startErrorMs)} before the common instant` });
    } else if (startErrorMs > Math.max(toleranceMs, member.frameIntervalMs ?? 0) + 0.5) {
      findings.push({
        bad: true,
        text: `${key} began ${ms(startErrorMs)} after the common instant; ${ms(toleranceMs)} are allowed`,
      });
    }
    if (member.kind === "multicam" && startErrorMs !== undefined) {
      findings.push({ bad: false, text: `${key} has times of its own clock${offText(member.declared)}` });
    }
    if (framesDropped !== undefined && framesDropped > 0) {
      findings.push({
        bad: false,
        text: `${key} lacks ${framesDropped} frame${framesDropped === 1 ? "" : "s"}; its longest time between two is ${ms(member.interval?.longestMs ?? 0)}`,
      });
    }
  }
  const ends = members.flatMap(({ firstFrameAtUs, durationS }) =>
    firstFrameAtUs === undefined || durationS === undefined ? [] : [firstFrameAtUs + durationS * 1e6],
  );
  const lastEndUs = Math.max(...ends);
  for (const { key, firstFrameAtUs, durationS, frameIntervalMs = 0 } of members) {
    if (firstFrameAtUs === undefined || durationS === undefined) continue;
    const earlyMs = (lastEndUs - firstFrameAtUs) / 1000 - durationS * 1000;
    if (earlyMs > earlyEndMs + frameIntervalMs) {
      findings.push({ bad: false, text: `${key} ends ${(earlyMs / 1000).toFixed(1)} s before the last one` });
    }
  }
  if (skewMs !== undefined && skewMs > toleranceMs + 0.5) {
    findings.push({
      bad: true,
      text: `first frames are ${ms(skewMs)} apart; ${ms(toleranceMs)} are allowed`,
    });
  }
  if (!session.clock.synchronised) {
    findings.push({
      bad: false,
      text: "the hub's clock was not synchronised: times compare within this hub, not with those of others",
    });
  }
  return findings;
}

/** By one answer: no more exact than half of what that took. */
function offText({ clockOffset, roundTrip = 0 }: NonNullable<MemberReport["declared"]> = {}): string {
  if (clockOffset === undefined) return "";
  const [off, exact] = [Math.abs(clockOffset), roundTrip / 2].map((seconds) => ms(seconds * 1000));
  return `, which was ${off} ${clockOffset < 0 ? "behind" : "ahead of"} the hub's, give or take ${exact}`;
}

function ms(value: number): string {
  return `${value.toFixed(1)} ms`;
}

function commonOf(members: readonly MemberReport[]): SyncReport["common"] {
  const spans = members.flatMap(({ firstFrameAtUs, durationS }) =>
    firstFrameAtUs === undefined || durationS === undefined
      ? []
      : [{ fromUs: firstFrameAtUs, toUs: firstFrameAtUs + durationS * 1e6 }],
  );
  if (spans.length === 0 || spans.length < members.length) return undefined;
  const fromUs = Math.max(...spans.map((span) => span.fromUs));
  const toUs = Math.floor(Math.min(...spans.map((span) => span.toUs)));
  return toUs > fromUs ? { fromUs, toUs } : undefined;
}
