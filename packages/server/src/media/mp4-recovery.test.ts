import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Fragment } from "./fragment.ts";
import { type RecordedFrameTime, readFrameTimes, scanRecording } from "./mp4-recovery.ts";
import { HybridMp4Writer } from "./mp4-writer.ts";
import type { ReadAt } from "./recording-walk.ts";
import {
  epochUs,
  ffprobe,
  finish,
  fragmentsOf,
  makeClip,
  pictureHashes,
  recordingOf,
} from "./testing/clips.ts";
import { random } from "./testing/random.ts";

let folder: string;
let fragments: Fragment[];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "ocelli-recovery-"));
  fragments = fragmentsOf(await makeClip({ video: "h264", audio: "aac", frames: 30 }));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const readerOf =
  (bytes: Buffer): ReadAt =>
  async (offset, length) =>
    bytes.subarray(offset, offset + length);

const scan = (bytes: Buffer) => scanRecording(readerOf(bytes), bytes.length);

async function timesOf(bytes: Buffer): Promise<RecordedFrameTime[]> {
  const times: RecordedFrameTime[] = [];
  for await (const time of readFrameTimes(readerOf(bytes), bytes.length)) times.push(time);
  return times;
}

/** As it stands in the file. */
function bytesOf(time: RecordedFrameTime | undefined): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(time?.capturedAtUs ?? 0));
  return bytes;
}

async function save(bytes: Buffer): Promise<string> {
  const path = join(folder, "file.mp4");
  await writeFile(path, bytes);
  return path;
}

async function repaired(bytes: Buffer): Promise<Buffer> {
  const found = await scan(bytes);
  return finish(bytes.subarray(0, found.validLength), HybridMp4Writer.resume(found).finish());
}

