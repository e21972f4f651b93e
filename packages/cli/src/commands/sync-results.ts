/** `ocelli sync report` and `ocelli sync align` */
import { writeFile } from "node:fs/promises";
import { messageOf, OcelliError } from "@ocelli/protocol";
import type { ResultOf } from "@ocelli/protocol/camera-service";
import type { Command } from "commander";
import { type Context, withHub } from "../context.ts";
import { CommandError } from "../exit-codes.ts";
import { httpText } from "../http-text.ts";
import type { Io } from "../io.ts";
import { ProgressLine } from "../progress.ts";
import type { Style } from "../style.ts";
import { factLines, harmless, millisText, table } from "../words.ts";

type Report = ResultOf<"get_sync_report">;
type Aligned = ResultOf<"align_sync_session">;

export function addSyncResults(sync: Command, io: Io): void {
  const which = "as `sync sessions` lists it; the newest otherwise";
  sync
    .command("report")
    .description("what the files of a session show: starts, missing frames, jitter")
    .argument("[session]", which)
    .option("--html <file>", "save the report as a page")
    .action((session: string | undefined, options: { html?: string }, command: Command) =>
      withHub(command, io, async (context) => {
        await printReport(session ?? (await newestSession(context)), context, options.html);
      }),
    );
  sync
    .command("align")
    .description("make new files with exactly the frames all members have, and a side-by-side view")
    .argument("[session]", which)
    .option("--no-preview", "without the side-by-side view")
    .action((session: string | undefined, options: { preview: boolean }, command: Command) =>
      withHub(command, io, async (context) => {
        await align(session ?? (await newestSession(context)), options.preview, context);
      }),
    );
}

export async function newestSession({ connection }: Context): Promise<string> {
  const { sessions } = await connection.call("get_sync_sessions", { limit: 1 });
  const [newest] = sessions;
  if (newest !== undefined) return newest.session_id;
  throw new OcelliError("not_found", "There is no sync session yet. `ocelli sync start <group>` makes one.");
}

export async function printReport(session_id: string, context: Context, html?: string): Promise<void> {
  const { connection, print, style, target, io } = context;
  const report = await connection.call("get_sync_report", { session_id }, { timeoutMs: 0 });
  if (html !== undefined) {
    const { pathname, search } = new URL(report.report_url, target.baseUrl);
    const page = await httpText(target, pathname + search, io.signal);
    await writeFile(html, page).catch((error: unknown) => {
      throw new CommandError("storage_failed", `${html} could not be written: ${messageOf(error)}`);
    });
  }
  print(report, () => reportText(report, style, html));
}

/** What each member has in the library. */
export function sessionFiles({ members }: Report["session"]): string {
  return members
    .map(({ member, files, error }) => {
      const what = [files.join(", "), error ?? ""].filter((one) => one !== "").join("  ");
      return `${member}: ${harmless(what || "no file")}\n`;
    })
    .join("");
}

function reportText(report: Report, style: Style, html: string | undefined): string {
  const { session, skew_ms, tolerance_ms, common, clock, members, findings } = report;
  const within = clock.uncertainty_ms === null ? "" : `, within ${millisText(clock.uncertainty_ms)}`;
  const facts = factLines([
    ["Session", `${session.name}  ${session.session_id}`],
    ["Verdict", verdictText(report, style)],
    ["T0", microText(session.start_at_us)],
    ["Apart", skew_ms === null ? "-" : `${millisText(skew_ms)} (${millisText(tolerance_ms)} allowed)`],
    ["Common", common === null ? "-" : `${common.duration.toFixed(2)} s`],
    ["Clock", clock.synchronised ? `synchronised by ${clock.source}${within}` : "not synchronised"],
  ]);
  const rows = table(
    ["MEMBER", "FIRST FRAME", "AFTER T0", "FRAMES", "MISSING", "RATE", "JITTER", "LONGEST", "TIMES"],
    members.map(memberRow),
  );
  const found = findings.map((one) => `- ${harmless(one)}\n`).join("");
  const page = html === undefined ? report.report_url : html;
  return `${facts}\n${rows}\n${found}${found === "" ? "" : "\n"}Page: ${page}\n`;
}

function verdictText({ verdict, session }: Report, style: Style): string {
  if (verdict === "within_tolerance") return style.good("in sync");
  if (verdict === "not_measured") return style.warn("not measured");
  const hasFailed = session.members.some(({ status }) => status === "failed");
  return style.bad(hasFailed ? "a member failed" : "out of tolerance");
}

function memberRow(member: Report["members"][number]): string[] {
  const millis = (value: number | null): string => (value === null ? "-" : millisText(value));
  const { frames_received, frames_expected, frames_dropped, first_frame_at_us } = member;
  return [
    member.member,
    first_frame_at_us === null ? "-" : microText(first_frame_at_us).slice(11, 26),
    millis(member.start_error_ms),
    frames_received === null ? "-" : `${frames_received} of ${frames_expected ?? "?"}`,
    frames_dropped === null ? "-" : String(frames_dropped),
    rateText(member),
    millis(member.jitter_ms),
    millis(member.longest_interval_ms),
    member.time_source,
  ];
}

/** Frames a second: what the camera gave, of what it was set to. */
function rateText(member: Report["members"][number]): string {
  const [gave, set] = [member.frame_interval_ms, member.nominal_interval_ms].map((interval) =>
    interval === null || interval === undefined ? "-" : String(Number((1000 / interval).toFixed(2))),
  );
  if (member.jitter_ms !== null) return `${gave} of ${set}`;
  return set === "-" ? set : `- of ${set}`;
}

/** UTC, to the microsecond. */
function microText(us: number): string {
  const whole = Math.floor(us / 1e6);
  const fraction = String(Math.floor(us - whole * 1e6)).padStart(6, "0");
  return `${new Date(whole * 1000).toISOString().slice(0, 19).replace("T", " ")}.${fraction} UTC`;
}

async function align(session_id: string, preview: boolean, context: Context): Promise<void> {
  const { connection, print, io } = context;
  const progress = new ProgressLine(io);
  connection.on("export_update", (update) => progress.fraction(update.source, update.progress));
  const aligned = await connection
    .call("align_sync_session", { session_id, preview }, { timeoutMs: 0 })
    .finally(() => progress.end());
  print(aligned, () => alignedText(aligned));
}

function alignedText({ from_us, to_us, members, skipped, preview }: Aligned): string {
  const span = `${((to_us - from_us) / 1e6).toFixed(2)} s from ${microText(from_us)}\n`;
  const rows = table(
    ["MEMBER", "FRAMES", "HOW", "FILE"],
    members.map(({ member, frames, method, filename }) => [member, String(frames), method, filename]),
  );
  const left = skipped.map(({ member, reason }) => `${member} left out: ${harmless(reason)}\n`).join("");
  return `${span}${rows}${left}${preview === null ? "" : `side by side: ${preview}\n`}`;
}
