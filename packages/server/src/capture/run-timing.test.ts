import { describe, expect, it } from "vitest";
import type { RawFrame } from "../media/fragment-parser.ts";
import { type RunTimingOptions, runTiming } from "./run-timing.ts";
import { fragmentMaker } from "./testing/fragments.ts";

const make = fragmentMaker();
const { init, track } = make();

function raw(ptsUs: number, dtsUs = ptsUs): RawFrame {
  const bytes = Buffer.alloc(16);
  return {
    init,
    track,
    ptsTicks: ptsUs,
    dtsTicks: dtsUs,
    ptsUs,
    dtsUs,
    durationUs: 40_000,
    keyframe: true,
    bytes,
    sample: bytes,
    decodeTimeAt: 0,
  };
}

function timing(more: Partial<RunTimingOptions> = {}) {
  return runTiming({
    timeSource: "arrival",
    times: "stream",
    afterUs: 0,
    nominalIntervalUs: 40_000,
    ...more,
  });
}

describe("runTiming", () => {
  it("takes kernel stamps as they are", () => {
    const run = timing({ timeSource: "kernel" });
    expect(run.add(raw(5_000_000_000), 5_000_040_000)).toMatchObject([
      { offsetUs: 0, capturedAtMonoUs: 5_000_000_000, receivedAtMonoUs: 5_000_040_000 },
    ]);
    expect(run.timeSource).toBe("kernel");
  });

  it("falls back to arrivals where the kernel's stamps are of another clock", () => {
    const run = timing({ timeSource: "kernel" });
    const given = [0, 1, 2, 3].flatMap((i) => run.add(raw(i * 40_000), 5_000_000_000 + i * 40_000));
    expect(run.timeSource).toBe("arrival");
    // Frame i came when the fragment before it left.
    expect(given.map((timed) => timed.capturedAtMonoUs - 5_000_000_000)).toEqual([
      -40_000, 0, 40_000, 80_000,
    ]);
  });

  it("holds a stream's frames back until its times settle, then gives them all, in order", () => {
    const run = timing();
    // Probing lets five frames through at once, then they come at their pace.
    const arrivals = [0, 0, 0, 0, 0, 40_000, 80_000, 120_000].map((us) => 9_000_000_000 + us);
    const counts = arrivals.map((arrival, i) => run.add(raw(i * 40_000), arrival).length);
    expect(counts.slice(0, 6)).toEqual([0, 0, 0, 0, 0, 0]);
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(8);
  });

  it("gives a stream one offset a run, and never goes back into the run before", () => {
    const run = timing({ afterUs: 20_000_000_000 });
    const given = [0, 1, 2, 3, 4].flatMap((i) => run.add(raw(i * 40_000), 9_000_000_000 + i * 40_000));
    expect(new Set(given.map((timed) => timed.offsetUs))).toEqual(new Set([20_000_000_001]));
    expect(given[0]?.capturedAtMonoUs).toBe(8_999_960_000);
  });

  it("takes as many frames for the arrival of one as ffmpeg keeps back, by codec and whatever else is in the session", () => {
    const audio = { kind: "audio", id: 2, codec: "aac", codecString: "mp4a.40.2" } as const;
    const withAudio = {
      ...init,
      tracks: [track, { ...audio, channels: 1, sampleRate: 8000, timescale: 8000 }],
    };
    const late = (keptBack: RunTimingOptions["keptBack"], more: Partial<RawFrame> = {}): Set<number> => {
      const run = timing(keptBack === undefined ? {} : { keptBack });
      const leaves = [0, 1, 2, 3, 4, 5, 6, 7].map((i) => ({ ...raw(i * 40_000), ...more, i }));
      const given = leaves.flatMap((frame) => run.add(frame, 9_000_000_000 + frame.i * 40_000));
      expect(given.map(({ frame }) => frame.ptsUs)).toEqual(leaves.map(({ ptsUs }) => ptsUs));
      return new Set(
        given.map(({ frame, capturedAtMonoUs }) => 9_000_000_000 + frame.ptsUs - capturedAtMonoUs),
      );
    };
    // Frame i leaves ffmpeg at i * 40 ms; it came as many frames earlier as were kept back.
    expect(late(undefined)).toEqual(new Set([40_000]));
    expect(late({ h264: 2 })).toEqual(new Set([120_000]));
    expect(late({ hevc: 2 })).toEqual(new Set([40_000]));
    expect(late({ h264: 2 }, { init: withAudio })).toEqual(new Set([80_000]));
  });

  it("keeps the order of B-frames and times them by their presentation", () => {
    const run = timing();
    // I0 P3 B1 B2 P6 B4 B5: sent in decode order.
    const order = [0, 3, 1, 2, 6, 4, 5, 9, 7, 8];
    const given = order.flatMap((pts, i) =>
      run.add(raw(pts * 40_000, (i - 1) * 40_000), 9_000_000_000 + i * 40_000),
    );
    const first = given[0]?.capturedAtMonoUs ?? 0;
    expect(given.map((timed) => Math.round((timed.capturedAtMonoUs - first) / 40_000))).toEqual(order);
  });

  it("ends a run whose times jump", () => {
    const run = timing({ jumpUs: 15_000_000 });
    for (let i = 0; i < 50; i++) run.add(raw(i * 40_000), 9_000_000_000 + i * 40_000);
    expect(() => run.add(raw(60_000_000), 9_002_000_000)).toThrow(/jumped by 58/);
  });

  it("takes the arrival of each frame for its time where a stream has none", () => {
    const run = timing({ times: "receive", nominalIntervalUs: 100_000 });
    const arrivals = [0, 70_000, 200_000, 200_000, 310_000].map((us) => 9_000_000_000 + us);
    const given = arrivals.flatMap((arrival, i) => run.add(raw(i * 40_000), arrival));
    expect(given.map(({ capturedAtMonoUs }) => capturedAtMonoUs - 9_000_000_000)).toEqual([
      -100_000, 0, 70_000, 200_000, 200_001,
    ]);
    expect(given.map(({ durationUs }) => durationUs)).toEqual([100_000, 70_000, 130_000, 1, 109_999]);
    expect(
      given.every(({ frame, offsetUs, capturedAtMonoUs }) => frame.ptsUs + offsetUs === capturedAtMonoUs),
    ).toBe(true);
  });

  it("gives the same times when it learns only of a few frames when they came", () => {
    // A camera 20 ppm fast behind a network with up to 30 ms of jitter.
    const jitterUs = (i: number): number => ((i * 7919) % 30) * 1000;
    const errors = (readLate: boolean): number[] => {
      const run = timing();
      const found: number[] = [];
      let readAtUs = 0;
      for (let i = 0; i < 3000; i++) {
        const sentUs = 7_000_000_000 + i * 40_000;
        const leftUs = sentUs + 40_000 + jitterUs(i);
        // In batches of five, but for one frame a second that is read as it comes.
        const onTime = !readLate || i < 100 || i % 25 === 0;
        readAtUs = Math.max(readAtUs, onTime ? leftUs : leftUs + (5 - (i % 5)) * 40_000);
        for (const { capturedAtMonoUs, frame } of run.add(raw(i * 40_000.8), readAtUs, onTime)) {
          found.push(capturedAtMonoUs - (7_000_000_000 + (frame.ptsUs / 40_000.8) * 40_000));
        }
      }
      return found.slice(500);
    };
    const promptly = errors(false);
    const late = errors(true);
    expect(late).toHaveLength(promptly.length);
    const worst = Math.max(...late.map((error, i) => Math.abs(error - (promptly[i] ?? 0))));
    // Told apart by less than the jitter of one frame; read when the batch came they would be 40 ms and more late.
    expect(worst).toBeLessThan(10_000);
    expect(timing({ timeSource: "kernel" }).onTimeFrames).toBe("none");
    expect(timing({ times: "receive" }).onTimeFrames).toBe("every");
    expect(timing().onTimeFrames).toBe("some");
  });
});
