import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { constants, tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { nodeProblem } from "./node-problem.ts";

let dir: string;
let groups: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "ocelli-group-"));
  groups = join(dir, "group");
  writeFileSync(groups, "root:x:0:\nvideo:x:44:ann,bob\ncameras:x:4444:\n");
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const { EACCES, EBUSY, EIO } = constants.errno;
const user = userInfo().username;

describe("nodeProblem", () => {
  it("names the group to join and the command", () => {
    const problem = nodeProblem("/dev/video0", EACCES, "open", { gid: 4444, mode: 0o020660 }, groups);
    expect(problem.code).toBe("permission_denied");
    expect(problem.message).toContain(`sudo usermod -aG cameras ${user};`);
  });

  it("gives the number of a group without a name", () => {
    const { message } = nodeProblem("/dev/video0", EACCES, "open", { gid: 99, mode: 0o660 }, groups);
    expect(message).toContain("usermod -aG 99");
  });

  it("does not send anybody into a group that may not open the node either, least of all root's", () => {
    expect(nodeProblem("/dev/video0", EACCES, "open", { gid: 44, mode: 0o600 }, groups).message).toContain(
      "udev",
    );
    expect(nodeProblem("/dev/video0", EACCES, "open", { gid: 0, mode: 0o660 }, groups).message).toContain(
      "udev",
    );
  });

  it("tells busy and broken apart", () => {
    expect(nodeProblem("/dev/video0", EBUSY, "open", undefined).code).toBe("camera_busy");
    expect(nodeProblem("/dev/video0", EIO, "VIDIOC_QUERYCAP", undefined).message).toContain(
      "EIO from VIDIOC_QUERYCAP",
    );
  });
});
