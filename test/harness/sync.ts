/** What tests of sync sessions share: the answers' shapes, the wait for an end, and the independent reader of files. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { root, until } from "./hub.ts";
import type { Rpc } from "./rpc.ts";

const run = promisify(execFile);

export interface ReadRecording {
  frames: number;
  times: number[];
  duration: number;
  first: { number: number; ms: number } | null;
  /** Drawn into each picture, where they were asked for. */
  numbers?: (number | null)[];
}

export interface SessionObject {
  session_id: string;
  status: string;
  start_at_us: number;
  members: { member: string; status: string; files: string[]; error: string | null }[];
}

export interface MemberObject {
  member: string;
  files: string[];
  time_source: string;
  first_frame_at_us: number;
  start_error_ms: number;
  frame_interval_ms: number;
  frames_expected: number;
  frames_received: number;
  frames_dropped: number;
  duration: number;
  longest_interval_ms: number;
}

export interface AlignedObject {
  members: { member: string; filename: string; frames: number; method: string; first_frame_at_us: number }[];
  skipped: { member: string; reason: string }[];
  preview: string;
}

export interface ReportObject {
  verdict: string;
  findings: string[];
  skew_ms: number;
  tolerance_ms: number;
  common: { from_us: number; to_us: number; duration: number };
  members: MemberObject[];
  report_url: string;
}

/** @param what `numbers`: also those drawn into every picture */
export async function readRecording(path: string, ...what: "numbers"[]): Promise<ReadRecording> {
  const script = join(root, "test/harness/read_recording.py");
  const { stdout } = await run("/usr/bin/python3", ["-B", script, path, ...what], {
    maxBuffer: 64 * 2 ** 20,
  });
  return JSON.parse(stdout) as ReadRecording;
}

/** @throws Error for an empty list */
export const first = <T>(list: readonly T[] | undefined): T => {
  const [one] = list ?? [];
  if (one === undefined) throw new Error("there is none");
  return one;
};

export async function over(rpc: Rpc, id: string, timeoutMs = 60_000): Promise<SessionObject> {
  return until(
    `the end of ${id}`,
    async () => {
      const { sessions } = await rpc.call<{ sessions: SessionObject[] }>("get_sync_sessions");
      return sessions.find((one) => one.session_id === id && /completed|failed/.test(one.status));
    },
    timeoutMs,
  );
}

export const reportOf = (rpc: Rpc, session_id: string) =>
  rpc.call<ReportObject>("get_sync_report", { session_id });
export const begun = (rpc: Rpc, id: string) =>
  rpc.waitFor(
    "sync.session",
    ({ session_id, status }) => session_id === id && status === "recording",
    60_000,
  );
