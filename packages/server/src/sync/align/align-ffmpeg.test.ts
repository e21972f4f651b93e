import { expect, it } from "vitest";
import { SystemClock } from "../../clock/system-clock.ts";
import type { StorageLevel } from "../../library/contract.ts";
import { runFfmpegWork } from "./align-ffmpeg.ts";

const source = (seconds: number): string[] => ["-f", "lavfi", "-i", `testsrc2=s=640x480:r=30:d=${seconds}`];
const signal = new AbortController().signal;

function run(args: readonly string[], level: StorageLevel = "ok"): Promise<void> {
  const storage = {
    state: { level, freeBytes: 1e10, totalBytes: 1e10 },
    check: async () => storage.state,
    assertMayRecord: async () => undefined,
  };
  const clock = new SystemClock();
  const work = { args, purpose: "cutting a.mp4", durationUs: 1e6, signal, onPart: () => undefined };
  return runFfmpegWork(work, { clock, storage }).finally(() => clock.close());
}

it("says that the disk is full, not that ffmpeg failed", async () => {
  await expect(
    run(["-y", ...source(5), "-c:v", "mjpeg", "-f", "matroska", "/dev/full"]),
  ).rejects.toMatchObject({
    code: "storage_failed",
    message: "cutting a.mp4 was given up: the disk is full. Free some space.",
  });
});

it("is given up when space becomes critical, long before it is done", async () => {
  // An hour in real time.
  const slow = ["-re", ...source(3600), "-c:v", "mjpeg", "-f", "null", "-"];
  await expect(run(slow, "critical")).rejects.toMatchObject({ code: "storage_critical" });
});

it("says what ffmpeg said otherwise", async () => {
  await expect(run(["-i", "/nowhere.mp4", "-f", "null", "-"])).rejects.toMatchObject({
    code: "ffmpeg_failed",
  });
});
