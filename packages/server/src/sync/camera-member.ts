/** A camera of this hub as a member: its recording is armed for the instant, the capture warm long before. */
import { messageOf, OcelliError } from "@ocelli/protocol";
import type { RecordingView } from "../events/catalogue.ts";
import type { Library } from "../library/contract.ts";
import type { Recordings } from "../recording/contract.ts";
import type { SessionMember, SyncSession } from "./contract.ts";
import type { MemberChange, MemberDriver } from "./members.ts";

export function cameraDriver(
  recordings: Pick<Recordings, "start" | "stop" | "activeOf">,
  library: Pick<Library, "get">,
): MemberDriver {
  return {
    resume(session, member) {
      if (recordings.activeOf(member.key)?.id === member.recordingId) return {};
      try {
        // Recovered, and not taken up again: its time was over.
        const { filename } = library.get("recording", fileStem(session, member));
        return { state: "completed", files: [filename] };
      } catch {
        return { state: "failed", error: "The hub was not running, and there is no file of it." };
      }
    },
    async arm(session, member) {
      const view = await recordings.start({
        cameraId: member.key,
        startAtUs: session.startAtUs,
        filename: fileStem(session, member),
        ...(session.durationS === undefined ? {} : { durationS: session.durationS }),
      });
      return { state: "armed", recordingId: view.id };
    },
    async stop(_session, member) {
      if (member.recordingId === undefined) return {};
      try {
        return outcomeOf(await recordings.stop({ recordingId: member.recordingId }));
      } catch (error) {
        // It has ended by itself before: what its own end said stays.
        if (error instanceof OcelliError && error.code === "not_recording") return {};
        return { state: "failed", error: messageOf(error) };
      }
    },
    async cancel(_session, member) {
      if (member.recordingId === undefined) return;
      await recordings.stop({ recordingId: member.recordingId }).catch(() => undefined);
    },
  };
}

/** What a recording's end means for the member. */
export function outcomeOf(recording: RecordingView, error?: string): MemberChange {
  const files = [...recording.segments];
  if (recording.state === "completed") return { state: "completed", files };
  return { state: "failed", files, error: error ?? "The recording failed; see the hub's log." };
}

/** Same beginning for all files of a session, so that a folder sorted by name keeps them together. */
export function fileStem(session: SyncSession, member: Pick<SessionMember, "key">): string {
  const at = new Date(session.startAtUs / 1000)
    .toISOString()
    .replaceAll(/[-:]/g, "")
    .replace(/\.\d+Z$/, "Z");
  const plain = (text: string): string => text.replaceAll(/[^\p{L}\p{N}_.-]+/gu, "-").replace(/^[-.]+/, "");
  return `${plain(session.name).slice(0, 60)}_${at}_${plain(member.key)}`;
}
