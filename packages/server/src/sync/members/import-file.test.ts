import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pino from "pino";
import { afterEach, beforeEach, expect, it } from "vitest";
import { SystemClock } from "../../clock/system-clock.ts";
import type { Library } from "../../library/contract.ts";
import { MediaLibrary } from "../../library/library.ts";
import { importFile } from "./import-file.ts";

const clock = new SystemClock();
const beganAtUs = Date.UTC(2025, 0, 15, 14, 30) * 1000;
let root: string;
let library: MediaLibrary;

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), "ocelli-import-"));
  library = await MediaLibrary.open({
    recordingsFolder: join(root, "recordings"),
    snapshotsFolder: join(root, "snapshots"),
    indexPath: join(root, "library.db"),
    clock,
    log: pino({ level: "silent" }),
  });
});
afterEach(async () => {
  await library.close();
  rmSync(root, { recursive: true, force: true });
});

function take(path: string, into: Library = library): Promise<string> {
  return importFile(
    {
      ...{ path, stem: "lab_phone", cameraId: "phone", cameraName: "Phone" },
      sync: { sessionId: "s", groupName: "lab", startAtUs: 5 },
      ...{ clockThen: { synchronised: true, source: "sntp", offsetUs: 7, uncertaintyUs: 9 }, beganAtUs },
      signal: new AbortController().signal,
    },
    { library: into, clock },
  );
}

it("makes MP4 of a QuickTime file, without encoding it", async () => {
  const path = join(root, "IMG_1.MOV");
  const video = ["-f", "lavfi", "-i", "testsrc2=s=160x120:r=30:d=1", "-c:v", "libx264"];
  execFileSync("ffmpeg", ["-v", "error", ...video, "-f", "mov", path]);
  const filename = await take(path);
  expect(library.get("recording", filename)).toMatchObject({
    ...{ filename: "lab_phone.mp4", codec: "h264", frames: 30, state: "complete" },
    sync: { sessionId: "s" },
    // Of its start, not of the time it was fetched.
    ...{ createdAtUs: beganAtUs, firstFrameAtUs: undefined, clock: { source: "sntp", offsetUs: 7 } },
    ...{ started_at: "2025-01-15T14:30:00.000000Z", stopped_at: "2025-01-15T14:30:01.000000Z" },
  });
  expect(readdirSync(root).filter((name) => /mov|mp4/i.test(name))).toEqual([]);
});

it.each([
  ["a.mp4", "lab_phone.mp4"],
  ["a.ts", "lab_phone.ts"],
  ["a.mov", "lab_phone.mov.bin"],
])("reads no other file of this machine, whatever %s says", async (name, filename) => {
  const other = join(root, "recordings", "camera0_1.ts");
  const video = ["-f", "lavfi", "-i", "testsrc2=s=160x120:r=30:d=1", "-c:v", "libx264"];
  execFileSync("ffmpeg", ["-v", "error", ...video, "-f", "mpegts", other]);
  const path = join(root, name);
  const list = `#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n${other}\n#EXT-X-ENDLIST\n`;
  writeFileSync(path, list);
  expect(await take(path)).toBe(filename);
  const entry = library.get("recording", filename);
  expect(readFileSync(entry.path, "utf8")).toBe(list);
  expect(entry).toMatchObject({ codec: "", frames: undefined, durationS: undefined });
});

it.each([
  ["IMG_1.mov", "lab_phone.mov.bin", "bin"],
  ["sensors.bag", "lab_phone.bag.bin", "bin"],
  ["video_17.zip", "lab_phone.zip", "zip"],
  ["nothing", "lab_phone.bin", "bin"],
])("keeps %s as it came", async (name, filename, format) => {
  const path = join(root, name);
  writeFileSync(path, "no video");
  expect(await take(path)).toBe(filename);
  expect(readFileSync(join(root, "recordings", filename), "utf8")).toBe("no video");
  expect(library.get("recording", filename)).toMatchObject({ format, state: "complete", cameraId: "phone" });
  // Also when the index is made anew.
  await library.rebuild();
  expect(library.page("recording", { limit: 5, offset: 0 }).entries).toMatchObject([{ filename, format }]);
});

it("gives a file back that the library cannot take", async () => {
  const path = join(root, "video_17.zip");
  writeFileSync(path, "no video");
  const full: Library = Object.assign(Object.create(library), {
    folder: () => join(root, "recordings"),
    reserve: () => "lab_phone.zip",
    release: () => undefined,
    put: () => Promise.reject(new Error("ENOSPC")),
  });
  await expect(take(path, full)).rejects.toThrow("ENOSPC");
  expect(readFileSync(path, "utf8")).toBe("no video");
  expect(readdirSync(join(root, "recordings"))).toEqual([]);
});
