/**
 * Asks one video node what it is, by ioctl. Synchronous and possibly slow: only `ioctl.worker.ts` calls it. The
 * system calls come in as a parameter so that tests can play a driver.
 */
import type { DeviceCapabilities, FrameSize, PixelFormat } from "../device.ts";
import type { Rational } from "../rational.ts";
import {
  bufferTypes,
  capabilityFlags,
  currentFormatRequest,
  formatRequest,
  fourccText,
  frameIntervalRequest,
  frameSizeRequest,
  ioctls,
  type RawFormat,
  type RawFrameSize,
  readCapability,
  readCurrentFormat,
  readFormat,
  readFrameInterval,
  readFrameSize,
  structSizes,
} from "./abi.ts";
import { versionText, wordsOf } from "./capability-words.ts";

export interface SystemCalls {
  /** Returns a file descriptor, or the errno as a negative number. */
  open(path: string): number;
  /** Returns 0, or the errno as a negative number. */
  ioctl(fd: number, request: number, argument: Buffer): number;
  close(fd: number): void;
}

export type NodeAnswer =
  | {
      readonly kind: "camera";
      readonly capabilities: DeviceCapabilities;
      /** The driver gives frames only through the multi-planar API. */
      readonly multiplanar: boolean;
    }
  /** The node works but does not capture video: metadata, output, radio, codec, a part of a pipeline. */
  | { readonly kind: "other"; readonly driver: string }
  | { readonly kind: "failed"; readonly errno: number; readonly operation: string };

/**
 * Parts of image signal processors that claim to capture video but give frames only when another process feeds them.
 */
const processorDrivers: ReadonlySet<string> = new Set(["bcm2835-isp", "pispbe"]);

/** A driver that never ends a list must not keep us here for ever. */
const maxListLength = 256;

/** Customary sizes offered where a driver takes any size within a range. */
const customarySizes: readonly (readonly [number, number])[] = [
  [160, 120],
  [176, 144],
  [320, 180],
  [320, 240],
  [352, 288],
  [640, 360],
  [640, 480],
  [720, 480],
  [720, 576],
  [800, 600],
  [960, 540],
  [1024, 768],
  [1280, 720],
  [1280, 960],
  [1280, 1024],
  [1600, 1200],
  [1920, 1080],
  [2560, 1440],
  [2592, 1944],
  [3840, 2160],
  [4096, 2160],
];

export function askNode(path: string, calls: SystemCalls): NodeAnswer {
  const fd = calls.open(path);
  if (fd < 0) return { kind: "failed", errno: -fd, operation: "open" };
  try {
    const capability = Buffer.alloc(structSizes.v4l2_capability);
    const failed = calls.ioctl(fd, ioctls.VIDIOC_QUERYCAP, capability);
    if (failed !== 0) return { kind: "failed", errno: -failed, operation: "VIDIOC_QUERYCAP" };
    const { driver, card, busInfo, version, deviceCaps, caps } = readCapability(capability);
    const single = (caps & capabilityFlags.videoCapture) !== 0;
    const multi = (caps & capabilityFlags.videoCaptureMplane) !== 0;
    const never = capabilityFlags.videoM2m | capabilityFlags.videoM2mMplane | capabilityFlags.ioMc;
    if (!(single || multi) || (caps & never) !== 0 || processorDrivers.has(driver)) {
      return { kind: "other", driver };
    }
    const bufferType = single ? bufferTypes.videoCapture : bufferTypes.videoCaptureMplane;
    const formats = enumerate(
      (index) => formatRequest(index, bufferType),
      (request) => calls.ioctl(fd, ioctls.VIDIOC_ENUM_FMT, request),
      readFormat,
    ).map((format) => describeFormat(fd, calls, format));
    const current = Buffer.from(currentFormatRequest(bufferType));
    const known =
      calls.ioctl(fd, ioctls.VIDIOC_G_FMT, current) === 0 ? readCurrentFormat(current) : undefined;
    return {
      kind: "camera",
      multiplanar: !single,
      capabilities: {
        driver,
        card,
        busInfo,
        version: versionText(version),
        abilities: { device: wordsOf(deviceCaps), node: wordsOf(caps) },
        formats,
        ...(known !== undefined &&
          known.width > 0 && {
            current: { fourcc: fourccText(known.pixelFormat), width: known.width, height: known.height },
          }),
      },
    };
  } finally {
    calls.close(fd);
  }
}

