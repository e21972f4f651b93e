import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { captureProblem } from "./capture-problems.ts";
import { holdersInWords, holdersOf } from "./holders.ts";

const at = "[video4linux2,v4l2 @ 0x562c5a544840]";
const exited = "camera0: ffmpeg ended with exit code 1: /dev/video0:";

describe("why a capture failed", () => {
  it.each([
    [
      "usb_bandwidth",
      `${exited} No space left on device`,
      [`${at} ioctl(VIDIOC_STREAMON): No space left on device`],
    ],
    [
      "camera_busy",
      `${exited} Device or resource busy`,
      [`${at} ioctl(VIDIOC_STREAMON): Device or resource busy`],
    ],
    [
      "permission_denied",
      `${exited} Permission denied`,
      [`${at} Cannot open video device /dev/video0: Permission denied`],
    ],
    [
      "device_gone",
      `${exited} No such file or directory`,
      [`${at} Cannot open video device /dev/video0: No such file or directory`],
    ],
    ["device_gone", "camera0: ffmpeg ended with exit code 0", [`${at} ioctl(VIDIOC_DQBUF): No such device`]],
    ["driver_error", `${exited} Input/output error`, [`${at} ioctl(VIDIOC_STREAMON): Input/output error`]],
    ["driver_error", `${exited} Protocol error`, [`${at} ioctl(VIDIOC_STREAMON): Protocol error`]],
    ["mode_refused", `${exited} Invalid argument`, [`${at} ioctl(VIDIOC_S_FMT): Invalid argument`]],
    [
      "not_a_camera",
      "camera0: ffmpeg ended with exit code 1: /dev/null: Inappropriate ioctl for device",
      [`${at} ioctl(VIDIOC_QUERYCAP): Inappropriate ioctl for device`],
    ],
    ["no_frames", "camera0: no frame for 5 s", []],
    ["no_frames", "camera0: no first frame for 15 s", []],
    ["capture_failed", "camera0: ffmpeg was ended by SIGSEGV", []],
  ])("of a local camera: %s", (code, message, lines) => {
    const problem = captureProblem(message, lines, "/dev/video0", false);
    expect(problem.code).toBe(code);
    expect(problem.message).toContain(message);
  });

  it("keeps a full disk apart from a full bus", () => {
    const message = "camera0: ffmpeg ended with exit code 1: No space left on device";
    expect(captureProblem(message, [], "/dev/video0", false).code).toBe("capture_failed");
  });

  it.each([
    ["unreachable", "camera100: ffmpeg ended with exit code 1: rtsp://h/x: Connection timed out"],
    ["host_unknown", "[tcp @ 0x1] Failed to resolve hostname nohost.invalid: Name or service not known"],
    ["stream_not_found", "[rtsp @ 0x1] method DESCRIBE failed: 404 Not Found"],
    ["login_refused", "[rtsp @ 0x1] method DESCRIBE failed: 401 Unauthorized"],
  ])("of a network camera: %s", (code, line) => {
    expect(captureProblem("camera100: ffmpeg ended with exit code 1", [line], "Door", true).code).toBe(code);
  });

  it("reads what the ffmpeg here really says", async () => {
    const server = createServer((request, response) => {
      response.writeHead(Number(request.url?.slice(1)));
      response.end();
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const url = `http://127.0.0.1:${port}`;
    try {
      expect(captureProblem("x", await stderr(["-i", `${url}/401`]), "Door", true).code).toBe(
        "login_refused",
      );
      expect(captureProblem("x", await stderr(["-i", `${url}/403`]), "Door", true).code).toBe(
        "login_refused",
      );
      expect(captureProblem("x", await stderr(["-i", `${url}/404`]), "Door", true).code).toBe(
        "stream_not_found",
      );
    } finally {
      server.close();
    }
    const refused = await stderr(["-i", "rtsp://127.0.0.1:9/x"]);
    expect(captureProblem("x", refused, "Door", true).code).toBe("connection_refused");
    const noCamera = await stderr(["-f", "v4l2", "-i", "/dev/null"]);
    expect(captureProblem("x", noCamera, "/dev/null", false).code).toBe("not_a_camera");
    const gone = await stderr(["-f", "v4l2", "-i", "/dev/video987"]);
    expect(captureProblem("x", gone, "/dev/video987", false).code).toBe("device_gone");
  });
});

describe("who holds a device", () => {
  it("is found by its open file", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ocelli-holders-"));
    const file = join(folder, "node");
    writeFileSync(file, "");
    const child = spawn("tail", ["-f", file], { stdio: ["ignore", "pipe", "ignore"] });
    try {
      await expect.poll(() => holdersOf(file)).toEqual([{ pid: child.pid, command: "tail" }]);
      expect(holdersInWords(await holdersOf(file))).toBe(`tail (pid ${child.pid})`);
      expect(await holdersOf(join(folder, "other"))).toEqual([]);
    } finally {
      child.kill();
      rmSync(folder, { recursive: true });
    }
  });
});

async function stderr(args: readonly string[]): Promise<string[]> {
  const child = spawn("ffmpeg", ["-hide_banner", ...args, "-f", "null", "-"], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let text = "";
  child.stderr.on("data", (chunk: Buffer) => {
    text += chunk.toString();
  });
  await once(child, "close");
  return text.split("\n");
}
