import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { appendFile, copyFile, mkdir, readdir, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readSidecar } from "../library/sidecar.ts";
import type { JournalEntry } from "./journal.ts";
import { recoverFile } from "./recover-file.ts";
import { shouldGoOn } from "./recovery.ts";
import { afterGap, type ClipKind, clip, epochUs, later } from "./testing/clips.ts";
import { FakeCamera, FakeCameras } from "./testing/fake-camera.ts";
import { ffprobe, topBoxes } from "./testing/ffprobe.ts";
import { begin, openHub, play, type TestHub, type TestHubOptions, until } from "./testing/hub.ts";

let folder: string;
const hubs: TestHub[] = [];
const children: ChildProcess[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ocelli-recovery-"));
});

afterEach(async () => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  for (const hub of hubs.splice(0)) await hub.close();
  rmSync(folder, { recursive: true, force: true });
});

async function open(options: Partial<TestHubOptions> = {}): Promise<{ hub: TestHub; camera: FakeCamera }> {
  const camera = new FakeCamera("camera0", 30);
  const hub = await openHub({ cameras: new FakeCameras(camera), folder, keepFolder: true, ...options });
  hubs.push(hub);
  return { hub, camera };
}

/** Records in a process of its own and kills it with SIGKILL once so many frames are in the files. */
async function crash(kind: ClipKind, args: readonly string[], atFrames: number): Promise<number> {
  const script = fileURLToPath(new URL("./testing/recording-child.ts", import.meta.url));
  const child = spawn(process.execPath, ["--conditions=source", script, folder, kind, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(child);
  const exited = new Promise((resolve) => child.once("exit", resolve));
  let frames = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    frames = (JSON.parse(line) as { frames: number }).frames;
    if (frames >= atFrames) break;
  }
  child.kill("SIGKILL");
  await exited;
  return frames;
}

describe("kill -9 of the hub", () => {
  it.each<[ClipKind]>([["mjpeg"], ["h264-bframes"], ["h264-aac"]])(
    "while recording %s costs no frame that was in the file, and the recording goes on",
    async (kind) => {
      const said = await crash(kind, [], 60);
      const path = join(folder, "recordings", "crash.mp4");
      expect(topBoxes(readFileSync(path))[1]).toBe("free");

      const { hub, camera } = await open({ monoUs: 60_000_000 });
      await hub.service.recover();
      expect(topBoxes(readFileSync(path))).toEqual(["ftyp", "mdat", "moov"]);
      const probed = ffprobe(path);
      expect(probed.errors).toBe("");
      expect(probed.frames).toBeGreaterThanOrEqual(said);
      const entry = hub.library.get("recording", "crash.mp4");
      expect(entry).toMatchObject({
        state: "recovered",
        frames: probed.frames,
        endReason: "crash",
        segment: 0,
      });
      expect(entry.durationS).toBeCloseTo(probed.durationS, 1);
      expect(entry.firstFrameAtUs).toBe(epochUs + 5_000_000);
      expect(hub.payloads("recording.recovered")).toMatchObject([
        { filename: "crash.mp4", frames: probed.frames, resumed: false },
      ]);

      // It had no duration: it goes on, under its id, once the camera gives frames.
      expect(hub.service.active()).toMatchObject([{ id: entry.recordingId, frames: probed.frames }]);
      await until("the recording has joined", () => camera.source.leases.size > 0);
      await play(hub, camera.source, afterGap(later(clip(kind, 2), 55_000_000)));
      const view = await hub.service.stop({ cameraId: "camera0" });
      expect(view).toMatchObject({ id: entry.recordingId, segments: ["crash.mp4", "crash_part2.mp4"] });
      expect(view.frames).toBe(probed.frames + 60);
      const next = hub.library.get("recording", "crash_part2.mp4");
      expect(next).toMatchObject({ state: "complete", frames: 60, segment: 1 });
      const gap = { fromUs: entry.lastFrameAtUs, toUs: next.firstFrameAtUs };
      expect(next.gaps[0]).toMatchObject({ ...gap, reason: "hub_was_down" });
      expect(hub.payloads("recording.recovered")[1]).toMatchObject({
        filename: "crash_part2.mp4",
        resumed: true,
        gap,
      });
      expect(await hub.journal.list()).toEqual([]);
    },
  );

  it("finishes every file of a recording in segments", async () => {
    await crash("mjpeg", ["0.8"], 100);
    const { hub } = await open({ monoUs: 20_000_000 });
    await hub.service.recover();
    const names = (await readdir(hub.recordings)).filter((name) => name.endsWith(".mp4"));
    expect(names.length).toBeGreaterThan(3);
    for (const name of names) {
      const entry = hub.library.get("recording", name);
      expect(["complete", "recovered"]).toContain(entry.state);
      expect(ffprobe(join(hub.recordings, name))).toMatchObject({ errors: "", frames: entry.frames });
    }
  });

  it("ends a recording whose time is over, and one that was over when the hub died", async () => {
    await crash("mjpeg", ["0", "30"], 30);
    const { hub } = await open({ monoUs: 5_000_000 + 31_000_000 });
    await hub.service.recover();
    expect(hub.service.active()).toEqual([]);
    expect(await hub.journal.list()).toEqual([]);
    expect(hub.library.get("recording", "crash.mp4").state).toBe("recovered");
  });

  it("goes on until the time a duration ends, no longer", async () => {
    await crash("mjpeg", ["0", "30"], 30);
    const { hub, camera } = await open({ monoUs: 5_000_000 + 28_000_000 });
    await hub.service.recover();
    await until("the recording has joined", () => camera.source.leases.size > 0);
    await play(hub, camera.source, afterGap(later(clip("mjpeg", 3), 28_000_000)));
    await until("it has ended", () => hub.payloads("recording.stopped").length > 0);
    const view = hub.payloads("recording.stopped")[0]?.recording;
    expect(view?.segments).toEqual(["crash.mp4", "crash_part2.mp4"]);
    expect(hub.library.get("recording", "crash_part2.mp4").frames).toBe(60);
  });

  it("waits for the camera without holding up the start, and can be stopped meanwhile", async () => {
    await crash("mjpeg", [], 30);
    const { hub, camera } = await open({ monoUs: 20_000_000 });
    const { OcelliError } = await import("@ocelli/protocol");
    camera.source.refusal = new OcelliError("camera_disconnected", "away");
    await hub.service.recover();
    await hub.clock.advanceAsync(10_000);
    expect(hub.service.active()).toHaveLength(1);
    const view = await hub.service.stop({ cameraId: "camera0" });
    expect(view).toMatchObject({ state: "completed", segments: ["crash.mp4"] });
    expect(await hub.journal.list()).toEqual([]);
  });

  it("is survived without the journal and without the index", async () => {
    await crash("mjpeg", [], 30);
    await rm(join(folder, "journal"), { recursive: true });
    await rm(join(folder, "index.db"), { force: true });
    const { hub } = await open({ monoUs: 20_000_000 });
    await hub.service.recover();
    expect(hub.library.get("recording", "crash.mp4").state).toBe("recovered");
    expect(hub.service.active()).toEqual([]);
  });

  it("is survived without the sidecar", async () => {
    await crash("mjpeg", [], 30);
    await rm(join(folder, "recordings", "crash.mp4.json"));
    const { hub } = await open({ monoUs: 20_000_000 });
    await hub.service.recover();
    expect(hub.library.get("recording", "crash.mp4")).toMatchObject({
      state: "recovered",
      cameraName: "Test camera",
      codec: "mjpeg",
      cameraId: "camera0",
    });
  });
});

it("an armed start survives a restart, and begins at its T0", async () => {
  const startAtUs = epochUs + 6_500_000;
  const first = await open();
  await first.hub.service.start({ cameraId: "camera0", startAtUs, durationS: 1, filename: "armed" });
  // What kill -9 leaves of an armed start is its journal entry.
  const [entry] = await first.hub.journal.list();
  await first.hub.close();
  const { hub, camera } = await open();
  if (entry !== undefined) await hub.journal.write(entry);
  await hub.service.recover();
  // By the name of its file others find it again, and that is still taken.
  expect(hub.service.activeOf("camera0")).toMatchObject({
    id: entry?.id,
    filename: "armed.mp4",
    segments: [],
  });
  expect(hub.library.reserve("recording", "armed", "mp4")).not.toBe("armed.mp4");
  await until("the recording has joined", () => camera.source.leases.size > 0);
  await play(hub, camera.source, clip("h264", 3));
  await until("it has ended", () => hub.payloads("recording.stopped").length > 0);
  const recorded = hub.library.get("recording", "armed.mp4");
  expect(recorded).toMatchObject({ frames: 30, recordingId: entry?.id, firstFrameAtUs: startAtUs });
  expect(recorded.scheduledStart).toEqual({ atUs: startAtUs, errorUs: 0 });
});

describe("a file left behind", () => {
  const facts = {
    cameraName: "c",
    device: { busPath: "b" },
    codec: "mjpeg",
    resolution: "160x120",
    fps: 30,
    timeSource: "kernel" as const,
  };
  const entry: JournalEntry = {
    ...{ version: 1, id: "one", cameraId: "camera0", format: "mp4", over: true, startedAtUs: 1 },
    ...{ segments: ["x.mp4"], unfinished: [{ filename: "x.mp4", index: 0 }] },
    ...{ recordedUs: 0, recordedFrames: 0, recordedBytes: 0, facts },
  };

  it("that is no recording stays as it is, and says why", async () => {
    const { hub } = await open();
    const path = join(hub.recordings, "x.mp4");
    await writeFile(path, "something else entirely");
    await hub.journal.write(entry);
    await hub.service.recover();
    expect(readFileSync(path, "utf8")).toBe("something else entirely");
    const sidecar = await readSidecar(path, "recording", "x.mp4");
    expect(sidecar?.state).toBe("failed");
    expect(sidecar?.endReason).toMatch(/^unusable: /);
    expect(await hub.journal.list()).toEqual([]);
  });

  it("with no frame in it is removed; one never made is forgotten", async () => {
    const { hub } = await open();
    await writeFile(join(hub.recordings, "x.mp4"), "");
    await hub.journal.write(entry);
    await hub.journal.write({ ...entry, id: "two", unfinished: [{ filename: "y.mp4", index: 0 }] });
    await hub.service.recover();
    expect(await readdir(hub.recordings)).toEqual([]);
    expect(await hub.journal.list()).toEqual([]);
  });

  it.each([
    ["kernel", 60],
    ["arrival", 1],
  ] as const)(
    "of a camera that is not as fast as said counts drops by the %s's own times",
    async (timeSource, drops) => {
      const { hub, camera } = await open();
      const fragments = clip("mjpeg", 2).filter((_, i) => i !== 30);
      await begin(hub, camera.source, { filename: "x", format: "fmp4" }, fragments);
      await hub.service.stop({ cameraId: "camera0" });
      await rm(join(hub.recordings, "x.mp4.json"));
      // Said to give 60 frames a second, and gives 30.
      await hub.journal.write({ ...entry, facts: { ...facts, fps: 60, timeSource } });
      await hub.service.recover();
      expect(hub.library.get("recording", "x.mp4")).toMatchObject({
        state: "recovered",
        frames: 59,
        droppedFrames: drops,
      });
    },
  );

  it("is finished wherever it was cut, with every whole fragment in it", async () => {
    const { hub, camera } = await open({ fragmentSeconds: 0.25 });
    await begin(hub, camera.source, { filename: "whole", format: "fmp4" }, clip("h264-aac", 2));
    await hub.service.stop({ cameraId: "camera0" });
    const whole = join(hub.recordings, "whole.mp4");
    const size = readFileSync(whole).length;
    const cuts = join(folder, "cuts");
    await mkdir(cuts);
    let most = 0;
    for (let i = 1; i <= 12; i++) {
      const path = join(cuts, `${i}.mp4`);
      await copyFile(whole, path);
      await truncate(path, Math.floor((size * i) / 12) - (i % 3) * 5);
      // Power loss may leave zeros where data were on their way.
      if (i % 2 === 0) await appendFile(path, Buffer.alloc(5000));
      const file = await recoverFile({ path, keepFragmented: false, intervalUs: 33_333 });
      if (file.state !== "recovered") continue;
      const probed = ffprobe(path);
      expect(probed).toMatchObject({ errors: "", frames: file.frames });
      expect(topBoxes(readFileSync(path))).toEqual(["ftyp", "mdat", "moov"]);
      expect(file.frames).toBeGreaterThanOrEqual(most);
      most = file.frames;
      // A second time changes nothing.
      const again = await recoverFile({ path, keepFragmented: false, intervalUs: 33_333 });
      expect(again).toMatchObject({ state: "recovered", frames: file.frames, bytes: file.bytes });
    }
    expect(most).toBeGreaterThan(45);
  });
});

describe("shouldGoOn", () => {
  const base: JournalEntry = {
    ...{ version: 1, id: "x", cameraId: "c", format: "mp4", over: false, segments: [], unfinished: [] },
    ...{ recordedUs: 0, recordedFrames: 0, recordedBytes: 0 },
  };
  it.each<[string, Partial<JournalEntry>, boolean]>([
    ["no frame ever, not armed", {}, false],
    ["running without end", { startedAtUs: 100 }, true],
    ["told to stop", { startedAtUs: 100, over: true }, false],
    ["duration still runs", { startedAtUs: 100, durationS: 10 }, true],
    ["duration is over", { startedAtUs: 100, durationS: 4 }, false],
    [
      "the clock jumped back, but all was recorded",
      { startedAtUs: 9e6, durationS: 2, recordedUs: 2e6 },
      false,
    ],
    ["armed for later", { startAtUs: 9e6, durationS: 1 }, true],
    ["armed, and missed", { startAtUs: 1e6, durationS: 1 }, false],
  ])("%s", (_what, change, expected) => {
    expect(shouldGoOn({ ...base, ...change }, 5_000_000)).toBe(expected);
  });
});
