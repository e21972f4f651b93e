import { beforeAll, describe, expect, it } from "vitest";
import { ascii, box, fullBox, u32, u64 } from "./box-builder.ts";
import { childBoxes } from "./box-reader.ts";
import { FragmentParser, makeFragment, type RawFrame } from "./fragment-parser.ts";
import { FramePool } from "./frame-pool.ts";
import { parseInitSegment } from "./init-segment.ts";
import { type ClipOptions, clipStartUs, fragmentsOf, makeClip, rawFrames } from "./testing/clips.ts";
import { random } from "./testing/random.ts";

function parse(bytes: Buffer, chunkBytes = bytes.length): { frames: RawFrame[]; parser: FragmentParser } {
  const parser = new FragmentParser();
  const frames: RawFrame[] = [];
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    frames.push(...parser.push(Buffer.from(bytes.subarray(at, at + chunkBytes))));
  }
  return { frames, parser };
}

const facts = { offsetUs: 0, sequence: 1, capturedAtUs: 2, receivedAtMonoUs: 3, discontinuity: false };

/** Everything but what comes in, so that a broken clip is found by its own test. */
const clips = new Map<string, Buffer>();
const clipOf = (name: string): Buffer => {
  const clip = clips.get(name);
  if (!clip) throw new Error(`no clip ${name}`);
  return clip;
};
beforeAll(async () => {
  const wanted: [string, ClipOptions][] = [
    ["mjpeg", { video: "mjpeg", frames: 5 }],
    ["h264", { video: "h264", frames: 10 }],
    ["hevc", { video: "hevc", frames: 10 }],
    ["av1", { video: "av1", frames: 4 }],
    ["aac", { video: "h264", audio: "aac", frames: 10 }],
    ["opus", { video: "mjpeg", audio: "libopus", frames: 10 }],
  ];
  for (const [name, options] of wanted) clips.set(name, await makeClip(options));
});

