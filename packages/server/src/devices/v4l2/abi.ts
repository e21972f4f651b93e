/**
 * The part of the V4L2 ABI that discovery needs: ioctl numbers and struct layouts of linux/videodev2.h, the same on
 * every 64-bit little-endian Linux. Pure: buffers in, plain values out. `abi.test.ts` compares it with the header.
 */
import type { Rational } from "../rational.ts";

const readDirection = 2;
const readWriteDirection = 3;

function ioctlNumber(direction: number, command: number, size: number): number {
  return ((direction << 30) | (size << 16) | (0x56 << 8) | command) >>> 0;
}

export const structSizes = {
  v4l2_capability: 104,
  v4l2_fmtdesc: 64,
  v4l2_frmsizeenum: 44,
  v4l2_frmivalenum: 52,
  v4l2_format: 208,
} as const;

export const ioctls = {
  VIDIOC_QUERYCAP: ioctlNumber(readDirection, 0, structSizes.v4l2_capability),
  VIDIOC_ENUM_FMT: ioctlNumber(readWriteDirection, 2, structSizes.v4l2_fmtdesc),
  VIDIOC_G_FMT: ioctlNumber(readWriteDirection, 4, structSizes.v4l2_format),
  VIDIOC_ENUM_FRAMESIZES: ioctlNumber(readWriteDirection, 74, structSizes.v4l2_frmsizeenum),
  VIDIOC_ENUM_FRAMEINTERVALS: ioctlNumber(readWriteDirection, 75, structSizes.v4l2_frmivalenum),
} as const;

export const bufferTypes = { videoCapture: 1, videoCaptureMplane: 9 } as const;

export const capabilityFlags = {
  videoCapture: 0x1,
  videoOutput: 0x2,
  videoCaptureMplane: 0x1000,
  videoM2mMplane: 0x4000,
  videoM2m: 0x8000,
  /** The node is one part of a pipeline that has to be set up through the media controller. */
  ioMc: 0x20000000,
  deviceCaps: 0x80000000,
} as const;

const formatFlagCompressed = 1;

export interface RawCapability {
  readonly driver: string;
  readonly card: string;
  readonly busInfo: string;
  /** `KERNEL_VERSION` of the driver. */
  readonly version: number;
  /** What the whole device can do. */
  readonly deviceCaps: number;
  /** What this node can do: `device_caps` where the driver fills it in, else the whole device's capabilities. */
  readonly caps: number;
}

export function readCapability(buffer: Buffer): RawCapability {
  const all = buffer.readUInt32LE(84);
  return {
    driver: cString(buffer, 0, 16),
    card: cString(buffer, 16, 32),
    busInfo: cString(buffer, 48, 32),
    version: buffer.readUInt32LE(80),
    deviceCaps: all,
    caps: (all & capabilityFlags.deviceCaps) !== 0 ? buffer.readUInt32LE(88) : all,
  };
}

export function formatRequest(index: number, bufferType: number): Buffer {
  const buffer = Buffer.alloc(structSizes.v4l2_fmtdesc);
  buffer.writeUInt32LE(index, 0);
  buffer.writeUInt32LE(bufferType, 4);
  return buffer;
}

export interface RawFormat {
  readonly description: string;
  readonly compressed: boolean;
  /** The number form of the FourCC, which further requests need. */
  readonly pixelFormat: number;
}

export function readFormat(buffer: Buffer): RawFormat {
  return {
    compressed: (buffer.readUInt32LE(8) & formatFlagCompressed) !== 0,
    description: cString(buffer, 12, 32),
    pixelFormat: buffer.readUInt32LE(44),
  };
}

export function frameSizeRequest(index: number, pixelFormat: number): Buffer {
  const buffer = Buffer.alloc(structSizes.v4l2_frmsizeenum);
  buffer.writeUInt32LE(index, 0);
  buffer.writeUInt32LE(pixelFormat, 4);
  return buffer;
}

export type RawFrameSize =
  | { readonly kind: "discrete"; readonly width: number; readonly height: number }
  | {
      /** Continuous ranges are ranges with a step of 1. */
      readonly kind: "range";
      readonly minWidth: number;
      readonly maxWidth: number;
      readonly stepWidth: number;
      readonly minHeight: number;
      readonly maxHeight: number;
      readonly stepHeight: number;
    };

export function readFrameSize(buffer: Buffer): RawFrameSize {
  const at = (field: number): number => buffer.readUInt32LE(12 + 4 * field);
  if (buffer.readUInt32LE(8) === 1) return { kind: "discrete", width: at(0), height: at(1) };
  return {
    kind: "range",
    minWidth: at(0),
    maxWidth: at(1),
    stepWidth: Math.max(1, at(2)),
    minHeight: at(3),
    maxHeight: at(4),
    stepHeight: Math.max(1, at(5)),
  };
}

export function frameIntervalRequest(
  index: number,
  pixelFormat: number,
  width: number,
  height: number,
): Buffer {
  const buffer = Buffer.alloc(structSizes.v4l2_frmivalenum);
  buffer.writeUInt32LE(index, 0);
  buffer.writeUInt32LE(pixelFormat, 4);
  buffer.writeUInt32LE(width, 8);
  buffer.writeUInt32LE(height, 12);
  return buffer;
}

export type RawFrameInterval =
  | { readonly kind: "discrete"; readonly interval: Rational }
  | { readonly kind: "range"; readonly shortest: Rational; readonly longest: Rational };

export function readFrameInterval(buffer: Buffer): RawFrameInterval {
  const fraction = (offset: number): Rational => ({
    numerator: buffer.readUInt32LE(offset),
    denominator: buffer.readUInt32LE(offset + 4),
  });
  if (buffer.readUInt32LE(16) === 1) return { kind: "discrete", interval: fraction(20) };
  return { kind: "range", shortest: fraction(20), longest: fraction(28) };
}

export function currentFormatRequest(bufferType: number): Buffer {
  const buffer = Buffer.alloc(structSizes.v4l2_format);
  buffer.writeUInt32LE(bufferType, 0);
  return buffer;
}

/** Width, height and pixel format lie at the same place for single- and multi-planar formats. */
export function readCurrentFormat(buffer: Buffer): { width: number; height: number; pixelFormat: number } {
  return {
    width: buffer.readUInt32LE(8),
    height: buffer.readUInt32LE(12),
    pixelFormat: buffer.readUInt32LE(16),
  };
}

/** `YUYV`; a big-endian variant (top bit set) is written `Y16 -BE`, as v4l2-ctl does. */
export function fourccText(pixelFormat: number): string {
  const letters = [0, 8, 16, 24].map((shift) => (pixelFormat >>> shift) & 0x7f);
  return String.fromCharCode(...letters) + (pixelFormat >>> 31 === 1 ? "-BE" : "");
}

function cString(buffer: Buffer, offset: number, length: number): string {
  const bytes = buffer.subarray(offset, offset + length);
  const end = bytes.indexOf(0);
  return bytes.toString("utf8", 0, end < 0 ? length : end);
}
