import { execFileSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type RunningHub, startHub, until, virtualCameras } from "../harness/hub.ts";
import { makePhoneVideo, PythonDevice } from "../harness/multicam.ts";
import type { Rpc } from "../harness/rpc.ts";
import { SmallDisk, smallDisksMustSkip } from "../harness/small-disk.ts";
import {
  type AlignedObject,
  begun,
  first,
  over,
  readRecording,
  reportOf,
  type SessionObject,
} from "../harness/sync.ts";

// Sync sessions when something is not there, goes away, or comes too late.

const virtual = virtualCameras({ count: 2, size: "320x240", fps: 10, codec: "mjpeg" });

let folder: string;
let phoneVideo: string;
let picture: Buffer;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ocelli-sync-faults-"));
  phoneVideo = join(folder, "phone.mp4");
  makePhoneVideo(phoneVideo);
  const still = join(folder, "still.jpg");
  execFileSync("ffmpeg", ["-v", "error", "-f", "lavfi", "-i", "testsrc=s=320x240", "-frames:v", "1", still]);
  picture = readFileSync(still);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** An MJPEG camera that takes its time before the first picture, and can be switched off. */
class SlowCamera implements AsyncDisposable {
  readonly #server: Server;
  readonly #timers = new Set<NodeJS.Timeout>();

