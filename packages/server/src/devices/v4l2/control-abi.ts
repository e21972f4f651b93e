/** The part of the V4L2 ABI that controls need. Pure, as `abi.ts`; `control-abi.test.ts` compares it with the header. */

const readWriteDirection = 3;

function ioctlNumber(command: number, size: number): number {
  return ((readWriteDirection << 30) | (size << 16) | (0x56 << 8) | command) >>> 0;
}

export const controlStructSizes = {
  v4l2_queryctrl: 68,
  v4l2_query_ext_ctrl: 232,
  v4l2_querymenu: 44,
  v4l2_ext_control: 20,
  v4l2_ext_controls: 32,
} as const;

export const controlIoctls = {
  VIDIOC_QUERYCTRL: ioctlNumber(36, controlStructSizes.v4l2_queryctrl),
  VIDIOC_QUERYMENU: ioctlNumber(37, controlStructSizes.v4l2_querymenu),
  VIDIOC_G_EXT_CTRLS: ioctlNumber(71, controlStructSizes.v4l2_ext_controls),
  VIDIOC_S_EXT_CTRLS: ioctlNumber(72, controlStructSizes.v4l2_ext_controls),
  VIDIOC_QUERY_EXT_CTRL: ioctlNumber(103, controlStructSizes.v4l2_query_ext_ctrl),
} as const;

/** `V4L2_CTRL_TYPE_…` */
export const rawControlTypes = {
  integer: 1,
  boolean: 2,
  menu: 3,
  button: 4,
  class: 6,
  integerMenu: 9,
} as const;

/** `V4L2_CTRL_FLAG_…` */
export const controlFlags = {
  disabled: 0x1,
  grabbed: 0x2,
  readOnly: 0x4,
  inactive: 0x10,
  writeOnly: 0x40,
  volatile: 0x80,
  hasPayload: 0x100,
  nextControl: 0x80000000,
} as const;

export interface RawControl {
  readonly id: number;
  readonly type: number;
  readonly title: string;
  readonly min: number;
  readonly max: number;
  readonly step: number;
  readonly defaultValue: number;
  readonly flags: number;
}

/** Asks for the control after `id`. */
export function extControlRequest(id: number): Buffer {
  const buffer = Buffer.alloc(controlStructSizes.v4l2_query_ext_ctrl);
  buffer.writeUInt32LE((id | controlFlags.nextControl) >>> 0, 0);
  return buffer;
}

export function readExtControl(buffer: Buffer): RawControl {
  return {
    id: buffer.readUInt32LE(0),
    type: buffer.readUInt32LE(4),
    title: cString(buffer, 8),
    min: Number(buffer.readBigInt64LE(40)),
    max: Number(buffer.readBigInt64LE(48)),
    step: Number(buffer.readBigUInt64LE(56)),
    defaultValue: Number(buffer.readBigInt64LE(64)),
    flags: buffer.readUInt32LE(72),
  };
}

/** For drivers without `VIDIOC_QUERY_EXT_CTRL`. */
export function controlRequest(id: number): Buffer {
  const buffer = Buffer.alloc(controlStructSizes.v4l2_queryctrl);
  buffer.writeUInt32LE((id | controlFlags.nextControl) >>> 0, 0);
  return buffer;
}

export function readControl(buffer: Buffer): RawControl {
  return {
    id: buffer.readUInt32LE(0),
    type: buffer.readUInt32LE(4),
    title: cString(buffer, 8),
    min: buffer.readInt32LE(40),
    max: buffer.readInt32LE(44),
    step: buffer.readInt32LE(48),
    defaultValue: buffer.readInt32LE(52),
    flags: buffer.readUInt32LE(56),
  };
}

export function menuRequest(id: number, index: number): Buffer {
  const buffer = Buffer.alloc(controlStructSizes.v4l2_querymenu);
  buffer.writeUInt32LE(id, 0);
  buffer.writeUInt32LE(index, 4);
  return buffer;
}

/** An entry of a menu of numbers is named by its number. */
export function readMenuName(buffer: Buffer, type: number): string {
  return type === rawControlTypes.integerMenu ? String(buffer.readBigInt64LE(8)) : cString(buffer, 8);
}

/** One `v4l2_ext_control` with a 32-bit value. */
export function controlValue(id: number, value = 0): Buffer {
  const buffer = Buffer.alloc(controlStructSizes.v4l2_ext_control);
  buffer.writeUInt32LE(id, 0);
  buffer.writeInt32LE(value, 12);
  return buffer;
}

export function readControlValue(buffer: Buffer): number {
  return buffer.readInt32LE(12);
}

/** A `v4l2_ext_controls` of one control at `address`, whatever its class. */
export function controlsOfOne(address: bigint): Buffer {
  const buffer = Buffer.alloc(controlStructSizes.v4l2_ext_controls);
  buffer.writeUInt32LE(1, 4);
  buffer.writeBigUInt64LE(address, 24);
  return buffer;
}

function cString(buffer: Buffer, offset: number): string {
  const bytes = buffer.subarray(offset, offset + 32);
  const end = bytes.indexOf(0);
  return bytes.toString("utf8", 0, end < 0 ? 32 : end);
}
