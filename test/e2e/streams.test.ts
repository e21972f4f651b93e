import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { adminKey, type RunningHub, startHub, until, virtualCameras } from "../harness/hub.ts";
import { Rpc } from "../harness/rpc.ts";

/** The methods about live pictures, with ffprobe and curl as viewers. */

interface Status {
  readonly status: string;
  readonly ready: boolean;
  readonly start_time: string | null;
  readonly ffmpeg_process: {
    readonly running: boolean;
    readonly pid: number | null;
    readonly uptime: number;
  };
  readonly mediamtx_path: { readonly exists: boolean; readonly ready: boolean; readonly readers: number };
  readonly metrics: {
    readonly bytes_sent: number;
    readonly frames_sent: number;
    readonly bitrate: number;
    readonly fps: number;
  };
}
interface Stream {
  readonly name: string;
  readonly ready: boolean;
  readonly readers: number;
  readonly bytes_sent: number;
}

describe("live streams", () => {
  let hub: RunningHub;
  let rpc: Rpc;
  beforeAll(async () => {
    hub = await startHub({
      env: {
        ...virtualCameras({ size: "320x240", fps: 15, codec: "mjpeg" }),
        OCELLI_CAPTURE_LINGER_SECONDS: "0",
      },
    });
    rpc = await hub.rpc();
  });
  afterAll(async () => {
    await rpc?.close();
    await hub?.stop();
  });
  const status = (): Promise<Status> => rpc.call<Status>("get_stream_status", { device: "camera100" });

  it("are idle until somebody asks for one", async () => {
    expect(await rpc.call("get_streams")).toEqual([
      { name: "camera100", source: "camera100", ready: false, readers: 0, bytes_sent: 0 },
    ]);
    expect(await status()).toMatchObject({
      ...{ status: "INACTIVE", ready: false, start_time: null },
      ffmpeg_process: { running: false, pid: null, uptime: 0 },
      metrics: { bytes_sent: 0, frames_sent: 0, bitrate: 0, fps: 0 },
    });
    const url = await rpc.call("get_stream_url", { device: "camera100" });
    expect(url).toMatchObject({ available: true, active_consumers: 0, stream_status: "READY" });
    // Asking where it is starts nothing.
    expect(hub.ffmpegs()).toEqual([]);
  });

  it("start, are seen by others' programs, count these, and stop", async () => {
    const started = await rpc.call<{ stream_url: string; start_time: string }>("start_streaming", {
      device: "camera100",
    });
    expect(started).toMatchObject({ stream_name: "camera100", status: "STARTED", auto_close_after: "300s" });
    const running = await status();
    expect(running).toMatchObject({
      ...{ status: "ACTIVE", ready: true, start_time: started.start_time },
      mediamtx_path: { exists: true, ready: true, readers: 0 },
    });
    expect(hub.ffmpegs()).toEqual([running.ffmpeg_process.pid]);

    const probe = spawnSync(
      "ffprobe",
      [
        "-v",
        "error",
        "-f",
        "mpjpeg",
        "-show_entries",
        "stream=codec_name,width,height",
        "-of",
        "csv=p=0",
      ].concat(started.stream_url),
      { encoding: "utf8", timeout: 20_000 },
    );
    expect([probe.stdout.trim(), probe.stderr]).toEqual(["mjpeg,320,240", ""]);

    const viewer = spawn("curl", ["-sN", "-o", "/dev/null", started.stream_url], { stdio: "ignore" });
    const left = once(viewer, "exit");
    const watched = await until("the viewer to get pictures", async () => {
      const now = await status();
      return now.mediamtx_path.readers === 1 && now.metrics.frames_sent > 10 && now;
    });
    expect(watched.metrics.bytes_sent).toBeGreaterThan(10_000);
    expect(watched.metrics.fps).toBeGreaterThan(0);
    expect(watched.metrics.bitrate).toBeGreaterThan(10_000);
    const listed = await rpc.call<Stream[]>("get_streams");
    expect(listed).toMatchObject([{ name: "camera100", ready: true, readers: 1 }]);
    expect(listed[0]?.bytes_sent).toBeGreaterThanOrEqual(watched.metrics.bytes_sent);
    expect(await rpc.call("get_stream_url", { device: "camera100" })).toMatchObject({ active_consumers: 1 });
    expect((await rpc.call("get_metrics")).stream_metrics).toEqual({
      ...{ active_streams: 1, total_streams: 1, total_viewers: 1 },
    });

    // The viewer keeps the camera when the stream is stopped.
    const stopped = await rpc.call("stop_streaming", { device: "camera100" });
    expect(stopped).toMatchObject({
      status: "STOPPED",
      start_time: started.start_time,
      stream_continues: true,
    });
    expect(stopped.duration).toBeGreaterThan(0);
    const after = await until("time to pass", async () => {
      const now = await status();
      return now.ffmpeg_process.uptime >= 1 && now;
    });
    expect(after).toMatchObject({ status: "ACTIVE", start_time: null });

    viewer.kill();
    await left;
    const over = await until("the camera to be released", async () => {
      const now = await status();
      return now.status === "INACTIVE" && !now.ffmpeg_process.running && now;
    });
    expect(over.mediamtx_path.readers).toBe(0);
    expect(over.metrics.frames_sent).toBeGreaterThan(10);
    expect([over.metrics.bitrate, over.ffmpeg_process.uptime]).toEqual([0, 0]);
    await until("ffmpeg to be gone", () => hub.ffmpegs().length === 0);
  });

  it("have addresses with the name the client used, which open without a key and only there", async () => {
    await using other = await Rpc.connect(`ws://localhost:${hub.port}/ws`, adminKey);
    const { stream_url: url } = await other.call<{ stream_url: string }>("get_stream_url", {
      device: "camera100",
    });
    const { host, pathname, search } = new URL(url);
    expect(host).toBe(`localhost:${hub.port}`);
    expect((await fetch(`${hub.url}/live/camera100/jpeg${search}`)).status).toBe(401);
    expect((await fetch(`${hub.url}${pathname}`)).status).toBe(401);
  });

  it("say what is wrong with a camera that is not there", async () => {
    for (const method of ["start_streaming", "stop_streaming", "get_stream_url", "get_stream_status"]) {
      await expect(rpc.call(method, { device: "camera7" })).rejects.toMatchObject({
        data: { code: "camera_not_found" },
      });
    }
  });
});
