/** A session as other MultiCam controllers write it beside their files: `metadata.json` (spec section 13). Pure. */
import type { SyncSession } from "./contract.ts";

export interface SessionMetadata {
  readonly session_name: string;
  readonly collector_name: string;
  readonly task: string | null;
  /** ISO 8601 in true UTC: the hub's clock, and what it was known to be off. */
  readonly time_collected: string;
  /** Of the hub's machine: `+02:00`. */
  readonly local_timezone_offset: string;
  /** File by the name of the member; the first file where there are several. */
  readonly files: Readonly<Record<string, string>>;
}

/** @param localOffsetMinutes of the hub's machine at that time, east of Greenwich */
export function sessionMetadata(session: SyncSession, localOffsetMinutes: number): SessionMetadata {
  const { name, startAtUs, clock, members } = session;
  const names = members.map((member) => member.name);
  const keyOf = (member: SyncSession["members"][number]): string =>
    names.indexOf(member.name) === names.lastIndexOf(member.name) ? member.name : member.key;
  return {
    session_name: name,
    collector_name: "Unknown",
    task: null,
    time_collected: new Date((startAtUs + clock.offsetUs) / 1000).toISOString().replace("Z", "+00:00"),
    local_timezone_offset: offsetText(localOffsetMinutes),
    files: Object.fromEntries(
      members.flatMap((member) => {
        const [first] = member.files;
        return first === undefined ? [] : [[keyOf(member), first]];
      }),
    ),
  };
}

function offsetText(minutes: number): string {
  const two = (value: number): string => String(Math.floor(Math.abs(value))).padStart(2, "0");
  return `${minutes < 0 ? "-" : "+"}${two(minutes / 60)}:${two(minutes % 60)}`;
}
