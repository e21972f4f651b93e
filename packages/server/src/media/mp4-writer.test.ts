import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { childBoxes } from "./box-reader.ts";
import type { Fragment } from "./fragment.ts";
import { HybridMp4Writer } from "./mp4-writer.ts";
import {
  type ClipOptions,
  clipStartUs,
  epochUs,
  ffprobe,
  fragmentsOf,
  makeClip,
  pictureHashes,
  recordingOf,
} from "./testing/clips.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "ocelli-mp4-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function save(name: string, bytes: Buffer): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, bytes);
  return path;
}

const topLevel = (bytes: Buffer): string[] => childBoxes(bytes, 0).map((box) => box.type);
const isVideo = (fragment: Fragment): boolean => fragment.track.kind === "video";

describe.each<[string, ClipOptions]>([
  ["MJPEG", { video: "mjpeg" }],
  ["H.264 with B-frames", { video: "h264" }],
  ["HEVC with B-frames", { video: "hevc" }],
  ["AV1", { video: "av1", frames: 8 }],
  ["H.264 with AAC", { video: "h264", audio: "aac" }],
  ["MJPEG with Opus", { video: "mjpeg", audio: "libopus" }],
])("a recording of %s", (name, options) => {
  const frames = options.frames ?? 20;
  const slug = name.replaceAll(/\W/g, "");
  let clip: Buffer;
  let source: string[];
  beforeAll(async () => {
    clip = await makeClip(options);
    source = await pictureHashes(await save(`${slug}-source.mp4`, clip));
  });

  it("plays while it grows and once it is finished, with the pictures and times of the source", async () => {
    const { growing, finished } = recordingOf(fragmentsOf(clip), { perFragment: 7 });
    expect(topLevel(growing)).toContain("moof");
    expect(topLevel(finished)).toEqual(["ftyp", "mdat", "moov"]);
    expect(source).toHaveLength(frames);
    for (const [state, bytes] of Object.entries({ growing, finished })) {
      const path = await save(`${slug}-${state}.mp4`, bytes);
      expect(await pictureHashes(path), state).toEqual(source);
      const { streams, frames: shown } = await ffprobe(
        path,
        "-count_frames",
        "-show_streams",
        "-show_frames",
        "-select_streams",
        "v",
      );
      expect(streams?.[0]).toMatchObject({ nb_read_frames: String(frames), start_time: "0.000000" });
      expect(Number(streams?.[0]?.duration)).toBeCloseTo(frames / 10, 5);
      // In ticks: ffprobe rounds seconds to its own taste.
      const times = shown?.map((frame) => Number(frame.pts));
      expect(times, state).toEqual(Array.from({ length: frames }, (_, i) => i * 100_000));
    }
    const { streams } = await ffprobe(
      join(folder, `${slug}-finished.mp4`),
      "-show_streams",
      "-select_streams",
      "v",
    );
    expect(streams?.[0]?.nb_frames).toBe(String(frames));
  });
});

describe("sound", () => {
  it.each<[string, ClipOptions]>([
    ["AAC beside H.264", { video: "h264", audio: "aac" }],
    ["Opus beside MJPEG", { video: "mjpeg", audio: "libopus" }],
  ])("stays in step with the picture: %s", async (_, options) => {
    const clip = await makeClip(options);
    const fragments = fragmentsOf(clip);
    const { growing, finished } = recordingOf(fragments, { perFragment: 30 });
    const first = fragments.find(isVideo);
    const audio = fragments.filter((fragment) => !isVideo(fragment));
    const presented = first?.mediaTimeUs ?? 0;
    const expected = audio
      .filter((fragment) => fragment.decodeTimeUs >= (first?.decodeTimeUs ?? 0))
      .map((fragment) => fragment.mediaTimeUs - presented);
    expect(expected.length).toBeGreaterThan(50);
    for (const bytes of [growing, finished]) {
      const path = await save("sync.mp4", bytes);
      const { packets } = await ffprobe(path, "-show_packets", "-select_streams", "a");
      const times = packets?.map((packet) => Math.round(Number(packet.pts) * (1e6 / 48000)));
      expect(times).toHaveLength(expected.length);
      for (const [i, time] of (times ?? []).entries()) {
        // One tick of 48 kHz where the two rates meet.
        expect(Math.abs(time - (expected[i] ?? 0))).toBeLessThanOrEqual(21);
      }
    }
  });
});

describe("cutting to the first wanted frame", () => {
  it.each([1, 4, 7])("presents a later frame than the keyframe first: number %i", async (skip) => {
    const clip = await makeClip({ video: "h264", audio: "aac" });
    const fragments = fragmentsOf(clip);
    const shown = fragments.filter(isVideo).map((fragment) => fragment.mediaTimeUs);
    const presentFromUs = shown.sort((a, b) => a - b)[skip];
    expect(presentFromUs).toBe(clipStartUs + skip * 100_000);
    const { finished, writer } = recordingOf(fragments, { presentFromUs: presentFromUs ?? 0 });
    expect(writer.presentedFrames).toBe(20 - skip);
    expect(writer.durationUs).toBe((20 - skip) * 100_000);
    const source = await pictureHashes(await save("cut-source.mp4", clip));
    const path = await save("cut.mp4", finished);
    expect(await pictureHashes(path)).toEqual(source.slice(skip));
    const { streams, frames } = await ffprobe(path, "-show_streams", "-show_frames", "-select_streams", "v");
    expect(frames?.[0]?.pts_time).toBe("0.000000");
    expect(Number(streams?.[0]?.duration)).toBeCloseTo((20 - skip) / 10, 5);
    const { packets } = await ffprobe(path, "-show_packets", "-select_streams", "a");
    const heard = packets?.filter((packet) => !packet.flags?.includes("D"));
    // Sound starts within one of its frames from the picture.
    expect(Math.abs(Number(heard?.[0]?.pts_time))).toBeLessThan(0.022);
  });
});

