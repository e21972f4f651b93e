/** The pure parts: drops, first frame, limits. */
import { describe, expect, it } from "vitest";
import type { Fragment } from "../media/fragment.ts";
import { captureInterrupted } from "./camera-link.ts";
import { DropAccount, framesDropped, missingIn, notListed } from "./drops.ts";
import { FirstFrameFinder } from "./first-frame.ts";
import { beginsSegment, EndRule } from "./limits.ts";
import { clip, epochUs, later, videoOf } from "./testing/clips.ts";

const nominal = 33_333;
const at = (us: number, wallStepUs = 0) => ({
  mediaTimeUs: us,
  decodeTimeUs: us,
  capturedAtUs: epochUs + us + wallStepUs,
});

describe("missingIn", () => {
  it.each([
    [33_333, nominal, 0],
    [49_999, nominal, 0],
    [50_001, nominal, 1],
    [66_666, nominal, 1],
    [100_000, nominal, 2],
    [1_000_000, nominal, 29],
    [1_000_000, undefined, 0],
    [1_000_000, 0, 0],
  ])("%i µs at %s µs nominal: %i", (interval, expected, missing) => {
    expect(missingIn(interval, expected)).toBe(missing);
  });
});

describe("DropAccount", () => {
  it("merges drops close together and keeps others apart", () => {
    const account = new DropAccount();
    for (const us of [0, 100_000, 133_333, 233_333, 5_000_000]) account.frame(at(us), nominal);
    expect(account.missing).toBe(2 + 2 + 142);
    expect(account.gaps).toEqual([
      { fromUs: epochUs, toUs: epochUs + 233_333, reason: framesDropped, missingFrames: 4 },
      { fromUs: epochUs + 233_333, toUs: epochUs + 5_000_000, reason: framesDropped, missingFrames: 142 },
    ]);
  });

  it("notes an outage even where no frame is missing, and never merges it", () => {
    const account = new DropAccount();
    account.frame(at(0), nominal);
    account.frame(at(nominal), nominal, captureInterrupted);
    account.frame(at(5 * nominal), nominal);
    expect(account.gaps.map(({ reason, missingFrames }) => [reason, missingFrames])).toEqual([
      [captureInterrupted, 0],
      [framesDropped, 3],
    ]);
  });

  it("is bounded and exact", () => {
    const account = new DropAccount({ maxGaps: 3, mergeWithinUs: 0 });
    for (let i = 0; i < 10; i++) account.frame(at(i * 10 * nominal), nominal);
    expect(account.missing).toBe(9 * 9);
    expect(account.gaps).toHaveLength(3);
    expect(account.gaps.at(-1)).toMatchObject({ reason: notListed });
    expect(account.gaps.reduce((sum, gap) => sum + gap.missingFrames, 0)).toBe(81);
  });

  it("takes no step of the wall clock for a hole", () => {
    const account = new DropAccount();
    account.frame(at(0), nominal);
    account.frame(at(nominal, 3_600_000_000), nominal);
    expect(account).toMatchObject({ missing: 0, gaps: [] });
    account.frame(at(4 * nominal, -3_600_000_000), nominal);
    expect((account.gaps[0]?.toUs ?? 0) - (account.gaps[0]?.fromUs ?? 0)).toBe(3 * nominal);
  });

  it("does not take reordered frames for holes", () => {
    const account = new DropAccount();
    for (const frame of videoOf(clip("h264-bframes", 1))) account.frame(frame, nominal);
    expect(account.missing).toBe(0);
  });
});

describe("FirstFrameFinder", () => {
  const startUs = 5_000_000;
  function find(fragments: readonly Fragment[], notBeforeUs: number) {
    const finder = new FirstFrameFinder({ notBeforeUs });
    for (const fragment of fragments) {
      const found = finder.take(fragment);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  it("of an all-intra codec begins with the very frame", () => {
    const found = find(clip("mjpeg", 1), epochUs + startUs + 100_001);
    expect(found?.frames).toHaveLength(1);
    expect(found?.frame.mediaTimeUs).toBe(startUs + 133_333);
  });

  it("of a GOP codec begins with the keyframe before", () => {
    const found = find(clip("h264", 2), epochUs + startUs + 700_000);
    expect(found?.frames[0]).toMatchObject({ keyframe: true, mediaTimeUs: startUs + 500_000 });
    expect(found?.frame.capturedAtUs).toBe(epochUs + startUs + 700_000);
  });

  it("of reordered frames is the first presented, for every T0", () => {
    const fragments = clip("h264-bframes", 2);
    for (let offset = 0; offset < 1_500_000; offset += 16_667) {
      const notBeforeUs = epochUs + startUs + offset;
      const found = find(fragments, notBeforeUs);
      const expected = Math.min(
        ...fragments.map((frame) => frame.capturedAtUs).filter((captured) => captured >= notBeforeUs),
      );
      expect(found?.frame.capturedAtUs).toBe(expected);
      expect(found?.frames[0]?.keyframe).toBe(true);
    }
  });

  it("waits for a keyframe when what it needs is too much to keep", () => {
    const finder = new FirstFrameFinder({ notBeforeUs: epochUs + 60e6, maxBytes: 20_000 });
    const fragments = clip("h264", 1);
    for (let round = 0; round < 50; round++) {
      for (const fragment of later(fragments.slice(round === 0 ? 0 : 1, 15), round * 500_000))
        finder.take(fragment);
    }
    const [keyframe] = later(fragments, 61e6);
    const found = keyframe && finder.take(keyframe);
    expect(found?.frames).toHaveLength(1);
  });
});

describe("EndRule", () => {
  it("rounds to whole frames", () => {
    for (const seconds of [0.1, 1, 2]) {
      const rule = new EndRule(5_000_000 + seconds * 1e6);
      const taken = clip("mjpeg", 3).filter((frame) => !rule.endsBefore(frame, nominal));
      expect(taken).toHaveLength(Math.round(seconds * 30));
    }
  });

  it("leaves no presented frame out before the end", () => {
    const fragments = clip("h264-bframes", 3);
    for (let frames = 5; frames < 40; frames++) {
      const rule = new EndRule(5_000_000 + frames * nominal);
      const end = fragments.findIndex((frame) => rule.endsBefore(frame, nominal));
      const times = fragments
        .slice(0, end)
        .map((frame) => frame.mediaTimeUs)
        .sort((a, b) => a - b);
      expect(times.length).toBeGreaterThanOrEqual(frames);
      expect(times.length).toBeLessThanOrEqual(frames + 3);
      for (const [i, time] of times.slice(1).entries()) expect(time - (times[i] ?? 0)).toBeLessThan(34_000);
    }
  });
});

describe("beginsSegment", () => {
  const [keyframe] = clip("h264", 1);
  const limits = { segmentSeconds: 1, segmentBytes: 1000 };
  it.each([
    [true, 0, 0, false],
    [true, 990_000, 0, true],
    [true, 900_000, 0, false],
    [false, 2_000_000, 5000, false],
    [true, 0, 1000, true],
  ])("keyframe %s after %i µs and %i bytes: %s", (isKeyframe, afterUs, bytes, expected) => {
    if (keyframe === undefined) throw new Error("no frame");
    const frame = { ...keyframe, keyframe: isKeyframe };
    const file = { firstMediaTimeUs: frame.mediaTimeUs - afterUs, bytes };
    expect(beginsSegment(frame, file, limits, nominal)).toBe(expected);
    expect(beginsSegment(frame, file, { segmentSeconds: 0, segmentBytes: 0 }, nominal)).toBe(false);
  });
});
