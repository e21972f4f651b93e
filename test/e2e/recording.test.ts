import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { stoppedRecordingSchema } from "@ocelli/protocol/camera-service";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ffprobe, packetTimes, topLevelBoxes, videoOf } from "../harness/ffprobe.ts";
import { adminKey, type RunningHub, startHub, until, virtualCameras } from "../harness/hub.ts";
import { type Rpc, RpcError } from "../harness/rpc.ts";

// Snapshots, recordings and files of one H.264 and one MJPEG camera, over the wire, judged by ffprobe and curl.

const run = promisify(execFile);

async function failure(call: Promise<unknown>): Promise<RpcError> {
  try {
    await call;
  } catch (error) {
    if (error instanceof RpcError) return error;
    throw error;
  }
  throw new Error("the call succeeded");
}

describe.each(["h264", "mjpeg"])("a virtual %s camera", (codec) => {
  let hub: RunningHub;
  let rpc: Rpc;

  beforeAll(async () => {
    hub = await startHub({
      env: virtualCameras({ size: "320x240", fps: 25, codec }),
    });
    rpc = await hub.rpc();
  });
  afterAll(async () => {
    await rpc?.close();
    await hub?.stop();
  });

  it("says what it is", async () => {
    const status = await rpc.call("get_camera_status", { device: "camera100" });
    expect(status).toMatchObject({
      camera_id: "camera100",
      status: "CONNECTED",
      resolution: "320x240",
      fps: 25,
    });
    const capabilities = await rpc.call<{ resolutions: string[] }>("get_camera_capabilities", {
      device: "camera100",
    });
    expect(capabilities.resolutions).toContain("320x240");
  });

  it("gives a snapshot of now, as a file and with a sidecar", async () => {
    const before = Date.now();
    const taken = await rpc.call<{
      filename: string;
      file_size: number;
      timestamp: string;
      success: boolean;
    }>("take_snapshot", { device: "camera100" });
    expect(taken.success).toBe(true);
    const path = hub.file("snapshots", taken.filename);
    expect(readFileSync(path).length).toBe(taken.file_size);
    expect(videoOf(await ffprobe(path))).toMatchObject({ codec_name: "mjpeg", width: 320, height: 240 });
    expect(Date.parse(taken.timestamp)).toBeGreaterThan(before - 2_000);
    const sidecar = JSON.parse(readFileSync(`${path}.json`, "utf8"));
    expect(sidecar).toMatchObject({ kind: "snapshot", cameraId: "camera100", resolution: "320x240" });
    const png = await rpc.call<{ filename: string }>("take_snapshot", {
      device: "camera100",
      format: "png",
      filename: "still",
    });
    expect(png.filename).toBe("still.png");
    expect(videoOf(await ffprobe(hub.file("snapshots", "still.png"))).codec_name).toBe("png");
  });

  it("records for a duration, frame exact, into a plain MP4 that is described correctly", async () => {
    const started = await rpc.call<{ filename: string; recording_id: string }>("start_recording", {
      device: "camera100",
      duration: 2,
    });
    const ended = await rpc.waitFor(
      "recording_status_update",
      (p) => p.recording_id === started.recording_id && p.status === "STOPPED",
    );
    expect(ended.filename).toBe(started.filename);
    const path = hub.file("recordings", started.filename);
    expect(await topLevelBoxes(path)).toEqual(["ftyp", "mdat", "moov"]);
    const probed = await ffprobe(path);
    expect(videoOf(probed)).toMatchObject({ codec_name: codec, width: 320, height: 240, nb_read_frames: 50 });
    expect(probed.format.duration).toBeCloseTo(2, 2);
    const times = await packetTimes(path);
    expect(times[0]).toBeCloseTo(0, 3);

    const info = await rpc.call("get_recording_info", { filename: started.filename });
    expect(info).toMatchObject({
      filename: started.filename,
      file_size: probed.format.size,
      resolution: "320x240",
      browser_playable: codec === "h264",
    });
    expect(Number(info.duration)).toBeCloseTo(probed.format.duration, 2);
    const sidecar = JSON.parse(readFileSync(`${path}.json`, "utf8"));
    expect(sidecar).toMatchObject({
      state: "complete",
      frames: 50,
      droppedFrames: 0,
      timeSource: "arrival",
      codec,
    });

    const csv = await (await hub.fetch(`/files/recordings/${started.filename}/frames.csv`)).text();
    const rows = csv.trim().split("\n").slice(1);
    expect(rows.length).toBe(50);
    expect(Number(rows[0]?.split(",")[1])).toBe(sidecar.firstFrameAtUs);
    expect(Number(rows.at(-1)?.split(",")[1])).toBe(sidecar.lastFrameAtUs);
  });

  it("answers before it notifies, refuses a second recording, and stops with a finished file", async () => {
    const other = await hub.rpc();
    const started = await other.call<{ filename: string; recording: { start_time: number } }>(
      "start_recording",
      { device: "camera100", filename: "my take" },
    );
    expect(started.filename).toBe("my take.mp4");
    expect(typeof started.recording.start_time).toBe("number");
    await other.waitFor(
      "recording_status_update",
      (p) => p.status === "STARTED" && p.filename === "my take.mp4",
    );
    const second = await failure(other.call("start_recording", { device: "camera100" }));
    expect(second.code).toBe(-1006);
    expect((await failure(other.call("delete_recording", { filename: "my take.mp4" }))).code).toBe(-1006);
    const listed = await other.call<{ files: { filename: string }[] }>("list_recordings");
    expect(listed.files.map((file) => file.filename)).not.toContain("my take.mp4");
    const growing = await hub.fetch("/files/recordings/my%20take.mp4");
    expect(growing.status).toBe(200);
    await growing.arrayBuffer();
    const stopped = await other.call<{
      filename: string;
      duration: number;
      file_size: number;
      success: boolean;
    }>("stop_recording", { device: "camera100" });
    expect(stopped).toMatchObject({ success: true, filename: "my take.mp4" });
    const probed = await ffprobe(hub.file("recordings", "my take.mp4"));
    expect(probed.format.size).toBe(stopped.file_size);
    expect(probed.format.duration).toBeCloseTo(stopped.duration, 2);
    expect((await failure(other.call("stop_recording", { device: "camera100" }))).code).toBe(-1003);
    await other.close();
  });

  it("starts at T0: the first frame is the first captured at or after it", async () => {
    const t0 = Math.ceil(Date.now() / 1000 + 1.5);
    const started = await rpc.call<{ filename: string; recording_id: string }>("start_recording", {
      device: "camera100",
      duration: 1,
      start_at: t0,
    });
    await rpc.waitFor(
      "recording_status_update",
      (p) => p.recording_id === started.recording_id && p.status === "STOPPED",
    );
    const sidecar = JSON.parse(readFileSync(`${hub.file("recordings", started.filename)}.json`, "utf8"));
    expect(sidecar.scheduledStart.atUs).toBe(t0 * 1e6);
    expect(sidecar.firstFrameAtUs).toBeGreaterThanOrEqual(t0 * 1e6);
    expect(sidecar.firstFrameAtUs).toBeLessThan(t0 * 1e6 + 2 * 40_000);
    const probed = await ffprobe(hub.file("recordings", started.filename));
    expect(probed.format.duration).toBeCloseTo(1, 1);
  });

  it("refuses a T0 that cannot be meant", async () => {
    for (const start_at of ["2020-01-01T00:00:00Z", Date.now() / 1000 + 30 * 86_400]) {
      const refused = await failure(rpc.call("start_recording", { device: "camera100", start_at }));
      expect(refused.code).toBe(-32602);
      expect(JSON.stringify(refused.data)).toMatch(/past|ahead/);
    }
  });

  it("takes back a start that waits, and says that nothing was recorded", async () => {
    const at = Math.round(Date.now() / 1000) + 600;
    const device = "camera100";
    const armed = await rpc.call<{ filename: string }>("start_recording", { device, start_at: at });
    const { filename } = armed;
    const answer = await rpc.call<Record<string, unknown>>("stop_recording", { device });
    expect(stoppedRecordingSchema.parse(answer)).toMatchObject({
      ...{ success: true, status: "CANCELLED", filename, files: [], duration: 0, file_size: 0 },
      ...{ download_url: null, scheduled_for: new Date(at * 1000).toISOString() },
      ...{ start_time: answer.end_time, recording: { status: "cancelled", filename } },
    });
    expect(existsSync(hub.file("recordings", filename))).toBe(false);
    expect(Math.abs(Date.parse(String(answer.end_time)) - Date.now())).toBeLessThan(60_000);
  });

  it("goes on with what the ring still holds (pre-roll)", async () => {
    const warm = await hub.fetch("/live/camera100/mjpeg");
    const reader = warm.body?.getReader();
    while (!((await hub.ringSeconds("camera100")) > 2.5)) await reader?.read();
    const asked = Date.now();
    const started = await rpc.call<{ filename: string }>("start_recording", {
      device: "camera100",
      pre_roll: 1.5,
    });
    await rpc.call("stop_recording", { device: "camera100" });
    await reader?.cancel();
    const sidecar = JSON.parse(readFileSync(`${hub.file("recordings", started.filename)}.json`, "utf8"));
    expect(sidecar.firstFrameAtUs).toBeLessThan((asked - 1_000) * 1000);
  });

  it("serves files with ranges and types to those who may have them", async () => {
    const list = await rpc.call<{
      files: { filename: string; file_size: number; download_url: string }[];
      total: number;
    }>("list_recordings", { limit: 1 });
    const file = list.files[0];
    if (file === undefined) throw new Error("no recording");
    expect(list.total).toBeGreaterThan(1);
    const url = `${hub.url}${file.download_url}`;
    const { stdout } = await run("curl", [
      "-s",
      "-D",
      "-",
      "-o",
      "/dev/null",
      "-H",
      `X-API-Key: ${adminKey}`,
      "-r",
      "0-99",
      url,
    ]);
    expect(stdout).toMatch(/^HTTP\/1\.1 206/);
    expect(stdout).toMatch(new RegExp(`content-range: bytes 0-99/${file.file_size}`, "i"));
    expect(stdout).toMatch(/content-type: video\/mp4/i);
    expect(stdout).toMatch(/etag: /i);
    expect((await fetch(url)).status).toBe(401);
    expect((await hub.fetch("/files/recordings/..%2fstate%2focelli.db")).status).toBe(400);
    expect((await hub.fetch("/files/recordings/nothing.mp4")).status).toBe(404);
  });

  it("exports to mkv and, for browsers, to H.264", async () => {
    const list = await rpc.call<{ files: { filename: string }[] }>("list_recordings", { limit: 100 });
    const filename = list.files.find((file) => file.filename.startsWith("camera100_"))?.filename;
    const mkv = await rpc.call<{ filename: string }>("export_recording", { filename, format: "mkv" });
    expect(mkv.filename).toMatch(/\.mkv$/);
    const original = videoOf(await ffprobe(hub.file("recordings", String(filename))));
    expect(videoOf(await ffprobe(hub.file("recordings", mkv.filename)))).toMatchObject({
      codec_name: codec,
      nb_read_frames: original.nb_read_frames,
    });
    const h264 = await rpc.call<{ filename: string }>("export_recording", {
      filename,
      format: "mp4",
      codec: "h264",
    });
    expect(videoOf(await ffprobe(hub.file("recordings", h264.filename)))).toMatchObject({
      codec_name: "h264",
      nb_read_frames: original.nb_read_frames,
    });
  });

  it("deletes a recording with its sidecar", async () => {
    expect(await rpc.call("delete_recording", { filename: "my take.mp4" })).toMatchObject({ deleted: true });
    expect(existsSync(hub.file("recordings", "my take.mp4"))).toBe(false);
    expect(existsSync(join(hub.dataDir, "recordings", "my take.mp4.json"))).toBe(false);
    expect((await failure(rpc.call("get_recording_info", { filename: "my take.mp4" }))).code).toBe(-1005);
  });

  it("is let go some time after the last user left", async () => {
    await using quick = await startHub({
      env: {
        OCELLI_DEVICES_V4L2: "false",
        OCELLI_VIRTUAL_CODEC: codec,
        OCELLI_VIRTUAL_SIZE: "320x240",
        OCELLI_CAPTURE_LINGER_SECONDS: "0.2",
      },
    });
    await using client = await quick.rpc();
    await client.call("take_snapshot", { device: "camera100" });
    await until("ffmpeg gone", () => quick.ffmpegs().length === 0);
  });
});

