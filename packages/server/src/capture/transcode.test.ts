import { execFileSync } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { SystemClock } from "../clock/system-clock.ts";
import type { Fragment } from "../media/fragment.ts";
import type { DeviceCapture } from "./device-capture.ts";
import {
  patternCapture,
  patternMode,
  processGone,
  readVideo,
  silentLog,
  stateOf,
} from "./testing/sources.ts";
import { Transcode, type TranscodeOptions } from "./transcode.ts";

const clock = new SystemClock();
const opened: { close(): Promise<void> }[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map((source) => source.close()));
});
afterAll(() => clock.close());
const directory = mkdtempSync(join(tmpdir(), "ocelli-transcode-"));

function pair(
  input: Parameters<typeof patternCapture>[1],
  settings: TranscodeOptions["settings"],
  more: Partial<TranscodeOptions> = {},
): { camera: DeviceCapture; transcode: Transcode } {
  const camera = patternCapture(clock, { lingerMs: 100, recovery: { baseMs: 20 }, ...input });
  const transcode = new Transcode({
    id: "camera0/rendition",
    clock,
    log: silentLog,
    input: camera,
    settings,
    lingerMs: 100,
    recovery: { baseMs: 20 },
    ...more,
  });
  opened.push(transcode, camera);
  return { camera, transcode };
}

const viewer = { holder: "a viewer", from: "keyframe", overflow: "skip" } as const;

function timesBySource(frames: readonly Fragment[]): Map<number, number> {
  return new Map(frames.map((frame) => [frame.mediaTimeUs, frame.capturedAtUs]));
}

