import { appendFileSync, mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { RecordedFrameTime } from "../media/mp4-recovery.ts";
import { frameTimesPath, writeFrameTimes } from "./frame-times-file.ts";
import { framesOf } from "./testing/frames-of.ts";

let folder: string;
let path: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ocelli-frame-times-"));
  path = join(folder, "clip.mkv");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** More than are read at once, the last hours after the others. */
const frames: RecordedFrameTime[] = Array.from({ length: 5000 }, (_, index) => ({
  index,
  capturedAtUs: 1_763_744_899_123_457 + index * 33_333 + (index === 4999 ? 36_000_000_000 : 0),
  mediaTimeUs: index * 33_333,
  durationUs: index === 4998 ? 36_000_033_333 : 33_333,
  keyframe: index % 30 === 0,
  discontinuity: index === 4999,
}));

async function* given(list = frames): AsyncGenerator<RecordedFrameTime> {
  yield* list;
}

describe("frame times beside a recording", () => {
  it("come back as they were, also without any", async () => {
    for (const list of [frames, frames.slice(0, 2048), []]) {
      expect(await writeFrameTimes(path, given(list))).toBe(list.length);
      expect(await framesOf(path)).toEqual(list);
    }
  });

  it("end with the last whole one of a file that was cut", async () => {
    await writeFrameTimes(path, given());
    const beside = frameTimesPath(path);
    truncateSync(beside, statSync(beside).size - 1);
    expect(await framesOf(path)).toEqual(frames.slice(0, -1));
  });

  it("are refused from a file of another form", async () => {
    writeFileSync(frameTimesPath(path), "no frame");
    await expect(framesOf(path)).rejects.toMatchObject({ code: "unsupported" });
    appendFileSync(frameTimesPath(path), "x".repeat(100));
    await expect(framesOf(path)).rejects.toMatchObject({ code: "unsupported" });
  });

  it("are those of the frames, or an error", async () => {
    const broken = async function* (): AsyncGenerator<RecordedFrameTime> {
      yield* frames;
      throw new Error("the source is gone");
    };
    await expect(writeFrameTimes(path, broken())).rejects.toThrow("the source is gone");
  });
});
