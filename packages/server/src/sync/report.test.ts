import { describe, expect, it } from "vitest";
import type { MediaEntry } from "../library/contract.ts";
import type { SessionMember, SyncSession } from "./contract.ts";
import { measureFrames, thinned } from "./measure.ts";
import { buildReport, type ReportParts } from "./report.ts";

const t0 = 1_700_000_000_000_000;

describe("figures of frames", () => {
  it("are those of the times", () => {
    const times = [0, 100_000, 200_000, 500_000, 600_000].map((us) => t0 + us);
    expect(measureFrames(times)).toEqual({
      frames: 5,
      firstFrameAtUs: t0,
      endAtUs: t0 + 700_000,
      intervalUs: 100_000,
      meanUs: 150_000,
      deviationUs: Math.sqrt((3 * 50_000 ** 2 + 150_000 ** 2) / 4),
      longestUs: 300_000,
      missing: 2,
    });
    expect(measureFrames([])).toMatchObject({ frames: 0, firstFrameAtUs: undefined, intervalUs: undefined });
    expect(measureFrames([t0])).toMatchObject({ frames: 1, endAtUs: t0, missing: 0 });
  });

  it("are thinned out without losing the ends", () => {
    const many = Array.from({ length: 1001 }, (_, i) => i);
    expect(thinned(many, 11)).toEqual([0, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1000]);
    expect(thinned([1, 2], 11)).toEqual([1, 2]);
  });
});

function member(key: string, more: Partial<SessionMember> = {}): SessionMember {
  return {
    key,
    name: key,
    member: { kind: "camera", cameraId: key },
    state: "completed",
    files: [`${key}.mp4`],
    ...more,
  };
}

function session(members: readonly SessionMember[], more: Partial<SyncSession> = {}): SyncSession {
  return {
    id: "s",
    groupId: "g",
    name: "lab",
    startAtUs: t0,
    state: "completed",
    createdAtUs: t0 - 1e6,
    clock: { synchronised: true, source: "chrony", offsetUs: 0, uncertaintyUs: 800 },
    members: [...members],
    ...more,
  };
}

/** A library of files with frames at these times. */
function files(times: Readonly<Record<string, readonly number[] | undefined>>, fps = 10): ReportParts {
  return {
    nowUs: () => t0 + 60e6,
    entry: (filename) =>
      ({
        filename,
        path: filename,
        fps,
        timeSource: "kernel",
        durationS: 3,
        frames: 30,
      }) as unknown as MediaEntry,
    async *frameTimes(path) {
      const frames = times[path];
      if (frames === undefined) throw new Error(`${path} carries no frame times`);
      yield* frames;
    },
  };
}

const from = (first: number, count = 30, stepUs = 100_000): number[] =>
  Array.from({ length: count }, (_, i) => t0 + first + i * stepUs);

describe("a report", () => {
  it("finds start errors, skew, and what all members have", async () => {
    const report = await buildReport(
      session([member("camera0"), member("camera1")]),
      files({ "camera0.mp4": from(12_000), "camera1.mp4": from(70_000) }),
    );
    expect(report.members.map(({ startErrorMs }) => startErrorMs)).toEqual([12, 70]);
    expect(report).toMatchObject({
      skewMs: 58,
      toleranceMs: 100,
      verdict: "within_tolerance",
      findings: [],
      common: { fromUs: t0 + 70_000, toUs: t0 + 12_000 + 3_000_000 },
    });
    expect(report.members[0]).toMatchObject({
      ...{ framesReceived: 30, framesDropped: 0, framesExpected: 30, frameIntervalMs: 100, durationS: 3 },
      interval: { meanMs: 100, deviationMs: 0, longestMs: 100 },
    });
  });

  it.each([
    ["late", { "camera0.mp4": from(0), "camera1.mp4": from(250_000) }, /camera1 began 250.0 ms after/],
    ["early", { "camera0.mp4": from(0), "camera1.mp4": from(-20_000) }, /camera1 began 20.0 ms before/],
  ])("says when a member was %s", async (_what, times, finding) => {
    const report = await buildReport(session([member("camera0"), member("camera1")]), files(times));
    expect(report.verdict).toBe("out_of_tolerance");
    expect(report.findings.join("; ")).toMatch(finding);
  });

  it("holds the group to its own tolerance", async () => {
    const times = { "camera0.mp4": from(0), "camera1.mp4": from(30_000) };
    const strict = session([member("camera0"), member("camera1")], { toleranceMs: 10 });
    expect((await buildReport(strict, files(times))).verdict).toBe("out_of_tolerance");
  });

  it("counts frames that are missing, at the start too", async () => {
    const times = from(0, 30).filter((_, i) => i !== 7 && i !== 8);
    const { members } = await buildReport(session([member("camera0")]), files({ "camera0.mp4": times }));
    expect(members[0]).toMatchObject({ framesExpected: 30, framesReceived: 28, framesDropped: 2 });
  });

  it("tells what a device declared apart from what was measured", async () => {
    const device = member("10.0.0.7:8080", {
      member: { kind: "multicam", host: "10.0.0.7", port: 8080 },
      declared: { fileName: "x.mp4", fileSize: 5 },
    });
    const report = await buildReport(
      session([member("camera0"), device]),
      files({ "camera0.mp4": from(5000), "10.0.0.7:8080.mp4": undefined }),
    );
    expect(report.members[1]).toMatchObject({
      timeSource: "declared",
      startErrorMs: undefined,
      framesReceived: 30,
    });
    expect(report.verdict).toBe("within_tolerance");
    expect(report.findings.join()).toContain("declared its start");
    expect(report.skewMs).toBeUndefined();
  });

  it("says of whose clock the times of a device are, when its file has some", async () => {
    const device = member("10.0.0.7:8080", {
      member: { kind: "multicam", host: "10.0.0.7", port: 8080 },
      declared: { clockOffset: -0.0042, roundTrip: 0.003 },
    });
    const times = { "camera0.mp4": from(5000), "10.0.0.7:8080.mp4": from(9000) };
    const { findings, skewMs } = await buildReport(session([member("camera0"), device]), files(times));
    expect(skewMs).toBe(4);
    expect(findings).toEqual([
      "10.0.0.7:8080 has times of its own clock, which was 4.2 ms behind the hub's, give or take 1.5 ms",
    ]);
  });

  it("does not call in sync what it could not look at", async () => {
    const report = await buildReport(
      session([member("camera0"), member("camera1")]),
      files({ "camera0.mp4": from(5000) }),
    );
    expect(report.verdict).toBe("not_measured");
    expect(report.findings.join()).toContain("camera1 has no file whose times could be read");
  });

  it("measures nothing where there is nothing", async () => {
    const report = await buildReport(
      session([member("camera0", { state: "failed", files: [], error: "unplugged" })]),
      files({}),
    );
    expect(report.verdict).toBe("out_of_tolerance");
    expect(report.findings).toEqual(["camera0 failed: unplugged"]);
    expect((await buildReport(session([member("camera0", { files: [] })]), files({}))).verdict).toBe(
      "not_measured",
    );
  });

  it("says that an unsynchronised clock compares within the hub only", async () => {
    const clock = { synchronised: false, source: "none", offsetUs: 0 } as const;
    const report = await buildReport(
      session([member("camera0")], { clock }),
      files({ "camera0.mp4": from(0) }),
    );
    expect(report.findings.join()).toContain("not synchronised");
    expect(report.verdict).toBe("within_tolerance");
  });
});