describe("Transcode", () => {
  it.each([
    ["mjpeg", "h264"],
    ["h264", "mjpeg"],
  ] as const)("makes %s into %s, each frame keeping its times", async (from, to) => {
    const { camera, transcode } = pair({ codec: from, gop: 10 }, { codec: to });
    const original = await camera.open({ ...viewer, from: "next", holder: "the test" });
    const lease = await transcode.open(viewer);
    expect(camera.stats().leases).toContain("camera0/rendition");
    const frames = await readVideo(lease.cursor, 45);
    expect(frames[0]).toMatchObject({ keyframe: true, discontinuity: false });
    expect(transcode.codec).toBe(to);
    expect(lease.mode).toMatchObject({ format: to === "h264" ? "H264" : "MJPG", width: 160, height: 120 });
    const known = timesBySource(await readVideo(original.cursor, camera.stats().framesTotal));
    for (const frame of frames.slice(0, -5)) expect(known.get(frame.mediaTimeUs)).toBe(frame.capturedAtUs);
    for (let i = 1; i < frames.length; i++) {
      expect((frames[i]?.mediaTimeUs ?? 0) - (frames[i - 1]?.mediaTimeUs ?? 0)).toBe(40_000);
      expect(frames[i]?.decodeTimeUs).toBe(frames[i]?.mediaTimeUs);
    }
    if (to === "h264") {
      const keyframes = frames.filter((frame) => frame.keyframe).map((frame) => frame.mediaTimeUs);
      expect(keyframes.length).toBeGreaterThan(1);
      for (let i = 1; i < keyframes.length; i++) {
        expect((keyframes[i] ?? 0) - (keyframes[i - 1] ?? 0)).toBeLessThanOrEqual(1_000_000);
      }
    }
    const file = join(directory, `${to}.mp4`);
    writeFileSync(
      file,
      Buffer.concat([frames[0]?.init.bytes ?? Buffer.alloc(0), ...frames.map((frame) => frame.bytes)]),
    );
    const seen = execFileSync("ffprobe", [
      ...[
        "-v",
        "error",
        "-count_frames",
        "-show_entries",
        "stream=codec_name,pix_fmt,nb_read_frames,has_b_frames",
      ],
      ...["-of", "default=nw=1", file],
    ]).toString();
    expect(seen).toContain("nb_read_frames=45");
    expect(seen).toContain(to === "h264" ? "pix_fmt=yuv420p\n" : "pix_fmt=yuvj420p\n");
    expect(seen).toContain("has_b_frames=0");
  });

  it.each(["mjpeg", "h264"] as const)(
    "makes H.264 with B-frames into %s, in order of presentation",
    async (to) => {
      const file = join(directory, "reordered.mp4");
      const made = ["-v", "error", "-f", "lavfi", "-i", "testsrc=size=160x120:rate=25:duration=4"];
      const encoder = ["-c:v", "libx264", "-bf", "3", "-b_strategy", "0", "-g", "25", "-y", file];
      execFileSync("ffmpeg", [...made, ...encoder]);
      const { camera, transcode } = pair(
        {
          input: async () => ({
            mode: patternMode({ codec: "h264" }),
            input: {
              args: ["-re", "-stream_loop", "-1", "-i", file],
              ...({ video: "copy", timeSource: "arrival", audio: false } as const),
            },
          }),
        },
        { codec: to },
      );
      const original = await camera.open({ ...viewer, from: "next", holder: "the test" });
      const lease = await transcode.open(viewer);
      const frames = await readVideo(lease.cursor, 150);
      const sent = await readVideo(original.cursor, 150);
      expect(sent.some((frame) => frame.mediaTimeUs > frame.decodeTimeUs)).toBe(true);
      const known = timesBySource(sent);
      const both = frames.filter((frame) => known.has(frame.mediaTimeUs));
      // All but the last few, which the other reader has not read.
      expect(both.length).toBeGreaterThan(130);
      for (const frame of both) expect(frame.capturedAtUs).toBe(known.get(frame.mediaTimeUs));
      const steps = frames.slice(1).map((frame, i) => frame.mediaTimeUs - (frames[i]?.mediaTimeUs ?? 0));
      expect(steps.filter((step) => step !== 40_000)).toEqual([]);
      expect(transcode.skippedFrames).toBe(0);
      expect(transcode.stats().restarts).toBe(0);
    },
  );

  it("runs only while somebody watches, and lets its input go", async () => {
    const { camera, transcode } = pair({}, { codec: "h264" });
    expect(camera.state).toBe("idle");
    const lease = await transcode.open(viewer);
    const pids = [transcode.stats().pid ?? 0, camera.stats().pid ?? 0];
    lease.close();
    await stateOf(transcode, "idle");
    await stateOf(camera, "idle");
    await Promise.all(pids.map(processGone));
    expect(camera.stats().leases).toEqual([]);
  });

  it("begins anew at a discontinuity of its input, and marks it", async () => {
    const { camera, transcode } = pair({}, { codec: "h264" });
    const lease = await transcode.open(viewer);
    await readVideo(lease.cursor, 5);
    process.kill(camera.stats().pid ?? 0, "SIGKILL");
    const frames = await readVideo(lease.cursor, 40);
    const marked = frames.filter((frame) => frame.discontinuity);
    expect(marked).toHaveLength(1);
    expect(marked[0]?.keyframe).toBe(true);
    for (let i = 1; i < frames.length; i++) {
      expect(frames[i]?.mediaTimeUs ?? 0).toBeGreaterThan(frames[i - 1]?.mediaTimeUs ?? 0);
    }
  });

  it("comes back when its own process is killed, the camera unaffected", async () => {
    const { camera, transcode } = pair({}, { codec: "h264" });
    const lease = await transcode.open(viewer);
    await readVideo(lease.cursor, 5);
    process.kill(transcode.stats().pid ?? 0, "SIGKILL");
    const frames = await readVideo(lease.cursor, 40);
    expect(frames.filter((frame) => frame.discontinuity)).toHaveLength(1);
    expect([transcode.stats().restarts, camera.stats().restarts]).toEqual([1, 0]);
  });

  it("leaves frames out rather than lagging when the encoder stalls, and comes back", async () => {
    const { camera, transcode } = pair({ size: "640x480" }, { codec: "h264" }, { maxLagMs: 200 });
    const lease = await transcode.open(viewer);
    await readVideo(lease.cursor, 5);
    const pid = transcode.stats().pid ?? 0;
    process.kill(pid, "SIGSTOP");
    const { framesTotal } = camera.stats();
    while (camera.stats().framesTotal < framesTotal + 30) await clock.sleep(20);
    process.kill(pid, "SIGCONT");
    const frames = await readVideo(lease.cursor, 60);
    const last = frames.at(-1);
    expect((last?.receivedAtMonoUs ?? 0) - (last?.mediaTimeUs ?? 0)).toBeLessThan(1_000_000);
    expect(transcode.skippedFrames).toBeGreaterThan(5);
    expect(camera.stats().restarts).toBe(0);
  });

  it.each(["320x240", "960x720"])("ends an encoder that hangs, with frames of %s", async (size) => {
    // Noise: frames of some 40 KB and some 700 KB, many and not even one of which the pipe takes in.
    const mode = patternMode({ size, fps: 10 });
    const args = ["-re", "-f", "lavfi", "-i", `color=gray:size=${size}:rate=10,noise=alls=100:allf=t`];
    const encodeArgs = ["-c:v", "mjpeg", "-q:v", "2", "-pix_fmt", "yuvj422p"];
    const input = { args, video: { encodeArgs }, timeSource: "arrival", audio: false } as const;
    const { camera, transcode } = pair(
      { input: async () => ({ mode, input }) },
      { codec: "h264" },
      { stallTimeoutMs: 500 },
    );
    const lease = await transcode.open(viewer);
    await readVideo(lease.cursor, 3);
    process.kill(transcode.stats().pid ?? 0, "SIGSTOP");
    await stateOf(transcode, "recovering");
    const frames = await readVideo(lease.cursor, 5);
    expect(frames.some((frame) => frame.discontinuity)).toBe(true);
    expect([transcode.stats().restarts, camera.stats().restarts]).toEqual([1, 0]);
  });

  it("scales and thins out", async () => {
    const { transcode } = pair({ size: "321x241" }, { codec: "mjpeg", maxWidth: 100, maxFps: 5 });
    const lease = await transcode.open(viewer);
    const frames = await readVideo(lease.cursor, 6);
    expect(frames[0]?.track).toMatchObject({ width: 100, height: 74 });
    for (let i = 1; i < frames.length; i++) {
      expect((frames[i]?.mediaTimeUs ?? 0) - (frames[i - 1]?.mediaTimeUs ?? 0)).toBe(200_000);
    }
  });

  it("fails with its input's error, and ends with its input", async () => {
    const { camera, transcode } = pair({}, { codec: "h264" });
    camera.deviceLost();
    await expect(transcode.open(viewer)).rejects.toMatchObject({ code: "camera_disconnected" });
    camera.deviceBack();
    const lease = await transcode.open(viewer);
    const ended = (async () => {
      while ((await lease.cursor.next()) !== undefined);
    })();
    await camera.close();
    await ended;
    expect(transcode.state).toBe("failed");
  });
});