describe("FragmentParser with what ffmpeg writes", () => {
  it.each([
    ["mjpeg", "mjpeg", /^mjpeg$/],
    ["h264", "h264", /^avc1\.[0-9a-f]{6}$/],
    ["hevc", "hevc", /^hvc1\.1\.6\.L\d+(\.[0-9A-F]+)*$/],
    ["av1", "av1", /^av01\.0\.\d\dM\.08$/],
  ])("knows the track of %s", (name, codec, codecString) => {
    const track = parse(clipOf(name)).parser.init?.tracks[0];
    expect(track).toMatchObject({ kind: "video", id: 1, codec, width: 96, height: 64, timescale: 1_000_000 });
    expect(track?.codecString).toMatch(codecString);
  });

  it.each(["h264", "aac"])("copies the frames of %s out of chunks that are only lent", (name) => {
    const clip = clipOf(name);
    const whole = parse(clip).frames;
    for (const size of [1, 700, 10_000, clip.length]) {
      const parser = new FragmentParser({ pool: new FramePool() });
      const lent = Buffer.alloc(size);
      const frames: RawFrame[] = [];
      for (let at = 0; at < clip.length; at += size) {
        const length = clip.copy(lent, 0, at, at + size);
        frames.push(...parser.push(lent.subarray(0, length)));
        lent.fill(0xee);
      }
      expect(frames).toEqual(whole);
      expect(parser.pendingBytes).toBe(0);
    }
  });

  it("uses the memory of frames that were given back", () => {
    const pool = new FramePool();
    const memories = new Set<ArrayBufferLike>();
    const parser = new FragmentParser({ pool });
    const clip = clipOf("mjpeg");
    const whole = parse(clip).frames;
    let count = 0;
    for (let at = 0; at < clip.length; at += 100) {
      for (const frame of parser.push(Buffer.from(clip.subarray(at, at + 100)))) {
        expect(frame.sample.equals(whole[count++]?.sample ?? Buffer.alloc(0))).toBe(true);
        memories.add(frame.bytes.buffer);
        pool.give(frame.bytes);
      }
    }
    expect(count).toBe(5);
    expect(memories.size).toBeLessThan(5);
  });

  it("gives the same frames for any chunking", () => {
    const video = clipOf("h264");
    const whole = parse(video).frames;
    expect(whole).toHaveLength(10);
    for (const size of [1, 13, 1000]) {
      const { frames, parser } = parse(video, size);
      expect(frames).toEqual(whole);
      expect(parser.pendingBytes).toBe(0);
    }
  });

  it("gives absolute times, and keyframes only where they are", () => {
    const { frames } = parse(clipOf("h264"));
    const shown = frames.map((frame) => frame.ptsUs).sort((a, b) => a - b);
    expect(shown).toEqual(Array.from({ length: 10 }, (_, i) => clipStartUs + i * 100_000));
    expect(frames.map((frame) => frame.keyframe)).toEqual([true, ...Array(7).fill(false), true, false]);
    for (const [i, frame] of frames.entries()) {
      expect(frame.dtsUs).toBe((frames[0]?.dtsUs ?? 0) + i * 100_000);
      expect(frame.ptsUs).toBeGreaterThanOrEqual(frame.dtsUs);
      expect(frame.durationUs).toBe(100_000);
    }
    expect(frames.some((frame) => frame.ptsUs > frame.dtsUs)).toBe(true);
  });

  it("gives whole JPEGs as samples", () => {
    for (const { sample } of parse(clipOf("mjpeg")).frames) {
      expect(sample.subarray(0, 2)).toEqual(Buffer.from([0xff, 0xd8]));
      expect(sample.subarray(-2)).toEqual(Buffer.from([0xff, 0xd9]));
    }
  });

  it("has the same fingerprint for two runs with the same settings only", async () => {
    const fingerprint = (clip: Buffer) => parse(clip).parser.init?.fingerprint;
    const again = await makeClip({ video: "mjpeg", frames: 3, fps: 5 });
    const other = await makeClip({ video: "mjpeg", frames: 3, size: "64x64" });
    expect(fingerprint(again)).toBe(fingerprint(clipOf("mjpeg")));
    expect(fingerprint(other)).not.toBe(fingerprint(clipOf("mjpeg")));
  });

  it("tells a torn last frame by what is pending", () => {
    const video = clipOf("mjpeg");
    const { frames, parser } = parse(video.subarray(0, -10));
    expect(frames).toHaveLength(4);
    expect(parser.pendingBytes).toBeGreaterThan(0);
  });
});

describe("makeFragment", () => {
  it("shifts all times and writes the decode time into the bytes", () => {
    const offsetUs = 123_456_789_012;
    const raw = rawFrames(clipOf("h264"));
    const fragments = fragmentsOf(clipOf("h264"), offsetUs);
    for (const [i, fragment] of fragments.entries()) {
      expect(fragment.mediaTimeUs).toBe((raw[i]?.ptsUs ?? 0) + offsetUs);
      expect(fragment.decodeTimeUs).toBe((raw[i]?.dtsUs ?? 0) + offsetUs);
      expect(Object.isFrozen(fragment)).toBe(true);
    }
    // Read back as a viewer would, without a prft.
    const [first] = fragments;
    const stream = Buffer.concat([
      first?.init.bytes ?? Buffer.alloc(0),
      ...fragments.map((fragment) => fragment.bytes),
    ]);
    expect(parse(stream).frames.map((frame) => [frame.ptsUs, frame.dtsUs])).toEqual(
      fragments.map((fragment) => [fragment.mediaTimeUs, fragment.decodeTimeUs]),
    );
    expect(childBoxes(first?.bytes ?? Buffer.alloc(0), 0).map((found) => found.type)).toEqual([
      "moof",
      "mdat",
    ]);
  });

  it("keeps audio ticks exact far from zero", () => {
    const days = 400 * 86_400 * 1_000_000 + 7;
    const audio = fragmentsOf(clipOf("aac"), days).filter((fragment) => fragment.track.kind === "audio");
    const ticks = audio.map((fragment) =>
      Number(fragment.bytes.readBigUInt64BE(fragment.bytes.indexOf("tfdt") + 8)),
    );
    expect(audio.length).toBeGreaterThan(30);
    for (const [i, tick] of ticks.entries()) if (i > 0) expect(tick - (ticks[i - 1] ?? 0)).toBe(1024);
  });

  it("refuses a decode time before zero", () => {
    const [frame] = rawFrames(clipOf("mjpeg"));
    if (!frame) throw new Error("no frame");
    expect(() => makeFragment(frame, { ...facts, offsetUs: -clipStartUs - 1 })).toThrow(
      expect.objectContaining({ code: "media_malformed", message: expect.stringContaining("before zero") }),
    );
  });
});

