import { rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { makeFragments } from "../../packages/server/src/library/testing/make-fragments.ts";
import type { Fragment } from "../../packages/server/src/media/fragment.ts";
import { Recorder, type RecorderHost } from "../../packages/server/src/recording/recorder.ts";
import type { Section } from "../section.ts";

/** Frames that are in memory already, written as fast as they can be, with `fdatasync` after each second of media. */
export const recorder: Section = {
  name: "recorder",
  about: "the recorder alone, fed as fast as it takes frames",
  async run({ report, quick, folder }) {
    const rounds = quick ? 1 : 5;
    const seconds = quick ? 30 : 90;
    const second = makeFragments({
      video: "testsrc2=size=1280x720:rate=30:duration=1,noise=alls=6:allf=t",
      encoder: ["-c:v", "mjpeg", "-q:v", "5"],
    });
    const bytes = second.reduce((sum, frame) => sum + frame.sample.length, 0) * seconds;
    const recorded: number[] = [];
    const plain: number[] = [];
    const cpu: number[] = [];
    for (let round = 0; round < rounds; round++) {
      const path = join(folder, `fast-${round}.mp4`);
      const before = process.cpuUsage();
      recorded.push(rate(bytes, await record(path, second, seconds)));
      const { user, system } = process.cpuUsage(before);
      cpu.push((user + system) / 1000 / (bytes / 2 ** 20));
      rmSync(path);
      plain.push(rate(bytes, await write(path, second, seconds)));
      rmSync(path);
    }
    report.figure({
      what: "MJPEG 720p, one file",
      unit: "MiB/s",
      values: recorded,
      against: {
        what: "the same bytes by plain writev and fdatasync, a second of media at a time",
        values: plain,
      },
    });
    report.figure({ what: "CPU for it", unit: "ms per MiB", values: cpu });
  },
};

const rate = (bytes: number, ms: number): number => bytes / 2 ** 20 / (ms / 1000);

async function record(path: string, second: readonly Fragment[], seconds: number): Promise<number> {
  const host: RecorderHost = {
    name: async () => path,
    notMade: async () => {},
    created: async () => {},
    ended: async () => {},
    intervalUs: () => 1e6 / 30,
    outageBefore: () => "none",
  };
  const recorder = new Recorder({ host, notBeforeUs: 0, limits: { segmentSeconds: 0, segmentBytes: 0 } });
  const startedAt = performance.now();
  for (let at = 0; at < seconds; at++)
    for (const frame of later(second, at * 1e6)) await recorder.take(frame);
  const failure = await recorder.end("stopped");
  if (failure !== undefined) throw failure;
  return performance.now() - startedAt;
}

async function write(path: string, second: readonly Fragment[], seconds: number): Promise<number> {
  const startedAt = performance.now();
  const file = await open(path, "wx");
  const buffers = second.map((frame) => frame.sample);
  for (let at = 0; at < seconds; at++) {
    await file.writev(buffers);
    await file.datasync();
  }
  await file.close();
  return performance.now() - startedAt;
}

function later(frames: readonly Fragment[], byUs: number): Fragment[] {
  return frames.map((frame) => ({
    ...frame,
    mediaTimeUs: frame.mediaTimeUs + byUs,
    decodeTimeUs: frame.decodeTimeUs + byUs,
    capturedAtUs: frame.capturedAtUs + byUs,
    receivedAtMonoUs: frame.receivedAtMonoUs + byUs,
  }));
}
