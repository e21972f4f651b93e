import { execFileSync } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { SystemClock } from "../clock/system-clock.ts";
import type { DeviceCapture } from "./device-capture.ts";
import type { CaptureGap, OpenOptions } from "./source.ts";
import {
  patternCapture,
  patternInput,
  patternMode,
  processExists,
  processGone,
  readAll,
  readVideo,
  stateOf,
} from "./testing/sources.ts";

const clock = new SystemClock();
const opened: DeviceCapture[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map((capture) => capture.close()));
});
afterAll(() => clock.close());

const directory = mkdtempSync(join(tmpdir(), "ocelli-capture-"));

function capture(options: Parameters<typeof patternCapture>[1] = {}): DeviceCapture {
  const made = patternCapture(clock, { lingerMs: 200, recovery: { baseMs: 20, maxFirstMs: 50 }, ...options });
  opened.push(made);
  return made;
}

const live = (holder: string, more: Partial<OpenOptions> = {}): OpenOptions => ({
  holder,
  from: "keyframe",
  overflow: "skip",
  ...more,
});

/** A program that stands in for ffmpeg. */
function script(name: string, body: string): string {
  const path = join(directory, name);
  writeFileSync(path, `#!/bin/sh\n${body}\n`, { mode: 0o755 });
  return path;
}

/** The process of a capture that is about to start one. */
async function startedPid(source: DeviceCapture): Promise<number> {
  while (source.stats().pid === undefined) await clock.sleep(5);
  return pidOf(source);
}

function pidOf(source: DeviceCapture): number {
  const { pid } = source.stats();
  if (pid === undefined) throw new Error("no process runs");
  return pid;
}