  constructor(warmUpMs: number) {
    this.#server = createServer((_request, response) => {
      response.writeHead(200, { "Content-Type": "multipart/x-mixed-replace; boundary=frame" });
      response.flushHeaders();
      const head = `--frame\r\nContent-Type: image/jpeg\r\nContent-Length: ${picture.length}\r\n\r\n`;
      let frames: NodeJS.Timeout | undefined;
      const begin = setTimeout(() => {
        frames = setInterval(
          () => response.write(Buffer.concat([Buffer.from(head), picture, Buffer.from("\r\n")])),
          100,
        );
        this.#timers.add(frames);
      }, warmUpMs);
      this.#timers.add(begin);
      response.on("close", () => {
        clearTimeout(begin);
        clearInterval(frames);
      });
    });
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/mjpeg`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    this.#server.closeAllConnections();
    if (this.#server.listening) await new Promise((resolve) => this.#server.close(resolve));
  }
}

async function ready(rpc: Rpc, cameras: number): Promise<void> {
  await until("the cameras", async () => {
    const { connected } = await rpc.call<{ connected: number }>("get_camera_list");
    return connected === cameras;
  });
}

const startOf = (rpc: Rpc, more: object) => rpc.call<SessionObject>("start_sync_recording", more);
const stopOf = (rpc: Rpc, session_id: string) =>
  rpc.call<SessionObject>("stop_sync_recording", { session_id });
/** Waits until the files of so many members hold so many frames. */
async function recorded(
  rpc: Rpc,
  session_id: string,
  frames: number,
  members: readonly string[],
): Promise<void> {
  await until(`${frames} frames`, async () => {
    const report = await reportOf(rpc, session_id);
    return members.every((key) =>
      report.members.some((one) => one.member === key && one.frames_received >= frames),
    );
  });
}
const statesOf = ({ members }: SessionObject): string[] => members.map(({ status }) => status);

describe("a group of two cameras and a phone", () => {
  let hub: RunningHub;
  let rpc: Rpc;
  const pair = ["camera100", "camera101"];

  beforeAll(async () => {
    hub = await startHub({ env: virtual });
    rpc = await hub.rpc();
    await ready(rpc, 2);
    await rpc.call("subscribe_events", { topics: ["sync.session"] });
    await rpc.call("create_sync_group", { name: "pair", members: pair });
  });
  afterAll(async () => {
    await rpc?.close();
    await hub?.stop();
  });

  it("refuses what cannot be, and keeps nothing of it", async () => {
    const refused = (method: string, params: object, condition: string) =>
      expect(rpc.call(method, params)).rejects.toMatchObject({
        data: expect.objectContaining({ code: condition }),
      });
    const now = Date.now() / 1000;
    await refused("start_sync_recording", { group: "pair", start_time: now - 5 }, "invalid_params");
    await refused(
      "start_sync_recording",
      { group: "pair", start_time: now + 365 * 86_400 },
      "invalid_params",
    );
    await refused("stop_sync_recording", { group: "pair" }, "not_recording");
    await refused("stop_sync_recording", { session_id: "none" }, "not_found");
    await refused("start_sync_recording", { group: "none" }, "not_found");
    await refused("delete_sync_session", { session_id: "none" }, "not_found");
    await refused("create_sync_group", { name: "x", members: ["camera100", "camera77"] }, "camera_not_found");
    await refused("create_sync_group", { name: "x", members: [{ host: "10.9.9.9" }] }, "permission_denied");
    expect(await rpc.call("get_sync_sessions")).toMatchObject({ total: 0 });
    expect(await rpc.call("get_sync_groups")).toMatchObject({ total: 1 });
  });

  it("refuses viewers, and keys for some of the cameras", async () => {
    const key = async (params: object) =>
      (await rpc.call<{ api_key: string }>("create_api_key", params)).api_key;
    const viewer = await key({ name: "v", role: "viewer" });
    const limited = await key({ name: "l", role: "operator", cameras: ["camera100"] });
    for (const given of [viewer, limited]) {
      await using other = await hub.rpc(given);
      await expect(startOf(other, { group: "pair" })).rejects.toMatchObject({
        data: expect.objectContaining({ code: "permission_denied" }),
      });
    }
    const page = await hub.fetch("/api/sync/sessions/x/report.html", { headers: { "x-api-key": limited } });
    expect(page.status).toBe(403);
    expect(await rpc.call("get_sync_sessions")).toMatchObject({ total: 0 });
  });

  it("starts all or none when a device is not there, or those that are when asked to", async () => {
    const gone = await PythonDevice.start(phoneVideo);
    await gone[Symbol.asyncDispose]();
    await rpc.call("create_sync_group", {
      name: "partly",
      members: [...pair, { host: "127.0.0.1", port: gone.port }],
    });
    await expect(startOf(rpc, { group: "partly", delay: 3 })).rejects.toMatchObject({
      message: expect.stringMatching(
        /partly cannot start together.*127\.0\.0\.1:\d+: It was not ready before/,
      ),
    });
    expect(await rpc.call("get_sync_sessions")).toMatchObject({ total: 0 });
    expect(await rpc.call("get_recording_status", { device: "camera100" })).toBeNull();
    const session = await startOf(rpc, { group: "partly", delay: 3, duration: 1, allow_partial: true });
    expect(statesOf(session)).toEqual(["armed", "armed", "failed"]);
    const ended = await over(rpc, session.session_id);
    expect(statesOf(ended)).toEqual(["completed", "completed", "failed"]);
    const report = await reportOf(rpc, session.session_id);
    expect(report.verdict).toBe("out_of_tolerance");
    expect(report.findings.join("\n")).toMatch(/127\.0\.0\.1:\d+ failed: It was not ready/);
    // The two that recorded are in sync all the same.
    expect(report.skew_ms).toBeLessThan(100);
  });

  it("ends well for the cameras when the phone vanishes between start and stop", async () => {
    await using phone = await PythonDevice.start(phoneVideo, { habits: ["vanish"] });
    await rpc.call("create_sync_group", {
      name: "trio",
      members: [...pair, { host: "127.0.0.1", port: phone.port }],
    });
    const session = await startOf(rpc, { group: "trio", delay: 2 });
    expect(statesOf(session)).toEqual(["armed", "armed", "armed"]);
    await begun(rpc, session.session_id);
    await expect(startOf(rpc, { group: "trio" })).rejects.toThrow(/recording already/);
    const ended = await stopOf(rpc, session.session_id);
    expect(ended.status).toBe("failed");
    expect(statesOf(ended)).toEqual(["completed", "completed", "failed"]);
    expect(ended.members[2]?.error).toMatch(
      /^It did not end its recording\. .*cannot be reached.* `ocelli multicam download 127\.0\.0\.1:\d+` fetches it\.$/,
    );
    const report = await reportOf(rpc, session.session_id);
    for (const { files, frames_received } of report.members.slice(0, 2)) {
      expect((await readRecording(hub.file("recordings", first(files)))).frames).toBe(frames_received);
    }
  });
});

describe("phones of bad habits", () => {
  let hub: RunningHub;
  let rpc: Rpc;
  beforeAll(async () => {
    hub = await startHub({ env: virtual });
    rpc = await hub.rpc();
    await ready(rpc, 2);
    await rpc.call("subscribe_events", { topics: ["sync.session"] });
  });
  afterAll(async () => {
    await rpc?.close();
    await hub?.stop();
  });
  const at = ({ port }: PythonDevice) => ({ host: "127.0.0.1", port });

  it("are waited for when they answer in pieces, late and twice; one that claims 1 TB harms nobody", async () => {
    const habits = ["pieces", "late=0.2", "twice"];
    await using odd = await PythonDevice.start(phoneVideo, { id: "Odd-00000001", habits });
    await using liar = await PythonDevice.start(phoneVideo, { id: "Liar-00000002", habits: ["terabyte"] });
    await rpc.call("create_sync_group", { name: "odd", members: ["camera100", at(odd), at(liar)] });
    const { session_id } = await startOf(rpc, { group: "odd", delay: 5 });
    await begun(rpc, session_id);
    const ended = await stopOf(rpc, session_id);
    expect(statesOf(ended)).toEqual(["completed", "completed", "failed"]);
    const [, whole, claimed] = ended.members;
    const fetched = readFileSync(hub.file("recordings", first(whole?.files)));
    expect(fetched.equals(readFileSync(phoneVideo))).toBe(true);
    expect(claimed).toMatchObject({
      files: [],
      error: expect.stringMatching(/^Its file could not be fetched\. .*(1000000000000|1 TB|free)/),
    });
    const left = readdirSync(hub.file("recordings", ".sync"), { recursive: true, withFileTypes: true });
    expect(left.filter((one) => one.isFile()).map(({ name }) => name)).toEqual([]);
    const { findings, verdict } = await reportOf(rpc, session_id);
    expect(verdict).toBe("out_of_tolerance");
    expect(findings.join("\n")).toMatch(/Liar|127\.0\.0\.1:\d+ failed/);
  });

  it("keep nobody from knowing why when what they answer means nothing", async () => {
    await using loud = await PythonDevice.start(phoneVideo, { id: "Loud-00000003", habits: ["garbage"] });
    await rpc.call("create_sync_group", { name: "loud", members: ["camera100", at(loud)] });
    await expect(startOf(rpc, { group: "loud", delay: 4 })).rejects.toThrow(
      /loud cannot start together.*127\.0\.0\.1:\d+: .*answered with something else/,
    );
    expect(await rpc.call("get_recording_status", { device: "camera100" })).toBeNull();
    const session = await startOf(rpc, { group: "loud", delay: 4, duration: 1, allow_partial: true });
    expect(statesOf(await over(rpc, session.session_id))).toEqual(["completed", "failed"]);
  });
});

describe("a hub that is killed during a session", () => {
  it("goes on with it after the restart, and the report says what is missing", async () => {
    const dataDir = mkdtempSync(join(tmpdir(), "ocelli-sync-killed-"));
    try {
      let hub = await startHub({ dataDir, env: virtual });
      let rpc = await hub.rpc();
      await ready(rpc, 2);
      await rpc.call("subscribe_events", { topics: ["sync.session"] });
      await rpc.call("create_sync_group", { name: "pair", members: ["camera100", "camera101"] });
      const { session_id, start_at_us } = await startOf(rpc, { group: "pair", delay: 2 });
      await begun(rpc, session_id);
      await recorded(rpc, session_id, 15, ["camera100", "camera101"]);
      await hub.end("SIGKILL");
      hub = await startHub({ dataDir, env: virtual });
      rpc = await hub.rpc();
      await until("both to go on", async () => {
        const { members } = await reportOf(rpc, session_id);
        return members.every(({ files }) => files.length === 2);
      });
      await expect(startOf(rpc, { group: "pair" })).rejects.toThrow(/recording already/);
      const ended = await stopOf(rpc, session_id);
      expect([ended.status, ...statesOf(ended)]).toEqual(["completed", "completed", "completed"]);
      const report = await reportOf(rpc, session_id);
      for (const member of report.members) {
        const [before, after] = await Promise.all(
          member.files.map((name) => readRecording(hub.file("recordings", name))),
        );
        if (before === undefined || after === undefined) throw new Error("two files were expected");
        const holeMs = (first(after.times) - (before.times.at(-1) ?? 0)) / 1000;
        expect(Math.abs(member.longest_interval_ms - holeMs)).toBeLessThan(2);
        expect(member.frames_received).toBe(before.frames + after.frames);
        // To the next whole one, by the rate that was measured.
        expect(Math.abs(member.frames_dropped - (holeMs / 100 - 1))).toBeLessThan(0.6);
        expect(first(before.times)).toBeGreaterThanOrEqual(start_at_us - 1000);
        expect(report.findings.join("\n")).toMatch(
          new RegExp(
            `${member.member} lacks ${member.frames_dropped} frame.* ms \\(the hub was not running\\)`,
          ),
        );
      }
      await rpc.close();
      await hub.stop();
    } finally {
      rmSync(dataDir, { recursive: true, force: true });
    }
  }, 120_000);
});

describe("recordings in segments", () => {
  it("are over after their duration all together, one member with several files, and are aligned across them", async () => {
    await using hub = await startHub({ env: { ...virtual, OCELLI_RECORDING_SEGMENT_SECONDS: "1" } });
    await using rpc = await hub.rpc();
    await ready(rpc, 2);
    await rpc.call("create_sync_group", { name: "pair", members: ["camera100", "camera101"] });
    const { session_id } = await startOf(rpc, { group: "pair", delay: 2, duration: 3 });
    expect((await over(rpc, session_id)).status).toBe("completed");
    const report = await reportOf(rpc, session_id);
    for (const { files, frames_received, frames_dropped, duration } of report.members) {
      expect(files).toHaveLength(3);
      const reads = await Promise.all(files.map((name) => readRecording(hub.file("recordings", name))));
      expect(reads.map(({ frames }) => frames)).toEqual([10, 10, 10]);
      expect([frames_received, frames_dropped]).toEqual([30, 0]);
      expect(duration).toBeCloseTo(3, 1);
    }

    const aligned = await rpc.call<AlignedObject>("align_sync_session", { session_id });
    expect(aligned.skipped).toEqual([]);
    const [one, two] = aligned.members;
    expect(Math.abs((one?.frames ?? 0) - (two?.frames ?? 0))).toBeLessThanOrEqual(1);
    expect(Math.abs((one?.first_frame_at_us ?? 0) - (two?.first_frame_at_us ?? 0))).toBeLessThan(100_000);
    for (const { filename, frames, method } of aligned.members) {
      expect(method).toBe("copy");
      // All of a member's frames but for one at either end, and none of them twice or left out at a joint.
      expect(frames).toBeGreaterThanOrEqual(28);
      const cut = await readRecording(hub.file("recordings", filename), "numbers");
      expect(cut.frames).toBe(frames);
      const from = cut.first?.number ?? -1;
      expect(cut.numbers).toEqual(Array.from({ length: frames }, (_, i) => from + i));
    }
    const shown = await readRecording(hub.file("recordings", aligned.preview));
    expect(shown.duration).toBeGreaterThan(2.7);
  });
});

describe("a camera that needs three seconds for its first frame", () => {
  it("is in time with the usual delay; with too short a one the report says so, and when it goes away too", async () => {
    await using slow = new SlowCamera(3000);
    const config = join(folder, "slow.yaml");
    const cameras = [{ number: 120, name: "Slow", url: await slow.listen() }];
    writeFileSync(config, JSON.stringify({ cameras, capture: { lingerSeconds: 0 } }));
    await using hub = await startHub({ args: ["--config", config], env: virtual });
    await using rpc = await hub.rpc();
    await ready(rpc, 3);
    await rpc.call("subscribe_events", { topics: ["sync.session"] });
    await rpc.call("create_sync_group", { name: "mixed", members: ["camera100", "camera120"] });

    const usual = await startOf(rpc, { group: "mixed", duration: 1 });
    await over(rpc, usual.session_id);
    const good = await reportOf(rpc, usual.session_id);
    expect(good.findings.join("\n")).not.toContain("was ready only");
    for (const { files, start_error_ms } of good.members) {
      const [at = 0] = (await readRecording(hub.file("recordings", first(files)))).times;
      expect(at).toBeGreaterThanOrEqual(usual.start_at_us - 1000);
      // Late by its own jitter, not by the three seconds.
      expect(start_error_ms).toBeLessThan(1500);
    }

    const hasty = await startOf(rpc, { group: "mixed", delay: 1 });
    expect(hasty.start_at_us / 1000).toBeLessThan(Date.now());
    await begun(rpc, hasty.session_id);
    await recorded(rpc, hasty.session_id, 5, ["camera100", "camera120"]);
    await slow[Symbol.asyncDispose]();
    await recorded(rpc, hasty.session_id, 60, ["camera100"]);
    const ended = await stopOf(rpc, hasty.session_id);
    expect(statesOf(ended)).toEqual(["completed", "completed"]);
    const report = await reportOf(rpc, hasty.session_id);
    expect(report.verdict).toBe("out_of_tolerance");
    expect(report.findings.join("\n")).toMatch(
      /camera120 was ready only \d+\.\d ms after the common instant/,
    );
    expect(report.findings.join("\n")).toMatch(/camera120 began \d+\.\d ms after the common instant/);
    expect(report.findings.join("\n")).toMatch(/camera120 ends \d+\.\d s before the last one/);
  }, 120_000);
});

describe.skipIf(smallDisksMustSkip())("a disk that fills up", () => {
  it("ends the session with whole files, and refuses the next", async () => {
    using mounted = new SmallDisk("48m");
    const disk = mounted.path;
    const env = { ...virtual, OCELLI_STORAGE_CHECK_SECONDS: "0.1" };
    const unset = { OCELLI_STORAGE_LOW_MEGABYTES: undefined, OCELLI_STORAGE_CRITICAL_MEGABYTES: undefined };
    mkdirSync(join(disk, "data"));
    await using hub = await startHub({ dataDir: join(disk, "data"), env: { ...env, ...unset } });
    await using rpc = await hub.rpc();
    await ready(rpc, 2);
    await rpc.call("subscribe_events", { topics: ["sync.session", "storage.level"] });
    await rpc.call("create_sync_group", { name: "pair", members: ["camera100", "camera101"] });
    const { session_id } = await startOf(rpc, { group: "pair", delay: 2 });
    await begun(rpc, session_id);
    await recorded(rpc, session_id, 10, ["camera100", "camera101"]);
    const fill = (name: string): void => {
      const { bavail, bsize } = statfsSync(disk);
      execFileSync("fallocate", ["-l", String(bavail * bsize - 1_200_000), join(disk, name)]);
    };
    fill("ballast");
    await over(rpc, session_id);
    // What the recordings had reserved is free again.
    await rpc.waitFor("storage.level", ({ level }) => level === "critical");
    fill("more");
    await until("the guard to see it", async () => {
      const info = await rpc.call<{ low_space_warning: boolean }>("get_storage_info");
      return info.low_space_warning;
    });
    await expect(startOf(rpc, { group: "pair" })).rejects.toMatchObject({
      data: expect.objectContaining({ code: expect.stringMatching(/^storage_/) }),
    });
    await expect(rpc.call("align_sync_session", { session_id })).rejects.toMatchObject({
      data: expect.objectContaining({ code: expect.stringMatching(/^storage_/) }),
    });
    for (const name of ["ballast", "more"]) truncateSync(join(disk, name));
    const report = await reportOf(rpc, session_id);
    expect(report.findings.join("\n")).toMatch(/camera\d+.* ended after .*: the disk was nearly full\./);
    for (const { files, frames_received } of report.members) {
      expect((await readRecording(hub.file("recordings", first(files)))).frames).toBe(frames_received);
    }
  }, 120_000);
});
