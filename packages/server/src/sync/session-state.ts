/** A session and its members from one state to the next. Pure; who does what to them is `sync-groups.ts`'s. */
import { OcelliError } from "@ocelli/protocol";
import type { RecordingView } from "../events/catalogue.ts";
import type { SessionMember, SyncMember, SyncSession } from "./contract.ts";
import type { MemberChange } from "./members/members.ts";

export function keyOf(member: SyncMember): string {
  return member.kind === "camera" ? member.cameraId : `${member.host}:${member.port}`;
}

/** @param cameraName of its camera, for one of this hub */
export function newMember(member: SyncMember, cameraName: (cameraId: string) => string): SessionMember {
  const key = keyOf(member);
  const name = member.kind === "camera" ? cameraName(key) : (member.name ?? key);
  return { key, name, member, state: "pending", files: [] };
}

export function isSettled({ state }: Pick<SessionMember, "state">): boolean {
  return state === "completed" || state === "failed";
}

/** What a recording that runs is for its member. */
export function recordingNow({ segments }: RecordingView): MemberChange {
  return { state: "recording", files: [...segments] };
}

/** The session with one of its members changed. */
export function withMember(session: SyncSession, key: string, change: MemberChange): SyncSession {
  const members = session.members.map((member) => (member.key === key ? { ...member, ...change } : member));
  return { ...session, members };
}

/** Recording as soon as a member is, and over as soon as every member is. */
export function judged(session: SyncSession, nowUs: number): SyncSession {
  const { members, state, endedAtUs = nowUs } = session;
  if (members.every(isSettled)) {
    const all = members.every((member) => member.state === "completed");
    return { ...session, state: all ? "completed" : "failed", endedAtUs };
  }
  const begun = state === "armed" && members.some((member) => member.state === "recording");
  return begun ? { ...session, state: "recording" } : session;
}

/** Over, also for members nobody heard of any more. */
export function settleAll(session: SyncSession): SyncSession {
  const members = session.members.map(
    (member): SessionMember =>
      isSettled(member)
        ? member
        : { ...member, state: "failed", error: member.error ?? "It was not heard of any more." },
  );
  return { ...session, members };
}

export interface ArmedMember {
  readonly member: SessionMember;
  readonly error?: unknown;
}

/** Why a session cannot start together: the code of the first member that cannot, and all of them in words. */
export function cannotStart(failed: readonly ArmedMember[], { name }: SyncSession): OcelliError {
  const [first] = failed;
  const code = first?.error instanceof OcelliError ? first.error.code : "device_failed";
  const reasons = failed.map(({ member }) => ({ member: member.key, reason: member.error ?? "failed" }));
  // What keeps several of them is said once.
  const alike = Map.groupBy(reasons, ({ member, reason }) => plainReason(member, reason));
  const words = [...alike].map(([reason, of]) => `${of.map(({ member }) => member).join(", ")}: ${reason}`);
  return new OcelliError(code, `${name} cannot start together. ${words.join("; ")}.`, {
    details: { members: reasons },
    cause: first?.error,
  });
}

/** Without its full stop, and without the camera's name before it, which stands there already. */
function plainReason(member: string, reason: string): string {
  const text = reason.startsWith(`${member}: `) ? reason.slice(member.length + 2) : reason;
  return text.replace(/\.$/, "");
}
