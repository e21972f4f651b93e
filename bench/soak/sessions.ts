/** Sync sessions of two cameras and a phone of whatever habits, from the first word to the last file. */
import { setTimeout as sleep } from "node:timers/promises";
import { until } from "../../test/harness/hub.ts";
import { PythonDevice } from "../../test/harness/multicam.ts";
import type { Rpc } from "../../test/harness/rpc.ts";
import { over, reportOf, type SessionObject } from "../../test/harness/sync.ts";
import { roles, type Stage } from "./stage.ts";

const habits: readonly (readonly string[])[] = [
  [],
  [],
  ["break-file=1"],
  ["pieces", "twice"],
  ["lose-stop-answer"],
  ["silent-stop"],
  ["vanish"],
];

const anyOf = <T>(list: readonly T[]): T => {
  const one = list[Math.floor(Math.random() * list.length)];
  if (one === undefined) throw new Error("nothing to choose from");
  return one;
};

/** @param turn which of those that record at the same time */
export async function recordTogether({ phoneVideo }: Stage, admin: Rpc, turn: number): Promise<void> {
  const chosen = anyOf(habits);
  await using phone = await PythonDevice.start(phoneVideo, { habits: chosen });
  const group = `together-${turn}`;
  const members = [...(roles.together[turn] ?? []), { host: "127.0.0.1", port: phone.port }];
  await admin.call("create_sync_group", { name: group, members });
  const how = Math.random();
  const armed = await admin.call<SessionObject>("start_sync_recording", {
    ...{ group, delay: 4 },
    ...(how < 0.3 ? { duration: 1 } : {}),
  });
  const { session_id } = armed;
  if (how < 0.3) await over(admin, session_id);
  else if (how > 0.85) await admin.call("stop_sync_recording", { session_id });
  else {
    await until("the recording", async () => {
      const { sessions } = await admin.call<{ sessions: SessionObject[] }>("get_sync_sessions");
      return sessions.some((one) => one.session_id === session_id && one.status === "recording");
    });
    await sleep(1000);
    await reportOf(admin, session_id);
    await admin.call("stop_sync_recording", { session_id });
  }
  if (how <= 0.85) await lookAt(admin, session_id, chosen.includes("vanish"));
  await admin.call("delete_sync_session", { session_id, delete_files: true });
  await admin.call("delete_sync_group", { group });
}

async function lookAt(admin: Rpc, session_id: string, isPhoneGone: boolean): Promise<void> {
  const { sessions } = await admin.call<{ sessions: SessionObject[] }>("get_sync_sessions");
  const session = sessions.find((one) => one.session_id === session_id);
  const wanted = ["completed", "completed", isPhoneGone ? "failed" : "completed"].join();
  const states = session?.members.map(({ status }) => status).join();
  if (states !== wanted) throw new Error(`${states} instead of ${wanted}: ${JSON.stringify(session)}`);
  const { report_url } = await reportOf(admin, session_id);
  const page = await fetch(report_url);
  if (!page.ok || !(await page.text()).includes("</html>")) throw new Error(`${report_url}: ${page.status}`);
  if (Math.random() < 0.6) {
    await admin.call("align_sync_session", { session_id, preview: Math.random() < 0.3 });
  }
}
