import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { SystemClock } from "../clock/system-clock.ts";
import { findFfmpeg, parseVersion } from "./find-ffmpeg.ts";
import { parseProbe, probe } from "./probe.ts";
import type { FfmpegProgress } from "./progress.ts";
import { runFfmpeg } from "./run.ts";

const clock = new SystemClock();
afterAll(() => clock.close());
const directory = mkdtempSync(join(tmpdir(), "ocelli-run-"));

const forever = ["-re", "-f", "lavfi", "-i", "anullsrc", "-f", "null", "-"];

describe("runFfmpeg", () => {
  it("feeds stdin and collects stdout", async () => {
    const raw = Buffer.alloc(64 * 48 * 3, 200);
    const { stdout } = await runFfmpeg({
      clock,
      stdin: raw,
      args: ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "64x48", "-i", "pipe:0"].concat([
        "-c:v",
        "mjpeg",
        "-pix_fmt",
        "yuvj420p",
        "-f",
        "image2pipe",
        "pipe:1",
      ]),
    });
    expect(stdout.subarray(0, 2).toString("hex")).toBe("ffd8");
    expect(stdout.subarray(-2).toString("hex")).toBe("ffd9");
  });

  it("feeds from a generator as fast as the process takes it", async () => {
    let made = 0;
    const frames = async function* () {
      for (; made < 200; made++) yield Buffer.alloc(64 * 48 * 3, made);
    };
    const file = join(directory, "fed.mp4");
    await runFfmpeg({
      clock,
      stdin: frames(),
      args: [
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-s",
        "64x48",
        "-i",
        "pipe:0",
        "-c:v",
        "libx264",
        "-y",
        file,
      ],
    });
    expect((await probe(file, { clock })).video).toMatchObject({ codec: "h264", width: 64, frames: 200 });
  });

  it("does not wait for a generator when the process is gone", async () => {
    const never = async function* () {
      yield Buffer.alloc(10);
      await new Promise(() => {});
    };
    await expect(
      runFfmpeg({ clock, stdin: never(), args: ["-f", "no-such-format", "-i", "pipe:0", "-f", "null", "-"] }),
    ).rejects.toMatchObject({ code: "ffmpeg_failed" });
  });

  it("passes on what the generator threw", async () => {
    const failing = async function* () {
      yield Buffer.alloc(10);
      throw new Error("the source broke");
    };
    await expect(
      runFfmpeg({ clock, stdin: failing(), args: ["-f", "s16le", "-i", "pipe:0", "-f", "null", "-"] }),
    ).rejects.toThrow("the source broke");
  });

  it("tells exit code and stderr of a failure", async () => {
    const error = await runFfmpeg({
      clock,
      purpose: "reading x",
      args: ["-i", "/nonexistent.mp4", "-f", "null", "-"],
    }).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: "ffmpeg_failed", details: { exitCode: 1, signal: null } });
    expect(String(error)).toMatch(/reading x: .*exit code 1.*No such file/);
  });

  it("ends at the timeout, at an abort, and at too much output", async () => {
    await expect(runFfmpeg({ clock, args: forever, timeoutMs: 200 })).rejects.toMatchObject({
      code: "ffmpeg_failed",
      details: { timedOut: true, signal: "SIGKILL" },
    });
    const aborter = new AbortController();
    const run = runFfmpeg({ clock, args: forever, signal: aborter.signal });
    aborter.abort(new Error("not wanted any more"));
    await expect(run).rejects.toThrow("not wanted any more");
    await expect(
      runFfmpeg({
        clock,
        args: ["-f", "lavfi", "-i", "anullsrc", "-f", "s16le", "pipe:1"],
        maxStdoutBytes: 10_000,
      }),
    ).rejects.toThrow(/more than 10000 bytes/);
  });

  it("reports progress", async () => {
    const seen: FfmpegProgress[] = [];
    await runFfmpeg({
      clock,
      args: ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=10:duration=3", "-f", "null", "-"],
      onProgress: (progress) => seen.push(progress),
    });
    expect(seen.at(-1)).toMatchObject({ frame: 30, done: true });
    expect(seen.at(-1)?.outTimeUs).toBeGreaterThan(2_500_000);
  });
});

describe("probe", () => {
  it("reads what a file holds", async () => {
    const file = join(directory, "both.mp4");
    await runFfmpeg({
      clock,
      args: [
        "-f",
        "lavfi",
        "-i",
        "testsrc=size=64x48:rate=30000/1001:duration=1",
        "-f",
        "lavfi",
        "-i",
        "sine=duration=1",
      ].concat(["-c:v", "libx264", "-c:a", "aac", "-y", file]),
    });
    const found = await probe(file, { clock, countPackets: true });
    expect(found.video).toMatchObject({ codec: "h264", width: 64, height: 48, frames: 30, hasBFrames: true });
    expect(found.video?.fps).toBeCloseTo(29.97, 2);
    expect(found.audio).toMatchObject({ codec: "aac", channels: 1, sampleRate: 44_100 });
    expect(found.durationS).toBeCloseTo(1, 0);
  });

  it("refuses what is not media, and answers that make no sense", async () => {
    await expect(probe("/etc/hostname", { clock })).rejects.toMatchObject({ code: "ffmpeg_failed" });
    expect(() => parseProbe("not json")).toThrow(expect.objectContaining({ code: "media_malformed" }));
    expect(() => parseProbe('{"streams":[{"index":"x"}]}')).toThrow(
      expect.objectContaining({ code: "media_malformed" }),
    );
    expect(parseProbe("{}")).toMatchObject({ streams: [], video: undefined });
  });
});

describe("findFfmpeg", () => {
  it("finds the installed ffmpeg", async () => {
    const skills = await findFfmpeg({ clock });
    expect(skills.ffmpeg).toMatch(/^\//);
    expect(skills.version).toMatch(/^\d|^n?\d|^N-/);
  });

  it("names a missing one with the command", async () => {
    await expect(findFfmpeg({ clock, ffprobe: "no-such-ffprobe" })).rejects.toMatchObject({
      code: "ffmpeg_missing",
      details: { command: "sudo apt-get install ffmpeg" },
    });
  });

  it.each([
    ["ffmpeg version 5.1.6-0+deb12u1 Copyright\nlibavformat    59. 27.100 / 59. 27.100", true],
    ["ffmpeg version 4.4.2-0ubuntu0.22.04.1\nlibavformat    58. 76.100 / 58. 76.100", false],
    ["ffmpeg version N-113000-gabcdef\nlibavformat    60. 20.100 / 60. 20.100", true],
    ["ffmpeg version 5.0.1\nlibavformat    59. 16.100", false],
    ["ffmpeg version 7.1", true],
    ["ffmpeg version n6.0-static", true],
    ["something else", false],
  ])("%j is new enough: %s", (text, expected) => {
    expect(parseVersion(text).newEnough).toBe(expected);
  });
});
