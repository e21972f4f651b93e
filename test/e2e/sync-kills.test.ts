import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MultiCamController } from "@ocelli/client/node";
import { afterAll, beforeAll, expect, it } from "vitest";
import { begunFor } from "../harness/begun-processes.ts";
import { type RunningHub, startHub, until, virtualCameras } from "../harness/hub.ts";
import { makePhoneVideo, PythonDevice } from "../harness/multicam.ts";
import type { Rpc } from "../harness/rpc.ts";
import { type AlignedObject, over, readRecording, reportOf, type SessionObject } from "../harness/sync.ts";

// A session of two cameras and a phone, and a hub that is killed with -9 five times: while the phone is told (it is called off),
// while all wait, while all record, while the phone's file is fetched, while the session is aligned.

const cameras = ["camera100", "camera101"];
const env = virtualCameras({ count: 2, size: "320x240", fps: 10, codec: "mjpeg" });

let folder: string;
let dataDir: string;
let phoneVideo: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ocelli-sync-kills-"));
  dataDir = mkdtempSync(join(folder, "data-"));
  phoneVideo = join(folder, "phone.mp4");
  makePhoneVideo(phoneVideo, 4);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let hub: RunningHub | undefined;
async function open(): Promise<Rpc> {
  hub = await startHub({ dataDir, env });
  const rpc = await hub.rpc();
  await until("the cameras", async () => {
    const { connected } = await rpc.call<{ connected: number }>("get_camera_list");
    return connected === cameras.length;
  });
  return rpc;
}
/** What runs then ends with the hub. */
async function kill(): Promise<void> {
  await hub?.end("SIGKILL");
  await until("its processes to end", () => begunFor(dataDir).length === 0);
}
afterAll(() => hub?.stop());

const recordings = () => join(dataDir, "recordings");
const files = (): string[] => readdirSync(recordings()).filter((name) => name !== ".sync");
const underWay = (): string[] => {
  const path = join(recordings(), ".sync");
  return existsSync(path) ? readdirSync(path, { recursive: true }).map(String) : [];
};
async function sessionIn(rpc: Rpc): Promise<SessionObject> {
  const { sessions } = await rpc.call<{ sessions: SessionObject[] }>("get_sync_sessions");
  expect(sessions).toHaveLength(1);
  const [session] = sessions;
  if (session === undefined) throw new Error("there is no session");
  return session;
}
const isIdle = async (rpc: Rpc, device: string): Promise<boolean> =>
  (await rpc.call("get_recording_status", { device })) === null;
const stopsHeard = ({ commands }: PythonDevice): number =>
  commands.filter((name) => name === "STOP_RECORDING").length;
const statesOf = ({ status, members }: SessionObject): string[] => [
  status,
  ...members.map((member) => member.status),
];
/** Frames in the files of each camera so far, by the hub. */
async function grown(rpc: Rpc, session_id: string, parts: number, frames: number): Promise<void> {
  await until(`${frames} frames in part ${parts}`, async () => {
    const { members } = await reportOf(rpc, session_id);
    return cameras.every((key) => {
      const member = members.find((one) => one.member === key);
      return member !== undefined && member.files.length === parts && member.frames_received >= frames;
    });
  });
}

it("a session outlives five kills of its hub, with every file whole and the truth in its report", async () => {
  await using phone = await PythonDevice.start(phoneVideo, { habits: ["late=1", "pause-file=1"] });
  const asker = new MultiCamController();
  const { id } = asker.add({ host: "127.0.0.1", port: phone.port });
  const phoneSays = async () => (await asker.status(id)).status;

  // Killed while the phone is told, before it has answered.
  let rpc = await open();
  const members = [...cameras, { host: "127.0.0.1", port: phone.port }];
  await rpc.call("create_sync_group", { name: "lab", members });
  const starting = rpc.call("start_sync_recording", { group: "lab", delay: 30 });
  starting.catch(() => undefined);
  await expect.poll(() => phone.commands, { timeout: 30_000 }).toContain("START_RECORDING");
  await kill();
  await expect(starting).rejects.toThrow("closed while waiting");

  // Nobody was told that it stands: all are let go, and may start anew.
  rpc = await open();
  expect(await rpc.call("get_sync_sessions")).toMatchObject({ total: 0 });
  await expect.poll(phoneSays, { timeout: 30_000 }).toBe("ready");
  for (const device of cameras) await until(`${device} to be let go`, () => isIdle(rpc, device));
  const stopsBefore = stopsHeard(phone);
  const { session_id, start_at_us } = await rpc.call<SessionObject>("start_sync_recording", {
    group: "lab",
    delay: 12,
  });

  // Killed while all wait.
  expect((await sessionIn(rpc)).status).toBe("armed");
  await kill();

  // Killed while all record.
  rpc = await open();
  await grown(rpc, session_id, 1, 10);
  expect((await sessionIn(rpc)).status).toBe("recording");
  expect(await phoneSays()).toBe("recording");
  await kill();

  // Killed while the phone's file is fetched, which it has half sent.
  rpc = await open();
  await grown(rpc, session_id, 2, 20);
  rpc.call("stop_sync_recording", { session_id }).catch(() => undefined);
  await until("the transfer", () => underWay().some((name) => name.endsWith(".part")));
  await kill();
  expect(await phoneSays()).toBe("ready");

  // It has the file all the same, and nobody has to stop the session again.
  rpc = await open();
  const ended = await over(rpc, session_id);
  expect(statesOf(ended)).toEqual(["completed", "completed", "completed", "completed"]);
  expect(underWay()).toEqual([]);

  // Killed while it is aligned.
  rpc.call("align_sync_session", { session_id }).catch(() => undefined);
  await until("the cut", () => underWay().length > 0);
  await kill();
  rpc = await open();
  expect(underWay()).toEqual([]);

  for (const device of cameras) expect(await isIdle(rpc, device)).toBe(true);
  expect(await phoneSays()).toBe("ready");
  const report = await reportOf(rpc, session_id);
  for (const member of report.members.slice(0, 2)) {
    const reads = await Promise.all(member.files.map((name) => readRecording(join(recordings(), name))));
    expect(reads).toHaveLength(2);
    expect(member.frames_received).toBe(reads.reduce((sum, { frames }) => sum + frames, 0));
    expect(reads[0]?.times[0]).toBeGreaterThanOrEqual(start_at_us - 1000);
    const holeMs = ((reads[1]?.times[0] ?? 0) - (reads[0]?.times.at(-1) ?? 0)) / 1000;
    expect(Math.abs(member.longest_interval_ms - holeMs)).toBeLessThan(2);
    expect(report.findings.join("\n")).toContain(`${member.member} lacks`);
  }
  const [fetched = "none"] = report.members[2]?.files ?? [];
  expect(readFileSync(join(recordings(), fetched)).equals(readFileSync(phoneVideo))).toBe(true);
  expect(stopsHeard(phone) - stopsBefore).toBe(1);

  // Two files a camera and one of the phone, each with its sidecar, and nothing else.
  expect(files()).toHaveLength(2 * 5);
  const aligned = await rpc.call<AlignedObject>("align_sync_session", { session_id, preview: false });
  expect(aligned.members.map(({ member }) => member)).toEqual(cameras);
  for (const { filename, frames } of aligned.members) {
    expect((await readRecording(join(recordings(), filename))).frames).toBe(frames);
  }
  await rpc.call("delete_sync_session", { session_id, delete_files: true });
  expect([...files(), ...underWay()]).toEqual([]);
  expect(await rpc.call("get_sync_sessions")).toMatchObject({ total: 0 });
}, 240_000);
