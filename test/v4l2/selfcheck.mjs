/**
 * Shows that the V4L2 guest works on this machine: `node test/v4l2/selfcheck.mjs` boots it and runs
 * this file again inside. Takes about half a minute.
 */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { existsSync, watch } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { runInGuest } from "./guest.mjs";
import {
  feed,
  listFormats,
  loadLoopback,
  loadVivid,
  plugLoopback,
  unloadLoopback,
  unloadVivid,
  unplugLoopback,
} from "./modules.mjs";

const exec = promisify(execFile);
const recordings = ["vivid.mkv", "mjpeg.mkv", "h264.mkv"];

async function host() {
  const shareDir = await mkdtemp(join(tmpdir(), "ocelli-selfcheck-"));
  try {
    const result = await runInGuest({
      command: ["node", fileURLToPath(import.meta.url), "inside"],
      env: { HOST_TIME: String(Date.now()) },
      timeoutMs: 180_000,
      onLine: (line) => console.log(`guest: ${line}`),
      shareDir,
    });
    for (const file of recordings) {
      const entries = ["-count_packets", "-show_entries", "stream=codec_name,width,height,nb_read_packets"];
      const { stdout } = await exec("ffprobe", [
        "-v",
        "error",
        ...entries,
        "-of",
        "csv=p=0",
        join(shareDir, file),
      ]);
      console.log(`${file}: ${stdout.trim()}`);
    }
    const { bootMs, runMs } = result.timings;
    console.log(`exit code ${result.exitCode}, boot ${bootMs} ms, run ${runMs} ms`);
    return result.exitCode;
  } finally {
    await rm(shareDir, { recursive: true, force: true });
  }
}

async function inside() {
  const behind = Date.now() - Number(process.env.HOST_TIME);
  assert(behind > -1000 && behind < 30_000, `the clock is ${behind} ms after the host's at power-on`);

  const [raw = ""] = await loadVivid({ devices: 2 });
  const [mjpeg = "", h264 = ""] = await loadLoopback({
    numbers: [10, 11],
    labels: ["MJPEG camera", "H.264 camera"],
  });
  assert.deepEqual(await listFormats(mjpeg), []);
  const feeds = [await feed(mjpeg, { codec: "mjpeg" }), await feed(h264, { codec: "h264" })];
  console.log((await exec("v4l2-ctl", ["--list-devices"])).stdout);
  assert.deepEqual(await listFormats(mjpeg), [{ fourcc: "MJPG", sizes: [{ size: "320x240", fps: [15] }] }]);
  assert.deepEqual(await listFormats(h264), [{ fourcc: "H264", sizes: [{ size: "320x240", fps: [15] }] }]);
  assert((await listFormats(raw)).some((format) => format.fourcc === "YUYV"));

  const rawMode = ["-input_format", "yuyv422", "-video_size", "320x180", "-framerate", "15"];
  await record(raw, rawMode, ["-c:v", "libx264", "-preset", "ultrafast"], "vivid.mkv");
  await record(mjpeg, [], ["-c", "copy"], "mjpeg.mkv");
  await record(h264, [], ["-c", "copy"], "h264.mkv");
  for (const { stop } of feeds) await stop();
  await unloadLoopback();
  console.log("recorded");

  const steady = performance.now();
  await exec("date", ["-s", "2031-05-06 07:08:09Z"]);
  assert.equal(new Date().toISOString().slice(0, 16), "2031-05-06T07:08");
  assert(performance.now() - steady < 10_000, "the monotonic clock follows the wall clock");
  console.log("wall clock stepped");

  /** @type {string[]} */
  const seen = [];
  const watcher = watch("/dev", (_type, name) =>
    seen.push(`${name} ${existsSync(`/dev/${name}`) ? "is there" : "is gone"}`),
  );
  await unloadVivid();
  await until(() => seen.includes("video0 is gone"));
  await loadVivid();
  await until(() => seen.includes("video0 is there"));
  await plugLoopback({ number: 10, codec: "mjpeg" });
  await until(() => seen.includes("video10 is there"));
  console.log("nodes watched coming and going");

  const reader = spawn("ffmpeg", [
    "-v",
    "quiet",
    "-nostdin",
    "-f",
    "v4l2",
    "-i",
    "/dev/video10",
    "-f",
    "null",
    "-",
  ]);
  const ended = new Promise((resolve) => reader.once("close", resolve));
  await sleep(2000);
  assert.equal(reader.exitCode, null);
  await unplugLoopback(10);
  await ended;
  assert(!existsSync("/dev/video10"));
  watcher.close();
  console.log("camera unplugged while in use");
}

/** One second of a camera. @param {string} node @param {string[]} input @param {string[]} output @param {string} file */
async function record(node, input, output, file) {
  const args = [
    "-v",
    "fatal",
    "-nostdin",
    "-y",
    "-f",
    "v4l2",
    ...input,
    "-i",
    node,
    "-t",
    "1",
    ...output,
    `/mnt/share/${file}`,
  ];
  await exec("ffmpeg", args);
}

/** @param {() => boolean} condition */
async function until(condition) {
  for (let waited = 0; !condition(); waited += 20) {
    assert(waited < 5000, `waited in vain: ${condition}`);
    await sleep(20);
  }
}

if (process.argv[2] === "inside") await inside();
else process.exitCode = await host();
