/**
 * Reads and sets the controls of one video node, by ioctl. Synchronous and possibly slow: only `ioctl.worker.ts` calls
 * it. Numbers, switches, menus and buttons; what has another type is left out.
 */
import { constants } from "node:os";
import type { ControlType, DeviceControl } from "../controls.ts";
import type { SystemCalls } from "./ask-node.ts";
import {
  controlFlags,
  controlIoctls,
  controlRequest,
  controlsOfOne,
  controlValue,
  extControlRequest,
  menuRequest,
  type RawControl,
  rawControlTypes,
  readControl,
  readControlValue,
  readExtControl,
  readMenuName,
} from "./control-abi.ts";

export interface ControlCalls extends SystemCalls {
  /** Where the bytes of a buffer are. */
  address(buffer: Buffer): bigint;
}

/** A control as the driver has it, with the number it goes by. */
export interface NodeControl extends DeviceControl {
  readonly id: number;
}

export type ControlsAnswer =
  | { readonly kind: "controls"; readonly controls: readonly NodeControl[] }
  | { readonly kind: "failed"; readonly errno: number; readonly operation: string };

/** A driver that never ends a list must not keep us here for ever. */
const maxControls = 512;
const maxMenuEntries = 256;

const typeOf: Readonly<Record<number, ControlType>> = {
  [rawControlTypes.integer]: "int",
  [rawControlTypes.boolean]: "bool",
  [rawControlTypes.menu]: "menu",
  [rawControlTypes.integerMenu]: "menu",
  [rawControlTypes.button]: "button",
};

/** @param change is made first */
export function askControls(
  path: string,
  calls: ControlCalls,
  change?: { readonly id: number; readonly value: number },
): ControlsAnswer {
  const fd = calls.open(path);
  if (fd < 0) return { kind: "failed", errno: -fd, operation: "open" };
  try {
    if (change !== undefined) {
      const value = controlValue(change.id, change.value);
      const failed = calls.ioctl(fd, controlIoctls.VIDIOC_S_EXT_CTRLS, controlsOfOne(calls.address(value)));
      if (failed !== 0) return { kind: "failed", errno: -failed, operation: "VIDIOC_S_EXT_CTRLS" };
    }
    const controls: NodeControl[] = [];
    let group: string | undefined;
    for (const raw of enumerate(fd, calls)) {
      if (raw.type === rawControlTypes.class) group = raw.title;
      const type = typeOf[raw.type];
      const unusable = (raw.flags & (controlFlags.disabled | controlFlags.hasPayload)) !== 0;
      if (type === undefined || unusable) continue;
      controls.push(describe(fd, calls, raw, type, group));
    }
    return { kind: "controls", controls };
  } finally {
    calls.close(fd);
  }
}

function enumerate(fd: number, calls: ControlCalls): RawControl[] {
  const walk = (
    request: number,
    ask: (id: number) => Buffer,
    read: (buffer: Buffer) => RawControl,
  ): { found: RawControl[]; errno: number } => {
    const found: RawControl[] = [];
    let id = 0;
    while (found.length < maxControls) {
      const buffer = ask(id);
      const failed = calls.ioctl(fd, request, buffer);
      if (failed !== 0) return { found, errno: -failed };
      const control = read(buffer);
      // A driver that does not know "next" answers the same for ever.
      if (control.id <= id) break;
      found.push(control);
      id = control.id;
    }
    return { found, errno: 0 };
  };
  const { found, errno } = walk(controlIoctls.VIDIOC_QUERY_EXT_CTRL, extControlRequest, readExtControl);
  if (found.length > 0 || errno !== constants.errno.ENOTTY) return found;
  return walk(controlIoctls.VIDIOC_QUERYCTRL, controlRequest, readControl).found;
}

function describe(
  fd: number,
  calls: ControlCalls,
  raw: RawControl,
  type: ControlType,
  group: string | undefined,
): NodeControl {
  const { id, title, min, max, step, defaultValue, flags } = raw;
  const has = (flag: number): boolean => (flags & flag) !== 0;
  return {
    ...{ id, name: controlName(title), title, group, type, min, max, step, defaultValue },
    value: type === "button" || has(controlFlags.writeOnly) ? undefined : currentValue(fd, calls, id),
    menu: type === "menu" ? menuOf(fd, calls, raw) : [],
    readOnly: has(controlFlags.readOnly),
    inactive: has(controlFlags.inactive),
    volatile: has(controlFlags.volatile),
  };
}

function currentValue(fd: number, calls: ControlCalls, id: number): number | undefined {
  const value = controlValue(id);
  const failed = calls.ioctl(fd, controlIoctls.VIDIOC_G_EXT_CTRLS, controlsOfOne(calls.address(value)));
  return failed === 0 ? readControlValue(value) : undefined;
}

/** Entries may be missing in between. */
function menuOf(fd: number, calls: ControlCalls, { id, type, min, max }: RawControl): DeviceControl["menu"] {
  const entries: { value: number; name: string }[] = [];
  for (let index = min; index <= Math.min(max, min + maxMenuEntries); index++) {
    const buffer = menuRequest(id, index);
    if (calls.ioctl(fd, controlIoctls.VIDIOC_QUERYMENU, buffer) !== 0) continue;
    entries.push({ value: index, name: readMenuName(buffer, type) });
  }
  return entries;
}

/** As v4l2-ctl does: letters and digits, everything between them one underscore. */
export function controlName(title: string): string {
  return title
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "_")
    .replaceAll(/^_|_$/g, "");
}
