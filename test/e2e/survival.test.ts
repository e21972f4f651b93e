import { execFileSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { ffprobe, topLevelBoxes, videoOf } from "../harness/ffprobe.ts";
import { alive, type RunningHub, startHub, until, virtualCameras } from "../harness/hub.ts";
import { SmallDisk, smallDisksMustSkip } from "../harness/small-disk.ts";

// What must survive: kill -9 of the hub, any end of ffmpeg, a full disk, readers that stop reading.

const virtual = virtualCameras({ size: "320x240", fps: 20, codec: "mjpeg" });

const folders: string[] = [];
function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), "ocelli-survival-"));
  folders.push(folder);
  return folder;
}
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

interface SidecarFile {
  filename: string;
  state: string;
  frames: number;
  durationS: number;
  recordingId: string;
  segment: number;
  gaps: { fromUs: number; toUs: number; reason: string }[];
  firstFrameAtUs: number;
  lastFrameAtUs: number;
  endReason: string;
}

function sidecars(dataDir: string): SidecarFile[] {
  const folder = join(dataDir, "recordings");
  return readdirSync(folder)
    .filter((name) => name.endsWith(".json"))
    .map((name) => JSON.parse(readFileSync(join(folder, name), "utf8")) as SidecarFile)
    .sort((a, b) => (a.segment ?? 0) - (b.segment ?? 0));
}

/** Resolves once the growing file of a recording holds at least so many bytes more than now. */
async function grows(hub: RunningHub, filename: string, bytes = 50_000): Promise<void> {
  const size = () => readFileSync(hub.file("recordings", filename)).length;
  const start = size();
  await until("the recording grows", () => size() > start + bytes);
}

describe("kill -9 of the hub while it records", () => {
  it("leaves no ffmpeg, a playable file, and the next start finishes it and goes on in a new segment", async () => {
    const dataDir = temporary();
    const hub = await startHub({ dataDir, env: virtual });
    const rpc = await hub.rpc();
    const started = await rpc.call<{ filename: string; recording_id: string }>("start_recording", {
      device: "camera100",
    });
    await grows(hub, started.filename, 100_000);
    const children = hub.ffmpegs();
    expect(children.length).toBe(1);
    await hub.end("SIGKILL");
    await until("ffmpeg dies with its hub", () => children.every((pid) => !alive(pid)));

    const path = hub.file("recordings", started.filename);
    const cut = readFileSync(path).length;
    expect((await topLevelBoxes(path)).slice(0, 3)).toEqual(["ftyp", "free", "moov"]);
    // A torn tail may be complained about, but frames come out before recovery already.
    execFileSync("ffmpeg", ["-v", "fatal", "-i", path, "-frames:v", "5", "-f", "null", "-"]);

    const again = await startHub({ dataDir, env: virtual });
    const client = await again.rpc();
    await until("it goes on in a second file", () => sidecars(dataDir).length === 2);
    const [first, second] = sidecars(dataDir);
    expect(first).toMatchObject({
      filename: started.filename,
      state: "recovered",
      recordingId: started.recording_id,
    });
    expect(await topLevelBoxes(path)).toEqual(["ftyp", "mdat", "moov"]);
    const probed = await ffprobe(path);
    expect(videoOf(probed).nb_read_frames).toBe(first?.frames);
    expect(cut - readFileSync(path).length).toBeLessThan(200_000);
    expect(second?.recordingId).toBe(started.recording_id);

    await grows(again, String(second?.filename), 20_000);
    const stopped = await client.call<{ filename: string }>("stop_recording", { device: "camera100" });
    expect(stopped.filename).toBe(second?.filename);
    const [, finished] = sidecars(dataDir);
    expect(finished?.state).toBe("complete");
    expect(
      finished?.gaps.some(
        (gap) =>
          gap.fromUs <= Number(first?.lastFrameAtUs) + 1e6 &&
          gap.toUs >= Number(finished.firstFrameAtUs) - 1e6,
      ),
    ).toBe(true);
    expect(videoOf(await ffprobe(again.file("recordings", stopped.filename))).nb_read_frames).toBe(
      finished?.frames,
    );
    const { files } = await client.call<{ files: { filename: string }[] }>("list_recordings");
    expect(files.map((file) => file.filename).sort()).toEqual([started.filename, stopped.filename].sort());
    await client.close();
    await again.stop();
  });
});

