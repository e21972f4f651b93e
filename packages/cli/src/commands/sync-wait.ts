/** Follows a sync session to its end: the countdown, the recording, the files; then prints the report. */
import { ConnectionError } from "@ocelli/client";
import type { ResultOf } from "@ocelli/protocol/camera-service";
import type { Context } from "../context.ts";
import { CommandError, Interrupted } from "../exit-codes.ts";
import { ProgressLine } from "../progress.ts";
import { countdownText, durationText, harmless } from "../words.ts";
import { printReport } from "./sync-results.ts";

type Session = ResultOf<"start_sync_recording">;

/** Between two questions, and two drawings. */
const intervalMs = 250;

export async function follow(begun: Session, context: Context): Promise<void> {
  const { connection, io, aside } = context;
  const { timestamp } = await connection.call("get_camera_list");
  // The hub's clock counts; this machine's may differ.
  const hubAheadMs = Date.parse(timestamp) - Date.now();
  const progress = new ProgressLine(io);
  let session: Session | undefined = begun;
  let toldState = "";
  try {
    while (session !== undefined && (session.status === "armed" || session.status === "recording")) {
      if (!io.isTerminal && toldState !== session.status) aside(`${session.name}: ${session.status}`);
      toldState = session.status;
      draw(session, (Date.now() + hubAheadMs) * 1000, progress);
      await pause(intervalMs, io.signal);
      [session] = (await connection.call("get_sync_sessions", { session_id: begun.session_id })).sessions;
    }
  } catch (error) {
    if (!io.signal.aborted) throw error instanceof ConnectionError ? lost(begun, error) : error;
    throw new Interrupted(
      `Interrupted. ${begun.name} goes on: \`ocelli sync stop ${begun.session_id}\` ends it.`,
    );
  } finally {
    progress.end();
  }
  await printReport(begun.session_id, context);
  const failed = (session ?? begun).members.filter(({ status }) => status === "failed");
  // For scripts: the report says why.
  if (failed.length > 0) {
    const names = failed.map(({ member }) => harmless(member)).join(", ");
    throw new CommandError("member_failed", `Not everybody recorded: ${names} failed.`);
  }
}

/** The hub may be gone for good, or be back in a moment: it takes its sessions up again. */
function lost({ name, session_id }: Session, { condition }: ConnectionError): ConnectionError {
  return new ConnectionError(
    `The connection to the hub was lost. ${name} goes on without it, and after a restart of the hub too: ` +
      `\`ocelli sync sessions\` lists it, \`ocelli sync report ${session_id}\` shows what came of it.`,
    { condition },
  );
}

function draw(session: Session, hubNowUs: number, progress: ProgressLine): void {
  const { name, start_at_us, duration, members } = session;
  const sinceS = (hubNowUs - start_at_us) / 1e6;
  if (sinceS < 0) progress.say(name, `begins in ${countdownText(-sinceS)}`);
  else if (duration === null) progress.say(name, `recording ${durationText(sinceS)}`);
  else if (sinceS < duration) progress.fraction(name, sinceS / duration);
  else {
    const left = members.filter(({ status }) => status !== "completed" && status !== "failed");
    progress.say(name, `waiting for ${left.map(({ member }) => member).join(", ")}`);
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const aborted = (): void => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", aborted);
      resolve();
    }, ms);
    if (signal.aborted) aborted();
    else signal.addEventListener("abort", aborted, { once: true });
  });
}
