import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { endVideoAt } from "./edit-end.ts";

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ocelli-edit-end-"));
  path = join(folder, "a.mp4");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const sound = ["-f", "lavfi", "-i", "sine=d=2"];
const pictures = ["-f", "lavfi", "-i", "testsrc2=s=96x64:r=20:d=2"];
const video = [...pictures, "-c:v", "libx264", "-bf", "2", "-fps_mode", "passthrough"];

function make(...args: string[]): Buffer {
  execFileSync("ffmpeg", ["-v", "error", "-y", ...args, path]);
  return readFileSync(path);
}

/** Presentation times of the pictures a player decodes and shows. */
function shown(): number[] {
  const args = [
    "-v",
    "error",
    "-select_streams",
    "v",
    "-show_entries",
    "frame=pts_time",
    "-of",
    "csv=p=0",
    path,
  ];
  const lines = execFileSync("ffprobe", args, { encoding: "utf8" }).trim().split("\n");
  // Side data of the first picture has a line of its own.
  return lines.map((line) => Number.parseFloat(line)).filter(Number.isFinite);
}

it.each([
  ["behind its pictures", []],
  ["before its pictures", ["-movflags", "+faststart"]],
  ["in wide boxes", ["-movie_timescale", "2000000000"]],
])("hides what comes after, with the index %s", async (_where, args) => {
  const before = make(...sound, ...video, ...args);
  expect(shown()).toHaveLength(40);
  expect(await endVideoAt(path, 1_250_000)).toBe(true);
  expect(shown()).toHaveLength(25);
  expect(shown().at(-1)).toBeCloseTo(1.2, 3);
  expect(readFileSync(path)).toHaveLength(before.length);
  // It can be told otherwise.
  expect(await endVideoAt(path, 2_000_000)).toBe(true);
  expect(shown()).toHaveLength(40);
});

it.each([
  ["has no pictures", sound],
  ["is in fragments", [...video, "-movflags", "+frag_keyframe+empty_moov"]],
  ["has no edit", [...video, "-use_editlist", "0"]],
])("leaves a file alone that %s", async (_what, args) => {
  const before = make(...args);
  expect(await endVideoAt(path, 1_000_000)).toBe(false);
  expect(readFileSync(path).equals(before)).toBe(true);
});

it("leaves alone what is no MP4", async () => {
  writeFileSync(path, "no video");
  expect(await endVideoAt(path, 1_000_000)).toBe(false);
  expect(readFileSync(path, "utf8")).toBe("no video");
});
