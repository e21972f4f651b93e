/** What a session does with one member, whatever it is: arm, stop, and say what became of it. */
import type { SessionMember, SyncSession } from "../contract.ts";

export type MemberChange = Partial<Omit<SessionMember, "key" | "member">>;

export interface MemberDriver {
  /**
   * Gets the member ready and has it start at the session's instant.
   * @throws OcelliError when it cannot take part
   */
  arm(session: SyncSession, member: SessionMember, signal: AbortSignal): Promise<MemberChange>;
  /** The session's instant is another moment of the hub's clock now, though the same one of true time. Never throws. */
  rearm(session: SyncSession, member: SessionMember): void;
  /**
   * Ends it and brings its files in; never rejects. One that ended before the hub went down only has its files brought.
   * @param note takes what the hub has to know after a restart in the middle of it
   */
  stop(
    session: SyncSession,
    member: SessionMember,
    note: (change: MemberChange) => void,
  ): Promise<MemberChange>;
  /** What became of it while the hub was down; nothing when it goes on. Never throws. */
  resume(session: SyncSession, member: SessionMember): MemberChange;
  /** Undoes `arm` for a session that does not begin after all; never rejects. */
  cancel(session: SyncSession, member: SessionMember): Promise<void>;
}
