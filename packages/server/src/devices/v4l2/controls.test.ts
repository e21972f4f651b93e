import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { mustSkip } from "../../../../../test/harness/must-skip.ts";
import { SystemClock } from "../../clock/system-clock.ts";
import { askControls, type ControlCalls, type ControlsAnswer, controlName } from "./ask-controls.ts";
import * as abi from "./control-abi.ts";
import { NodeControls } from "./node-controls.ts";
import { NodeQueries } from "./query.ts";

const haveHeader = existsSync("/usr/bin/gcc") && existsSync("/usr/include/linux/videodev2.h");
const { EINVAL, ENOTTY, EBUSY, ENODEV } = constants.errno;

/** What the kernel's header says, by a small C program. */
function fromHeader(offsets: readonly string[], values: readonly string[]): Record<string, number> {
  const dir = mkdtempSync(join(tmpdir(), "ocelli-abi-"));
  try {
    const lines = [
      ...Object.keys(abi.controlStructSizes).map((name) => `P("${name}", sizeof(struct ${name}))`),
      ...[...Object.keys(abi.controlIoctls), ...values].map((name) => `P("${name}", ${name})`),
      ...offsets.map((path) => {
        const [struct = "", ...fields] = path.split(".");
        return `P("${path}", offsetof(struct ${struct}, ${fields.join(".")}))`;
      }),
    ];
    writeFileSync(
      join(dir, "a.c"),
      `#include <stddef.h>
#include <stdio.h>
#include <linux/videodev2.h>
#define P(name, value) printf("%s %lu\\n", name, (unsigned long)(value));
int main(void) { ${lines.join(" ")} return 0; }`,
    );
    execFileSync("gcc", ["-o", join(dir, "a"), join(dir, "a.c")]);
    const output = execFileSync(join(dir, "a"), { encoding: "utf8" }).trim().split("\n");
    return Object.fromEntries(output.map((line) => [line.split(" ")[0], Number(line.split(" ")[1])]));
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

const offsets = {
  "v4l2_query_ext_ctrl.name": 8,
  "v4l2_query_ext_ctrl.minimum": 40,
  "v4l2_query_ext_ctrl.maximum": 48,
  "v4l2_query_ext_ctrl.step": 56,
  "v4l2_query_ext_ctrl.default_value": 64,
  "v4l2_query_ext_ctrl.flags": 72,
  "v4l2_queryctrl.name": 8,
  "v4l2_queryctrl.minimum": 40,
  "v4l2_queryctrl.maximum": 44,
  "v4l2_queryctrl.step": 48,
  "v4l2_queryctrl.default_value": 52,
  "v4l2_queryctrl.flags": 56,
  "v4l2_querymenu.name": 8,
  "v4l2_querymenu.value": 8,
  "v4l2_ext_control.value": 12,
  "v4l2_ext_controls.count": 4,
  "v4l2_ext_controls.controls": 24,
};

const values = {
  V4L2_CTRL_TYPE_INTEGER: abi.rawControlTypes.integer,
  V4L2_CTRL_TYPE_BOOLEAN: abi.rawControlTypes.boolean,
  V4L2_CTRL_TYPE_MENU: abi.rawControlTypes.menu,
  V4L2_CTRL_TYPE_BUTTON: abi.rawControlTypes.button,
  V4L2_CTRL_TYPE_CTRL_CLASS: abi.rawControlTypes.class,
  V4L2_CTRL_TYPE_INTEGER_MENU: abi.rawControlTypes.integerMenu,
  V4L2_CTRL_FLAG_DISABLED: abi.controlFlags.disabled,
  V4L2_CTRL_FLAG_GRABBED: abi.controlFlags.grabbed,
  V4L2_CTRL_FLAG_READ_ONLY: abi.controlFlags.readOnly,
  V4L2_CTRL_FLAG_INACTIVE: abi.controlFlags.inactive,
  V4L2_CTRL_FLAG_WRITE_ONLY: abi.controlFlags.writeOnly,
  V4L2_CTRL_FLAG_VOLATILE: abi.controlFlags.volatile,
  V4L2_CTRL_FLAG_HAS_PAYLOAD: abi.controlFlags.hasPayload,
  V4L2_CTRL_FLAG_NEXT_CTRL: abi.controlFlags.nextControl,
};

interface FakeControl extends abi.RawControl {
  value?: number;
  menu?: Record<number, string | number>;
}

/** A driver in JavaScript: reads and fills the same structs as the kernel. */
function driver(controls: FakeControl[], options: { old?: boolean; refuse?: number } = {}) {
  const memory = new Map<bigint, Buffer>();
  const ids: number[] = [];
  const next = (argument: Buffer): FakeControl | undefined => {
    const asked = argument.readUInt32LE(0);
    if (asked < abi.controlFlags.nextControl) throw new Error("the next control is to be asked for");
    return controls.find(({ id }) => id > asked - abi.controlFlags.nextControl);
  };
  const head = (argument: Buffer, control: FakeControl): void => {
    argument.writeUInt32LE(control.id, 0);
    argument.writeUInt32LE(control.type, 4);
    argument.write(control.title, 8);
  };
  const target = (argument: Buffer): Buffer => {
    expect([argument.readUInt32LE(0), argument.readUInt32LE(4)]).toEqual([0, 1]);
    const found = memory.get(argument.readBigUInt64LE(24));
    if (found === undefined) throw new Error("no memory there");
    return found;
  };
  const calls: ControlCalls = {
    open: (path) => (path === "/dev/gone" ? -ENODEV : 5),
    close: () => undefined,
    address(buffer) {
      const at = BigInt(0x1000 + memory.size * 64);
      memory.set(at, buffer);
      return at;
    },
    ioctl(_fd, request, argument) {
      if (request === abi.controlIoctls.VIDIOC_QUERY_EXT_CTRL) {
        if (options.old === true) return -ENOTTY;
        const control = next(argument);
        if (control === undefined) return -EINVAL;
        head(argument, control);
        argument.writeBigInt64LE(BigInt(control.min), 40);
        argument.writeBigInt64LE(BigInt(control.max), 48);
        argument.writeBigUInt64LE(BigInt(control.step), 56);
        argument.writeBigInt64LE(BigInt(control.defaultValue), 64);
        argument.writeUInt32LE(control.flags, 72);
        return 0;
      }
      if (request === abi.controlIoctls.VIDIOC_QUERYCTRL) {
        const control = next(argument);
        if (control === undefined) return -EINVAL;
        head(argument, control);
        [control.min, control.max, control.step, control.defaultValue].forEach((value, at) => {
          argument.writeInt32LE(value, 40 + 4 * at);
        });
        argument.writeUInt32LE(control.flags, 56);
        return 0;
      }
      if (request === abi.controlIoctls.VIDIOC_QUERYMENU) {
        const control = controls.find(({ id }) => id === argument.readUInt32LE(0));
        const entry = control?.menu?.[argument.readUInt32LE(4)];
        if (entry === undefined) return -EINVAL;
        if (typeof entry === "number") argument.writeBigInt64LE(BigInt(entry), 8);
        else argument.write(entry, 8);
        return 0;
      }
      const value = target(argument);
      const control = controls.find(({ id }) => id === value.readUInt32LE(0));
      if (control === undefined) return -EINVAL;
      if (request === abi.controlIoctls.VIDIOC_G_EXT_CTRLS) {
        value.writeInt32LE(control.value ?? control.defaultValue, 12);
        return 0;
      }
      if (options.refuse !== undefined) return -options.refuse;
      control.value = value.readInt32LE(12);
      ids.push(control.id);
      return 0;
    },
  };
  const ask = async (node: string, change?: { id: number; value: number }): Promise<ControlsAnswer> =>
    askControls(node, calls, change);
  return { ask, ids, node: new NodeControls({ node: "/dev/video0", ask }) };
}

const plain = { min: 0, max: 0, step: 1, defaultValue: 0, flags: 0 };
const { rawControlTypes: types, controlFlags: flags } = abi;
const controls = (): FakeControl[] => [
  { ...plain, id: 0x980001, type: types.class, title: "User Controls", flags: flags.readOnly },
  {
    ...plain,
    id: 0x980900,
    type: types.integer,
    title: "Brightness",
    min: -64,
    max: 64,
    step: 2,
    defaultValue: 8,
  },
  { ...plain, id: 0x98090c, type: types.boolean, title: "White Balance, Automatic", max: 1, defaultValue: 1 },
  {
    ...{ ...plain, id: 0x980918, type: types.menu, title: "Power Line Frequency", max: 2, defaultValue: 1 },
    menu: { 0: "Disabled", 2: "60 Hz" },
  },
  { ...plain, id: 0x98091e, type: types.button, title: "Do It", flags: flags.writeOnly },
  { ...plain, id: 0x980a00, type: 7, title: "A string", flags: flags.hasPayload },
  { ...plain, id: 0x9a0001, type: types.class, title: "Camera Controls", flags: flags.readOnly },
  {
    ...{ ...plain, id: 0x9a0902, type: types.integer, title: "Exposure Time, Absolute", min: 3, max: 2047 },
    ...{ defaultValue: 250, flags: flags.inactive | flags.volatile },
  },
  {
    ...plain,
    id: 0x9a0913,
    type: types.integerMenu,
    title: "Rate",
    max: 1,
    menu: { 0: 15, 1: 30 },
    flags: flags.readOnly,
  },
];

describe("the V4L2 ABI of controls", () => {
  it.skipIf(mustSkip("gcc and the kernel's headers", haveHeader))("is that of the kernel's header", () => {
    const header = fromHeader(Object.keys(offsets), Object.keys(values));
    expect(header).toEqual({ ...abi.controlStructSizes, ...abi.controlIoctls, ...offsets, ...values });
  });
});

describe("the controls of a node", () => {
  it.each([false, true])("are listed as v4l2-ctl does (old interface: %s)", async (old) => {
    const list = await driver(controls(), { old }).node.list();
    expect(list.map(({ name, group, type, value }) => [name, group, type, value])).toEqual([
      ["brightness", "User Controls", "int", 8],
      ["white_balance_automatic", "User Controls", "bool", 1],
      ["power_line_frequency", "User Controls", "menu", 1],
      ["do_it", "User Controls", "button", undefined],
      ["exposure_time_absolute", "Camera Controls", "int", 250],
      ["rate", "Camera Controls", "menu", 0],
    ]);
    expect(list[0]).toMatchObject({ min: -64, max: 64, step: 2, defaultValue: 8, inactive: false });
    expect(list[2]?.menu).toEqual([
      { value: 0, name: "Disabled" },
      { value: 2, name: "60 Hz" },
    ]);
    expect(list[4]).toMatchObject({ inactive: true, volatile: true });
    expect(list[5]).toMatchObject({
      readOnly: true,
      menu: [
        { value: 0, name: "15" },
        { value: 1, name: "30" },
      ],
    });
    expect(list[0]).not.toHaveProperty("id");
  });

  it("are set by number, switch, entry and press", async () => {
    const { node, ids } = driver(controls());
    expect(await node.set("brightness", -4)).toMatchObject({ value: -4 });
    expect(await node.set("white_balance_automatic", false)).toMatchObject({ value: 0 });
    expect(await node.set("power_line_frequency", "60 Hz")).toMatchObject({ value: 2 });
    expect(await node.set("Power Line Frequency", 0)).toMatchObject({ value: 0 });
    expect(await node.set("do_it", undefined)).toMatchObject({ type: "button" });
    expect(ids).toEqual([0x980900, 0x98090c, 0x980918, 0x980918, 0x98091e]);
  });

  it.each([
    ["brightness", 65],
    ["brightness", 3],
    ["brightness", 2.5],
    ["brightness", "much"],
    ["brightness", undefined],
    ["white_balance_automatic", 2],
    ["power_line_frequency", 1],
    ["nothing", 1],
  ])("refuse %s = %s before the driver is asked", async (name, value) => {
    const { node, ids } = driver(controls());
    await expect(node.set(name, value)).rejects.toMatchObject({ code: "invalid_params" });
    expect(ids).toEqual([]);
  });

  it("say what cannot be set, and what the driver says", async () => {
    await expect(driver(controls()).node.set("rate", 1)).rejects.toMatchObject({ code: "unsupported" });
    const busy = driver(controls(), { refuse: EBUSY }).node;
    await expect(busy.set("brightness", 0)).rejects.toMatchObject({ code: "camera_busy" });
    const other = driver(controls(), { refuse: constants.errno.EIO }).node;
    await expect(other.set("exposure_time_absolute", 5)).rejects.toThrow(/no effect now/);
    const { ask } = driver(controls());
    await expect(new NodeControls({ node: "/dev/gone", ask }).list()).rejects.toMatchObject({
      code: "camera_disconnected",
    });
  });

  it("end with a driver that never ends its list", () => {
    const calls: ControlCalls = {
      open: () => 1,
      close: () => undefined,
      address: () => 0n,
      ioctl: (_fd, _request, argument) => {
        argument.writeUInt32LE(7, 0);
        return 0;
      },
    };
    expect(askControls("/dev/video0", calls)).toEqual({ kind: "controls", controls: [] });
  });

  it("are asked for in a thread, of the kernel", async () => {
    const queries = new NodeQueries({ clock: new SystemClock() });
    expect(await queries.askControls("/nonexistent/video0")).toMatchObject({
      kind: "failed",
      operation: "open",
    });
    expect(await queries.askControls("/dev/null")).toEqual({ kind: "controls", controls: [] });
    await queries.close();
  });

  it("have names as v4l2-ctl writes them", () => {
    expect(controlName("White Balance, Automatic")).toBe("white_balance_automatic");
    expect(controlName("S-Video (2)")).toBe("s_video_2");
  });
});
