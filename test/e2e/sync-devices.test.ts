import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type RunningHub, startHub, until, virtualCameras } from "../harness/hub.ts";
import { makePhoneVideo, PythonDevice, PythonTimeServer } from "../harness/multicam.ts";
import type { Rpc } from "../harness/rpc.ts";
import {
  type AlignedObject,
  first,
  over,
  type ReportObject,
  readRecording,
  reportOf,
  type SessionObject,
} from "../harness/sync.ts";

// What devices of every kind bring into a session: another hub, with its own capture times in several files; a depth
// camera, whose file is no video.

const virtual = virtualCameras({ count: 1, size: "320x240", fps: 20, codec: "mjpeg" });

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ocelli-sync-devices-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function camera(rpc: Rpc): Promise<void> {
  await until("the camera", async () => {
    const { connected } = await rpc.call<{ connected: number }>("get_camera_list");
    return connected === 1;
  });
}

/** Nothing is left where files arrive and are made. */
const inTheMaking = (hub: RunningHub): string[] => {
  const path = hub.file("recordings", ".sync");
  return existsSync(path) ? readdirSync(path) : [];
};

describe("another hub as a device, which records in segments of a second", () => {
  let time: PythonTimeServer;
  let other: RunningHub;
  let hub: RunningHub;
  let rpc: Rpc;
  let session: SessionObject;
  let report: ReportObject;
  let device: string;

  beforeAll(async () => {
    time = await PythonTimeServer.start();
    const env = { ...virtual, OCELLI_CLOCK_NTP_SERVERS: time.address };
    other = await startHub({
      env: { ...env, OCELLI_MULTICAM_ENABLED: "true", OCELLI_RECORDING_SEGMENT_SECONDS: "1" },
    });
    hub = await startHub({ env });
    rpc = await hub.rpc();
    await camera(rpc);
    await using otherRpc = await other.rpc();
    await camera(otherRpc);
    await until("both to know the time", async () => {
      const states = await Promise.all([rpc, otherRpc].map((one) => one.call("get_clock_status")));
      return states.every(({ synchronised }) => synchronised === true);
    });
    device = `127.0.0.1:${other.port}`;
    await rpc.call("create_sync_group", {
      name: "hubs",
      members: ["camera100", { host: "127.0.0.1", port: other.port }],
    });
    const { session_id } = await rpc.call<SessionObject>("start_sync_recording", {
      group: "hubs",
      delay: 5,
      duration: 3,
    });
    session = await over(rpc, session_id);
    report = await reportOf(rpc, session_id);
  }, 120_000);
  afterAll(async () => {
    await rpc?.close();
    for (const one of [hub, other, time]) await one?.[Symbol.asyncDispose]();
  });

  it("gives all of its files", () => {
    expect(session.members.map(({ status, error }) => [status, error])).toEqual([
      ["completed", null],
      ["completed", null],
    ]);
    const { files } = first(session.members.filter((one) => one.member === device));
    const originals = readdirSync(other.file("recordings", "")).filter((name) => name.endsWith(".mp4"));
    // It is stopped a moment after the cameras of the hub have ended by themselves.
    expect(files.length).toBeGreaterThanOrEqual(3);
    expect(originals).toHaveLength(files.length);
    const bytesOf = (one: RunningHub, names: readonly string[]): Buffer[] =>
      names.map((name) => readFileSync(one.file("recordings", name)));
    const inOrder = originals.toSorted((a, b) => a.length - b.length || a.localeCompare(b));
    for (const [i, bytes] of bytesOf(other, inOrder).entries()) {
      expect(bytesOf(hub, files)[i]?.equals(bytes)).toBe(true);
    }
    expect(inTheMaking(hub)).toEqual([]);
  });

  it("is reported by the capture times in them, and held to T0", async () => {
    const member = first(report.members.filter((one) => one.member === device));
    const reads = await Promise.all(member.files.map((name) => readRecording(hub.file("recordings", name))));
    const times = reads.flatMap((read) => read.times);
    expect(member.time_source).toBe("file");
    expect([member.frames_received, member.frames_dropped]).toEqual([times.length, 0]);
    // One machine, one clock: what an answer tells of it is less than what the answer took.
    expect(Math.abs(first(times) - member.first_frame_at_us)).toBeLessThan(1000);
    expect(member.start_error_ms).toBeGreaterThanOrEqual(-1);
    expect(member.start_error_ms).toBeLessThan(51);
    expect(report.findings.join("\n")).toContain(
      `${device}: capture times from the file; its clock agreed with the hub's, give or take`,
    );
    expect(report.verdict).toBe("within_tolerance");
  });

  it("is aligned with the hub's own camera", async () => {
    const { session_id } = session;
    const aligned = await rpc.call<AlignedObject>("align_sync_session", { session_id, preview: false });
    expect(aligned.skipped).toEqual([]);
    const [one, two] = aligned.members;
    expect(Math.abs((one?.frames ?? 0) - (two?.frames ?? 0))).toBeLessThanOrEqual(1);
    const cuts = await Promise.all(
      aligned.members.map(({ filename }) => readRecording(hub.file("recordings", filename), "numbers")),
    );
    for (const [i, { frames, numbers, first: drawn }] of cuts.entries()) {
      expect(frames).toBeGreaterThanOrEqual(58);
      expect(frames).toBe(aligned.members[i]?.frames);
      expect(numbers).toEqual(Array.from({ length: frames }, (_, n) => (drawn?.number ?? -1) + n));
    }
    // The instants drawn into the first pictures are as far apart as a frame at most.
    const [a = 0, b = 0] = cuts.map((cut) => cut.first?.ms ?? 0);
    expect(Math.abs(a - b)).toBeLessThanOrEqual(52);
  });
});

