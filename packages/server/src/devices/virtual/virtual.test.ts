import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import type { Device } from "../device.ts";
import { type DecodedPattern, decodePattern, patternTimeMs } from "./pattern.ts";
import { VirtualProvider } from "./provider.ts";

const run = promisify(execFile);

async function onlyDevice(provider: VirtualProvider): Promise<Device> {
  const found: Device[] = [];
  await provider.start((event) => found.push(event.device));
  const [device] = found;
  if (device === undefined) throw new Error("no device");
  return device;
}

/** Runs the camera's own arguments, then decodes the result with a second ffmpeg. */
async function patterns(codec: "h264" | "mjpeg", width: number, height: number, frames: number) {
  const device = await onlyDevice(new VirtualProvider({ cameras: [{ width, height, fps: 30, codec }] }));
  const input = device.input({ format: "", width, height, fps: 30 });
  const encode = input.video === "copy" ? [] : input.video.encodeArgs;
  const container = codec === "h264" ? "h264" : "mjpeg";
  const fromMs = Date.now();
  const encoded = await run(
    "ffmpeg",
    [
      "-loglevel",
      "error",
      ...input.args,
      ...encode,
      "-fps_mode",
      "passthrough",
      "-frames:v",
      String(frames),
      "-f",
      container,
      "pipe:1",
    ],
    { encoding: "buffer", maxBuffer: 1 << 28 },
  );
  const toMs = Date.now();
  const child = run(
    "ffmpeg",
    ["-loglevel", "error", "-f", container, "-i", "pipe:0", "-f", "rawvideo", "-pix_fmt", "gray", "pipe:1"],
    { encoding: "buffer", maxBuffer: 1 << 28 },
  );
  child.child.stdin?.end(encoded.stdout);
  const { stdout } = await child;
  const decoded: (DecodedPattern | undefined)[] = [];
  for (let at = 0; at < stdout.length; at += width * height) {
    decoded.push(decodePattern(stdout.subarray(at, at + width * height), width));
  }
  return { decoded, fromMs, toMs };
}

describe("virtual camera", () => {
  it.each([
    ["mjpeg", 320, 240],
    ["h264", 640, 480],
  ] as const)("gives %s frames whose number and time can be read back", async (codec, width, height) => {
    const { decoded, fromMs, toMs } = await patterns(codec, width, height, 20);
    expect(decoded.map((one) => one?.frame)).toEqual(Array.from({ length: 20 }, (_, frame) => frame));
    const times = decoded.map((one) => (one === undefined ? Number.NaN : patternTimeMs(one, toMs)));
    expect(times.toSorted((a, b) => a - b)).toEqual(times);
    for (const time of times) {
      expect(time).toBeGreaterThanOrEqual(fromMs);
      expect(time).toBeLessThanOrEqual(toMs);
    }
    // Real time: 20 frames at 30 a second span well over the 0 ms of a free run.
    expect((times.at(-1) ?? 0) - (times[0] ?? 0)).toBeGreaterThan(400);
  });

  it("refuses a size without room for the blocks", () => {
    const camera = { width: 160, height: 120, fps: 30, codec: "mjpeg" } as const;
    expect(() => new VirtualProvider({ cameras: [camera] })).toThrow(/160x120/);
  });

  it("works where no font is installed", async () => {
    const provider = new VirtualProvider({
      cameras: [{ width: 320, height: 240, fps: 30, codec: "mjpeg" }],
      font: false,
    });
    const device = await onlyDevice(provider);
    const { args } = device.input({ format: "", width: 320, height: 240, fps: 30 });
    expect(args.join(" ")).not.toContain("drawtext");
    await run("ffmpeg", ["-loglevel", "error", ...args, "-frames:v", "1", "-f", "null", "-"]);
  });
});

describe("decodePattern", () => {
  it("gives nothing for a plain picture, noise, or a damaged block", () => {
    expect(decodePattern(new Uint8Array(320 * 240).fill(128), 320)).toBeUndefined();
    const noise = Uint8Array.from({ length: 320 * 240 }, (_, i) => (i * 7919) % 251);
    expect(decodePattern(noise, 320)).toBeUndefined();
    const good = drawn([1, 0, 1, 1, 0, 0, 1, 0], 5, 9);
    expect(decodePattern(good, 320)).toEqual({ frame: 5, timeField: 9 });
    fill(good, 8, 255);
    expect(decodePattern(good, 320)).toBeUndefined();
  });

  it("resolves a time across the wrap of its field", () => {
    const nowMs = 2 ** 26 * 100_000 + 5;
    expect(patternTimeMs({ frame: 0, timeField: 2 ** 26 - 10 }, nowMs)).toBe(nowMs - 15);
    expect(patternTimeMs({ frame: 0, timeField: 12 }, nowMs)).toBe(nowMs + 7);
  });
});

function fill(pixels: Uint8Array, block: number, level: number): void {
  const left = (block % 20) * 16;
  const top = Math.floor(block / 20) * 16;
  for (let y = top; y < top + 16; y++) pixels.fill(level, y * 320 + left, y * 320 + left + 16);
}

function drawn(sync: readonly number[], frame: number, time: number): Uint8Array {
  const bits = [...sync];
  const field = (value: number, length: number): void => {
    for (let bit = length - 1; bit >= 0; bit--) bits.push(Math.floor(value / 2 ** bit) % 2);
  };
  field(frame, 20);
  field(time, 26);
  field((frame + time) % 61, 6);
  const pixels = new Uint8Array(320 * 48);
  bits.forEach((bit, block) => {
    fill(pixels, block, bit === 1 ? 235 : 16);
  });
  return pixels;
}