describe("DeviceCapture", () => {
  it.each(Array.from({ length: 16 }, (_, turns) => turns))(
    "is free again for others when its first reader goes %d turns after coming",
    async (turns) => {
      const source = capture();
      const leaving = new AbortController();
      const lease = source.open(live("a viewer", { signal: leaving.signal }));
      lease.catch(() => undefined);
      for (let turn = 0; turn < turns; turn++) await Promise.resolve();
      leaving.abort();
      await expect(lease).rejects.toThrow();
      await stateOf(source, "idle");
    },
  );

  it.each(["mjpeg", "h264"] as const)(
    "gives the frames of a live %s camera, with their times",
    async (codec) => {
      const source = capture({ codec, fps: 25, gop: 10 });
      expect(source.state).toBe("idle");
      const lease = await source.open(live("a viewer", { from: "next" }));
      expect(source.state).toBe("live");
      expect(source.codec).toBe(codec);
      const frames = await readVideo(lease.cursor, 40);
      expect(frames.map((frame) => frame.sequence)).toEqual(frames.map((_, i) => i));
      expect(frames[0]).toMatchObject({ keyframe: true, discontinuity: false });
      const keyframes = frames.filter((frame) => frame.keyframe).length;
      expect(keyframes).toBe(codec === "mjpeg" ? 40 : 4);
      for (let i = 1; i < frames.length; i++) {
        expect((frames[i]?.mediaTimeUs ?? 0) - (frames[i - 1]?.mediaTimeUs ?? 0)).toBe(40_000);
        expect(frames[i]?.capturedAtUs ?? 0).toBeGreaterThan(frames[i - 1]?.capturedAtUs ?? 0);
      }
      // Captured before it was received, and not long before.
      for (const frame of frames) {
        const age = clock.monoToWallUs(frame.receivedAtMonoUs) - frame.capturedAtUs;
        expect(age).toBeGreaterThan(0);
        expect(age).toBeLessThan(2_000_000);
      }
      expect(source.timeSource).toBe("arrival");
      expect(source.frameIntervalUs).toBe(40_000);
      expect(source.stats()).toMatchObject({ state: "live", leases: ["a viewer"], restarts: 0 });
      const gop = source.newestGop();
      expect(gop[0]?.keyframe).toBe(true);
      expect(gop.slice(1).some((frame) => frame.keyframe)).toBe(false);
      // What an independent reader sees: the init segment and the fragments are a playable file.
      const file = join(directory, `${codec}.mp4`);
      writeFileSync(
        file,
        Buffer.concat([frames[0]?.init.bytes ?? Buffer.alloc(0), ...frames.map((frame) => frame.bytes)]),
      );
      const packets = execFileSync("ffprobe", [
        "-v",
        "error",
        "-show_entries",
        "packet=pts",
        "-of",
        "csv=p=0",
        file,
      ])
        .toString()
        .trim()
        .split("\n")
        .map((line) => Number.parseInt(line, 10));
      expect(packets).toEqual(frames.map((frame) => frame.mediaTimeUs));
      lease.close();
    },
  );

  it("starts one process for two who open at once, and both are served", async () => {
    const pids = join(directory, "pids");
    const ffmpeg = script("counting-ffmpeg", `echo $$ >> ${pids}; exec ffmpeg "$@"`);
    const source = capture({ ffmpeg });
    const [one, two] = await Promise.all([source.open(live("one")), source.open(live("two"))]);
    await Promise.all([readVideo(one.cursor, 5), readVideo(two.cursor, 5)]);
    expect(execFileSync("wc", ["-l", pids]).toString()).toMatch(/^1 /);
    expect(source.stats().leases).toEqual(["one", "two"]);
  });

  it("lingers after the last lease, and a new one in time keeps the process", async () => {
    const source = capture({ lingerMs: 400 });
    (await source.open(live("first"))).close();
    const pid = pidOf(source);
    const second = await source.open(live("second"));
    expect(pidOf(source)).toBe(pid);
    await clock.sleep(600);
    expect(source.state).toBe("live");
    second.close();
    await stateOf(source, "idle");
    await processGone(pid);
    expect(source.newestGop()).toEqual([]);
    const third = await source.open(live("third"));
    const [frame] = await readVideo(third.cursor, 1);
    // Started anew on purpose: nothing was interrupted.
    expect(frame?.discontinuity).toBe(false);
  });

  it.each([
    ["kill -9", "SIGKILL" as const, {}],
    ["a stop (no frames)", "SIGSTOP" as const, { stallTimeoutMs: 400 }],
    ["TERM", "SIGTERM" as const, {}],
  ])("comes back after %s, and says what is missing", async (_name, signal, options) => {
    const source = capture({ codec: "h264", gop: 5, ...options });
    const states: string[] = [];
    const gaps: CaptureGap[] = [];
    source.on("state", ({ to }) => states.push(to));
    source.on("gap", (gap) => gaps.push(gap));
    const lease = await source.open(live("a recorder", { overflow: "fail" }));
    const before = await readVideo(lease.cursor, 10);
    const pid = pidOf(source);
    process.kill(pid, signal);
    const after = await readVideo(lease.cursor, 30);
    const all = [...before, ...after];
    const resumed = all.findIndex((frame) => frame.discontinuity);
    expect(resumed).toBeGreaterThan(0);
    expect(all.filter((frame) => frame.discontinuity)).toHaveLength(1);
    expect(all[resumed]?.keyframe).toBe(true);
    // The same scale goes on: the jump in media time is the gap.
    const jumpUs = (all[resumed]?.mediaTimeUs ?? 0) - (all[resumed - 1]?.mediaTimeUs ?? 0);
    const gapUs = (gaps[0]?.toUs ?? 0) - (gaps[0]?.fromUs ?? 0);
    expect(jumpUs).toBeGreaterThan(40_000);
    expect(Math.abs(jumpUs - gapUs)).toBeLessThan(100_000);
    expect(gaps).toHaveLength(1);
    expect(gaps[0]?.fromUs).toBe(all[resumed - 1]?.capturedAtUs);
    expect(gaps[0]?.toUs).toBe(all[resumed]?.capturedAtUs);
    for (let i = 1; i < all.length; i++) {
      expect(all[i]?.decodeTimeUs ?? 0).toBeGreaterThan(all[i - 1]?.decodeTimeUs ?? 0);
      expect(all[i]?.sequence).toBe((all[i - 1]?.sequence ?? 0) + 1);
    }
    expect(states).toEqual(
      signal === "SIGSTOP"
        ? ["starting", "live", "stalled", "recovering", "live"]
        : ["starting", "live", "recovering", "live"],
    );
    expect(source.stats().restarts).toBe(1);
    await processGone(pid);
  });

  it("comes back after a clean end of the stream", async () => {
    const source = capture({ frames: 15 });
    const lease = await source.open(live("a viewer"));
    const frames = await readVideo(lease.cursor, 25);
    // A late reader begins later in the first run.
    const runs = frames.flatMap((frame, i) => (frame.discontinuity ? [i] : []));
    expect(runs.length).toBeGreaterThanOrEqual(1);
    for (const [i, at] of runs.slice(1).entries()) expect(at - (runs[i] ?? 0)).toBe(15);
    expect(source.stats().lastError).toMatch(/exit code 0/);
  });

  it("gives up on a camera that never works, with ffmpeg's own words, and tries again when asked again", async () => {
    const source = capture({
      input: async () => ({
        mode: patternMode(),
        input: { ...patternInput(), args: ["-i", "rtsp://me:geheim@127.0.0.1:1/x"] },
      }),
    });
    const [one, two] = [source.open(live("one")), source.open(live("two"))];
    await expect(one).rejects.toMatchObject({ code: "capture_failed" });
    const error = await two.catch((caught: unknown) => caught);
    expect(String(error)).toMatch(/Connection refused/);
    expect(JSON.stringify(error)).not.toMatch(/geheim/);
    expect(source.state).toBe("failed");
    expect(source.stats()).toMatchObject({ leases: [], pid: undefined, restarts: 2 });
    await expect(source.open(live("three"))).rejects.toMatchObject({ code: "capture_failed" });
  });

  it("times out together for all when no frame ever comes", async () => {
    const ffmpeg = script("silent-ffmpeg", "exec sleep 60");
    const source = capture({ ffmpeg, startTimeoutMs: 500 });
    const one = source.open(live("one"));
    const pid = await startedPid(source);
    const two = source.open(live("two"));
    await expect(one).rejects.toMatchObject({ code: "start_timeout" });
    await expect(two).rejects.toMatchObject({ code: "start_timeout" });
    await stateOf(source, "idle");
    await processGone(pid);
  });

  it("survives garbage on ffmpeg's output", async () => {
    const ffmpeg = script("garbage-ffmpeg", "yes garbage | head -c 200000; exec sleep 60");
    const source = capture({ ffmpeg });
    await expect(source.open(live("one"))).rejects.toMatchObject({ code: "media_malformed" });
    expect(source.state).toBe("failed");
  });

  it("starts at once again when garbage comes in the middle", async () => {
    const flag = join(directory, "spoilt");
    const ffmpeg = script(
      "spoiling-ffmpeg",
      `if [ -e ${flag} ]; then exec ffmpeg "$@"; fi; touch ${flag}; timeout 1 ffmpeg "$@" 2>/dev/null; yes garbage | head -c 3000; exec sleep 60`,
    );
    const source = capture({ ffmpeg });
    const lease = await source.open(live("a viewer"));
    const frames = await readVideo(lease.cursor, 30);
    expect(frames.filter((frame) => frame.discontinuity)).toHaveLength(1);
  });

  it("ends the start when the last who waits gives up", async () => {
    const ffmpeg = script("silent2-ffmpeg", "exec sleep 60");
    const source = capture({ ffmpeg });
    const aborter = new AbortController();
    const open = source.open(live("impatient", { signal: aborter.signal }));
    const pid = await startedPid(source);
    aborter.abort(new Error("never mind"));
    await expect(open).rejects.toThrow("never mind");
    await stateOf(source, "idle");
    await processGone(pid);
  });

  it("grants a mode when idle or already in it, and otherwise names who holds the camera", async () => {
    const source = capture();
    const [small, large] = [patternMode({ size: "160x120" }), patternMode({ size: "320x240" })];
    const input = async (wanted?: typeof small) => {
      const mode = wanted ?? small;
      return { mode, input: patternInput({ size: `${mode.width}x${mode.height}` }) };
    };
    const sized = capture({ input });
    const lease = await sized.open(live("recording x.mp4", { mode: small }));
    expect(lease.mode).toEqual(small);
    const error = await sized.open(live("another", { mode: large })).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: "camera_busy", details: { holders: ["recording x.mp4"] } });
    expect(String(error)).toMatch(/recording x\.mp4/);
    (await sized.open(live("same", { mode: small }))).close();
    (await sized.open(live("any"))).close();
    lease.close();
    // Nobody holds it, though it still runs: now it may change.
    const second = await sized.open(live("another", { mode: large }));
    expect(second.mode).toEqual(large);
    const [frame] = await readVideo(second.cursor, 1);
    expect(frame?.track).toMatchObject({ width: 320, height: 240 });
    await source.close();
  });

  it("refuses two first openers who insist on different modes", async () => {
    const input = async (wanted?: ReturnType<typeof patternMode>) => {
      const mode = wanted ?? patternMode();
      return { mode, input: patternInput({ size: `${mode.width}x${mode.height}` }) };
    };
    const source = capture({ input });
    const large = patternMode({ size: "320x240" });
    const [one, two, three] = await Promise.allSettled([
      source.open(live("whatever comes")),
      source.open(live("large", { mode: large })),
      source.open(live("small", { mode: patternMode() })),
    ]);
    expect(one.status).toBe("fulfilled");
    expect([two, three].filter(({ status }) => status === "rejected")).not.toHaveLength(0);
    for (const result of [two, three]) {
      if (result.status === "rejected") expect(result.reason).toMatchObject({ code: "camera_busy" });
    }
  });

  it("waits for a device that was unplugged, and is back at once with it", async () => {
    const source = capture({ recovery: { baseMs: 5000 } });
    const lease = await source.open(live("a recorder", { overflow: "fail" }));
    await readVideo(lease.cursor, 5);
    const pid = pidOf(source);
    source.deviceLost();
    await stateOf(source, "recovering");
    await processGone(pid);
    await expect(source.open(live("new"))).rejects.toMatchObject({ code: "camera_disconnected" });
    const next = readVideo(lease.cursor, 200);
    source.deviceBack();
    await stateOf(source, "live");
    lease.close();
    const frames = await next.catch((error: unknown) => error);
    // The reader was only ended by its own close.
    expect(String(frames)).toMatch(/ended after/);
  });

  it("rejects who waits for the first frame when the device goes", async () => {
    const source = capture({ ffmpeg: script("silent3-ffmpeg", "exec sleep 60") });
    const open = source.open(live("one"));
    await startedPid(source);
    source.deviceLost();
    await expect(open).rejects.toMatchObject({ code: "camera_disconnected" });
    await stateOf(source, "idle");
  });

  it("takes along B-frames and audio of a looped file, in one time scale", async () => {
    const file = join(directory, "both.mp4");
    execFileSync("ffmpeg", [
      ...["-v", "error", "-f", "lavfi", "-i", "testsrc=size=160x120:rate=25:duration=2"],
      ...[
        "-f",
        "lavfi",
        "-i",
        "sine=duration=2",
        "-c:v",
        "libx264",
        "-g",
        "25",
        "-bf",
        "2",
        "-c:a",
        "aac",
        "-y",
        file,
      ],
    ]);
    const source = capture({
      input: async () => ({
        mode: patternMode({ codec: "h264" }),
        input: {
          args: ["-re", "-stream_loop", "-1", "-i", file],
          video: "copy",
          timeSource: "arrival",
          audio: true,
        },
      }),
    });
    const lease = await source.open(live("a recorder", { from: "next", overflow: "fail" }));
    const fragments = await readAll(lease.cursor, 300);
    const video = fragments.filter((fragment) => fragment.track.kind === "video");
    const audio = fragments.filter((fragment) => fragment.track.kind === "audio");
    expect(video.some((frame) => frame.mediaTimeUs > frame.decodeTimeUs)).toBe(true);
    for (const track of [video, audio]) {
      for (let i = 1; i < track.length; i++) {
        const step = (track[i]?.decodeTimeUs ?? 0) - (track[i - 1]?.decodeTimeUs ?? 0);
        expect(step).toBeGreaterThan(0);
        // Also where the loop begins again, but for what its audio is longer.
        expect(step).toBeLessThan(110_000);
      }
    }
    const apart = Math.abs((video[0]?.mediaTimeUs ?? 0) - (audio[0]?.mediaTimeUs ?? 0));
    expect(apart).toBeLessThan(100_000);
    // Both tracks are mapped alike.
    for (const fragment of fragments) {
      const mapped = fragment.capturedAtUs - fragment.mediaTimeUs;
      expect(Math.abs(mapped - (video[0]?.capturedAtUs ?? 0) + (video[0]?.mediaTimeUs ?? 0))).toBeLessThan(
        300_000,
      );
    }
    expect(source.stats().restarts).toBe(0);
  });

  it("knows the interval of its frames where B-frames are sent out of order", async () => {
    const file = join(directory, "reordered.mp4");
    const made = ["-v", "error", "-f", "lavfi", "-i", "testsrc=size=160x120:rate=25:duration=2"];
    execFileSync("ffmpeg", [...made, "-c:v", "libx264", "-bf", "1", "-b_strategy", "0", "-y", file]);
    const source = capture({
      input: async () => ({
        mode: { ...patternMode({ codec: "h264" }), fps: 0 },
        input: {
          args: ["-re", "-stream_loop", "-1", "-i", file],
          ...({ video: "copy", timeSource: "arrival", audio: false } as const),
        },
      }),
    });
    const lease = await source.open(live("a recorder", { from: "next", overflow: "fail" }));
    const frames = await readVideo(lease.cursor, 40);
    expect(frames.some((frame) => frame.mediaTimeUs > frame.decodeTimeUs)).toBe(true);
    expect(source.frameIntervalUs).toBe(40_000);
  });

  it("times a stream without times by its arrival", async () => {
    const source = capture({
      input: async () => ({ mode: patternMode(), input: { ...patternInput(), times: "receive" } }),
    });
    const lease = await source.open(live("a viewer", { from: "next" }));
    const frames = await readVideo(lease.cursor, 25);
    for (let i = 1; i < frames.length; i++) {
      const [before, frame] = [frames[i - 1], frames[i]];
      expect((before?.mediaTimeUs ?? 0) + (before?.durationUs ?? 0)).toBeGreaterThanOrEqual(
        (frame?.mediaTimeUs ?? 0) - 1,
      );
      expect(frame?.mediaTimeUs ?? 0).toBeGreaterThan(before?.mediaTimeUs ?? 0);
      // A frame leaves ffmpeg when the next one comes, so it came when the one before left.
      if (i > 1)
        expect(frame?.mediaTimeUs).toBe(
          Math.max(before?.receivedAtMonoUs ?? 0, (before?.mediaTimeUs ?? 0) + 1),
        );
    }
  });

  it("goes on without audio that MP4 cannot hold", async () => {
    const source = capture({
      input: async () => ({
        mode: patternMode(),
        input: {
          args: ["-re", "-f", "lavfi", "-i", "testsrc=size=160x120:rate=25[out0];sine[out1]"],
          video: { encodeArgs: ["-c:v", "mjpeg", "-pix_fmt", "yuvj422p"] },
          timeSource: "arrival",
          audio: true,
        },
      }),
    });
    const lease = await source.open(live("a viewer"));
    const [frame] = await readVideo(lease.cursor, 1);
    expect(frame?.init.tracks.map((track) => track.kind)).toEqual(["video"]);
    expect(source.stats().restarts).toBe(0);
  });

  it("takes along AAC as MPEG-TS has it", async () => {
    const path = join(directory, "sound.ts");
    const picture = ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "5"];
    const both = "testsrc=size=160x120:rate=25:duration=4[out0];sine=duration=4[out1]";
    execFileSync("ffmpeg", ["-v", "error", "-f", "lavfi", "-i", both, ...picture, "-c:a", "aac", path]);
    const input = {
      ...({ args: ["-re", "-i", path], video: "copy" } as const),
      ...({ timeSource: "arrival", audio: true } as const),
    };
    const source = capture({ input: async () => ({ mode: patternMode(), input }) });
    const lease = await source.open(live("a viewer"));
    const fragments = await readAll(lease.cursor, 60);
    expect(fragments[0]?.init.tracks.map((track) => track.codec)).toEqual(["h264", "aac"]);
    const starts = (["video", "audio"] as const).map((kind) => {
      const times = fragments
        .filter(({ track }) => track.kind === kind)
        .map(({ mediaTimeUs }) => mediaTimeUs);
      const steps = times.slice(1).map((time, i) => time - (times[i] ?? 0));
      expect(Math.max(...steps) - Math.min(...steps)).toBeLessThan(100);
      return times[0] ?? 0;
    });
    expect(Math.abs((starts[0] ?? 0) - (starts[1] ?? 0))).toBeLessThan(500_000);
    expect(source.stats().restarts).toBe(0);
    const copy = join(directory, "sound.mp4");
    writeFileSync(
      copy,
      Buffer.concat([fragments[0]?.init.bytes ?? Buffer.of(), ...fragments.map(({ bytes }) => bytes)]),
    );
    // What players need to decode it is in the beginning, and no frame has a header of its own.
    expect(
      String(execFileSync("ffmpeg", ["-v", "warning", "-i", copy, "-map", "0:a", "-f", "md5", "-"])),
    ).toMatch(/^MD5=/);
  });

  it("closes while the device is being asked, whether it answers or not", async () => {
    const source = capture({ input: () => new Promise(() => {}) });
    const open = source.open(live("one"));
    const refused = expect(open).rejects.toMatchObject({ code: "capture_failed" });
    await source.close();
    await refused;
    expect(source.state).toBe("closed");
  });

  it("closes in every state, leaves no process, and ends every reader", async () => {
    for (const until of ["idle", "starting", "live", "recovering"] as const) {
      const source = capture({ recovery: { baseMs: 5000 } });
      const pids: number[] = [];
      const reads: Promise<unknown>[] = [];
      if (until === "starting") reads.push(source.open(live("one")).catch((error: unknown) => error));
      if (until === "live" || until === "recovering") {
        const lease = await source.open(live("one", { from: "next" }));
        pids.push(pidOf(source));
        reads.push(
          (async () => {
            while ((await lease.cursor.next()) !== undefined);
          })(),
        );
      }
      if (until === "recovering") {
        for (let i = 0; i < 2; i++) {
          process.kill(pidOf(source), "SIGKILL");
          await stateOf(source, "recovering");
          if (i === 0) await stateOf(source, "live");
        }
      }
      const closing = source.close();
      expect(source.close()).toBe(closing);
      await closing;
      expect(source.state).toBe("closed");
      await Promise.all(reads);
      expect(pids.filter(processExists)).toEqual([]);
      await expect(source.open(live("late"))).rejects.toMatchObject({ code: "capture_failed" });
    }
  });

  it("serves 100 readers, one of whom does not read, in bounded memory", async () => {
    const source = capture({ ring: { maxBytes: 60_000 } });
    const leases = await Promise.all(
      Array.from({ length: 100 }, (_, i) => source.open(live(`reader ${i}`, { from: "next" }))),
    );
    const [stalled, ...reading] = leases;
    const counts = await Promise.all(
      reading.map(async (lease) => {
        const frames = await readVideo(lease.cursor, 40);
        return (
          frames.map((frame) => frame.sequence).join() ===
          frames.map((_, i) => (frames[0]?.sequence ?? 0) + i).join()
        );
      }),
    );
    expect(counts.every(Boolean)).toBe(true);
    expect(source.stats().ring.bytes).toBeLessThanOrEqual(60_000);
    expect(await stalled?.cursor.next()).toMatchObject({ kind: "lost" });
  });

  it("reads in batches while only recorders read, and at once for a viewer or who asks", async () => {
    const source = capture({ codec: "h264", fps: 50, promptAtFirstMs: 300 });
    const recorder = await source.open(live("a recording", { from: "next", overflow: "fail", borrow: true }));
    const received: number[] = [];
    const captured: number[] = [];
    const media: number[] = [];
    const read = async (count: number): Promise<void> => {
      for (const frame of await readVideo(recorder.cursor, count)) {
        expect(frame.bytes.readUInt32BE(4 + frame.bytes.readUInt32BE(0))).toBeGreaterThan(0);
        received.push(frame.receivedAtMonoUs);
        captured.push(frame.capturedAtUs);
        media.push(frame.mediaTimeUs);
      }
      recorder.cursor.release?.();
    };
    const together = (from: number): number => {
      let most = 0;
      for (let i = from; i < received.length; i++) {
        const first = received.indexOf(received[i] ?? 0);
        most = Math.max(most, i - first + 1);
      }
      return most;
    };
    // Ten frames fall into each fifth of a second.
    while (together(Math.max(0, received.length - 30)) < 5) await read(10);
    const before = received.length;

    // Who looks at the newest frame sees what the camera gave last, not the last batch.
    for (let i = 0; i < 5; i++) {
      await clock.sleep(30);
      const newest = source.newestGop().at(-1)?.capturedAtUs ?? 0;
      expect(clock.wallUs() - newest).toBeLessThan(1_000_000);
      const { framesTotal } = source.stats();
      source.refresh();
      expect(source.stats().framesTotal - framesTotal).toBeLessThanOrEqual(2);
    }

    const viewer = await source.open(live("a viewer", { from: "next" }));
    const seen = await readVideo(viewer.cursor, 50);
    const apart = new Set(seen.slice(1).map((frame) => frame.receivedAtMonoUs)).size;
    // A busy machine reads some of them together all the same.
    expect(apart).toBeGreaterThan(15);
    viewer.close();

    await read(Math.max(0, source.stats().framesTotal - received.length));
    expect(received.length).toBeGreaterThan(before);
    // Nothing is lost or out of order whichever way it is read, and times are those of the stream.
    for (let i = 1; i < media.length; i++) {
      expect((media[i] ?? 0) - (media[i - 1] ?? 0)).toBe(20_000);
      expect(Math.abs((captured[i] ?? 0) - (captured[i - 1] ?? 0) - 20_000)).toBeLessThan(3000);
    }
    recorder.close();
  });

  it("loses no frame of a process that ends while it is read in batches", async () => {
    const source = capture({ fps: 50, frames: 60, promptAtFirstMs: 100 });
    const lease = await source.open(live("a recording", { from: "next", overflow: "fail" }));
    const frames = await readVideo(lease.cursor, 60);
    const runs = frames.filter((frame) => frame.discontinuity).length;
    // ffmpeg keeps the last frame of a run to itself, or gives it at its end: then the 60th begins the next run.
    expect(frames.length - runs).toBeGreaterThanOrEqual(59);
    for (let i = 1; i < 59; i++) {
      expect((frames[i]?.mediaTimeUs ?? 0) - (frames[i - 1]?.mediaTimeUs ?? 0)).toBe(20_000);
    }
    lease.close();
  });
});
