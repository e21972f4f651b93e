import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { mkdtemp, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pino from "pino";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { SystemClock } from "../clock/system-clock.ts";
import { EventBus } from "../events/bus.ts";
import type { StorageGuard, StorageState } from "../library/contract.ts";
import { MediaLibrary } from "../library/library.ts";
import { framesOf } from "../library/testing/frames-of.ts";
import { makeFragments } from "../library/testing/make-fragments.ts";
import { makeSidecar } from "../library/testing/make-sidecar.ts";
import { writeRecording } from "../library/testing/write-recording.ts";
import type { Fragment } from "../media/fragment.ts";
import { Exporter } from "./export.ts";
import { frameTimesCsv, frameTimesHeader } from "./frame-times.ts";

const log = pino({ level: "silent" });
const clock = new SystemClock();
const video = "testsrc2=s=320x240:r=30:d=2";

let mjpeg: Fragment[];
let h264: Fragment[];
let withAudio: Fragment[];
beforeAll(() => {
  mjpeg = makeFragments({ video, encoder: ["-c:v", "mjpeg"] });
  h264 = makeFragments({ video, encoder: ["-c:v", "libx264", "-bf", "2", "-g", "30"] });
  withAudio = makeFragments({ video, audio: "sine=d=2", encoder: ["-c:v", "libx264", "-g", "30"] });
});
afterAll(() => clock.close());

let root: string;
let library: MediaLibrary;
let exporter: Exporter;
let storage: StorageState;
const guard: StorageGuard = {
  get state() {
    return storage;
  },
  check: () => Promise.resolve(storage),
  assertMayRecord: () => Promise.resolve(),
};
const told: string[] = [];

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "ocelli-export-"));
  storage = { level: "ok", freeBytes: 1e12, totalBytes: 2e12 };
  library = await MediaLibrary.open({
    recordingsFolder: join(root, "recordings"),
    snapshotsFolder: join(root, "snapshots"),
    indexPath: join(root, "library.db"),
    clock,
    log,
  });
  const bus = new EventBus(log);
  told.length = 0;
  bus.on("export.progress", ({ state, fraction }) => told.push(`${state} ${fraction === 1}`));
  exporter = new Exporter({ library, storage: guard, clock, log, bus });
});
afterEach(async () => {
  await exporter.close();
  await library.close();
  await rm(root, { recursive: true });
});

async function record(
  name: string,
  codec: string,
  frames: readonly Fragment[],
  presentFromUs?: number,
): Promise<void> {
  const written = await writeRecording(join(root, "recordings", name), frames, presentFromUs);
  await library.put(
    makeSidecar("recording", name, {
      ...written,
      codec,
      resolution: "320x240",
      recordingId: "r1",
      segment: 1,
    }),
  );
}

/** Media time of a frame in the middle of the first GOP. */
const tenthFrameUs = (): number => h264.map((one) => one.mediaTimeUs).sort((a, b) => a - b)[10] ?? 0;

interface Packets {
  readonly codec: string | undefined;
  readonly format: string;
  readonly presented: number;
  readonly decoded: number;
  readonly audio: number;
}

interface ProbeJson {
  readonly format: { readonly format_name: string };
  readonly streams: readonly { codec_type: string; codec_name: string; nb_read_frames: string }[];
  readonly packets: readonly { codec_type: string; flags: string }[];
}

/** What an independent reader makes of the file. */
function inspect(path: string): Packets {
  const args = ["-v", "error", "-of", "json", "-count_frames", "-show_format", "-show_streams"];
  const packetArgs = ["-v", "error", "-of", "json", "-show_packets"];
  const read = (list: readonly string[]): ProbeJson =>
    JSON.parse(execFileSync("ffprobe", [...list, path], { encoding: "utf8", maxBuffer: 2 ** 26 }));
  const { format, streams } = read(args);
  const { packets } = read(packetArgs);
  const video = streams.find((one) => one.codec_type === "video");
  return {
    codec: video?.codec_name,
    format: format.format_name,
    presented: packets.filter((one) => one.codec_type === "video" && !one.flags.includes("D")).length,
    decoded: Number(video?.nb_read_frames),
    audio: packets.filter((one) => one.codec_type === "audio").length,
  };
}

/** Hashes of the decoded pictures. */
function pictures(path: string): string[] {
  return execFileSync(
    "ffmpeg",
    ["-v", "error", "-i", path, "-map", "0:v:0", "-fps_mode", "passthrough", "-f", "framemd5", "-"],
    {
      encoding: "utf8",
    },
  )
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => line.split(",").at(-1) ?? "");
}

