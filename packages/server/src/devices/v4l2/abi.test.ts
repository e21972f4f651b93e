import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { mustSkip } from "../../../../../test/harness/must-skip.ts";
import * as abi from "./abi.ts";
import { capabilityWords } from "./capability-words.ts";

const haveHeader = existsSync("/usr/bin/gcc") && existsSync("/usr/include/linux/videodev2.h");

/** What the kernel's header says, by a small C program. */
function fromHeader(): Record<string, number> {
  const dir = mkdtempSync(join(tmpdir(), "ocelli-abi-"));
  try {
    const sizes = Object.keys(abi.structSizes).map((name) => `P("${name}", sizeof(struct ${name}))`);
    const numbers = Object.keys(abi.ioctls).map((name) => `P("${name}", ${name})`);
    const offsets = [
      "v4l2_capability.card",
      "v4l2_capability.bus_info",
      "v4l2_capability.version",
      "v4l2_capability.capabilities",
      "v4l2_capability.device_caps",
      "v4l2_fmtdesc.flags",
      "v4l2_fmtdesc.description",
      "v4l2_fmtdesc.pixelformat",
      "v4l2_frmsizeenum.pixel_format",
      "v4l2_frmsizeenum.type",
      "v4l2_frmsizeenum.discrete",
      "v4l2_frmsizeenum.stepwise.step_height",
      "v4l2_frmivalenum.width",
      "v4l2_frmivalenum.type",
      "v4l2_frmivalenum.discrete",
      "v4l2_frmivalenum.stepwise.max",
      "v4l2_format.fmt.pix.pixelformat",
      "v4l2_format.fmt.pix_mp.pixelformat",
    ].map((path) => {
      const [struct = "", ...fields] = path.split(".");
      return `P("${path}", offsetof(struct ${struct}, ${fields.join(".")}))`;
    });
    const flags = Object.keys(capabilityWords).map((name) => `P("${name}", ${name})`);
    const program = `#include <stddef.h>
#include <stdio.h>
#include <linux/videodev2.h>
#define P(name, value) printf("%s %lu\\n", name, (unsigned long)(value));
int main(void) { ${[...sizes, ...numbers, ...offsets, ...flags].join(" ")} return 0; }`;
    writeFileSync(join(dir, "a.c"), program);
    execFileSync("gcc", ["-o", join(dir, "a"), join(dir, "a.c")]);
    const lines = execFileSync(join(dir, "a"), { encoding: "utf8" }).trim().split("\n");
    return Object.fromEntries(lines.map((line) => [line.split(" ")[0], Number(line.split(" ")[1])]));
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

describe("the V4L2 ABI", () => {
  it("has the published ioctl numbers", () => {
    expect(abi.ioctls).toEqual({
      VIDIOC_QUERYCAP: 0x80685600,
      VIDIOC_ENUM_FMT: 0xc0405602,
      VIDIOC_G_FMT: 0xc0d05604,
      VIDIOC_ENUM_FRAMESIZES: 0xc02c564a,
      VIDIOC_ENUM_FRAMEINTERVALS: 0xc034564b,
    });
  });

  it.skipIf(mustSkip("gcc and the kernel's headers", haveHeader))("is that of the kernel's header", () => {
    const header = fromHeader();
    expect(header).toMatchObject({ ...abi.structSizes, ...abi.ioctls });
    expect(header).toMatchObject(
      Object.fromEntries(Object.entries(capabilityWords).map(([name, [flag]]) => [name, flag])),
    );
    expect(header).toMatchObject({
      "v4l2_capability.card": 16,
      "v4l2_capability.bus_info": 48,
      "v4l2_capability.version": 80,
      "v4l2_capability.capabilities": 84,
      "v4l2_capability.device_caps": 88,
      "v4l2_fmtdesc.flags": 8,
      "v4l2_fmtdesc.description": 12,
      "v4l2_fmtdesc.pixelformat": 44,
      "v4l2_frmsizeenum.pixel_format": 4,
      "v4l2_frmsizeenum.type": 8,
      "v4l2_frmsizeenum.discrete": 12,
      "v4l2_frmsizeenum.stepwise.step_height": 32,
      "v4l2_frmivalenum.width": 8,
      "v4l2_frmivalenum.type": 16,
      "v4l2_frmivalenum.discrete": 20,
      "v4l2_frmivalenum.stepwise.max": 28,
      "v4l2_format.fmt.pix.pixelformat": 16,
      "v4l2_format.fmt.pix_mp.pixelformat": 16,
    });
  });

  it("writes FourCCs as v4l2-ctl does", () => {
    expect(abi.fourccText(0x56595559)).toBe("YUYV");
    expect(abi.fourccText(0xa0363159)).toBe("Y16 -BE");
  });
});
