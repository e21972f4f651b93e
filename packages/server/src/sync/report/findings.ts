/** What is to be said of a session in words: what is bad is out of tolerance, the rest is good to know. Pure. */
import { framesDropped as droppedHereAndThere } from "../../recording/drops.ts";
import { hubWasDown } from "../../recording/session.ts";
import type { MemberReport, SyncSession } from "../contract.ts";
import { clockFindings, trueStartUs } from "../session-clock.ts";
import { deviceClock } from "../times/device-clock.ts";

/** Members stopped by hand end not quite together. */
const earlyEndMs = 500;
/** The hub's clock is told to be off beyond this, where that is sure. */
const wrongClockMs = 1;
/** Devices are told to stop when the session is over, which takes them some time. */
const otherLengthS = 1;
/** Less is what jitter does to any stream. */
const movedBeyondMs = 5;
/** A camera whose rate is further from what it was set to than this share is told of. */
const otherRate = 0.02;

export interface Finding {
  readonly text: string;
  readonly bad: boolean;
}

/** What is bad comes first, then as members come. */
export function judge(
  session: SyncSession,
  members: readonly MemberReport[],
  skewMs: number | undefined,
  toleranceMs: number,
): Finding[] {
  const findings: Finding[] = endings(session, members).map((text) => ({ bad: false, text }));
  if (session.endedAtUs === undefined) {
    findings.push({ bad: false, text: "the session is not over: this is what its files show so far" });
  }
  for (const member of members) {
    const { key, startErrorMs, framesDropped, timeSource, uncertaintyMs: uncertainMs = 0 } = member;
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
        text: `${key} declared its start; its file holds no times that could be checked${declaredText(member)}`,
      });
      const lasts = otherLengthText(session, member);
      if (lasts !== undefined) findings.push({ bad: false, text: lasts });
    } else if (startErrorMs === undefined) {
      const yet = session.endedAtUs === undefined ? " yet" : "";
      findings.push({ bad: false, text: `${key} has no file whose times could be read${yet}` });
    } else if (startErrorMs < -uncertainMs) {
      findings.push({ bad: true, text: `${key} began ${ms(-startErrorMs)} before the common instant` });
    } else if (startErrorMs > Math.max(toleranceMs, member.frameIntervalMs ?? 0) + 0.5 + uncertainMs) {
      findings.push({
        bad: true,
        text: `${key} began ${ms(startErrorMs)} after the common instant; ${ms(toleranceMs)} are allowed`,
      });
    }
    const { movedMs = 0 } = member;
    if (Math.abs(movedMs) > movedBeyondMs) {
      findings.push({
        bad: Math.abs(movedMs) > toleranceMs,
        text: `${key}: the times of its stream moved by ${ms(Math.abs(movedMs))} while it was recorded, as after a stall of machine or network: its first frame was captured up to that much ${movedMs < 0 ? "sooner" : "later"} than told`,
      });
    }
    if (member.kind === "multicam" && startErrorMs !== undefined) {
      findings.push({ bad: false, text: `${key}: capture times from the file${offText(member)}` });
    }
    const rate = rateText(member);
    if (rate !== undefined) findings.push({ bad: false, text: rate });
    if (framesDropped !== undefined && framesDropped > 0) {
      findings.push({
        bad: false,
        text: `${key} lacks ${framesDropped} frame${framesDropped === 1 ? "" : "s"}; its longest time between two is ${ms(member.interval?.longestMs ?? 0)}${gapText(member)}`,
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
  const wrong = wrongClockText(session);
  if (wrong !== undefined) findings.push({ bad: false, text: wrong });
  findings.push(...clockFindings(session).map((text) => ({ bad: false, text })));
  return findings.toSorted((a, b) => Number(b.bad) - Number(a.bad));
}

/** T0 is reckoned with it; the times in the files are not. */
function wrongClockText(session: SyncSession): string | undefined {
  const { synchronised, offsetUs, uncertaintyUs = 0 } = session.clock;
  const offMs = Math.abs(offsetUs) / 1000;
  if (!synchronised || offMs <= wrongClockMs || offMs <= uncertaintyUs / 1000) return undefined;
  const at = new Date(trueStartUs(session) / 1000).toISOString();
  return (
    `the hub's clock was ${ms(offMs)} ${offsetUs < 0 ? "ahead of" : "behind"} true time, which T0 was reckoned with (${at}): ` +
    "the times here and in the files are of that clock"
  );
}

/** Ends of recordings that nobody asked for. */
const endWords: Readonly<Record<string, string>> = {
  storage_critical: "the disk was nearly full. Make room before the next session",
  camera_lost: "the camera did not come back",
  shutdown: "the hub was stopped",
};

/** Whose recording ended before its time, those with one reason together. */
function endings(session: SyncSession, members: readonly MemberReport[]): string[] {
  return Object.entries(endWords).flatMap(([reason, words]) => {
    const ended = members.filter((one) => one.endReason === reason && one.durationS !== undefined);
    if (ended.length === 0) return [];
    const lastedS = Math.min(...ended.map(({ durationS = 0 }) => durationS));
    const of = session.durationS === undefined ? "" : ` of ${session.durationS.toFixed(1)} s`;
    const who = ended.map(({ key }) => key).join(", ");
    return [`${who} ended after ${lastedS.toFixed(1)} s${of}: ${words}`];
  });
}

/** What the recording noted of its longest hole; of a few frames that did not come it knows no more than that. */
function gapText({ gapReason }: MemberReport): string {
  if (gapReason === undefined || gapReason === droppedHereAndThere) return "";
  return ` (${gapReason === hubWasDown ? "the hub was not running" : gapReason})`;
}

/** A camera in the dark gives half of the frames it promised, and lacks none of those it could make. */
function rateText({ key, interval, frameIntervalMs, nominalIntervalMs }: MemberReport): string | undefined {
  if (interval === undefined || frameIntervalMs === undefined || nominalIntervalMs === undefined)
    return undefined;
  if (Math.abs(nominalIntervalMs / frameIntervalMs - 1) <= otherRate) return undefined;
  const [real, said] = [frameIntervalMs, nominalIntervalMs].map((one) => Number((1000 / one).toFixed(2)));
  return `${key} gave ${real} frames a second; it was set to ${said}`;
}

/** What became of the times of another clock. */
function offText(member: MemberReport): string {
  const clock = clockText(member);
  if (clock === undefined) return ", by its own clock; how that stood against the hub's is not known";
  return `; its clock ${clock.words}${clock.agreed ? "" : ", which is taken out of them"}, ${clock.within}`;
}

/** Some devices know by how much their clock is off (spec section 9.1); nothing they say tells so. */
function declaredText(member: MemberReport): string {
  const clock = clockText(member);
  if (clock === undefined) return "; how its clock stood against the hub's is not known";
  const early = clock.aheadMs > 0 ? "early" : "late";
  const meaning = clock.agreed ? "" : `: unless it reckoned with that, it began that much too ${early}`;
  return `; its clock ${clock.words}, ${clock.within}${meaning}`;
}

function clockText(member: MemberReport) {
  const { clockOffset } = member.declared ?? {};
  const { shiftUs = 0, uncertaintyUs } = deviceClock(member) ?? {};
  if (clockOffset === undefined || uncertaintyUs === undefined) return undefined;
  const aheadMs = clockOffset * 1000;
  const off = `was ${ms(Math.abs(aheadMs))} ${aheadMs < 0 ? "behind" : "ahead of"} the hub's`;
  const agreed = shiftUs === 0;
  return {
    ...{ aheadMs, agreed, within: `give or take ${ms(uncertaintyUs / 1000)}` },
    words: agreed ? "agreed with the hub's" : off,
  };
}

/** Of a device without frame times, that is what its file can be held against. */
function otherLengthText({ durationS: wantedS }: SyncSession, { key, durationS }: MemberReport) {
  if (wantedS === undefined || durationS === undefined) return undefined;
  if (Math.abs(durationS - wantedS) <= otherLengthS) return undefined;
  return `${key}: its file lasts ${durationS.toFixed(2)} s, of a session of ${wantedS.toFixed(2)} s`;
}

function ms(value: number): string {
  return `${value.toFixed(1)} ms`;
}