const files = (): string[] => readdirSync(join(root, "recordings")).sort();

describe("an export by stream copy", () => {
  it.each([
    ["mjpeg", "mkv", "matroska,webm"],
    ["mjpeg", "mp4", "mov,mp4,m4a,3gp,3g2,mj2"],
    ["h264", "mkv", "matroska,webm"],
    ["h264", "ts", "mpegts"],
  ] as const)("of %s to %s holds the same pictures", async (codec, format, container) => {
    await record("clip.mp4", codec, codec === "mjpeg" ? mjpeg : h264);
    const before = library.get("recording", "clip.mp4");
    const result = await exporter.run({ filename: "clip.mp4", format, codec: "copy" });
    expect(result.filename).toBe(format === "mp4" ? "clip_1.mp4" : `clip.${format}`);
    const entry = library.get("recording", result.filename);
    expect(inspect(entry.path)).toMatchObject({ codec, format: container, presented: 60, decoded: 60 });
    expect(pictures(entry.path)).toEqual(pictures(before.path));
    expect(await framesOf(entry.path)).toEqual(await framesOf(before.path));
    expect(entry).toMatchObject({
      codec,
      format,
      frames: 60,
      bytes: result.bytes,
      resolution: "320x240",
      state: "complete",
      cameraId: before.cameraId,
      firstFrameAtUs: before.firstFrameAtUs,
      lastFrameAtUs: before.lastFrameAtUs,
      durationS: before.durationS,
      exportedFrom: "clip.mp4",
      recordingId: undefined,
      segment: undefined,
    });
    expect(told.at(-1)).toBe("done true");
  });

  it("takes the sound along", async () => {
    await record("clip.mp4", "h264", withAudio);
    for (const format of ["mkv", "ts"] as const) {
      const { filename } = await exporter.run({ filename: "clip", format, codec: "copy" });
      expect(inspect(join(root, "recordings", filename)).audio).toBeGreaterThan(80);
    }
  });

  it("says when a container without edit lists begins", async () => {
    await record("cut.mp4", "h264", h264, tenthFrameUs());
    const before = library.get("recording", "cut");
    expect(before.frames).toBe(50);
    const mp4 = await exporter.run({ filename: "cut", format: "mp4", codec: "copy" });
    expect(library.get("recording", mp4.filename)).toMatchObject({
      frames: 50,
      firstFrameAtUs: before.firstFrameAtUs,
    });
    const mkv = await exporter.run({ filename: "cut.mp4", format: "mkv", codec: "copy" });
    const entry = library.get("recording", mkv.filename);
    expect(entry.frames).toBe(inspect(entry.path).decoded);
    expect(entry.frames).toBe(60);
    expect((before.firstFrameAtUs ?? 0) - (entry.firstFrameAtUs ?? 0)).toBe(333_333);
    expect(entry.durationS).toBeCloseTo(2, 1);
    expect(await framesOf(library.get("recording", mp4.filename).path)).toEqual(await framesOf(before.path));
    const times = await framesOf(entry.path);
    expect(times.map((one) => one.capturedAtUs)).toEqual(
      h264.map((one) => one.capturedAtUs).sort((a, b) => a - b),
    );
    expect([times[0]?.mediaTimeUs, times[10]?.mediaTimeUs]).toEqual([0, 333_333]);
  });

  it("keeps no times where there are none, or where they are those of other frames", async () => {
    await record("clip.mp4", "mjpeg", mjpeg);
    const first = await exporter.run({ filename: "clip.mp4", format: "mkv", codec: "copy" });
    const path = join(root, "recordings", first.filename);
    // The file lies beside the recording; an export of the export has its times too, as long as they fit.
    const second = await exporter.run({ filename: first.filename, format: "mp4", codec: "copy" });
    expect(await framesOf(join(root, "recordings", second.filename))).toEqual(await framesOf(path));
    await truncate(`${path}.frames`, (await stat(`${path}.frames`)).size - 25);
    const third = await exporter.run({ filename: first.filename, format: "mp4", codec: "copy" });
    expect(files().filter((name) => name.startsWith(third.filename))).toHaveLength(2);
    await rm(`${path}.frames`);
    await expect(framesOf(path)).rejects.toMatchObject({ code: "unsupported" });
    const fourth = await exporter.run({ filename: first.filename, format: "ts", codec: "h264" });
    expect(files().filter((name) => name.startsWith(fourth.filename))).toHaveLength(2);
    expect(files().filter((name) => name.startsWith("."))).toEqual([]);
  });

  it("is deleted with its times", async () => {
    await record("clip.mp4", "mjpeg", mjpeg);
    const { filename } = await exporter.run({ filename: "clip.mp4", format: "mkv", codec: "copy" });
    expect(files()).toContain(`${filename}.frames`);
    expect(library.page("recording", { limit: 10, offset: 0 }).total).toBe(2);
    await library.delete("recording", filename);
    expect(files()).toEqual(["clip.mp4", "clip.mp4.json"]);
  });

  it("is described with its times when its sidecar is lost", async () => {
    await record("clip.mp4", "mjpeg", mjpeg);
    const { filename } = await exporter.run({ filename: "clip.mp4", format: "mkv", codec: "copy" });
    const { path, firstFrameAtUs, lastFrameAtUs } = library.get("recording", filename);
    await rm(`${path}.json`);
    await library.rebuild();
    expect(library.get("recording", filename)).toMatchObject({ frames: 60, firstFrameAtUs, lastFrameAtUs });
    expect(library.page("recording", { limit: 10, offset: 0 }).total).toBe(2);
  });
});

