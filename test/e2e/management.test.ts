import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { packetTimes } from "../harness/ffprobe.ts";
import { adminKey, type RunningHub, root, startHub, until, virtualCameras } from "../harness/hub.ts";
import type { Rpc } from "../harness/rpc.ts";

/** Settings, schedules, continuous recording, storage and retention of a running hub, over its API. */

const run = promisify(execFile);
type Json = Record<string, unknown>;
const recordingsIn = (dataDir: string): string[] =>
  readdirSync(join(dataDir, "recordings")).filter((name) => name.endsWith(".mp4"));

describe("the management of a hub", () => {
  const dataDir = mkdtempSync(join(tmpdir(), "ocelli-management-"));
  const env = {
    ...virtualCameras({ size: "320x240", fps: 15 }),
    OCELLI_RECORDING_WARM_UP_SECONDS: "2",
  };
  let hub: RunningHub;
  let rpc: Rpc;

  const start = async (): Promise<void> => {
    hub = await startHub({ dataDir, env });
    rpc = await hub.rpc();
  };
  beforeAll(start);
  afterAll(async () => {
    await rpc.close();
    await hub.stop();
    rmSync(dataDir, { recursive: true, force: true });
  });

  it("tells its settings, where they come from, and no secret", async () => {
    const all = await rpc.call<{ settings: Json[]; total: number }>("get_configuration");
    const of = (key: string) => all.settings.find((setting) => setting.key === key);
    expect(of("virtual.fps")).toMatchObject({
      ...{ value: 15, source: "environment", origin: "OCELLI_VIRTUAL_FPS", unit: "frames/s" },
    });
    expect(of("capture.stallSeconds")).toMatchObject({ value: 5, source: "default", origin: null });
    expect(of("adminKey")).toMatchObject({ value: "***", secret: true, origin: "OCELLI_ADMIN_KEY" });
    expect(JSON.stringify(all)).not.toContain(adminKey);
    const group = await rpc.call<{ settings: Json[] }>("get_configuration", { key: "virtual" });
    expect(group.settings.map(({ key }) => key)).toEqual([
      ...["virtual.size", "virtual.fps", "virtual.codec", "virtual.count"],
    ]);
    await expect(rpc.call("get_configuration", { key: "virt" })).rejects.toMatchObject({ code: -32602 });
  });

  it("measures its storage", async () => {
    const info = await rpc.call("get_storage_info");
    const sizes = [info.total_space, info.used_space, info.available_space].map(Number);
    expect(sizes[0]).toBe((sizes[1] ?? 0) + (sizes[2] ?? 0));
    expect(info).toMatchObject({ recordings_size: 0, snapshots_size: 0, low_space_warning: false });
    expect(Number(info.usage_percentage)).toBeGreaterThan(0);
    expect(info.used_percent).toBe(info.usage_percentage);
    expect(Object.keys(info)).toHaveLength(11);
  });

  it("records at the time of a schedule, from the first frame at or after it", async () => {
    const startAt = Date.now() + 3500;
    const scheduled = await rpc.call("schedule_recording", {
      device: "camera100",
      start_time: new Date(startAt).toISOString(),
      duration: 1.5,
    });
    expect(scheduled).toMatchObject({
      device: "camera100",
      scheduled_for: new Date(startAt).toISOString(),
      duration: 1.5,
      format: "mp4",
      status: "scheduled",
    });
    expect(await rpc.call("get_recording_status", { device: "camera100" })).toBe(null);
    const running = await until("the recording runs", async () => {
      const status = await rpc.call<Json | null>("get_recording_status", { device: "camera100" });
      return status !== null && status.filename !== "" ? status : undefined;
    });
    expect(running).toMatchObject({ status: "active", camera_id: "camera100" });
    const over = await until("the schedule is over", async () => {
      const { schedules } = await rpc.call<{ schedules: Json[] }>("get_scheduled_recordings", { all: true });
      return schedules[0]?.status === "completed" ? schedules[0] : undefined;
    });
    const [filename] = over.files as string[];
    const info = await rpc.call("get_recording_info", { filename });
    const lateMs = Date.parse(String(info.first_frame_at)) - startAt;
    expect(lateMs).toBeGreaterThanOrEqual(0);
    expect(lateMs).toBeLessThanOrEqual(1000 / 15 + 1);
    const presented = (await packetTimes(hub.file("recordings", String(filename)))).filter(
      (time) => time >= 0,
    );
    expect(presented).toHaveLength(Number(info.frames));
    expect(info.duration).toBeCloseTo(1.5, 1);
  });

  it("keeps a schedule through kill -9, and tells what it slept through", async () => {
    const schedule = async (at: number, duration: number): Promise<void> => {
      const start_time = new Date(at).toISOString();
      await rpc.call("schedule_recording", { device: "camera100", start_time, duration });
    };
    const latestIs = (status: string) =>
      until(`the second one is ${status}`, async () => {
        const { schedules } = await rpc.call<{ schedules: Json[] }>("get_scheduled_recordings", {
          all: true,
        });
        return schedules[0]?.status === status && schedules.length === 3 ? schedules : undefined;
      });
    const missedAt = Date.now() + 1500;
    await schedule(missedAt, 0.2);
    await schedule(missedAt + 2500, 120);
    await rpc.close();
    await hub.end("SIGKILL");
    await until("the time of the first one is over", () => Date.now() > missedAt + 200);
    await start();
    await latestIs("recording");
    await rpc.call("stop_recording", { device: "camera100" });
    const over = await latestIs("completed");
    expect(over.map(({ status }) => status)).toEqual(["completed", "missed", "completed"]);
    expect(over[1]).toMatchObject({ files: [], reason: "The hub was not running at that time." });
    expect(over[0]?.files).toHaveLength(1);
  });

  it("refuses schedules in the past and cancels those to come", async () => {
    const past = { device: "camera100", start_time: "2020-01-01T00:00:00Z", duration: 5 };
    await expect(rpc.call("schedule_recording", past)).rejects.toMatchObject({ code: -32602 });
    const { schedule_id } = await rpc.call("schedule_recording", {
      device: "camera100",
      start_time: new Date(Date.now() + 3_600_000).toISOString(),
      duration: 5,
    });
    expect(await rpc.call("get_scheduled_recordings")).toMatchObject({ total: 1 });
    expect(await rpc.call("cancel_scheduled_recording", { schedule_id })).toMatchObject({
      status: "cancelled",
    });
    expect(await rpc.call("get_scheduled_recordings")).toMatchObject({ total: 0 });
  });

  it("keeps the settings of a camera and refuses modes it does not have", async () => {
    const before = await rpc.call("get_camera_settings", { device: "camera100" });
    expect(before).toMatchObject({ continuous_recording: false, pre_roll: 0, record_codec: "copy" });
    const set = { device: "camera100", name: "Front door", resolution: "320x240", fps: 15 };
    const settings = await rpc.call("set_camera_settings", set);
    expect(settings).toMatchObject({ name: "Front door", resolution: "320x240", fps: 15 });
    expect(await rpc.call("set_camera_settings", set)).toEqual(settings);
    await expect(
      rpc.call("set_camera_settings", { device: "camera100", resolution: "4000x3000" }),
    ).rejects.toMatchObject({ code: -32008, data: { resolutions: ["320x240"] } });
    await expect(
      rpc.call("set_camera_settings", { device: "camera100", pre_roll: 60 }),
    ).rejects.toMatchObject({ code: -32602 });
  });

  it("begins recordings early by the pre-roll of the camera", async () => {
    await rpc.call("set_camera_settings", { device: "camera100", pre_roll: 2 });
    await until("two seconds and a group of pictures", async () => (await hub.ringSeconds("camera100")) > 3);
    const askedAt = Date.now();
    const { filename } = await rpc.call("start_recording", { device: "camera100" });
    await rpc.call("stop_recording", { device: "camera100" });
    const info = await rpc.call("get_recording_info", { filename });
    const early = askedAt - Date.parse(String(info.first_frame_at));
    expect(early).toBeGreaterThanOrEqual(1900);
    await rpc.call("set_camera_settings", { device: "camera100", pre_roll: 0 });
  });

  it("keeps a continuous recording running, also after a restart, until the setting is taken back", async () => {
    await rpc.call("set_camera_settings", { device: "camera100", continuous_recording: true });
    const status = () => rpc.call<Json | null>("get_recording_status", { device: "camera100" });
    const runs = async () => {
      const now = await status();
      return now !== null && Number(now.duration) > 0.5 ? now : undefined;
    };
    const first = await until("a recording runs", runs);
    await rpc.call("stop_recording", { device: "camera100" });
    await until(
      "the next one runs",
      async () => (await runs())?.recording_id !== first.recording_id && runs(),
    );
    await rpc.close();
    await hub.end();
    await start();
    await until("it runs again", runs);
    // A schedule has its turn, to the frame, and then it goes on.
    const startAt = Date.now() + 1500;
    await rpc.call("schedule_recording", {
      device: "camera100",
      start_time: new Date(startAt).toISOString(),
      duration: 1,
    });
    const over = await until("the schedule is over", async () => {
      const { schedules } = await rpc.call<{ schedules: Json[] }>("get_scheduled_recordings", { all: true });
      const latest = schedules.find(({ scheduled_for }) => Date.parse(String(scheduled_for)) === startAt);
      return latest?.status === "completed" ? latest : undefined;
    });
    const [filename] = over.files as string[];
    const info = await rpc.call("get_recording_info", { filename });
    const lateMs = Date.parse(String(info.first_frame_at)) - startAt;
    expect(lateMs).toBeGreaterThanOrEqual(0);
    expect(lateMs).toBeLessThanOrEqual(1000 / 15 + 1);
    await until("it runs again", runs);
    await rpc.call("set_camera_settings", { device: "camera100", continuous_recording: false });
    await until("it has ended", async () => (await status()) === null);
    expect(await rpc.call("get_camera_settings", { device: "camera100" })).toMatchObject({
      name: "Front door",
    });
  });

  it("is done from the command line as well", async () => {
    const ocelli = async (...args: string[]): Promise<string> => {
      const options = { env: { ...process.env, OCELLI_URL: hub.url, OCELLI_API_KEY: adminKey } };
      const bin = join(root, "packages/cli/bin/ocelli.js");
      return (await run(process.execPath, [bin, ...args], options)).stdout;
    };
    expect(await ocelli("cameras", "set", "camera100", "--name", "Back door", "--fps", "15")).toMatch(
      /name +Back door\nmode +H264 320x240 at 15 fps\n/,
    );
    const at = ["--at", "+3600", "--duration", "2m"];
    const made = await ocelli("record", "schedule", "camera100", ...at);
    expect(made).toMatch(/^camera100: .* for 2:00\.0 {2}[0-9a-f-]{36}\n$/);
    const id = made.trim().split(" ").at(-1) ?? "";
    expect(await ocelli("record", "schedules")).toMatch(new RegExp(`${id} +camera100 .* 2:00.0 +scheduled`));
    expect(await ocelli("record", "cancel", id)).toContain("cancelled");
    expect(await ocelli("record", "schedules")).toBe("Nothing is scheduled.\n");
    await expect(ocelli("cameras", "controls", "camera100")).rejects.toThrow(/no V4L2 camera/);
  });

  it("deletes old files only by a policy", async () => {
    const cleanup = await rpc.call("cleanup_old_files");
    expect(cleanup).toMatchObject({ cleanup_executed: true, files_deleted: 0, status: "completed" });
    await expect(
      rpc.call("set_retention_policy", { policy_type: "age", enabled: true }),
    ).rejects.toMatchObject({ code: -32602 });
    expect(recordingsIn(dataDir).length).toBeGreaterThan(3);
    // A second or so: by now all are older.
    const policy = { policy_type: "age", enabled: true, max_age_days: 0.000_01 };
    expect(await rpc.call("set_retention_policy", policy)).toMatchObject({
      success: true,
      ...policy,
      message: "Retention policy updated successfully",
    });
    await until("they are gone", async () => {
      await rpc.call("cleanup_old_files");
      return recordingsIn(dataDir).length === 0;
    });
    expect(await rpc.call("list_recordings")).toMatchObject({ total: 0 });
    expect(await rpc.call("get_storage_info")).toMatchObject({ recordings_size: 0 });
    await rpc.close();
    await hub.end();
    await start();
    expect(await rpc.call("get_retention_policies")).toMatchObject({ total: 1, policies: [policy] });
  });
});
