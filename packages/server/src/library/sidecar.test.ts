import { describe, expect, it } from "vitest";
import { isoOfUs, parseSidecar, writeSidecarText } from "./sidecar.ts";
import { makeSidecar } from "./testing/make-sidecar.ts";

describe("a sidecar", () => {
  it("is read as it was written", () => {
    const sidecar = makeSidecar("recording", "a.mp4", {
      recordingId: "r1",
      segment: 2,
      requestedDurationS: 60,
      scheduledStart: { atUs: 1_736_951_400_000_000, errorUs: 12_345 },
      gaps: [{ fromUs: 1, toUs: 2, reason: "stalled", missingFrames: 4 }],
      clockSteps: [{ atUs: 5, stepUs: -3_600_000_000 }],
      exportedFrom: "b.mp4",
      becomes: "a.mkv",
    });
    expect(parseSidecar(writeSidecarText(sidecar), "recording", "a.mp4")).toEqual(sidecar);
  });

  it("of another version is read as far as it is understood", () => {
    const text = JSON.stringify({
      ...makeSidecar("recording", "a.mp4"),
      version: 7,
      invention: { of: "later" },
      fps: "thirty",
      gaps: "none",
    });
    const read = parseSidecar(text, "recording", "renamed.mp4");
    expect(read).toEqual({ ...makeSidecar("recording", "renamed.mp4"), fps: 0, gaps: [] });
    expect(read).not.toHaveProperty("invention");
  });

  it.each(["", "{", "[]", "null", '"text"', "{}", '{"version":1}', '{"filename":"a","started_at":"b"}'])(
    "is not %j",
    (text) => {
      expect(parseSidecar(text, "recording", "a.mp4")).toBeUndefined();
    },
  );

  it.each([
    { frames: 1.5 },
    { bytes: -1 },
    { fps: Number.NaN },
    { resolution: undefined },
    { invention: true },
  ])("is not written with %j", (changes) => {
    expect(() =>
      writeSidecarText(Object.assign({ ...makeSidecar("recording", "a.mp4") }, changes)),
    ).toThrow();
  });
});

it("writes instants to the microsecond", () => {
  expect(isoOfUs(1_736_951_400_012_345)).toBe("2025-01-15T14:30:00.012345Z");
  expect(isoOfUs(999_999)).toBe("1970-01-01T00:00:00.999999Z");
});
