import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MultiCamController, type MultiCamControllerOptions } from "@ocelli/client/node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makePhoneVideo, PythonDevice } from "../harness/multicam.ts";
import { SmallDisk, smallDisksMustSkip } from "../harness/small-disk.ts";

// The controller drives devices of other make (test/clients/multicam_device.py), good ones and bad ones.

let folder: string;
let video: string;
const sha256 = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");
/** What a device was asked it tells by a pipe, which may be later than its answer. */
const told = { timeout: 10_000 };
const noSmallDisks = smallDisksMustSkip();

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ocelli-phones-"));
  video = join(folder, "phone.mp4");
  makePhoneVideo(video);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

class Fleet implements AsyncDisposable {
  readonly controller: MultiCamController;
  readonly devices: PythonDevice[] = [];

  constructor(options: MultiCamControllerOptions = {}) {
    this.controller = new MultiCamController({ retryDelays: [0.05, 0.1, 0.2], ...options });
  }

  /** @returns the controller's id of it */
  async add(...options: Parameters<typeof PythonDevice.start> extends [string, ...infer R] ? R : never) {
    const device = await PythonDevice.start(video, ...options);
    this.devices.push(device);
    return { device, id: this.controller.add({ host: "127.0.0.1", port: device.port }).id };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.controller.close();
    await Promise.all(this.devices.map((device) => device[Symbol.asyncDispose]()));
  }
}

