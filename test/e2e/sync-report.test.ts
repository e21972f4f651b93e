import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type RunningHub, startHub, until } from "../harness/hub.ts";
import { type NetworkCameras, startNetworkCameras } from "../harness/network-cameras.ts";
import type { Rpc } from "../harness/rpc.ts";
import {
  first,
  type MemberObject,
  over,
  type ReportObject,
  readRecording,
  reportOf,
} from "../harness/sync.ts";

// Members whose files are hard to count: pictures shown in another order than they are stored, sound beside them, several
// files each. A reader that knows nothing of the hub goes through the same files, and must find what the report says.

describe("members with B-frames, with sound and in several files", () => {
  const folder = mkdtempSync(join(tmpdir(), "ocelli-sync-report-"));
  let network: NetworkCameras;
  let hub: RunningHub;
  let rpc: Rpc;
  let sessionId: string;
  let report: ReportObject;
  const cameras = ["camera100", "camera110", "camera111", "camera112"];
  const member = (key: string): MemberObject => first(report.members.filter((one) => one.member === key));

  beforeAll(async () => {
    network = await startNetworkCameras();
    hub = await startHub({ env: { OCELLI_RECORDING_SEGMENT_SECONDS: "2" }, args: ["--config", settings()] });
    rpc = await hub.rpc();
    await until("all cameras", async () => {
      const list = await rpc.call<{ connected: number }>("get_camera_list");
      return list.connected === cameras.length;
    });
    await rpc.call("create_sync_group", { name: "hard", members: cameras });
    const armed = await rpc.call<{ session_id: string }>("start_sync_recording", {
      ...{ group: "hard", delay: 8, duration: 6 },
    });
    sessionId = armed.session_id;
    const { status } = await over(rpc, sessionId);
    expect(status).toBe("completed");
    report = await reportOf(rpc, sessionId);
  }, 120_000);
  afterAll(async () => {
    await rpc?.close();
    await hub?.stop();
    await network?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  function settings(): string {
    const path = join(folder, "hub.yaml");
    const stream = (number: number, name: string) => ({ number, name, url: `${network.rtsp}/${name}` });
    writeFileSync(
      path,
      JSON.stringify({
        cameras: [stream(110, "h264-b"), stream(111, "h264-audio"), stream(112, "hevc")],
        devices: { v4l2: false },
        virtualCamera: "always",
        virtual: { count: 1, size: "320x240", fps: 15 },
      }),
    );
    return path;
  }

  it.each(cameras)("counts and times %s as its files do, over all of them", async (key) => {
    const told = member(key);
    expect(told.files.length).toBeGreaterThan(1);
    const read = [];
    for (const file of told.files) read.push(await readRecording(hub.file("recordings", file)));
    const times = read.flatMap((one) => one.times);
    expect(told.frames_received).toBe(read.reduce((sum, { frames }) => sum + frames, 0));
    expect(times).toHaveLength(told.frames_received);
    expect(Math.abs(told.first_frame_at_us - first(times))).toBeLessThan(1000);
    const intervals = times.slice(1).map((time, i) => (time - (times[i] ?? time)) / 1000);
    expect(Math.min(...intervals)).toBeGreaterThan(0);
    expect(Math.abs(told.longest_interval_ms - Math.max(...intervals))).toBeLessThan(1.1);
    // 15 frames a second are what every one of them gives.
    const regular = intervals.filter((ms) => ms > 500 / 15 && ms < 1500 / 15);
    const mean = regular.reduce((sum, ms) => sum + ms, 0) / regular.length;
    expect(Math.abs(told.frame_interval_ms - mean)).toBeLessThan(0.5);
    const holes = intervals.filter((ms) => ms > mean * 1.5);
    const missing = holes.reduce((sum, ms) => sum + Math.max(1, Math.round(ms / mean) - 1), 0);
    // Frames that are late and then in a heap make holes in which nothing is missing.
    const short = intervals.filter((ms) => ms < mean / 2).length;
    expect(told.frames_dropped).toBeLessThanOrEqual(missing);
    expect(told.frames_dropped).toBeGreaterThanOrEqual(missing - short);
    expect(told.frames_expected - told.frames_received - told.frames_dropped).toBe(
      Math.max(0, Math.floor(told.start_error_ms / told.frame_interval_ms - 0.02)),
    );
  });

  it("misses as many frames of a camera that is never late as the hub dropped while it recorded", () => {
    const { files, frames_dropped } = member("camera100");
    const sidecars = files.map(
      (file) =>
        JSON.parse(readFileSync(`${hub.file("recordings", file)}.json`, "utf8")) as {
          droppedFrames?: number;
        },
    );
    expect(sidecars.reduce((sum, { droppedFrames = 0 }) => sum + droppedFrames, 0)).toBe(frames_dropped);
  });

  it("gives the same to many who ask at the same time", async () => {
    const page = new URL(report.report_url, hub.url).href;
    const answers = await Promise.all([
      ...Array.from({ length: 30 }, () => reportOf(rpc, sessionId)),
      ...Array.from({ length: 20 }, async () => (await fetch(page)).text()),
    ]);
    const reports = answers.filter((one) => typeof one === "object");
    expect(new Set(reports.map(({ members }) => JSON.stringify(members))).size).toBe(1);
    expect(first(reports).members).toEqual(report.members);
    for (const html of answers.filter((one) => typeof one === "string")) {
      for (const key of cameras) expect(html).toContain(key);
    }
  });
});