describe("a depth camera, whose file is an archive, and two phones", () => {
  it("has it among the recordings as it came, downloaded, listed with the session, and deleted", async () => {
    const archive = join(folder, "oak.zip");
    const script =
      "import sys, zipfile; zipfile.ZipFile(sys.argv[1], 'w').writestr('left.csv', 'ts_ns,frame_idx')";
    execFileSync("python3", ["-c", script, archive]);
    const odd = join(folder, "odd.bag");
    execFileSync("cp", [archive, odd]);
    const phoneVideo = join(folder, "phone.mp4");
    makePhoneVideo(phoneVideo);
    await using oak = await PythonDevice.start(archive, { id: "oak-1" });
    await using bag = await PythonDevice.start(odd, { id: "bag-1" });
    await using phone = await PythonDevice.start(phoneVideo, { id: "Pixel-1" });
    await using hub = await startHub({ env: virtual });
    await using rpc = await hub.rpc();
    await camera(rpc);
    const devices = [oak, bag, phone].map(({ port }) => ({ host: "127.0.0.1", port }));
    await rpc.call("create_sync_group", { name: "lab", members: ["camera100", ...devices] });
    const { session_id } = await rpc.call<SessionObject>("start_sync_recording", {
      group: "lab",
      delay: 3,
      duration: 1,
    });
    const { members } = await over(rpc, session_id);
    expect(members.map(({ status, error }) => [status, error])).toEqual(Array(4).fill(["completed", null]));
    const [, zip = "", bin = "", mp4 = ""] = members.map(({ files }) => first(files));
    expect([zip, bin, mp4].map((name) => name.replace(/^lab_\d+T\d+Z_/, ""))).toEqual([
      "oak-1.zip",
      "bag-1.bag.bin",
      "Pixel-1.mp4",
    ]);
    expect(inTheMaking(hub)).toEqual([]);

    const { files } = await rpc.call<{ files: { filename: string; format: string }[] }>("list_recordings");
    expect(files).toContainEqual(expect.objectContaining({ filename: zip, format: "zip" }));
    const fetched = await hub.fetch(`/files/recordings/${zip}`);
    expect(fetched.headers.get("content-type")).toBe("application/zip");
    expect(Buffer.from(await fetched.arrayBuffer()).equals(readFileSync(archive))).toBe(true);
    const sidecar = JSON.parse(readFileSync(`${hub.file("recordings", zip)}.json`, "utf8"));
    expect(sidecar).toMatchObject({ state: "complete", codec: "", sync: { sessionId: session_id } });
    const metadata = await hub.fetch(`/api/sync/sessions/${session_id}/metadata.json`);
    expect(Object.values((await metadata.json()).files)).toEqual(expect.arrayContaining([zip, bin, mp4]));

    const report = await reportOf(rpc, session_id);
    expect(report.members.map((one) => one.time_source)).toEqual(["arrival", ...Array(3).fill("declared")]);
    const aligned = await rpc.call<AlignedObject>("align_sync_session", { session_id, preview: false });
    expect(aligned.skipped.map(({ reason }) => reason)).toEqual([
      `${zip} is no video`,
      `${bin} is no video`,
      "its file holds no capture times",
    ]);
    await expect(rpc.call("export_recording", { filename: zip, format: "mkv" })).rejects.toThrow(
      /is no video that could be exported/,
    );
    await rpc.call("delete_recording", { filename: zip });
    expect(existsSync(hub.file("recordings", zip))).toBe(false);
    const after = await reportOf(rpc, session_id);
    expect(after.members[1]).toMatchObject({ time_source: "unknown" });

    const made = aligned.members.map(({ filename }) => filename);
    const sessions = () => rpc.call<{ sessions: { aligned_files: string[] }[] }>("get_sync_sessions");
    expect(first((await sessions()).sessions).aligned_files).toEqual(made);
    const gone = { session_id, delete_files: true };
    const { deleted_files } = await rpc.call<{ deleted_files: string[] }>("delete_sync_session", gone);
    const own = first(first(members).files);
    expect(deleted_files).toEqual([own, bin, mp4, ...made]);
    for (const name of deleted_files) expect(existsSync(hub.file("recordings", name))).toBe(false);
    expect((await sessions()).sessions).toEqual([]);
    await expect(rpc.call("delete_sync_session", gone)).rejects.toThrow(/There is no sync session/);
  }, 90_000);
});
