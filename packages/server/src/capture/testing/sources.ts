/** Real captures of made-up cameras, for tests: a test pattern through the installed ffmpeg. */
import { pino } from "pino";
import type { Clock } from "../../clock/clock.ts";
import type { CaptureInput } from "../../devices/device.ts";
import type { Fragment } from "../../media/fragment.ts";
import { DeviceCapture, type DeviceCaptureOptions } from "../device-capture.ts";
import type { CaptureMode, CaptureState, Cursor, FragmentSource } from "../source.ts";

export const silentLog = pino({ level: process.env.OCELLI_TEST_LOG ?? "silent" });

export interface PatternOptions {
  readonly codec?: "mjpeg" | "h264";
  readonly fps?: number;
  readonly size?: string;
  /** Ends by itself after so many frames. */
  readonly frames?: number;
  /** Frames a GOP, H.264 only; default `fps`. */
  readonly gop?: number;
}

/** A live test pattern in real time. */
export function patternInput(options: PatternOptions = {}): CaptureInput {
  const fps = options.fps ?? 25;
  const encodeArgs =
    options.codec === "h264"
      ? ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p"].concat(
          "-g",
          String(options.gop ?? fps),
        )
      : ["-c:v", "mjpeg", "-q:v", "5", "-pix_fmt", "yuvj422p"];
  return {
    args: ["-re", "-f", "lavfi", "-i", `testsrc=size=${options.size ?? "160x120"}:rate=${fps}`].concat(
      ...(options.frames === undefined ? [] : [["-t", String(options.frames / fps)]]),
    ),
    video: {
      encodeArgs:
        options.frames === undefined ? encodeArgs : ["-frames:v", String(options.frames), ...encodeArgs],
    },
    timeSource: "arrival",
    audio: false,
  };
}

export function patternMode(options: PatternOptions = {}): CaptureMode {
  const [width = 160, height = 120] = (options.size ?? "160x120").split("x").map(Number);
  return { format: options.codec === "h264" ? "H264" : "MJPG", width, height, fps: options.fps ?? 25 };
}

export function patternCapture(
  clock: Clock,
  options: PatternOptions & Partial<Omit<DeviceCaptureOptions, "clock" | "log">> = {},
): DeviceCapture {
  return new DeviceCapture({
    id: "camera0",
    clock,
    log: silentLog,
    input: async (wanted) => ({ mode: wanted ?? patternMode(options), input: patternInput(options) }),
    ...options,
  });
}

/** The next `count` fragments; throws when the source ends before. */
export async function readAll(
  cursor: Cursor,
  count: number,
  wanted: (fragment: Fragment) => boolean = () => true,
): Promise<Fragment[]> {
  const fragments: Fragment[] = [];
  while (fragments.length < count) {
    const item = await cursor.next(AbortSignal.timeout(20_000));
    if (item === undefined) throw new Error(`the source ended after ${fragments.length} fragments`);
    if (item.kind === "fragment" && wanted(item.fragment)) fragments.push(item.fragment);
  }
  return fragments;
}

/** The next `count` video fragments; throws when the source ends before. */
export function readVideo(cursor: Cursor, count: number): Promise<Fragment[]> {
  return readAll(cursor, count, (fragment) => fragment.track.kind === "video");
}

/** Resolves when the source is, or gets, into that state. */
export function stateOf(source: FragmentSource, wanted: CaptureState): Promise<void> {
  if (source.state === wanted) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`still ${source.state}, not ${wanted}`)), 20_000);
    const off = source.on("state", ({ to }) => {
      if (to !== wanted) return;
      clearTimeout(timer);
      off();
      resolve();
    });
  });
}

/** True while a process of that id exists. */
export function processExists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Polls until the process is gone. */
export async function processGone(pid: number): Promise<void> {
  const deadline = process.hrtime.bigint() + 10_000_000_000n;
  while (processExists(pid)) {
    if (process.hrtime.bigint() > deadline) throw new Error(`process ${pid} is still there`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
