/**
 * In which mode a camera is opened when nobody insists on one. Pure.
 *
 * 1. Every size of every format ffmpeg can capture is a candidate at its highest rate up to 60 (30 where the driver
 *    names none). Formats that have to be encoded here are taken up to 1920x1080 and 30 frames a second only, for
 *    the processor's sake.
 * 2. The largest picture that comes at 15 frames a second or more wins, then the higher rate; with no such
 *    candidate the highest rate, then the larger picture.
 * 3. Among formats giving that size at that rate: MJPEG, then H.264, then raw ones.
 *
 * Wishes narrow the candidates first; a wished rate takes the nearest the camera has. A wish that nothing meets is
 * left out. Without any enumeration the driver's current format is used, else 640x480 at 30.
 */
import type { CaptureMode } from "../capture/source.ts";
import type { DeviceCapabilities, FrameSize, PixelFormat } from "../devices/device.ts";
import { captureFormat } from "../devices/formats.ts";

export interface ModeWishes {
  readonly format?: string;
  readonly width?: number;
  readonly height?: number;
  readonly fps?: number;
}

export interface ModeChoice {
  readonly mode: CaptureMode;
  /** The camera has no mode that meets the wishes; they were left out. */
  readonly wishesUnmet: boolean;
}

interface Candidate extends CaptureMode {
  readonly rank: number;
  readonly encoded: boolean;
}

const fallbackRate = 30;
const highestRate = 60;
const leastRate = 15;
/** Drivers round 30000/1001 and the like in either direction. */
const tolerance = 0.5;
const rawLimits = { pixels: 1920 * 1080, rate: 30 };
/** A loopback node takes any size from its producer, but gives only the one it is fed. */
const loopbackDriver = "v4l2 loopback";

export function chooseMode(capabilities: DeviceCapabilities, wishes: ModeWishes = {}): ModeChoice {
  const wished = Object.values(wishes).some((wish) => wish !== undefined);
  const all = candidates(capabilities, wishes.fps);
  const meeting = all.filter(
    (one) =>
      (wishes.format === undefined || one.format === wishes.format) &&
      (wishes.width === undefined || one.width === wishes.width) &&
      (wishes.height === undefined || one.height === wishes.height),
  );
  if (wished && meeting.length > 0) return { mode: plain(best(meeting)), wishesUnmet: false };
  const free = wishes.fps === undefined ? all : candidates(capabilities, undefined);
  const affordable = free.filter(
    (one) =>
      one.encoded || (one.width * one.height <= rawLimits.pixels && one.fps <= rawLimits.rate + tolerance),
  );
  const pool = affordable.length > 0 ? affordable : free;
  const mode = pool.length > 0 ? plain(best(pool)) : fallback(capabilities);
  return { mode, wishesUnmet: wished };
}

function candidates(capabilities: DeviceCapabilities, wishedRate: number | undefined): Candidate[] {
  return capabilities.formats.flatMap((format, position): Candidate[] => {
    const known = captureFormat(format.fourcc);
    if (known === undefined) return [];
    return sizesOf(capabilities, format).map((size) => ({
      format: format.fourcc,
      width: size.width,
      height: size.height,
      fps: rateOf(size, known.encoded ? highestRate : rawLimits.rate, wishedRate),
      encoded: known.encoded,
      rank: rankOf(format.fourcc, known.encoded) * 1000 + position,
    }));
  });
}

function sizesOf(capabilities: DeviceCapabilities, format: PixelFormat): readonly FrameSize[] {
  const { current, driver } = capabilities;
  if (driver !== loopbackDriver || format.range === undefined || current === undefined) return format.sizes;
  return current.fourcc === format.fourcc
    ? [{ width: current.width, height: current.height, intervals: [] }]
    : [];
}

/** Rates of a size, highest first. */
export function ratesOf(size: FrameSize): number[] {
  const rates = size.intervals.map(({ numerator, denominator }) => denominator / numerator);
  return [...new Set(rates.map((rate) => Math.round(rate * 1000) / 1000))].sort((a, b) => b - a);
}

function rateOf(size: FrameSize, limit: number, wished: number | undefined): number {
  const rates = ratesOf(size);
  if (wished !== undefined) {
    return rates.toSorted((a, b) => Math.abs(a - wished) - Math.abs(b - wished))[0] ?? wished;
  }
  // A camera that has only faster rates is taken at its slowest.
  return rates.find((rate) => rate <= limit + tolerance) ?? rates.at(-1) ?? fallbackRate;
}

function rankOf(fourcc: string, encoded: boolean): number {
  if (fourcc === "MJPG" || fourcc === "JPEG") return 0;
  return encoded ? 1 : 2;
}

function best(candidates: readonly Candidate[]): Candidate {
  const fluent = candidates.filter((one) => one.fps >= leastRate);
  const pixels = (one: Candidate): number => one.width * one.height;
  const order =
    fluent.length > 0
      ? (a: Candidate, b: Candidate) => pixels(b) - pixels(a) || b.fps - a.fps || a.rank - b.rank
      : (a: Candidate, b: Candidate) => b.fps - a.fps || pixels(b) - pixels(a) || a.rank - b.rank;
  const [first] = (fluent.length > 0 ? fluent : candidates).toSorted(order);
  if (first === undefined) throw new RangeError("no candidates");
  return first;
}

function fallback(capabilities: DeviceCapabilities): CaptureMode {
  const { current } = capabilities;
  const format = current ?? { fourcc: capabilities.formats[0]?.fourcc ?? "MJPG", width: 640, height: 480 };
  return { format: format.fourcc, width: format.width, height: format.height, fps: fallbackRate };
}

function plain(candidate: Candidate): CaptureMode {
  const { format, width, height, fps } = candidate;
  return { format, width, height, fps };
}
