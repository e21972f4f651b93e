import { execFileSync } from "node:child_process";
import { beforeAll, describe, expect, it } from "vitest";
import { completeJpeg, jpegSize } from "./jpeg.ts";
import { random } from "./testing/random.ts";

/** A picture with the standard tables, as motion-JPEG cameras make them. */
let picture: Buffer;
let progressive: Buffer;
beforeAll(() => {
  picture = encode("-huffman", "default", "-q:v", "4");
  progressive = withRestarts(picture);
});

function encode(...args: readonly string[]): Buffer {
  const input = ["-f", "lavfi", "-i", "testsrc2=size=176x144:rate=1", "-frames:v", "1"];
  return execFileSync("ffmpeg", ["-v", "error", ...input, "-c:v", "mjpeg", ...args, "-f", "mjpeg", "-"]);
}

/** Decoded picture; ffmpeg is to find nothing to complain about. */
function pixels(jpeg: Buffer): Buffer {
  const args = ["-v", "warning", "-xerror", "-err_detect", "explode", "-f", "mjpeg", "-i", "-"];
  return execFileSync("ffmpeg", [...args, "-pix_fmt", "yuvj420p", "-f", "rawvideo", "-"], { input: jpeg });
}

/** Segments before the picture data as [marker, bytes with marker]. */
function segments(jpeg: Buffer): { list: [number, Buffer][]; scan: Buffer } {
  const list: [number, Buffer][] = [];
  let at = 2;
  while (jpeg[at + 1] !== 0xda) {
    const end = at + 2 + jpeg.readUInt16BE(at + 2);
    list.push([jpeg[at + 1] ?? 0, jpeg.subarray(at, end)]);
    at = end;
  }
  return { list, scan: jpeg.subarray(at) };
}

const soi = Buffer.from([0xff, 0xd8]);
const without = (jpeg: Buffer, marker: number): Buffer => {
  const { list, scan } = segments(jpeg);
  return Buffer.concat([soi, ...list.filter(([code]) => code !== marker).map(([, bytes]) => bytes), scan]);
};
const withSegment = (jpeg: Buffer, marker: number, content: Buffer): Buffer => {
  const head = Buffer.from([0xff, marker, (content.length + 2) >> 8, (content.length + 2) & 0xff]);
  return Buffer.concat([soi, head, content, jpeg.subarray(2)]);
};
/** A restart interval segment, harmless, to have one more kind of segment between. */
const withRestarts = (jpeg: Buffer): Buffer => withSegment(jpeg, 0xdd, Buffer.from([0, 0]));