describe("a scheduled recording that is about to begin", () => {
  it("lets somebody record at once, and begins at its time when that is over", async () => {
    await using hub = await startHub({ env: virtualCameras({ size: "320x240", fps: 25, codec: "mjpeg" }) });
    await using rpc = await hub.rpc();
    const device = "camera100";
    const startMs = Date.now() + 14_000;
    const { schedule_id } = await rpc.call<{ schedule_id: string }>("schedule_recording", {
      ...{ device, start_time: new Date(startMs).toISOString(), duration: 3 },
    });
    const stateOf = async () => {
      const { schedules } = await rpc.call<{ schedules: { schedule_id: string; status: string }[] }>(
        "get_scheduled_recordings",
        { all: true },
      );
      return schedules.find((one) => one.schedule_id === schedule_id)?.status;
    };
    await until("the camera is armed", async () => (await stateOf()) === "armed");
    await rpc.call("start_recording", { device });
    expect(await stateOf()).toBe("scheduled");
    const own = await rpc.call<{ status: string; files: string[] }>("stop_recording", { device });
    expect([own.status, own.files.length]).toEqual(["STOPPED", 1]);
    await until("the scheduled one is over", async () => (await stateOf()) === "completed");
    const { files } = await rpc.call<{ files: { filename: string }[] }>("list_recordings", { limit: 1 });
    const sidecar = JSON.parse(
      readFileSync(`${hub.file("recordings", files[0]?.filename ?? "")}.json`, "utf8"),
    );
    expect(sidecar.scheduledStart.atUs).toBe(startMs * 1000);
    expect(sidecar.scheduledStart.errorUs).toBeLessThan(80_000);
  }, 60_000);
});
