import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { transportStream, wantsMore } from "./transport-stream.ts";

const quiet = ["-nostdin", "-loglevel", "error"];
const small = ["-f", "lavfi", "-i", "testsrc2=size=160x120:rate=10:duration=1"];
/** The first picture is of random points, which do not compress: more than a length can tell. The rest repeat it. */
const large = ["-f", "lavfi", "-i", "nullsrc=size=640x480:rate=10:duration=0.1,geq=random(1)*255:128:128"];
const repeated = [...large, "-vf", "tpad=stop_mode=clone:stop_duration=0.5"];
const h264 = ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-bf", "0", "-qp", "20"];
const told = ["-omit_video_pes_length", "0"];

function made(format: string, args: readonly string[]): Buffer {
  return execFileSync("ffmpeg", [...quiet, ...args, "-f", format, "pipe:1"], { maxBuffer: 64 << 20 });
}

/** What was known when no more was wanted, and after how many bytes: as it comes, in pieces. */
function read(stream: Buffer, piece = 1000) {
  let length = 0;
  while (length < stream.length && wantsMore(stream.subarray(0, length))) length += piece;
  const found = transportStream(stream.subarray(0, length));
  return { found, length };
}

describe("the beginning of MPEG-TS", () => {
  it("shows whether packets tell where their pictures end", () => {
    const open = read(made("mpegts", [...small, ...h264]));
    expect(open.found).toEqual({ pictureEnds: "open" });
    // Two pictures suffice, and one where it tells.
    expect(open.length).toBeLessThan(20_000);
    expect(read(made("mpegts", [...small, ...h264, ...told])).found).toEqual({ pictureEnds: "told" });
    expect(read(made("mpegts", [...small, "-c:v", "mpeg2video"])).found).toEqual({ pictureEnds: "open" });
  });

  it("does not judge by a picture that is too large for its length to be told", () => {
    const first = made("mpegts", [...large, ...h264, ...told]);
    expect(first.length).toBeGreaterThan(100_000);
    expect(read(first).found).toEqual({ pictureEnds: undefined });
    expect(read(made("mpegts", [...repeated, ...h264, ...told])).found).toEqual({ pictureEnds: "told" });
    expect(read(made("mpegts", [...repeated, ...h264])).found).toEqual({ pictureEnds: "open" });
  });

  it("is known by itself, and other formats want no more than that", () => {
    const sound = ["-f", "lavfi", "-i", "sine=duration=1", "-c:a", "aac"];
    expect(read(made("mpegts", sound)).found).toEqual({ pictureEnds: undefined });
    for (const format of ["flv", "h264", "matroska"]) {
      expect(read(made(format, [...small, ...h264]))).toEqual({ found: undefined, length: 1000 });
    }
    expect(transportStream(Buffer.alloc(0))).toBeUndefined();
    const stream = made("mpegts", [...small, ...h264]);
    // However it is cut: nothing is wrong, only unknown.
    for (let length = 0; length < 3000; length += 7) {
      const found = transportStream(stream.subarray(0, length));
      expect(found?.pictureEnds ?? "open").toBe("open");
      expect(found !== undefined).toBe(length >= 2 * 188 + 1);
    }
  });
});
