import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { DropAccount } from "../../recording/drops.ts";
import { IntervalCurve } from "./interval-curve.ts";
import { IntervalHistogram } from "./interval-histogram.ts";
import { type FrameFigures, FrameMeter } from "./measure.ts";

const t0 = 1_700_000_000_000_000;

function measured(times: readonly number[], nominalUs?: number): FrameFigures {
  const meter = new FrameMeter();
  for (const time of times) meter.add(time);
  return meter.figures(nominalUs);
}

/** Of frames with these intervals between them. */
function timesOf(intervals: readonly number[]): number[] {
  let at = t0;
  const after = intervals.map((us) => {
    at += us;
    return at;
  });
  return [t0, ...after];
}

/** Numbers from 0 up to `below`, the same every time. */
function* numbers(count: number, below: number): Generator<number> {
  let seed = 7;
  for (let i = 0; i < count; i++) {
    seed = (seed * 48_271) % 2_147_483_647;
    yield seed % below;
  }
}

describe("figures of frames", () => {
  it("are those of the times", () => {
    const times = [0, 100_000, 200_000, 500_000, 600_000].map((us) => t0 + us);
    expect(measured(times)).toMatchObject({
      ...{ frames: 5, firstFrameAtUs: t0, lastFrameAtUs: t0 + 600_000, stepsBack: 0 },
      ...{ intervalUs: 100_000, deviationUs: 0, medianUs: 100_000, longestUs: 300_000 },
      missing: 2,
    });
    expect(measured([])).toMatchObject({ frames: 0, firstFrameAtUs: undefined, intervalUs: undefined });
    expect(measured([t0])).toMatchObject({ frames: 1, lastFrameAtUs: t0, intervalUs: undefined, missing: 0 });
    expect(measured([t0, t0, t0])).toMatchObject({ frames: 3, intervalUs: undefined, missing: 0 });
  });

  it("keep the jitter apart from holes", () => {
    const jitter = [-3000, 3000, -1000, 1000];
    const us = Array.from({ length: 400 }, (_, i) => (i === 200 ? 5_000_000 : 40_000 + (jitter[i % 4] ?? 0)));
    const times = timesOf(us);
    const { intervalUs = 0, deviationUs = 0, longestUs, missing } = measured(times);
    expect(Math.abs(intervalUs - 40_000)).toBeLessThan(10);
    expect(Math.abs(deviationUs - Math.sqrt(5) * 1000)).toBeLessThan(10);
    expect([longestUs, missing]).toEqual([5_000_000, 124]);
  });

  it("count the same frames as dropped as the recording did", () => {
    const us = [...numbers(5000, 1000)].map((n) => (n < 20 ? 40_000 * (2 + n) : 39_700 + (n % 600)));
    const times = timesOf(us);
    const account = new DropAccount();
    for (const time of times) {
      account.frame({ mediaTimeUs: time - t0, decodeTimeUs: time - t0, capturedAtUs: time }, 40_000);
    }
    expect(account.missing).toBeGreaterThan(100);
    expect(measured(times).missing).toBe(account.missing);
  });

  it("find nothing missing where frames come late and then in a heap", () => {
    const even = Array<number>(40).fill(100_000);
    const late = [160_000, 40_000];
    const stalled = [600_000, 5_000, 5_000, 5_000, 5_000, 5_000, 75_000];
    const lost = [300_000];
    const us = [...even, ...late, ...even, ...stalled, ...even, ...lost, ...even];
    const { intervalUs = 0, missing, longestUs } = measured(timesOf(us));
    expect(intervalUs / 1000).toBeCloseTo(100, 0);
    expect([missing, longestUs]).toEqual([2, 600_000]);
  });

  it("know a camera that loses most of its frames from one that gives fewer", () => {
    // Of 5000 frames 30 times a second, 3 of 5 are lost.
    const kept = [...numbers(5000, 5)].flatMap((n, i) => (n < 2 ? [t0 + Math.round((i * 1e6) / 30)] : []));
    const { intervalUs = 0, missing, medianUs = 0 } = measured(kept, 1e6 / 30);
    expect(medianUs).toBeGreaterThan(60_000);
    expect(Math.abs(intervalUs - 1e6 / 30)).toBeLessThan(1);
    const [head = 0] = kept;
    expect(missing).toBe(Math.round((((kept.at(-1) ?? 0) - head) * 30) / 1e6) + 1 - kept.length);
    const dark = Array.from({ length: 500 }, (_, i) => t0 + Math.round((i * 1e6) / 15));
    expect(measured(dark, 1e6 / 30)).toMatchObject({ missing: 0 });
    expect(Math.abs((measured(dark, 1e6 / 30).intervalUs ?? 0) - 1e6 / 15)).toBeLessThan(1);
  });

  it("take no more memory for 5 million frames than for some", () => {
    const child = fileURLToPath(new URL("./testing/meter-child.ts", import.meta.url));
    const run = (frames: number) =>
      JSON.parse(
        // Their times alone would be 40 MB.
        execFileSync(process.execPath, ["--max-old-space-size=16", child, String(frames)], {
          encoding: "utf8",
        }),
      ) as FrameFigures & { spans: number; wanted: number; worstUs: number; plottedUs: number };
    const { frames, intervalUs = 0, missing, spans, ...found } = run(5_000_000);
    expect(frames).toBe(5_000_000);
    expect(missing / found.wanted).toBeCloseTo(1, 4);
    expect(Math.abs(intervalUs - 33_367)).toBeLessThan(20);
    expect(found.longestUs).toBe(found.worstUs);
    expect(found.plottedUs).toBe(found.worstUs);
    expect(spans).toBeLessThanOrEqual(200);
  }, 120_000);
});

