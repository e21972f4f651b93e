/**
 * Cameras for tests that run inside the V4L2 guest (see README.md): vivid's raw ones, and loopback
 * ones that ffmpeg feeds with MJPEG or H.264.
 */
import { execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile, rename, writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";

const exec = promisify(execFile);

/**
 * Plugs in webcams with raw formats. There is one vivid module for all of them.
 * @param {object} [options]
 * @param {number} [options.devices]
 * @param {number} [options.first] number of the first node: /dev/video0
 * @param {boolean} [options.metadata] gives each a metadata node too, numbered after all the cameras
 * @returns {Promise<string[]>} the capture nodes
 */
export async function loadVivid({ devices = 1, first = 0, metadata = false } = {}) {
  const numbers = Array.from({ length: devices }, (_, index) => first + index);
  /** @param {string | number} value */
  const each = (value) => numbers.map(() => value).join();
  await exec("modprobe", [
    "vivid",
    `n_devs=${devices}`,
    `node_types=${each(metadata ? 0x20001 : 0x1)}`,
    `num_inputs=${each(1)}`,
    `input_types=${each(0)}`,
    `vid_cap_nr=${numbers}`,
    `meta_cap_nr=${numbers.map((number) => number + devices)}`,
  ]);
  return numbers.map(nodePath);
}

/** Plugs out all vivid cameras; fails while one is open. */
export async function unloadVivid() {
  await exec("rmmod", ["vivid"]);
}

/**
 * Takes all vivid cameras away, in use or not, as pulling their plug does: the nodes go, programs
 * reading from them get ENODEV. Once they have closed them, `unloadVivid` makes way for `loadVivid`.
 */
export async function unplugVivid() {
  await writeFile("/sys/bus/platform/drivers/vivid/unbind", "vivid.0");
}

/**
 * Breaks one vivid camera until everyone has closed it: its node stays, but every use gets ENODEV.
 * @param {string} node
 */
export async function breakVivid(node) {
  await exec("v4l2-ctl", ["-d", node, "-c", "disconnect=1"]);
}

/**
 * Adds loopback cameras, up to four at a time. They are no capture devices until they are fed.
 * @param {{ numbers: number[], labels?: string[] }} options
 * @returns {Promise<string[]>} the nodes
 */
export async function loadLoopback({ numbers, labels = [] }) {
  for (const [index, number] of numbers.entries()) {
    const slot = [0, 1, 2, 3].find((candidate) => !existsSync(`/sys/module/v4l2loopback_${candidate}`));
    if (slot === undefined) throw new Error("four loopback cameras at most");
    const label = labels[index] ?? `Loopback ${number}`;
    const options = [`video_nr=${number}`, `card_label="${label}"`, "exclusive_caps=1", "max_buffers=8"];
    await exec("modprobe", [`v4l2loopback_${slot}`, ...options]);
  }
  return numbers.map(nodePath);
}

/**
 * Removes loopback cameras, by default all; fails while one is open, so stop its feed before.
 * @param {number[]} [numbers]
 */
export async function unloadLoopback(numbers) {
  for (const [number, module] of await loopbackModules()) {
    if (!numbers || numbers.includes(number)) await exec("rmmod", [module]);
  }
}

/**
 * Takes a loopback camera away, in use or not, as pulling its plug does: the node goes, programs
 * reading from it and its feed get ENODEV. Once they have closed it, `unloadLoopback` frees its slot.
 * @param {number} number
 */
export async function unplugLoopback(number) {
  const module = (await loopbackModules()).get(number);
  if (!module) throw new Error(`no loopback camera ${number}`);
  await writeFile(`/sys/module/${module}/parameters/unplug`, "1");
}

/** @returns {Promise<Map<number, string>>} module by number of the node */
async function loopbackModules() {
  const found = new Map();
  for (const slot of [0, 1, 2, 3]) {
    const module = `v4l2loopback_${slot}`;
    const numbers = await readFile(`/sys/module/${module}/parameters/video_nr`, "utf8").catch(
      () => undefined,
    );
    if (numbers !== undefined) found.set(Number.parseInt(numbers, 10), module);
  }
  return found;
}

/**
 * @typedef {object} Feed
 * @property {import('node:child_process').ChildProcess} process ffmpeg; SIGSTOP makes the camera stall
 * @property {() => Promise<void>} stop ends when ffmpeg has closed the node
 */

/**
 * Makes a loopback node a camera that shows a test picture. Ends when it accepts capture.
 * @param {string} node
 * @param {object} [options]
 * @param {'mjpeg' | 'h264'} [options.codec]
 * @param {string} [options.size]
 * @param {number} [options.fps]
 * @param {number} [options.gop] frames from one H.264 key frame to the next
 * @returns {Promise<Feed>}
 */
export async function feed(node, { codec = "mjpeg", size = "320x240", fps = 15, gop = fps } = {}) {
  const encoder = {
    mjpeg: ["-pix_fmt", "yuvj420p", "-c:v", "mjpeg"],
    h264: [
      "-pix_fmt",
      "yuv420p",
      "-c:v",
      "libx264",
      "-preset",
      "ultrafast",
      "-tune",
      "zerolatency",
      "-g",
      String(gop),
    ],
  };
  // ffmpeg does not tell the driver its rate.
  await exec("v4l2-ctl", ["-d", node, `--set-output-parm=${fps}`]);
  const source = ["-re", "-f", "lavfi", "-i", `testsrc2=size=${size}:rate=${fps}`];
  const quiet = ["-nostdin", "-hide_banner", "-loglevel", "error"];
  const ffmpeg = spawn("ffmpeg", [...quiet, ...source, ...encoder[codec], "-f", "v4l2", node], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  const closed = new Promise((resolve) => ffmpeg.once("close", resolve));
  const stop = async () => {
    ffmpeg.kill("SIGKILL");
    await closed;
  };
  const format = `/sys/class/video4linux/${node.replace(/^\/dev\/\.?/, "")}/format`;
  for (let waited = 0; !(await readFile(format, "utf8").catch(() => "")); waited += 50) {
    if (ffmpeg.exitCode !== null || waited > 20_000) {
      await stop();
      throw new Error(`ffmpeg does not feed ${node}`);
    }
    await sleep(50);
  }
  return { process: ffmpeg, stop };
}

/**
 * Adds a loopback camera and feeds it while its node is still out of sight, so that it appears in /dev
 * as a webcam does: ready for capture.
 * @param {{ number: number, label?: string } & Parameters<typeof feed>[1]} options
 * @returns {Promise<Feed>}
 */
export async function plugLoopback({ number, label, ...options }) {
  await loadLoopback({ numbers: [number], labels: label ? [label] : [] });
  const node = nodePath(number);
  const hidden = node.replace("/dev/", "/dev/.");
  await rename(node, hidden);
  const fed = await feed(hidden, options);
  await rename(hidden, node);
  return fed;
}

/**
 * @typedef {object} Format
 * @property {string} fourcc
 * @property {{ size: string, fps: number[] }[]} sizes
 */

/**
 * What a node can capture.
 * @param {string} node
 * @returns {Promise<Format[]>}
 */
export async function listFormats(node) {
  const { stdout } = await exec("v4l2-ctl", ["-d", node, "--list-formats-ext"]);
  /** @type {Format[]} */
  const formats = [];
  for (const [, fourcc, size, fps] of stdout.matchAll(
    /\]: '(.+?)'|Size: Discrete (\d+x\d+)|\(([\d.]+) fps\)/g,
  )) {
    if (fourcc) formats.push({ fourcc, sizes: [] });
    else if (size) formats.at(-1)?.sizes.push({ size, fps: [] });
    else formats.at(-1)?.sizes.at(-1)?.fps.push(Number(fps));
  }
  return formats;
}

/** @param {number} number */
function nodePath(number) {
  return `/dev/video${number}`;
}