describe("scanRecording", () => {
  it("finishes an uncut file byte for byte as the writer does", async () => {
    const presentFromUs = fragments.filter((frame) => frame.track.kind === "video")[5]?.mediaTimeUs ?? 0;
    for (const options of [{}, { presentFromUs }]) {
      const { growing, finished, writer } = recordingOf(fragments, { ...options, createdAtUs: epochUs });
      const found = await scan(growing);
      expect(found).toMatchObject({
        state: "fragmented",
        reason: "",
        validLength: growing.length,
        presentedFrames: writer.presentedFrames,
        durationUs: writer.durationUs,
        createdAtUs: epochUs,
      });
      expect(await repaired(growing)).toEqual(finished);
      expect(await scan(finished)).toMatchObject({
        state: "finished",
        validLength: finished.length,
        presentedFrames: writer.presentedFrames,
        durationUs: writer.durationUs,
        firstFrameAtUs: found.firstFrameAtUs,
        lastFrameAtUs: found.lastFrameAtUs,
      });
    }
  });

  it("loses only the torn fragment wherever the file is cut", async () => {
    const { growing, ends } = recordingOf(fragments, { perFragment: 12 });
    const next = random(1);
    const header = ends[0] ?? 0;
    for (let i = 0; i < 400; i++) {
      const cut = Math.floor(next() * (growing.length + 1));
      const found = await scan(growing.subarray(0, cut));
      if (cut < header) expect(found.state).toBe("unusable");
      else
        expect(found).toMatchObject({ state: "fragmented", validLength: ends.findLast((end) => end <= cut) });
    }
  });

  it("makes files that ffprobe reads to the expected frame", async () => {
    const { growing, ends } = recordingOf(fragments, { perFragment: 12 });
    const source = await pictureHashes(await save(growing));
    const next = random(2);
    for (let i = 0; i < 12; i++) {
      const cut = Math.floor((ends[1] ?? 0) + next() * (growing.length - (ends[1] ?? 0)));
      const file = await repaired(growing.subarray(0, cut));
      const expected = (await scan(file)).presentedFrames;
      const { streams } = await ffprobe(
        await save(file),
        "-count_frames",
        "-show_streams",
        "-select_streams",
        "v",
      );
      expect(streams?.[0]).toMatchObject({ nb_read_frames: String(expected), nb_frames: String(expected) });
      const kept = await pictureHashes(await save(file));
      // A cut may leave out pictures that are shown before others already decoded.
      expect(kept.every((hash) => source.includes(hash))).toBe(true);
      expect(kept).toHaveLength(expected);
    }
  });

  it("knows media that never reached the disk by its checksum", async () => {
    const { growing, ends } = recordingOf(fragments, { perFragment: 12 });
    const zeroed = Buffer.from(growing);
    // The last two fragments have their boxes but lost the end of their media, as after a power cut.
    zeroed.fill(0, growing.length - 300, growing.length - 100);
    const before = ends.at(-2) ?? 0;
    zeroed.fill(0, before - 300, before - 100);
    expect(await scan(zeroed)).toMatchObject({ state: "fragmented", validLength: ends.at(-3) });
  });

  it.each([
    ["a zero-filled tail", (growing: Buffer) => Buffer.concat([growing, Buffer.alloc(70_000)])],
    [
      "space that was reserved for what would come",
      (growing: Buffer) => Buffer.concat([growing, Buffer.alloc(8)]),
    ],
    ["noise", (growing: Buffer) => Buffer.concat([growing, Buffer.from("no box at all, only text")])],
    [
      "a moov that was appended before the crash",
      (growing: Buffer, moov: Buffer) => Buffer.concat([growing, moov]),
    ],
    ["half a moov", (growing: Buffer, moov: Buffer) => Buffer.concat([growing, moov.subarray(0, 300)])],
  ])("cuts off %s", async (_, damage) => {
    const { growing, finished, writer } = recordingOf(fragments);
    const damaged = damage(growing, writer.finish().moov);
    const found = await scan(damaged);
    expect(found).toMatchObject({ state: "fragmented", validLength: growing.length });
    expect(found.reason).toContain(`${damaged.length - growing.length} bytes`);
    expect(await repaired(damaged)).toEqual(finished);
  });

  it("repairs a patched header whose moov is missing or torn", async () => {
    const { growing, finished } = recordingOf(fragments);
    for (const length of [growing.length, growing.length + 5, growing.length + 200, finished.length - 1]) {
      const cut = finished.subarray(0, length);
      expect(await scan(cut)).toMatchObject({ state: "fragmented", validLength: growing.length });
      expect(await repaired(cut)).toEqual(finished);
    }
  });

  it("finishes a file whose capture stopped before the first frame", async () => {
    const { growing, ends } = recordingOf(fragments);
    const found = await scan(growing.subarray(0, ends[0]));
    expect(found).toMatchObject({
      state: "fragmented",
      presentedFrames: 0,
      fragments: 0,
      firstFrameAtUs: undefined,
    });
  });

  it("says why it can do nothing with a file", async () => {
    const foreign = await makeClip({ video: "mjpeg", frames: 2 });
    for (const bytes of [
      Buffer.alloc(0),
      Buffer.alloc(5000),
      Buffer.from("plain text, not media"),
      foreign,
    ]) {
      const found = await scan(bytes);
      expect(found).toMatchObject({ state: "unusable", validLength: 0, index: undefined });
      expect(found.reason).not.toBe("");
      expect(() => HybridMp4Writer.resume(found)).toThrow(
        expect.objectContaining({ code: "media_malformed" }),
      );
    }
  });

  it("reads only what surrounds the pictures", async () => {
    const big = fragmentsOf(await makeClip({ video: "mjpeg", size: "640x480", frames: 40 }));
    const { finished } = recordingOf(big, { perFragment: 20 });
    let bytes = 0;
    const counting: ReadAt = (offset, length) => {
      bytes += length;
      return readerOf(finished)(offset, length);
    };
    expect((await scanRecording(counting, finished.length)).presentedFrames).toBe(40);
    expect(finished.length).toBeGreaterThan(500_000);
    expect(bytes).toBeLessThan(60_000);
  });

  it("survives damage anywhere", async () => {
    const { growing, finished } = recordingOf(fragments, { perFragment: 12 });
    const next = random(3);
    for (let i = 0; i < 1500; i++) {
      const damaged = Buffer.from(next() < 0.5 ? growing : finished);
      for (let hits = 1 + Math.floor(next() * 8); hits > 0; hits--) {
        const metadata = next() < 0.7 ? 2500 : damaged.length;
        damaged[Math.floor(next() * Math.min(metadata, damaged.length))] = Math.floor(next() * 256);
      }
      const found = await scan(damaged);
      expect(found.validLength).toBeLessThanOrEqual(damaged.length);
      if (found.index) HybridMp4Writer.resume(found).finish();
      await timesOf(damaged).catch((error: unknown) => expect(error).toMatchObject({ code: "unsupported" }));
    }
  });

  it("survives random bytes", async () => {
    const next = random(4);
    for (let i = 0; i < 10_000; i++) {
      const bytes = Buffer.from(
        Array.from({ length: Math.floor(next() * 100) }, () => Math.floor(next() * 256)),
      );
      expect((await scan(bytes)).state).toBe("unusable");
    }
  });

  it("passes a read error on", async () => {
    const broken: ReadAt = () => Promise.reject(new Error("EIO: i/o error, read"));
    await expect(scanRecording(broken, 1000)).rejects.toThrow("EIO");
  });
});