describe("the histogram of intervals", () => {
  it("is exact where bins are taken whole, and a quantile within a bin", () => {
    const histogram = new IntervalHistogram();
    const all = [...numbers(20_000, 70_000)];
    for (const us of all) histogram.add(us);
    const sorted = all.toSorted((a, b) => a - b);
    for (const share of [0, 0.25, 0.5, 0.99, 1]) {
      const exact = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
      expect(Math.abs((histogram.quantile(share) ?? 0) - exact)).toBeLessThanOrEqual(exact / 2048 + 1e-9);
    }
    const mean = all.reduce((sum, us) => sum + us, 0) / all.length;
    const deviation = Math.sqrt(all.reduce((sum, us) => sum + (us - mean) ** 2, 0) / all.length);
    const spread = histogram.spread(0, Number.POSITIVE_INFINITY);
    expect(spread?.meanUs).toBeCloseTo(mean, 6);
    expect(spread?.deviationUs).toBeCloseTo(deviation, 6);
  });

  it("has a bounded number of bins, whatever comes", () => {
    const histogram = new IntervalHistogram();
    for (let us = 1; us < 2 ** 40; us *= 1.0001) histogram.add(Math.floor(us));
    const bins = histogram.bins();
    expect(bins.length).toBeLessThanOrEqual(4096 + 28 * 2048);
    expect(bins.reduce((sum, { count }) => sum + count, 0)).toBe(histogram.count);
    const means = bins.map(({ meanUs }) => meanUs);
    expect(means).toEqual(means.toSorted((a, b) => a - b));
  });
});

describe("the curve of intervals", () => {
  it("keeps the shortest and the longest of every span, and the ends", () => {
    const curve = new IntervalCurve(8);
    const us = [...numbers(1001, 1000)].map((n, i) => (i === 777 ? 90_000 : i === 333 ? 1 : 20_000 + n));
    let at = 0;
    for (const one of us) {
      curve.add(at, at + one);
      at += one;
    }
    const spans = curve.spans();
    expect(spans.length).toBeGreaterThan(3);
    expect(spans.length).toBeLessThanOrEqual(8);
    expect(Math.max(...spans.map(({ longestUs }) => longestUs))).toBe(90_000);
    expect(Math.min(...spans.map(({ shortestUs }) => shortestUs))).toBe(1);
    expect([spans[0]?.fromUs, spans.at(-1)?.toUs]).toEqual([0, at]);
    expect(spans.slice(1).every((span, i) => span.fromUs === spans[i]?.toUs)).toBe(true);
  });

  it("shows every interval while there is room", () => {
    const curve = new IntervalCurve(8);
    for (const at of [0, 10, 20, 50]) curve.add(at, at + 10);
    expect(curve.spans().map(({ fromUs }) => fromUs)).toEqual([0, 10, 20, 50]);
  });
});
