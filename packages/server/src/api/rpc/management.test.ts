import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startTestServer, type TestServer } from "./testing/server.ts";

// Recording status, schedules, settings, storage and retention as the adapter tells them: roles, words, refusals.

let server: TestServer;
beforeEach(async () => {
  server = await startTestServer();
});
afterEach(() => server.close());

const future = "2025-01-15T15:00:00Z";
const calls: [string, object, "viewer" | "operator" | "admin"][] = [
  ["get_recording_status", { device: "camera0" }, "viewer"],
  ["get_scheduled_recordings", {}, "viewer"],
  ["get_camera_settings", { device: "camera0" }, "viewer"],
  ["get_camera_controls", { device: "camera0" }, "viewer"],
  ["schedule_recording", { device: "camera0", start_time: future, duration: 5 }, "operator"],
  ["cancel_scheduled_recording", { schedule_id: "s0" }, "operator"],
  ["set_camera_control", { device: "camera0", control: "brightness", value: 1 }, "operator"],
  ["set_camera_settings", { device: "camera0", name: "x" }, "admin"],
  ["get_storage_info", {}, "admin"],
  ["get_retention_policies", {}, "admin"],
  ["set_retention_policy", { policy_type: "manual", enabled: true }, "admin"],
  ["cleanup_old_files", {}, "admin"],
];

describe("management", () => {
  it.each(calls)("%s is for the role of the table", async (method, params, role) => {
    const roles = ["viewer", "operator", "admin"] as const;
    for (const caller of roles) {
      const client = await server.login(caller);
      const { error } = await client.call(method, params);
      const allowed = roles.indexOf(caller) >= roles.indexOf(role);
      expect([caller, String(error?.data?.code) === "permission_denied"]).toEqual([caller, !allowed]);
    }
  });

  it("tells what is recorded, or null", async () => {
    const client = await server.login("operator");
    expect(await client.result("get_recording_status", { device: "camera0" })).toBe(null);
    const started = await client.result("start_recording", { device: "/dev/video0" });
    expect(await client.result("get_recording_status", { device: "/dev/video0" })).toMatchObject({
      ...{ device: "/dev/video0", camera_id: "camera0", status: "active", duration: 0 },
      ...{ recording_id: started.recording_id, filename: started.filename, start_time: 1_736_951_400 },
    });
    expect(await client.error("get_recording_status", { device: "camera9" })).toMatchObject({ code: -32010 });
  });

  it("schedules by position, in either vocabulary", async () => {
    const client = await server.login("operator");
    expect(await client.result("schedule_recording", ["/dev/video0", future, "90", "mkv"])).toMatchObject({
      ...{ device: "/dev/video0", device_path: "/dev/video0", camera_id: "camera0" },
      ...{ scheduled_for: "2025-01-15T15:00:00.000Z", duration: 90, format: "mkv", status: "scheduled" },
    });
    const logical = await server.login("viewer", "?names=logical");
    const list = await logical.result("get_scheduled_recordings");
    expect(list).toMatchObject({
      total: 1,
      schedules: [{ device: "camera0", recording_id: null, files: [] }],
    });
    expect(list.schedules?.[0]).not.toHaveProperty("device_path");
  });

  it.each([
    ["schedule_recording", { device: "camera0", start_time: "soon", duration: 5 }],
    ["schedule_recording", { device: "camera0", start_time: future }],
    ["schedule_recording", { device: "camera0", start_time: future, duration: 86_401 }],
    ["cancel_scheduled_recording", { schedule_id: "s9" }],
    ["set_camera_settings", { device: "camera0", resolution: "big" }],
    ["set_camera_settings", { device: "camera0", name: "a\u0007b" }],
    ["set_camera_settings", { device: "camera0", fps: "many" }],
    ["set_camera_settings", { device: "camera0", record_codec: "av1" }],
    ["set_retention_policy", { policy_type: "weekly", enabled: true }],
    ["set_retention_policy", { policy_type: "age" }],
    ["set_retention_policy", { policy_type: "age", enabled: true, max_age_days: 0 }],
    ["set_retention_policy", { policy_type: "size", enabled: true, max_size_gb: -1 }],
  ])("refuses %s with %j", async (method, params) => {
    const client = await server.login("admin");
    expect(await client.error(method, params)).toMatchObject({ code: -32602 });
  });

  it("says that a camera has nothing to turn", async () => {
    const client = await server.login("viewer");
    expect(await client.error("get_camera_controls", { device: "camera0" })).toMatchObject({ code: -32030 });
  });

  it("reckons storage in the words of all older servers", async () => {
    const client = await server.login("admin");
    expect(await client.result("get_storage_info")).toEqual({
      ...{ total_space: 1000, used_space: 750, available_space: 250 },
      ...{ usage_percentage: 75, used_percent: 75, warn_threshold: 90, block_threshold: 96 },
      ...{
        recordings_size: 500,
        snapshots_size: 20,
        low_space_warning: false,
        critical_space_warning: false,
      },
    });
  });

  it("echoes a policy and says what a cleanup did", async () => {
    const client = await server.login("admin");
    const policy = { policy_type: "size", enabled: true, max_size_gb: 10 };
    expect(await client.result("set_retention_policy", { ...policy, device: "/dev/video1" })).toEqual({
      ...{ success: true, ...policy, device: "/dev/video1" },
      message: "Retention policy updated successfully",
    });
    expect(await client.result("get_retention_policies")).toEqual({
      policies: [{ ...policy, device: "camera1" }],
      total: 1,
    });
    expect(await client.result("cleanup_old_files")).toMatchObject({
      ...{ cleanup_executed: true, files_deleted: 3, space_freed: 77, status: "completed" },
      ...{ recordings_removed: 2, snapshots_removed: 1 },
    });
  });
});
