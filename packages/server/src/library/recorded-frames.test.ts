import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import type { Fragment } from "../media/fragment.ts";
import { recordedFrames } from "./recorded-frames.ts";
import { makeFragments } from "./testing/make-fragments.ts";
import { writeRecording } from "./testing/write-recording.ts";

let folder: string;
let path: string;
let recorded: Fragment[];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ocelli-recorded-frames-"));
  path = join(folder, "clip.mp4");
  recorded = makeFragments({ video: "color=s=32x32:r=100:d=10", encoder: ["-c:v", "mjpeg"] });
  await writeRecording(path, recorded);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(() => vi.restoreAllMocks());

async function timesOf(signal?: AbortSignal): Promise<number[]> {
  const times: number[] = [];
  for await (const { capturedAtUs } of recordedFrames(path, signal)) times.push(capturedAtUs);
  return times;
}

/** What every open file is read by. */
async function fileReads(): Promise<{ read: (...args: unknown[]) => Promise<unknown> }> {
  const some = await open(path, "r");
  await some.close();
  return Object.getPrototypeOf(some) as FileHandle as { read: (...args: unknown[]) => Promise<unknown> };
}

describe("the frames of a recording", () => {
  it("come with their times, each once", async () => {
    expect(await timesOf()).toEqual(recorded.map(({ capturedAtUs }) => capturedAtUs));
  });

  it("are whole when the system reads less than was asked for", async () => {
    const reads = await fileReads();
    const { read } = reads;
    vi.spyOn(reads, "read").mockImplementation(function (this: FileHandle, buffer, offset, length, position) {
      return read.call(this, buffer, offset, Math.min(100, Number(length)), position);
    });
    expect(await timesOf()).toHaveLength(recorded.length);
  });

  it("are read from two files at a time, however many are asked for", async () => {
    const reads = await fileReads();
    const { read } = reads;
    let now = 0;
    let most = 0;
    vi.spyOn(reads, "read").mockImplementation(async function (this: FileHandle, ...args) {
      most = Math.max(most, ++now);
      const result = await read.apply(this, args);
      now--;
      return result;
    });
    const all = await Promise.all(Array.from({ length: 8 }, () => timesOf()));
    expect(all.map((times) => times.length)).toEqual(Array(8).fill(recorded.length));
    expect(most).toBe(2);
  });

  it("are given to others while some readers are slow", async () => {
    const slow = Array.from({ length: 5 }, () => recordedFrames(path));
    for (const one of slow) expect((await one.next()).done).toBe(false);
    expect(await timesOf()).toHaveLength(recorded.length);
    for (const one of slow) await one.return();
  });

  it("let others have the processor between two reads", async () => {
    let turns = 0;
    let reading = true;
    const count = (): void => {
      turns++;
      if (reading) setImmediate(count);
    };
    setImmediate(count);
    await timesOf();
    reading = false;
    // A fragment holds 30 of them.
    expect(turns).toBeGreaterThan(recorded.length / 30);
  });

  it("end with the caller's reason, and let the file go", async () => {
    const files = (): number => readdirSync("/proc/self/fd").length;
    const before = files();
    const caller = new AbortController();
    const reason = new Error("nobody waits any more");
    const frames = recordedFrames(path, caller.signal);
    await frames.next();
    caller.abort(reason);
    await expect(
      (async () => {
        for await (const _ of frames);
      })(),
    ).rejects.toBe(reason);
    for await (const _ of recordedFrames(path)) break;
    expect(files()).toBe(before);
  });

  it("are refused where there are none", async () => {
    writeFileSync(join(folder, "other.mp4"), "no recording of ours");
    await expect(recordedFrames(join(folder, "other.mp4")).next()).rejects.toMatchObject({
      code: "unsupported",
    });
    await expect(recordedFrames(join(folder, "none.mp4")).next()).rejects.toMatchObject({
      code: "file_not_found",
    });
  });
});
