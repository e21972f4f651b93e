/**
 * What a session's files show, member by member, and a verdict. Nothing here is taken from a promise: first frames,
 * counts and jitter are read from the files; what a device only declared is called so.
 */
import type { MemberReport, SyncReport, SyncSession } from "../contract.ts";
import { judge } from "./findings.ts";
import { isTimed, type MemberParts, memberReport } from "./member-report.ts";

export interface ReportParts extends MemberParts {
  readonly nowUs: () => number;
}

export async function buildReport(session: SyncSession, parts: ReportParts): Promise<SyncReport> {
  const members: MemberReport[] = [];
  for (const member of session.members) members.push(await memberReport(session, member, parts));
  const timed = members.filter(isTimed);
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