describe("completeJpeg", () => {
  it("gives a complete picture back as it is", () => {
    for (const jpeg of [picture, progressive, encode("-huffman", "optimal")])
      expect(completeJpeg(jpeg)).toBe(jpeg);
  });

  it("puts the standard tables in where they are missing: the pixels are the same", () => {
    const stripped = without(picture, 0xc4);
    expect(stripped.length).toBe(picture.length - 420);
    expect(stripped.includes(Buffer.from([0xff, 0xc4]))).toBe(false);
    const made = completeJpeg(stripped);
    expect(made).toHaveLength(picture.length);
    expect(pixels(made).equals(pixels(picture))).toBe(true);
  });

  it.each<[string, (jpeg: Buffer) => Buffer]>([
    ["zeros after the end", (jpeg) => Buffer.concat([jpeg, Buffer.alloc(4096)])],
    ["0xFF after the end", (jpeg) => Buffer.concat([jpeg, Buffer.alloc(64, 0xff)])],
    ["an old picture after the end", (jpeg) => Buffer.concat([jpeg, jpeg.subarray(jpeg.length / 2)])],
  ])("cuts off %s without a copy", (_, pad) => {
    const padded = pad(picture);
    const made = completeJpeg(padded);
    expect(made.equals(picture)).toBe(true);
    expect(made.buffer).toBe(padded.buffer);
  });

  it("adds a missing end, with or without padding in its place", () => {
    const open = picture.subarray(0, -2);
    for (const torn of [open, Buffer.concat([open, Buffer.alloc(512)]), picture.subarray(0, -1)]) {
      const made = completeJpeg(torn);
      expect(made.equals(picture)).toBe(true);
    }
  });

  it("is not led astray by thumbnails", () => {
    const thumbnail = encode("-vf", "scale=32:24");
    const nested = withSegment(picture, 0xe2, Buffer.concat([Buffer.from("thumb\0"), thumbnail]));
    expect(completeJpeg(nested)).toBe(nested);
    const bare = without(nested, 0xc4);
    // The thumbnail has tables; they do not count.
    expect(bare.includes(Buffer.from([0xff, 0xc4]))).toBe(true);
    const made = completeJpeg(Buffer.concat([bare, Buffer.alloc(100)]));
    expect(pixels(made).equals(pixels(picture))).toBe(true);
    expect(jpegSize(nested)).toEqual({ width: 176, height: 144 });
  });

  it("steps over several scans to the end of the picture", () => {
    // Picture data, another table, another scan header: the shape of a progressive picture.
    const { scan } = segments(picture);
    const more = Buffer.concat([
      picture.subarray(0, -2),
      Buffer.from([0xff, 0xc4, 0x00, 0x05, 0xff, 0xd9, 0x00]),
      scan,
    ]);
    expect(completeJpeg(more)).toBe(more);
    expect(completeJpeg(Buffer.concat([more, Buffer.alloc(9)])).equals(more)).toBe(true);
  });

  it.each([
    ["nothing", Buffer.alloc(0)],
    ["text", Buffer.from("<html>")],
    ["an H.264 frame", Buffer.from("000000016742c01e", "hex")],
    ["only a start", Buffer.from([0xff, 0xd8])],
    ["a header without picture data", Buffer.from("ffd8ffe000104a4649460001010000010001", "hex")],
    ["a segment that reaches beyond the end", Buffer.from("ffd8ffe0ffff4a46", "hex")],
  ])("refuses %s", (_, bytes) => {
    expect(() => completeJpeg(bytes)).toThrow(expect.objectContaining({ code: "media_malformed" }));
    expect(() => jpegSize(bytes)).toThrow(expect.objectContaining({ code: "media_malformed" }));
  });

  it("survives 10,000 damaged pictures and random bytes", () => {
    const next = random(8);
    const small = encode("-vf", "scale=16:16");
    for (let i = 0; i < 10_000; i++) {
      let bytes = Buffer.from(small.subarray(0, Math.ceil(next() * small.length)));
      for (let hits = Math.floor(next() * 5); hits > 0; hits--)
        bytes[Math.floor(next() * bytes.length)] = 255 * next();
      if (next() < 0.2)
        bytes = Buffer.concat([soi, Buffer.from(Array.from({ length: 30 }, () => 256 * next()))]);
      for (const use of [completeJpeg, jpegSize]) {
        try {
          const made = use(bytes);
          // What comes out is complete: nothing is left to do.
          if (Buffer.isBuffer(made)) expect(completeJpeg(made)).toBe(made);
        } catch (error) {
          expect(error).toMatchObject({ code: "media_malformed" });
        }
      }
    }
  });

  it("takes time in proportion to the size", () => {
    const stuffed = Buffer.concat([
      picture.subarray(0, -2),
      Buffer.alloc(4_000_000, Buffer.from([0xff, 0])),
      picture.subarray(-2),
    ]);
    expect(completeJpeg(stuffed)).toBe(stuffed);
  });
});

describe("jpegSize", () => {
  it("reads the frame header", () => {
    expect(jpegSize(picture)).toEqual({ width: 176, height: 144 });
    expect(jpegSize(without(progressive, 0xc4))).toEqual({ width: 176, height: 144 });
  });
});