/** Runs an enumeration ioctl with index 0, 1, 2… until the driver says there is no more. */
function enumerate<T>(
  request: (index: number) => Buffer,
  call: (buffer: Buffer) => number,
  read: (buffer: Buffer) => T,
): T[] {
  const found: T[] = [];
  while (found.length < maxListLength) {
    const buffer = request(found.length);
    if (call(buffer) !== 0) break;
    found.push(read(buffer));
  }
  return found;
}

function describeFormat(fd: number, calls: SystemCalls, format: RawFormat): PixelFormat {
  const rawSizes = enumerate(
    (index) => frameSizeRequest(index, format.pixelFormat),
    (request) => calls.ioctl(fd, ioctls.VIDIOC_ENUM_FRAMESIZES, request),
    readFrameSize,
  );
  const withIntervals = (width: number, height: number): FrameSize => ({
    width,
    height,
    intervals: intervalsOf(fd, calls, format.pixelFormat, width, height),
  });
  const range = rawSizes.find((size) => size.kind === "range");
  const sizes =
    range === undefined
      ? rawSizes.flatMap((size) => (size.kind === "discrete" ? [withIntervals(size.width, size.height)] : []))
      : sizesWithin(range).map(([width, height]) => withIntervals(width, height));
  return {
    fourcc: fourccText(format.pixelFormat),
    description: format.description,
    compressed: format.compressed,
    sizes,
    ...(range !== undefined && {
      range: {
        minWidth: range.minWidth,
        maxWidth: range.maxWidth,
        stepWidth: range.stepWidth,
        minHeight: range.minHeight,
        maxHeight: range.maxHeight,
        stepHeight: range.stepHeight,
      },
    }),
  };
}

/** The customary sizes a range allows, and its largest. */
function sizesWithin(range: Extract<RawFrameSize, { kind: "range" }>): (readonly [number, number])[] {
  const fits = (value: number, min: number, max: number, step: number): boolean =>
    value >= min && value <= max && (value - min) % step === 0;
  const sizes = customarySizes.filter(
    ([width, height]) =>
      fits(width, range.minWidth, range.maxWidth, range.stepWidth) &&
      fits(height, range.minHeight, range.maxHeight, range.stepHeight),
  );
  const largest = [range.maxWidth, range.maxHeight] as const;
  return sizes.some(([width, height]) => width === largest[0] && height === largest[1])
    ? sizes
    : [...sizes, largest];
}

/** Whole rates offered where a driver takes any interval within a range. */
const customaryRates = [5, 10, 15, 20, 24, 25, 30, 50, 60, 90, 120];

/** Shortest first. */
function intervalsOf(
  fd: number,
  calls: SystemCalls,
  pixelFormat: number,
  width: number,
  height: number,
): Rational[] {
  const raw = enumerate(
    (index) => frameIntervalRequest(index, pixelFormat, width, height),
    (request) => calls.ioctl(fd, ioctls.VIDIOC_ENUM_FRAMEINTERVALS, request),
    readFrameInterval,
  );
  const seconds = (interval: Rational): number => interval.numerator / interval.denominator;
  const usable = (interval: Rational): boolean => interval.numerator > 0 && interval.denominator > 0;
  const intervals = raw.flatMap((one): Rational[] => {
    if (one.kind === "discrete") return [one.interval];
    const [shortest, longest] = [one.shortest, one.longest];
    if (!usable(shortest) || !usable(longest)) return [];
    const within = customaryRates
      .map((rate): Rational => ({ numerator: 1, denominator: rate }))
      .filter((interval) => seconds(interval) > seconds(shortest) && seconds(interval) <= seconds(longest));
    return [shortest, ...within];
  });
  return intervals.filter(usable).sort((a, b) => seconds(a) - seconds(b));
}
