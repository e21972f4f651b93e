import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { adminKey, type RunningHub, root, startHub, until } from "../harness/hub.ts";
import { makePhoneVideo, PythonDevice } from "../harness/multicam.ts";
import { type NetworkCameras, startNetworkCameras } from "../harness/network-cameras.ts";
import type { Rpc } from "../harness/rpc.ts";
import {
  type AlignedObject,
  first,
  type MemberObject,
  over,
  type ReadRecording,
  type ReportObject,
  readRecording,
  reportOf,
  type SessionObject,
} from "../harness/sync.ts";

// Cameras of every kind and a device of other make recorded from one instant; each number of the report is confirmed
// from the files by a reader that knows nothing of the hub (test/harness/read_recording.py).

const run = promisify(execFile);

let folder: string;
let phoneVideo: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ocelli-sync-"));
  phoneVideo = join(folder, "phone.mp4");
  makePhoneVideo(phoneVideo, 2);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("virtual, RTSP and HTTP cameras and a phone together", () => {
  let network: NetworkCameras;
  let phone: PythonDevice;
  let hub: RunningHub;
  let rpc: Rpc;
  let session: SessionObject;
  let report: ReportObject;
  const files = new Map<string, ReadRecording>();
  const virtual = ["camera100", "camera101"];
  const cameras = [...virtual, "camera110", "camera111"];
  const member = (key: string): MemberObject => first(report.members.filter((one) => one.member === key));
  const fileOf = (key: string): string => first(member(key).files);
  const readOf = (key: string): ReadRecording => {
    const known = files.get(key);
    if (known === undefined) throw new Error(`${key} has no file`);
    return known;
  };

  beforeAll(async () => {
    network = await startNetworkCameras();
    phone = await PythonDevice.start(phoneVideo, { id: "Pixel-01" });
    const config = join(folder, "mixed.yaml");
    writeFileSync(
      config,
      JSON.stringify({
        cameras: [
          { number: 110, name: "Gate", url: `${network.rtsp}/h264` },
          { number: 111, name: "Yard", url: `${network.http}/mjpeg` },
        ],
        devices: { v4l2: false },
        virtualCamera: "always",
        virtual: { count: 2, size: "320x240", fps: 25 },
      }),
    );
    hub = await startHub({ args: ["--config", config] });
    rpc = await hub.rpc();
    await until("all cameras", async () => {
      const list = await rpc.call<{ connected: number }>("get_camera_list");
      return list.connected === 4;
    });
    const made = await rpc.call<{ members: string[] }>("create_sync_group", {
      name: "lab",
      members: [...cameras, { host: "127.0.0.1", port: phone.port, name: "Phone" }],
    });
    expect(made.members).toEqual([...cameras, `127.0.0.1:${phone.port}`]);
    const armed = await rpc.call<SessionObject>("start_sync_recording", {
      group: "lab",
      delay: 6,
      duration: 3,
    });
    expect(armed.members.map(({ status }) => status)).toEqual(Array(5).fill("armed"));
    session = await over(rpc, armed.session_id);
    report = await reportOf(rpc, session.session_id);
    for (const key of cameras) files.set(key, await readRecording(hub.file("recordings", fileOf(key))));
  }, 120_000);
  afterAll(async () => {
    await rpc?.close();
    await hub?.stop();
    await phone?.[Symbol.asyncDispose]();
    await network?.[Symbol.asyncDispose]();
  });

  it("completes every member", async () => {
    expect(session.members.map(({ status, error }) => [status, error])).toEqual(
      Array(5).fill(["completed", null]),
    );
    await expect.poll(() => phone.commands, { timeout: 10_000 }).toContain("START_RECORDING");
  });

  it.each(cameras)("has the first frame of %s at or after T0, by the file itself", (key) => {
    const { first_frame_at_us, start_error_ms, frame_interval_ms, time_source } = member(key);
    const at = first(readOf(key).times);
    expect(Math.abs(at - first_frame_at_us)).toBeLessThan(1000);
    expect(start_error_ms).toBeCloseTo((first_frame_at_us - session.start_at_us) / 1000, 3);
    expect(at).toBeGreaterThanOrEqual(session.start_at_us - 1000);
    expect(time_source).toBe("arrival");
    // What makes its own times is exact; what comes over a network may lag where everything runs side by side.
    const intervals = virtual.includes(key) ? 1 : 10;
    expect(start_error_ms).toBeLessThan(frame_interval_ms * intervals + 1);
  });

  it.each(virtual)("shows in the first picture of %s the instant it was made", (key) => {
    const drawn = readOf(key).first;
    if (drawn === null) throw new Error("no pattern in the picture");
    const seen = Math.floor(member(key).first_frame_at_us / 1000) % 2 ** 26;
    expect(Math.abs(seen - drawn.ms)).toBeLessThan(1000);
  });

  it.each(cameras)("counts the frames of %s as ffprobe does", (key) => {
    const { frames, times, duration } = readOf(key);
    const told = member(key);
    expect(told.frames_received).toBe(frames);
    const last = times.at(-1) ?? 0;
    const interval = told.frame_interval_ms * 1000;
    expect(Math.abs(told.duration - (last + interval - first(times)) / 1e6)).toBeLessThan(0.002);
    // What a network camera says of its last frame is anything while the machine is busy.
    if (virtual.includes(key)) expect(Math.abs(told.duration - duration)).toBeLessThan(0.11);
    const wanted = (last + interval - session.start_at_us) / interval;
    // Frames of a network may be late, and one that is late at an end is counted where it belongs.
    expect(Math.abs(told.frames_expected - wanted)).toBeLessThanOrEqual(virtual.includes(key) ? 1.02 : 2.02);
    const longest = Math.max(...times.slice(1).map((time, i) => time - (times[i] ?? time)));
    expect(Math.abs(told.longest_interval_ms - longest / 1000)).toBeLessThan(1.1);
    if (virtual.includes(key)) expect([frames, told.frames_dropped]).toEqual([75, 0]);
  });

  it("tells how far apart they began, and what all have", () => {
    const starts = cameras.map((key) => first(readOf(key).times));
    expect(Math.abs(report.skew_ms - (Math.max(...starts) - Math.min(...starts)) / 1000)).toBeLessThan(2);
    const slowest = Math.max(...cameras.map((key) => member(key).frame_interval_ms));
    expect(report.tolerance_ms).toBe(slowest);
    expect(slowest).toBe(member("camera111").frame_interval_ms);
    expect(Math.abs(report.common.from_us - Math.max(...starts))).toBeLessThan(2000);
    expect(report.findings.join("\n")).toMatch(/127\.0\.0\.1:\d+ declared its start/);
  });

  it.each(cameras)("gives the times of every frame of %s as CSV", async (key) => {
    const response = await hub.fetch(`/files/recordings/${fileOf(key)}/frames.csv`);
    const rows = (await response.text()).trimEnd().split("\n").slice(1);
    const told = rows.map((row) => Number(row.split(",")[1]));
    const { times } = readOf(key);
    expect(told).toHaveLength(times.length);
    for (const [i, time] of times.entries()) expect(Math.abs((told[i] ?? 0) - time)).toBeLessThan(1100);
  });

  it("has the phone's file in the library, as it was sent", async () => {
    const key = `127.0.0.1:${phone.port}`;
    expect(readFileSync(hub.file("recordings", fileOf(key))).equals(readFileSync(phoneVideo))).toBe(true);
    expect(member(key)).toMatchObject({
      time_source: "declared",
      frames_received: 60,
      first_frame_at_us: null,
    });
  });

  it("names the session in the sidecar of every file", () => {
    for (const { files: names } of report.members) {
      for (const name of names) {
        const sidecar = JSON.parse(readFileSync(`${hub.file("recordings", name)}.json`, "utf8"));
        expect(sidecar.sync).toEqual({
          sessionId: session.session_id,
          groupName: "lab",
          startAtUs: session.start_at_us,
        });
      }
    }
  });

  it("serves the report as a page that needs no key, and the metadata", async () => {
    const page = await fetch(report.report_url);
    expect(page.headers.get("content-type")).toContain("text/html");
    const html = await page.text();
    for (const key of cameras) expect(html).toContain(key);
    expect((await fetch(`${report.report_url.split("?")[0]}`)).status).toBe(401);
    const metadata = await (await hub.fetch(`/api/sync/sessions/${session.session_id}/metadata.json`)).json();
    expect(metadata).toMatchObject({
      session_name: "lab",
      time_collected: new Date(session.start_at_us / 1000).toISOString().replace("Z", "+00:00"),
      files: { Gate: fileOf("camera110"), Phone: fileOf(`127.0.0.1:${phone.port}`) },
    });
    expect((await hub.fetch("/api/sync/sessions/none/metadata.json")).status).toBe(404);
  });

  it("aligns the members to the frame, and shows them side by side", async () => {
    const aligned = await rpc.call<AlignedObject>("align_sync_session", { session_id: session.session_id });
    expect(aligned.members.map((one) => one.member)).toEqual(cameras);
    expect(aligned.skipped).toEqual([expect.objectContaining({ member: `127.0.0.1:${phone.port}` })]);
    for (const one of aligned.members) {
      const cut = await readRecording(hub.file("recordings", one.filename));
      expect(cut.frames).toBe(one.frames);
      const original = readOf(one.member);
      const at = original.times.findIndex((time) => Math.abs(time - one.first_frame_at_us) < 2000);
      expect(at).toBeGreaterThanOrEqual(0);
      // Which picture it is stands in the picture.
      if (virtual.includes(one.member)) expect(cut.first?.number).toBe((original.first?.number ?? 0) + at);
    }
    const shown = await readRecording(hub.file("recordings", aligned.preview));
    expect(shown.duration).toBeGreaterThan(report.common.duration - 0.5);
    expect(rpc.notifications.filter(({ method }) => method === "export_update").length).toBeGreaterThan(1);
  }, 120_000);

  it("is what `ocelli sync report` prints", async () => {
    const { stdout } = await run(
      join(root, "node_modules/.bin/node"),
      [join(root, "packages/cli/dist/main.js"), "sync", "report"],
      { env: { PATH: process.env.PATH, HOME: folder, OCELLI_URL: hub.url, OCELLI_API_KEY: adminKey } },
    );
    const line = first(stdout.split("\n").filter((text) => text.startsWith("camera100 ")));
    expect(line).toContain(` ${member("camera100").start_error_ms.toFixed(2)} ms `);
    expect(line).toContain(" 75 of 75 ");
    expect(stdout).toContain(session.session_id);
  });
});
