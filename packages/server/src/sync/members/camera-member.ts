/** A camera of this hub as a member: its recording is armed for the instant, the capture warm long before. */
import { messageOf, OcelliError } from "@ocelli/protocol";
import type { RecordingView } from "../../events/catalogue.ts";
import type { Library, Sidecar } from "../../library/contract.ts";
import type { Recordings } from "../../recording/contract.ts";
import type { SessionMember, SyncSession } from "../contract.ts";
import { trueStartUs } from "../session-clock.ts";
import type { MemberChange, MemberDriver } from "./members.ts";

export function cameraDriver(
  recordings: Pick<Recordings, "start" | "rearm" | "stop" | "activeOf">,
  library: Pick<Library, "get">,
): MemberDriver {
  return {
    resume(session, member) {
      const active = recordings.activeOf(member.key);
      if (active !== undefined && active.id === member.recordingId) return {};
      // The hub went down between the start of the recording and the note of it.
      const isOurs =
        member.recordingId === undefined && active?.filename.startsWith(fileStem(session, member));
      if (active !== undefined && isOurs === true) return { state: "armed", recordingId: active.id };
      // Recovered, and not taken up again: its time was over.
      const files = filesOf(library, fileStem(session, member));
      if (files.length > 0) return { state: "completed", files };
      return { state: "failed", error: "The hub was not running, and there is no file of it." };
    },
    async arm(session, member) {
      const view = await recordings.start({
        cameraId: member.key,
        startAtUs: session.startAtUs,
        filename: fileStem(session, member),
        sync: syncFacts(session),
        ...(session.durationS === undefined ? {} : { durationS: session.durationS }),
      });
      return { state: "armed", recordingId: view.id };
    },
    rearm({ startAtUs }, { recordingId }) {
      // One that has begun already is told by its first frame.
      if (recordingId !== undefined) recordings.rearm(recordingId, startAtUs);
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

/** The files of a recording that began with this name, in order. */
function filesOf(library: Pick<Library, "get">, stem: string): string[] {
  const files: string[] = [];
  for (let part = 1; ; part++) {
    try {
      files.push(library.get("recording", part === 1 ? stem : `${stem}_part${part}`).filename);
    } catch {
      return files;
    }
  }
}

/** What the sidecar of each file of a session says of it. */
export function syncFacts({ id, groupName, name, startAtUs }: SyncSession): NonNullable<Sidecar["sync"]> {
  return { sessionId: id, groupName: groupName ?? name, startAtUs };
}

/** What a recording's end means for the member. */
export function outcomeOf(recording: RecordingView, error?: string): MemberChange {
  const files = [...recording.segments];
  if (recording.state === "completed") return { state: "completed", files };
  const without = "It was stopped before its first frame.";
  const reason = recording.frames === 0 ? without : "The recording failed; see the hub's log.";
  return { state: "failed", files, error: error ?? reason };
}

/**
 * Same beginning for all files of a session, so that a folder sorted by name keeps them together; of true time, which
 * stays the same when the clock is set.
 */
export function fileStem(session: SyncSession, member: Pick<SessionMember, "key">): string {
  const at = new Date(trueStartUs(session) / 1000)
    .toISOString()
    .replaceAll(/[-:]/g, "")
    .replace(/\.\d+Z$/, "Z");
  // What devices call themselves is in it: nothing the library refuses may remain, and no name be too long.
  const plain = (text: string): string =>
    text
      .replaceAll(/[^\p{L}\p{N}_.-]+/gu, "-")
      .replaceAll(/\.{2,}/g, ".")
      .replace(/^[-.]+/, "")
      .slice(0, 60);
  return `${plain(session.name)}_${at}_${plain(member.key)}`;
}