describe("an export to H.264", () => {
  it("encodes every frame once, with its time", async () => {
    await record("clip.mp4", "mjpeg", mjpeg);
    const fractions: number[] = [];
    const result = await exporter.run({
      filename: "clip.mp4",
      format: "mkv",
      codec: "h264",
      onProgress: (fraction) => fractions.push(fraction),
    });
    const entry = library.get("recording", result.filename);
    expect(inspect(entry.path)).toMatchObject({ codec: "h264", decoded: 60 });
    expect(entry).toMatchObject({
      codec: "h264",
      frames: 60,
      firstFrameAtUs: library.get("recording", "clip.mp4").firstFrameAtUs,
    });
    expect(fractions.at(-1)).toBe(1);
    expect([...fractions].sort((a, b) => a - b)).toEqual(fractions);
  });

  it("copies what is H.264 already, and makes a .ts of MJPEG", async () => {
    await record("clip.mp4", "h264", h264);
    const copy = await exporter.run({ filename: "clip.mp4", format: "mp4", codec: "h264" });
    expect(pictures(join(root, "recordings", copy.filename))).toEqual(
      pictures(join(root, "recordings/clip.mp4")),
    );
    await record("jpeg.mp4", "mjpeg", mjpeg);
    const ts = await exporter.run({ filename: "jpeg.mp4", format: "ts", codec: "h264" });
    expect(inspect(join(root, "recordings", ts.filename))).toMatchObject({ codec: "h264", decoded: 60 });
  });

  it("takes pictures with odd sides", async () => {
    await record(
      "odd.mp4",
      "mjpeg",
      makeFragments({ video: "testsrc2=s=161x121:r=10:d=1", encoder: ["-c:v", "mjpeg"] }),
    );
    const { filename } = await exporter.run({ filename: "odd", format: "mp4", codec: "h264" });
    expect(library.get("recording", filename)).toMatchObject({ resolution: "160x120", frames: 10 });
  });
});