describe("readFrameTimes", () => {
  it("gives the presented frames of growing, cut and finished files in the order players show them", async () => {
    const video = fragments.filter((frame) => frame.track.kind === "video");
    const sorted = video.map((frame) => frame.mediaTimeUs).sort((a, b) => a - b);
    const skip = 3;
    const presentFromUs = sorted[skip] ?? 0;
    const { growing, finished } = recordingOf(fragments, { presentFromUs });
    const expected = sorted.slice(skip).map((mediaTimeUs, index) => ({
      index,
      capturedAtUs: epochUs + mediaTimeUs,
      mediaTimeUs: mediaTimeUs - presentFromUs,
      durationUs: 100_000,
    }));
    for (const bytes of [growing, finished]) expect(await timesOf(bytes)).toMatchObject(expected);
    const cut = await timesOf(growing.subarray(0, Math.floor(growing.length * 0.6)));
    expect(cut.length).toBeGreaterThan(5);
    expect(cut.slice(0, 5)).toMatchObject(expected.slice(0, 5));

    const { frames } = await ffprobe(await save(finished), "-show_frames", "-select_streams", "v");
    expect((await timesOf(finished)).map((time) => time.mediaTimeUs)).toEqual(
      frames?.map((frame) => Number(frame.pts)),
    );
    expect((await timesOf(finished)).map((time) => Number(time.keyframe))).toEqual(
      frames?.map((frame) => Number(frame.key_frame)),
    );
  });

  it("marks the first frame after a gap and lets the one before it last", async () => {
    const clip = await makeClip({ video: "mjpeg", frames: 3 });
    const later = fragmentsOf(clip, 10_000_000).map((frame, i) => ({ ...frame, discontinuity: i === 0 }));
    const { finished } = recordingOf([...fragmentsOf(clip), ...later]);
    const times = await timesOf(finished);
    expect(times.map((time) => time.discontinuity)).toEqual([false, false, false, true, false, false]);
    expect(times[2]).toMatchObject({ mediaTimeUs: 200_000, durationUs: 9_800_000 });
  });

  it("takes no time that is no date", async () => {
    const { finished } = recordingOf(fragments);
    const times = await timesOf(finished);
    const forged = Buffer.from(finished);
    const at = forged.indexOf(bytesOf(times[0]));
    forged.fill(0xff, at, at + 8);
    expect(at).toBeGreaterThan(0);
    const read = (await timesOf(forged)).map(({ capturedAtUs }) => capturedAtUs);
    // What else is in that fragment has none either.
    expect(read.length).toBeGreaterThan(times.length / 2);
    expect(times.map(({ capturedAtUs }) => capturedAtUs)).toEqual(expect.arrayContaining(read));
  });

  it("refuses a file that is not a recording", async () => {
    await expect(timesOf(Buffer.from("text"))).rejects.toMatchObject({ code: "unsupported" });
  });
});