/** Waits until the device has begun, as it says itself. */
async function begun(controller: MultiCamController, id: string): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!(await controller.status(id)).isRecording) {
    if (Date.now() > deadline) throw new Error(`${id} has not begun`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe.each(["v2", "v1", "prose"] as const)("a device that speaks %s", (dialect) => {
  it("is started at an instant, stopped, and its file fetched byte by byte", async () => {
    await using fleet = new Fleet();
    const { controller } = fleet;
    const { device, id } = await fleet.add({ dialect });
    expect(await controller.status(id)).toMatchObject({ status: "ready", isRecording: false });
    const at = Date.now() / 1000 + 1.5;
    const started = await controller.startRecording({ at });
    expect(started).toMatchObject({
      at,
      results: [{ ok: true, value: { status: "scheduled_recording_accepted" } }],
    });
    await begun(controller, id);
    const [stopped] = await controller.stopRecording();
    if (stopped?.ok !== true) throw stopped?.error ?? new Error("no result");
    expect(stopped.value.inferred).toBe(false);
    expect(stopped.value.fileSize).toBe(statSync(video).size);
    const name = `Mountain-A1B2C3D4_${Math.round(at * 1000)}`;
    expect(stopped.value.fileId).toBe(name);
    const { fileId = "", fileName } = stopped.value;
    const saved = await controller.download(
      id,
      { fileId, ...(fileName === undefined ? {} : { fileName }) },
      { folder: join(folder, dialect) },
    );
    expect(saved.fileName).toBe(`${name}${dialect === "prose" ? ".mov" : ".mp4"}`);
    expect(sha256(saved.path)).toBe(sha256(video));
    expect(readdirSync(join(folder, dialect))).toEqual([saved.fileName]);
    if (dialect === "prose")
      await expect(controller.listFiles(id)).rejects.toMatchObject({ code: "refused" });
    else expect(await controller.listFiles(id)).toMatchObject([{ fileId: name, fileName: `${name}.mp4` }]);
    expect(await controller.heartbeat(id)).toMatchObject({ status: "command_received" });
    // One read is one command for it: none came in pieces.
    expect(device.lines.filter((line) => "split" in line)).toEqual([]);
  });

  it("says what it has not", async () => {
    await using fleet = new Fleet();
    const { id } = await fleet.add({ dialect });
    await expect(
      fleet.controller.download(id, { fileId: "none", fileName: "none.mp4" }, { folder }),
    ).rejects.toMatchObject({ code: "file_not_found" });
    await expect.poll(() => fleet.devices[0]?.commands, told).toEqual(["GET_VIDEO"]);
  });
});

it("fetches from a device that answers byte by byte, late, and twice", async () => {
  await using fleet = new Fleet();
  const { controller } = fleet;
  const { id } = await fleet.add({ habits: ["pieces", "late=0.1", "twice"] });
  expect(await controller.status(id)).toMatchObject({ status: "ready", batteryLevel: 87.5 });
  const { results } = await controller.startRecording({ at: Date.now() / 1000 });
  expect(results).toMatchObject([{ ok: true, value: { status: "recording" } }]);
  const [stopped] = await controller.stopRecording();
  expect(stopped).toMatchObject({ ok: true, value: { fileSize: statSync(video).size } });
  expect(await controller.listFiles(id)).toHaveLength(1);
});

describe("one failing device", () => {
  it("never hides the others: each has its own result", async () => {
    await using fleet = new Fleet({ commandTimeout: 5, stopTimeout: 5 });
    const { controller } = fleet;
    const good = await fleet.add({ id: "Good-00000001" });
    const late = await fleet.add({ id: "Late-00000002", habits: ["late=0.3"] });
    const garbage = await fleet.add({ id: "Loud-00000003", habits: ["garbage"] });
    const unsynchronised = await fleet.add({ id: "Lost-00000004", habits: ["unsynchronised"] });
    const gone = await fleet.add({ id: "Gone-00000005" });
    gone.device.kill("SIGKILL");
    await gone.device.exited;
    const { results } = await controller.startRecording({ at: Date.now() / 1000 + 1.5 });
    const outcome = Object.fromEntries(
      results.map((one) => [one.device.port, one.ok ? one.value.status : one.error]),
    );
    expect(outcome).toMatchObject({
      [good.device.port]: "scheduled_recording_accepted",
      [late.device.port]: "scheduled_recording_accepted",
      [garbage.device.port]: { code: "malformed" },
      [unsynchronised.device.port]: { code: "time_not_synchronized" },
      [gone.device.port]: { code: "unreachable" },
    });
    await begun(controller, good.id);
    const stopped = await controller.stopRecording({ devices: [good.id, late.id, gone.id] });
    expect(stopped.map(({ ok }) => ok)).toEqual([true, true, false]);
    // What refused is not asked again.
    await expect.poll(() => unsynchronised.device.commands, told).toEqual(["START_RECORDING"]);
  });

  it("that vanishes between START and STOP is told apart, and known as unreachable", async () => {
    await using fleet = new Fleet();
    const { controller } = fleet;
    const good = await fleet.add({ id: "Good-00000001" });
    const vanishing = await fleet.add({ id: "Gone-00000002", habits: ["vanish"] });
    const { results } = await controller.startRecording({ at: Date.now() / 1000 });
    expect(results.map(({ ok }) => ok)).toEqual([true, true]);
    await vanishing.device.exited;
    const [first, second] = await controller.stopRecording();
    expect(first).toMatchObject({ ok: true, value: { inferred: false } });
    expect(second).toMatchObject({ ok: false, error: { code: "unreachable" } });
    expect(controller.device(vanishing.id)).toMatchObject({ reachable: false });
    expect(controller.device(good.id)).toMatchObject({ reachable: true, deviceType: "Android:Phone" });
  });
});

describe("a command", () => {
  it("is repeated when the connection broke", async () => {
    await using fleet = new Fleet();
    const { device, id } = await fleet.add({ habits: ["deaf=2"] });
    expect(await fleet.controller.status(id)).toMatchObject({ status: "ready" });
    await expect
      .poll(() => device.commands, told)
      .toEqual(["DEVICE_STATUS", "DEVICE_STATUS", "DEVICE_STATUS"]);
  });

  it("to start or stop whose answer was lost is not given twice", async () => {
    await using fleet = new Fleet();
    const { controller } = fleet;
    const { device } = await fleet.add({ habits: ["lose-start-answer", "lose-stop-answer"] });
    const { results } = await controller.startRecording({ at: Date.now() / 1000 });
    expect(results).toMatchObject([{ ok: true, value: { status: "recording" } }]);
    const [stopped] = await controller.stopRecording();
    expect(stopped).toMatchObject({ ok: true, value: { inferred: true, fileSize: statSync(video).size } });
    await expect
      .poll(() => device.commands.filter((command) => /^ST/.test(command)), told)
      .toEqual(["START_RECORDING", "STOP_RECORDING"]);
  });

  it("to stop is not sent to an idle device, which might never answer", async () => {
    await using fleet = new Fleet();
    const { device } = await fleet.add({ habits: ["silent-stop"] });
    const [stopped] = await fleet.controller.stopRecording();
    expect(stopped).toMatchObject({ ok: false, error: { code: "refused" } });
    await expect.poll(() => device.commands, told).toEqual(["DEVICE_STATUS"]);
  });
});

describe("a file", () => {
  async function recorded(fleet: Fleet, habits: readonly string[]) {
    const { id } = await fleet.add({ habits });
    await fleet.controller.startRecording({ at: Date.now() / 1000 });
    const [stopped] = await fleet.controller.stopRecording();
    if (stopped?.ok !== true || stopped.value.fileName === undefined) throw new Error("nothing recorded");
    return { id, file: { fileName: stopped.value.fileName } };
  }

  it("whose transfer breaks twice is fetched from the beginning again, and is whole", async () => {
    await using fleet = new Fleet();
    const { id, file } = await recorded(fleet, ["break-file=2", "zero-size"]);
    const progress: number[] = [];
    const saved = await fleet.controller.download(id, file, {
      folder: join(folder, "broken"),
      onProgress: (bytes) => progress.push(bytes),
    });
    expect(sha256(saved.path)).toBe(sha256(video));
    expect(progress.at(-1)).toBe(statSync(video).size);
    await expect
      .poll(() => fleet.devices[0]?.commands.filter((command) => command === "GET_VIDEO"), told)
      .toHaveLength(3);
  });

  it("that is said to have 1 TB, from a device that closes, leaves nothing behind", async () => {
    await using fleet = new Fleet({ retryDelays: [] });
    const { id, file } = await recorded(fleet, ["terabyte"]);
    const into = join(folder, "terabyte");
    const failed: unknown = await fleet.controller
      .download(id, file, { folder: into })
      .catch((error) => error);
    // By the room there is on this disk: refused before, or broken off.
    expect(failed).toMatchObject({ code: expect.stringMatching(/^(storage_failed|unreachable)$/) });
    expect(readdirSync(into)).toEqual([]);
  });

  it("that stops coming is given up, and so is one nobody wants any more", async () => {
    await using fleet = new Fleet({ retryDelays: [], stallTimeout: 0.5 });
    const { id, file } = await recorded(fleet, ["silent-file"]);
    const into = join(folder, "silent");
    await expect(fleet.controller.download(id, file, { folder: into })).rejects.toMatchObject({
      code: "stalled",
    });
    const given = new AbortController();
    const download = fleet.controller.download(id, file, {
      folder: into,
      signal: given.signal,
      onProgress: () => given.abort(new Error("not wanted any more")),
    });
    await expect(download).rejects.toThrow("not wanted any more");
    expect(readdirSync(into)).toEqual([]);
  });

  it.skipIf(noSmallDisks)(
    "that fills the disk is given up, and leaves the room it took to others",
    async () => {
      await using fleet = new Fleet({ retryDelays: [] });
      const { id, file } = await recorded(fleet, []);
      const size = statSync(video).size;
      // Room for two of four, as each is told before it begins: that they take it from each other shows on the way only.
      using disk = new SmallDisk(`${Math.ceil((size * 2.5) / 4096) * 4}k`);
      const results = await Promise.allSettled(
        [1, 2, 3, 4].map(() => fleet.controller.download(id, file, { folder: disk.path })),
      );
      const failed = results.flatMap((result) => (result.status === "rejected" ? [result.reason] : []));
      expect(failed.length).toBeGreaterThanOrEqual(2);
      for (const error of failed) expect(error).toMatchObject({ code: "storage_failed" });
      // What is there is whole, and nothing else is.
      const kept = readdirSync(disk.path);
      expect(kept).toHaveLength(4 - failed.length);
      for (const name of kept) expect(sha256(join(disk.path, name))).toBe(sha256(video));
      // So that there is room again.
      for (const name of kept) rmSync(join(disk.path, name));
      expect(sha256((await fleet.controller.download(id, file, { folder: disk.path })).path)).toBe(
        sha256(video),
      );
    },
  );

  it("on its way ends with the controller", async () => {
    await using fleet = new Fleet({ stallTimeout: 600 });
    const { id, file } = await recorded(fleet, ["silent-file"]);
    const half = Promise.withResolvers<void>();
    const download = fleet.controller.download(id, file, {
      folder: join(folder, "closed"),
      onProgress: (bytes, total) => {
        if (bytes >= total / 2) half.resolve();
      },
    });
    const outcome = download.catch((error: unknown) => error);
    await half.promise;
    await fleet.controller.close();
    expect(await outcome).toMatchObject({ message: expect.stringContaining("closed") });
    expect(readdirSync(join(folder, "closed"))).toEqual([]);
  });
});

it("hears from devices all the time when asked to, and of those that fail too", async () => {
  await using fleet = new Fleet({ retryDelays: [] });
  const { controller } = fleet;
  const { device } = await fleet.add();
  const waitFor = (reachable: boolean) =>
    new Promise<void>((resolve) => {
      const look = (one: { readonly reachable: boolean }): void => {
        if (one.reachable !== reachable) return;
        controller.off("device", look);
        resolve();
      };
      controller.on("device", look);
    });
  const here = waitFor(true);
  controller.startPolling(0.05);
  await here;
  const away = waitFor(false);
  device.kill("SIGKILL");
  await away;
  expect(controller.devices[0]?.lastError).toContain("127.0.0.1");
});