describe("FragmentParser with sound", () => {
  it.each(["aac", "opus"])("gives the frames of both tracks, with %s", (name) => {
    const frames = rawFrames(clipOf(name));
    const init = frames[0]?.init;
    expect(init?.tracks).toMatchObject([
      { kind: "video", id: 1 },
      { kind: "audio", id: 2, codec: name, sampleRate: 48_000 },
    ]);
    expect(init && parseInitSegment(init.bytes)).toEqual(init);
    const fragments = fragmentsOf(clipOf(name));
    const stream = Buffer.concat([
      init?.bytes ?? Buffer.alloc(0),
      ...fragments.map((fragment) => fragment.bytes),
    ]);
    const again = parse(stream).frames;
    // Audio before the first picture is dropped by either.
    const firstPicture = fragments.findIndex((fragment) => fragment.track.kind === "video");
    expect(again.map((frame) => [frame.track.id, frame.ptsUs])).toEqual(
      fragments.slice(firstPicture).map((fragment) => [fragment.track.id, fragment.mediaTimeUs]),
    );
    const audio = frames.filter((frame) => frame.track.kind === "audio");
    const spacing = new Set(audio.slice(1).map((frame, i) => frame.dtsTicks - (audio[i]?.dtsTicks ?? 0)));
    expect([...spacing]).toEqual([name === "aac" ? 1024 : 960]);
  });
});