describe("an ffmpeg that ends or hangs while it is recorded", () => {
  it.each(["SIGKILL", "SIGSTOP", "SIGTERM"] as const)(
    "by %s is replaced, the gap is reported, the file is whole",
    async (signal) => {
      await using hub = await startHub({ env: { ...virtual, OCELLI_CAPTURE_STALL_SECONDS: "1" } });
      await using rpc = await hub.rpc();
      const started = await rpc.call<{ filename: string }>("start_recording", { device: "camera100" });
      await grows(hub, started.filename);
      const [pid] = hub.ffmpegs();
      if (pid === undefined) throw new Error("no ffmpeg");
      process.kill(pid, signal);
      await until("another ffmpeg", () => !alive(pid) && hub.ffmpegs().length === 1);
      await grows(hub, started.filename);
      const stopped = await rpc.call<{ filename: string }>("stop_recording", { device: "camera100" });
      expect(stopped.filename).toBe(started.filename);
      const [sidecar] = sidecars(hub.dataDir);
      expect(sidecar?.gaps.length).toBe(1);
      const probed = await ffprobe(hub.file("recordings", started.filename));
      expect(videoOf(probed).nb_read_frames).toBe(sidecar?.frames);
      const span = (Number(sidecar?.lastFrameAtUs) - Number(sidecar?.firstFrameAtUs)) / 1e6;
      expect(probed.format.duration).toBeGreaterThan(span - 0.1);
      expect(probed.format.duration).toBeLessThan(span + 0.3);
    },
  );
});

describe.skipIf(smallDisksMustSkip())("a disk that runs full while recording", () => {
  /** They fill what is set aside for a file in a few seconds. */
  const largeFrames = { OCELLI_VIRTUAL_SIZE: "1280x720" };

  it("ends the recording with an intact file and says why", async () => {
    using disk = new SmallDisk("24m");
    const dataDir = disk.path;
    const hub = await startHub({
      dataDir,
      env: {
        ...virtual,
        ...largeFrames,
        OCELLI_STORAGE_CRITICAL_MEGABYTES: "4",
        OCELLI_STORAGE_LOW_MEGABYTES: "5",
        OCELLI_STORAGE_CHECK_SECONDS: "0.2",
      },
    });
    const rpc = await hub.rpc();
    // Two thirds of the disk are somebody else's already.
    writeFileSync(join(dataDir, "ballast"), Buffer.alloc(16 * 1024 * 1024));
    const started = await rpc.call<{ filename: string; recording_id: string }>("start_recording", {
      device: "camera100",
    });
    const ended = await rpc.waitFor(
      "recording_status_update",
      (p) => p.recording_id === started.recording_id && p.status !== "STARTED",
      60_000,
    );
    expect(JSON.stringify(ended)).toMatch(/storage|space/i);
    const path = hub.file("recordings", started.filename);
    const [sidecar] = sidecars(dataDir);
    expect(videoOf(await ffprobe(path)).nb_read_frames).toBe(sidecar?.frames);
    expect(sidecar?.endReason).toBe("storage_critical");
    // What was set aside for the file is free again, and may be room enough for another: until somebody takes it.
    const { bavail, bsize } = statfsSync(dataDir);
    writeFileSync(join(dataDir, "more"), Buffer.alloc(Math.max(0, bavail * bsize - 1024 * 1024)));
    await expect(rpc.call("start_recording", { device: "camera100" })).rejects.toThrow(/-1010|-1008/);
    await rpc.close();
    await hub.stop();
  });

  it("even when it fills up between two checks", async () => {
    using disk = new SmallDisk("24m");
    const dataDir = disk.path;
    const env = { ...virtual, ...largeFrames, OCELLI_STORAGE_CHECK_SECONDS: "3600" };
    const hub = await startHub({ dataDir, env });
    const rpc = await hub.rpc();
    const started = await rpc.call<{ filename: string; recording_id: string }>("start_recording", {
      device: "camera100",
    });
    await grows(hub, started.filename);
    const { bavail, bsize } = statfsSync(dataDir);
    mkdirSync(join(dataDir, "other"));
    writeFileSync(join(dataDir, "other", "ballast"), Buffer.alloc(bavail * bsize - 64 * 1024));
    const ended = await rpc.waitFor(
      "recording_status_update",
      (p) => p.recording_id === started.recording_id && p.status !== "STARTED",
      60_000,
    );
    expect(ended.status).toBe("ERROR");
    rmSync(join(dataDir, "other"), { recursive: true });
    const path = hub.file("recordings", started.filename);
    await rpc.close();
    await hub.stop();
    // Finished now or by the next start: nothing that was written is lost.
    const next = await startHub({ dataDir, env: virtual });
    const [sidecar] = sidecars(dataDir);
    expect(videoOf(await ffprobe(path)).nb_read_frames).toBe(sidecar?.frames);
    expect(sidecar?.frames).toBeGreaterThan(10);
    await next.stop();
  });
});