describe("gaps", () => {
  it("shows a hole as one long frame, so that what follows keeps its time", async () => {
    const clip = await makeClip({ video: "h264", audio: "aac" });
    const before = fragmentsOf(clip);
    const after = fragmentsOf(clip, 60_000_000);
    const { growing, finished } = recordingOf([...before, ...after]);
    for (const bytes of [growing, finished]) {
      const path = await save("gap.mp4", bytes);
      const { frames } = await ffprobe(path, "-show_frames", "-select_streams", "v");
      expect(frames).toHaveLength(40);
      expect(frames?.[19]?.pts_time).toBe("1.900000");
      expect(frames?.[20]?.pts_time).toBe("60.000000");
      const { packets } = await ffprobe(path, "-show_packets", "-select_streams", "a");
      const late = packets?.filter((packet) => Number(packet.pts_time) > 30);
      expect(Math.abs(Number(late?.[0]?.pts_time) - 60)).toBeLessThan(0.05);
    }
  });

  it("takes a new run that overlaps the last frame without touching presentation times", async () => {
    const clip = await makeClip({ video: "mjpeg" });
    const second = fragmentsOf(clip, 1_850_000);
    const { finished } = recordingOf([...fragmentsOf(clip), ...second]);
    const { frames } = await ffprobe(await save("overlap.mp4", finished), "-show_frames");
    // In file order, as MJPEG decoders give them.
    const times = frames?.map((frame) => frame.pts_time).slice(18, 22);
    expect(times).toEqual(["1.800000", "1.900000", "1.850000", "1.950000"]);
  });

  it("refuses frames of another kind and holes no sample can span", async () => {
    const [mjpeg, h264] = await Promise.all([makeClip({ video: "mjpeg" }), makeClip({ video: "h264" })]);
    const { writer } = recordingOf(fragmentsOf(mjpeg));
    const [other] = fragmentsOf(h264, 10_000_000);
    const [late] = fragmentsOf(mjpeg, 2 * 3600 * 1_000_000);
    const [early] = fragmentsOf(mjpeg, -4_000_000);
    const [soon] = fragmentsOf(mjpeg, 3600 * 1_000_000);
    if (!other || !late || !early || !soon) throw new Error("empty clip");
    expect([other, late, early, soon].map((frame) => writer.accepts(frame))).toEqual([
      false,
      false,
      false,
      true,
    ]);
    const { length } = writer;
    expect(() => writer.fragment([soon, other])).toThrow(expect.objectContaining({ code: "internal" }));
    expect(writer.length).toBe(length);
  });
});

describe("bookkeeping", () => {
  it("forgets a fragment that could not be written", async () => {
    const fragments = fragmentsOf(await makeClip({ video: "mjpeg" }));
    const { growing, writer } = recordingOf(fragments.slice(0, 10));
    const expected = writer.finish();
    const lost = writer.fragment(fragments.slice(10));
    expect(writer.length).toBe(growing.length + Buffer.concat(lost).length);
    expect(writer.presentedFrames).toBe(20);
    writer.takeBack();
    expect(writer.length).toBe(growing.length);
    expect(writer.presentedFrames).toBe(10);
    expect(writer.finish()).toEqual(expected);
    // What comes next follows the frame before the lost ones.
    expect(Buffer.concat(writer.fragment(fragments.slice(10)))).toEqual(Buffer.concat(lost));
  });

  it("hands samples on without copying them", async () => {
    const fragments = fragmentsOf(await makeClip({ video: "mjpeg", frames: 3 }));
    const [first] = fragments;
    if (!first) throw new Error("empty clip");
    const parts = new HybridMp4Writer({ first }).fragment(fragments);
    expect(parts.slice(1)).toEqual(fragments.map((fragment) => fragment.sample));
    for (const [i, part] of parts.slice(1).entries()) expect(part).toBe(fragments[i]?.sample);
  });

  it("holds four hours at 60 fps in a few megabytes", async () => {
    const [template] = fragmentsOf(await makeClip({ video: "mjpeg", frames: 1 }));
    if (!template) throw new Error("empty clip");
    const writer = new HybridMp4Writer({ first: template });
    const count = 4 * 3600 * 60;
    const before = process.memoryUsage().arrayBuffers;
    for (let second = 0; second < count / 60; second++) {
      const frames = Array.from({ length: 60 }, (_, i): Fragment => {
        const us = template.mediaTimeUs + Math.round(((second * 60 + i) * 1_000_000) / 60);
        return {
          ...template,
          mediaTimeUs: us,
          decodeTimeUs: us,
          durationUs: 16_667,
          capturedAtUs: epochUs + us,
        };
      });
      writer.fragment(frames);
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 * 1024 * 1024);
    const { moov } = writer.finish();
    expect(writer.presentedFrames).toBe(count);
    expect(moov.length).toBeLessThan(count * 13);
  });
});