describe("FragmentParser with what other writers do", () => {
  /** Init segment of a real clip, and frames of our own making behind it. */
  const header = (): Buffer => parse(clipOf("mjpeg")).parser.init?.bytes ?? Buffer.alloc(0);
  const parts = [Buffer.from("first"), Buffer.from("second!"), Buffer.from("third")];

  function fragment(options: {
    tfhdFlags: number;
    tfhdFields: Buffer;
    tfdt: Buffer;
    trunFlags: number;
    entries: Buffer;
    dataOffset: boolean;
  }): Buffer {
    const build = (offset: number): Buffer => {
      const trun = fullBox(
        "trun",
        0,
        options.trunFlags | (options.dataOffset ? 1 : 0),
        u32(parts.length),
        options.dataOffset ? u32(offset) : Buffer.alloc(0),
        options.entries,
      );
      const tfhd = fullBox("tfhd", 0, options.tfhdFlags, u32(1), options.tfhdFields);
      return box("moof", fullBox("mfhd", 0, 0, u32(1)), box("traf", tfhd, options.tfdt, trun));
    };
    const moof = build(build(0).length + 8);
    return Buffer.concat([moof, box("mdat", ...parts)]);
  }

  it.each([
    ["64-bit decode time", fullBox("tfdt", 1, 0, u64(5_000_000))],
    ["32-bit decode time", fullBox("tfdt", 0, 0, u32(5_000_000))],
  ])("splits a fragment of several samples, %s, no prft", (_, tfdt) => {
    const entries = u32(1000, 5, 0, 0, 2000, 7, 0x10000, 500, 3000, 5, 0x10000, 0);
    const bytes = fragment({
      tfhdFlags: 0x20000,
      tfhdFields: Buffer.alloc(0),
      tfdt,
      trunFlags: 0xf00,
      entries,
      dataOffset: true,
    });
    const { frames } = parse(Buffer.concat([header(), bytes]));
    expect(frames.map((frame) => [frame.dtsUs, frame.ptsUs, frame.durationUs, frame.keyframe])).toEqual([
      [5_000_000, 5_000_000, 1000, true],
      [5_001_000, 5_001_500, 2000, false],
      [5_003_000, 5_003_000, 3000, false],
    ]);
    expect(frames.map((frame) => frame.sample)).toEqual(parts);
    // Each is now a fragment of its own, which reads back the same.
    const made = frames.map((frame) => makeFragment(frame, { ...facts, offsetUs: 10_000 }));
    const again = parse(Buffer.concat([header(), ...made.map((one) => one.bytes)])).frames;
    expect(
      again.map((frame) => [frame.dtsUs, frame.ptsUs, frame.durationUs, frame.keyframe, frame.sample]),
    ).toEqual(
      made.map((one) => [one.decodeTimeUs, one.mediaTimeUs, one.durationUs, one.keyframe, one.sample]),
    );
  });

  it("takes the time from prft where tfdt counts from the start of the run", () => {
    const relative = Buffer.from(clipOf("h264"));
    // As ffmpeg writes it without frag_discont.
    const first = relative.readBigUInt64BE(relative.indexOf("tfdt") + 8);
    for (let at = relative.indexOf("tfdt"); at >= 0; at = relative.indexOf("tfdt", at + 4)) {
      relative.writeBigUInt64BE(relative.readBigUInt64BE(at + 8) - first, at + 8);
    }
    const expected = parse(clipOf("h264")).frames;
    expect(parse(relative).frames.map((frame) => [frame.ptsUs, frame.dtsUs])).toEqual(
      expected.map((frame) => [frame.ptsUs, frame.dtsUs]),
    );
  });

  it.each<[string, () => Buffer]>([
    ["a fragment before the header", () => clipOf("mjpeg").subarray(header().length)],
    ["a moov without tracks", () => box("moov", box("mvhd"))],
    ["a moov that announces no fragments", () => withoutBox(header(), "mvex")],
    [
      "samples outside the mdat",
      () => replaced(clipOf("mjpeg"), /trun/, (bytes, at) => bytes.writeUInt32BE(9e6, at + 12)),
    ],
    [
      "an absurd count of samples",
      () => replaced(clipOf("mjpeg"), /trun/, (bytes, at) => bytes.writeUInt32BE(4e9, at + 8)),
    ],
    [
      "a track unknown to the moov",
      () => replaced(clipOf("mjpeg"), /tfhd/, (bytes, at) => bytes.writeUInt32BE(9, at + 8)),
    ],
  ])("refuses %s", (_, bytes) => {
    expect(() => parse(bytes())).toThrow(expect.objectContaining({ code: "media_malformed" }));
  });

  it("names a codec that it does not carry", () => {
    const vp9 = replaced(clipOf("mjpeg"), /mp4v/, (bytes, at) => bytes.write("vp09", at, "latin1"));
    expect(() => parse(vp9)).toThrow(
      expect.objectContaining({ code: "unsupported", details: { codec: "vp09" } }),
    );
  });

  it("throws only its own errors at damaged and random bytes", () => {
    const next = random(7);
    const sources = ["mjpeg", "h264", "hevc", "aac"].map((name) => clipOf(name));
    for (let i = 0; i < 10_000; i++) {
      const source = sources[i % sources.length] ?? Buffer.alloc(0);
      const bytes = next() < 0.8 ? Buffer.from(source.subarray(0, 4000)) : Buffer.alloc(60);
      for (let hits = 1 + Math.floor(next() * 6); hits > 0; hits--) {
        bytes[Math.floor(next() * bytes.length)] = Math.floor(next() * 256);
      }
      try {
        for (const frame of parse(bytes, 1 + Math.floor(next() * 3000)).frames) makeFragment(frame, facts);
      } catch (error) {
        expect(error).toSatisfy(
          (thrown: { code?: string }) => thrown.code === "media_malformed" || thrown.code === "unsupported",
        );
      }
    }
  });
});

function replaced(bytes: Buffer, type: RegExp, change: (copy: Buffer, at: number) => void): Buffer {
  const copy = Buffer.from(bytes);
  change(copy, copy.indexOf(ascii(type.source)));
  return copy;
}

/** The init segment with a child of its moov taken out. */
function withoutBox(init: Buffer, type: string): Buffer {
  const at = init.indexOf(ascii("moov")) - 4;
  const children = childBoxes(init.subarray(at), 8).filter((child) => child.type !== type);
  return Buffer.concat([init.subarray(0, at), box("moov", ...children.map((child) => child.bytes))]);
}