describe("an export that cannot be", () => {
  it.each([
    ["gone.mp4", "mkv", "copy", "file_not_found"],
    ["../clip.mp4", "mkv", "copy", "invalid_filename"],
    ["running.mp4", "mkv", "copy", "file_in_use"],
    ["clip.mp4", "ts", "copy", "unsupported"],
    ["broken.mp4", "mkv", "copy", "ffmpeg_failed"],
    ["broken.mp4", "mp4", "h264", "ffmpeg_failed"],
  ] as const)(
    "%s to %s by %s is refused with %4$s and leaves nothing",
    async (filename, format, codec, code) => {
      await record("clip.mp4", "mjpeg", mjpeg);
      await record("running.mp4", "mjpeg", mjpeg);
      await library.put(makeSidecar("recording", "running.mp4", { state: "recording" }));
      await writeFile(join(root, "recordings/broken.mp4"), "no video");
      await library.put(makeSidecar("recording", "broken.mp4", { codec: "mjpeg" }));
      const before = files();
      await expect(exporter.run({ filename, format, codec })).rejects.toMatchObject({ code });
      expect(files()).toEqual(before);
    },
  );

  it("is not begun without room", async () => {
    await record("clip.mp4", "mjpeg", mjpeg);
    storage = { level: "ok", freeBytes: 1000, totalBytes: 1e6 };
    await expect(exporter.run({ filename: "clip", format: "mkv", codec: "copy" })).rejects.toMatchObject({
      code: "storage_low",
    });
    expect(files()).toEqual(["clip.mp4", "clip.mp4.json"]);
  });

  it("is given up when the room runs out", async () => {
    await record(
      "clip.mp4",
      "mjpeg",
      makeFragments({ video: "testsrc2=s=640x480:r=30:d=20", encoder: ["-c:v", "mjpeg"] }),
    );
    const failure = expect(
      exporter.run({
        filename: "clip",
        format: "mp4",
        codec: "h264",
        onProgress: () => {
          storage = { level: "critical", freeBytes: 1, totalBytes: 1e6 };
        },
      }),
    ).rejects.toMatchObject({ code: "storage_critical" });
    await failure;
    expect(files()).toEqual(["clip.mp4", "clip.mp4.json"]);
  });

  it("ends at once when its caller or the hub goes", async () => {
    await record(
      "clip.mp4",
      "mjpeg",
      makeFragments({ video: "testsrc2=s=640x480:r=30:d=20", encoder: ["-c:v", "mjpeg"] }),
    );
    const caller = new AbortController();
    const begun = Promise.withResolvers<void>();
    const first = exporter.run({
      filename: "clip",
      format: "mp4",
      codec: "h264",
      signal: caller.signal,
      onProgress: () => begun.resolve(),
    });
    const waiting = exporter.run({ filename: "clip", format: "mkv", codec: "h264", signal: caller.signal });
    const last = exporter.run({ filename: "clip", format: "mkv", codec: "h264" });
    const settled = Promise.allSettled([first, waiting, last]);
    await begun.promise;
    caller.abort(new Error("caller left"));
    await expect(first).rejects.toThrow("caller left");
    await expect(waiting).rejects.toThrow("caller left");
    await exporter.close();
    expect((await settled).map((one) => one.status)).toEqual(["rejected", "rejected", "rejected"]);
    expect(files()).toEqual(["clip.mp4", "clip.mp4.json"]);
    await expect(exporter.run({ filename: "clip", format: "mkv", codec: "copy" })).rejects.toThrow(
      /stopping/,
    );
  });

  it("left by a crash is cleared away", async () => {
    for (const name of [".export-1.part", ".export-1.part.frames"]) {
      await writeFile(join(root, "recordings", name), "half");
    }
    const next = new Exporter({ library, storage: guard, clock, log });
    await next.close();
    expect(files()).toEqual([]);
  });
});

describe("frame times", () => {
  it("are given for every presented frame", async () => {
    await record("clip.mp4", "h264", h264, tenthFrameUs());
    let text = "";
    for await (const chunk of frameTimesCsv(join(root, "recordings/clip.mp4"))) text += chunk;
    expect(text.startsWith(frameTimesHeader)).toBe(true);
    const lines = text.trimEnd().split("\n").slice(1);
    expect(lines).toHaveLength(50);
    const expected = h264
      .map((one) => one.capturedAtUs)
      .sort((a, b) => a - b)
      .slice(10);
    expect(lines.map((line) => Number(line.split(",")[1]))).toEqual(expected);
    expect(lines[0]).toMatch(/^0,\d{16},2025-01-15T14:30:05\.333333Z,0,33334,0$/);
    expect(lines.filter((line) => line.endsWith(",1"))).toHaveLength(1);
    expect(lines.every((line, index) => line.startsWith(`${index},`))).toBe(true);
  });

  it("come in bounded chunks, and the file is let go when nobody reads on", async () => {
    await record(
      "long.mp4",
      "mjpeg",
      makeFragments({ video: "color=s=32x32:r=100:d=40", encoder: ["-c:v", "mjpeg"] }),
    );
    const path = join(root, "recordings/long.mp4");
    const lengths: number[] = [];
    for await (const chunk of frameTimesCsv(path)) lengths.push(chunk.length);
    expect(lengths.length).toBeGreaterThan(2);
    expect(Math.max(...lengths)).toBeLessThan(70_000);
    const open = (): number => readdirSync("/proc/self/fd").length;
    const before = open();
    for await (const _ of frameTimesCsv(path)) break;
    expect(open()).toBe(before);
  });

  it("of other files are refused", async () => {
    const read = async (name: string): Promise<void> => {
      for await (const _ of frameTimesCsv(join(root, "recordings", name)));
    };
    await writeFile(join(root, "recordings/other.mp4"), "no recording of ours");
    await expect(read("other.mp4")).rejects.toMatchObject({ code: "unsupported" });
    await expect(read("missing.mp4")).rejects.toMatchObject({ code: "file_not_found" });
  });
});
