import { describe, expect, it } from "vitest";
import type { MediaEntry } from "../../library/contract.ts";
import type { SessionMember, SyncSession } from "../contract.ts";
import { buildReport, type ReportParts } from "./report.ts";

const t0 = 1_700_000_000_000_000;

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
    endedAtUs: t0 + 3e6,
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
        clockSteps: [],
        gaps: [],
      }) as unknown as MediaEntry,
    async *frames(path) {
      const frames = times[path];
      if (frames === undefined) throw new Error(`${path} carries no frame times`);
      for (const capturedAtUs of frames) yield { capturedAtUs, mediaTimeUs: capturedAtUs - t0 };
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
      nominalIntervalMs: 100,
      interval: { deviationMs: 0, medianMs: 100, percentile99Ms: 100, longestMs: 100 },
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

  it("goes by the clock as it was at T0 when that was set during the recording", async () => {
    const stepUs = 3600e6;
    const times = { "a.mp4": from(12_000), "b.mp4": from(3_012_000) };
    const parts = files(times);
    const set: ReportParts = {
      ...parts,
      entry: (name) => ({
        ...parts.entry(name),
        clockSteps: name === "a.mp4" ? [{ atUs: t0 + stepUs + 1e6, stepUs }] : [],
      }),
      async *frames(path) {
        for await (const frame of parts.frames(path)) {
          const isAfter = path === "b.mp4" || frame.mediaTimeUs > 1e6;
          yield { ...frame, capturedAtUs: frame.capturedAtUs + (isAfter ? stepUs : 0) };
        }
      },
    };
    const change = { atUs: t0 + stepUs + 1e6, stepUs, correctionUs: 0, untilStartUs: -1e6 };
    const report = await buildReport(
      session([member("camera0", { files: ["a.mp4", "b.mp4"] })], { clockChanges: [change] }),
      set,
    );
    expect(report.members[0]).toMatchObject({
      ...{ framesReceived: 60, framesDropped: 0, durationS: 6, notes: [] },
      interval: { longestMs: 100 },
    });
    expect(report.findings).toEqual([expect.stringContaining("set 3600.000 s ahead at")]);
    expect(report.verdict).toBe("within_tolerance");
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

  it("counts the frames a late member lacks as expected, not as holes", async () => {
    const { members } = await buildReport(
      session([member("camera0")]),
      files({ "camera0.mp4": from(250_000) }),
    );
    expect(members[0]).toMatchObject({ framesExpected: 32, framesReceived: 30, framesDropped: 0 });
  });

  it("holds a camera to the rate it really gives", async () => {
    // An hour at 29.97 of 30 frames a second: not one of them is missing.
    const times = Array.from({ length: 107_892 }, (_, i) => t0 + Math.round((i * 1_001_000) / 30));
    const { members, findings } = await buildReport(
      session([member("camera0")]),
      files({ "camera0.mp4": times }, 30),
    );
    expect(members[0]).toMatchObject({
      ...{ framesExpected: 107_892, framesReceived: 107_892, framesDropped: 0 },
      nominalIntervalMs: 1000 / 30,
    });
    expect(members[0]?.frameIntervalMs).toBeCloseTo(1001 / 30, 4);
    expect(findings).toEqual([]);
  });

  it("says when a camera gave another rate than it was set to", async () => {
    const { members, findings } = await buildReport(
      session([member("camera0")]),
      files({ "camera0.mp4": from(0, 30, 200_000) }),
    );
    expect(members[0]).toMatchObject({ framesExpected: 30, framesDropped: 0, frameIntervalMs: 200 });
    expect(findings).toEqual(["camera0 gave 5 frames a second; it was set to 10"]);
  });

  it("goes over the files of a recording in segments, and sees a hole between two", async () => {
    const whole = from(0, 30);
    const parts = { "a.mp4": whole.slice(0, 10), "b.mp4": whole.slice(10, 20), "c.mp4": whole.slice(22) };
    const { members, verdict } = await buildReport(
      session([member("camera0", { files: Object.keys(parts) })]),
      files(parts),
    );
    expect(members[0]).toMatchObject({
      framesExpected: 30,
      framesReceived: 28,
      framesDropped: 2,
      durationS: 3,
    });
    expect(verdict).toBe("within_tolerance");
  });

  it("says who ended before the time because the disk filled up, and after how long", async () => {
    const times = { "camera0.mp4": from(0), "camera1.mp4": from(10_000, 29), "camera2.mp4": from(0, 600) };
    const parts = files(times);
    const reasons: Record<string, string> = { "camera2.mp4": "duration" };
    const full: ReportParts = {
      ...parts,
      entry: (name) => ({ ...parts.entry(name), endReason: reasons[name] ?? "storage_critical" }),
    };
    const members = Object.keys(times).map((name) => member(name.slice(0, -4)));
    const report = await buildReport(session(members, { durationS: 60 }), full);
    expect(report.verdict).toBe("within_tolerance");
    expect(report.findings[0]).toBe(
      "camera0, camera1 ended after 2.9 s of 60.0 s: the disk was nearly full. Make room before the next session",
    );
    const one = await buildReport(session([member("camera0")]), full);
    expect(one.findings).toEqual([
      "camera0 ended after 3.0 s: the disk was nearly full. Make room before the next session",
    ]);
  });

  it("says that the clock was set back during the recording", async () => {
    const times = [...from(0, 10), ...from(500_000, 10)];
    const { members } = await buildReport(session([member("camera0")]), files({ "camera0.mp4": times }));
    expect(members[0]?.notes.join()).toContain("1 frame is older than the one before it");
    expect(members[0]).toMatchObject({ framesReceived: 20, frameIntervalMs: 100 });
  });

  it("does not call in sync a camera whose times were put right after its first frame", async () => {
    const told = async (movedUs: number) => {
      const parts = files({ "camera0.mp4": from(5000) });
      async function* frames(path: string) {
        let i = 0;
        for await (const { capturedAtUs, mediaTimeUs } of parts.frames(path)) {
          yield { mediaTimeUs, capturedAtUs: capturedAtUs + (i++ < 15 ? 0 : movedUs) };
        }
      }
      return buildReport(session([member("camera0")], { toleranceMs: 100 }), { ...parts, frames });
    };
    const far = await told(-150_000);
    expect([far.verdict, far.members[0]?.notes]).toEqual([
      "out_of_tolerance",
      ["1 frame is older than the one before it: the times of its stream settled"],
    ]);
    expect(far.findings).toEqual([
      "camera0: the times of its stream moved by 150.0 ms while it was recorded, as after a stall of machine or network: its first frame was captured up to that much sooner than told",
    ]);
    expect(await told(-50_000)).toMatchObject({
      verdict: "within_tolerance",
      findings: [expect.stringContaining("moved by 50.0 ms")],
    });
    expect((await told(-4000)).findings).toEqual([]);
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

  it.each([
    [{}, "how its clock stood against the hub's is not known"],
    [{ clockOffset: 0.001, roundTrip: 0.004 }, "its clock agreed with the hub's, give or take 4.0 ms"],
    [
      { clockOffset: 1.5, roundTrip: 0.004 },
      "its clock was 1500.0 ms ahead of the hub's, give or take 3.0 ms: unless it reckoned with that, it began that much too early",
    ],
    [{ clockOffset: -1.5, roundTrip: 0.004 }, "it began that much too late"],
  ])("says what a declared start is worth: %j", async (declared, words) => {
    const device = member("10.0.0.7:8080", {
      member: { kind: "multicam", host: "10.0.0.7", port: 8080 },
      declared,
    });
    const told = async (durationS: number) => {
      const fetched = files({ "10.0.0.7:8080.mp4": undefined });
      return (await buildReport(session([device], { durationS }), fetched)).findings.join("\n");
    };
    expect(await told(3.5)).toContain(words);
    expect(await told(3.5)).not.toContain("lasts");
    expect(await told(1.5)).toContain("10.0.0.7:8080: its file lasts 3.00 s, of a session of 1.50 s");
  });

  it("makes times of another hub's clock its own, and says so", async () => {
    const told = async (declared: NonNullable<SessionMember["declared"]>, firstUs: number) => {
      const device = member("10.0.0.7:8080", {
        member: { kind: "multicam", host: "10.0.0.7", port: 8080 },
        declared,
      });
      const times = { "camera0.mp4": from(5000), "10.0.0.7:8080.mp4": from(firstUs) };
      const { members, findings, skewMs } = await buildReport(
        session([member("camera0"), device]),
        files(times),
      );
      return { ...members[1], findings, skewMs };
    };
    expect(await told({ clockOffset: -0.0042, roundTrip: 0.003 }, 2000)).toMatchObject({
      timeSource: "file",
      startErrorMs: 6.2,
      uncertaintyMs: 2.5,
      skewMs: expect.closeTo(1.2, 6),
      findings: [
        "10.0.0.7:8080: capture times from the file; its clock was 4.2 ms behind the hub's, which is taken out of them, give or take 2.5 ms",
      ],
    });
    // The answer took longer than what it tells of.
    expect(await told({ clockOffset: 0.001, roundTrip: 0.004 }, 9000)).toMatchObject({
      startErrorMs: 9,
      uncertaintyMs: 4,
      findings: [
        "10.0.0.7:8080: capture times from the file; its clock agreed with the hub's, give or take 4.0 ms",
      ],
    });
    // That it began too early is only said when it is known.
    const ahead = { clockOffset: 0.01, roundTrip: 0.004 };
    expect((await told(ahead, 8000)).findings.join()).not.toContain("before the common instant");
    expect((await told(ahead, 6000)).findings.join()).toContain("began 4.0 ms before the common instant");
    expect((await told({}, 9000)).findings.join()).toContain("how that stood against the hub's is not known");
  });

  it("does not call in sync what it could not look at", async () => {
    const report = await buildReport(
      session([member("camera0"), member("camera1")]),
      files({ "camera0.mp4": from(5000) }),
    );
    expect(report.verdict).toBe("not_measured");
    expect(report.findings.join()).toContain("camera1 has no file whose times could be read");
  });

  it("does not call in sync a device whose file is no video", async () => {
    const phone = member("phone", {
      member: { kind: "multicam", host: "10.0.0.1", port: 8080 },
      declared: { fileName: "x.mp4" },
    });
    const parts = files({ "camera0.mp4": from(12_000) });
    const broken = { state: "failed", codec: "", frames: undefined, durationS: undefined } as const;
    const report = await buildReport(session([member("camera0"), phone]), {
      ...parts,
      entry: (name) => ({ ...parts.entry(name), ...(name === "phone.mp4" ? broken : {}) }),
    });
    expect(report.verdict).toBe("not_measured");
    expect(report.members[1]).toMatchObject({
      timeSource: "unknown",
      notes: ["phone.mp4 cannot be read as a video."],
    });
    expect(report.findings.join()).not.toContain("declared its start");
  });

  it("says that a session is not over", async () => {
    const { endedAtUs: _over, ...running } = session([member("camera0"), member("camera1", { files: [] })]);
    const report = await buildReport(running, files({ "camera0.mp4": from(0) }));
    expect(report.findings).toEqual([
      "the session is not over: this is what its files show so far",
      "camera1 has no file whose times could be read yet",
    ]);
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

  it.each([
    [799_500, 1977, /^the hub's clock was 799\.5 ms behind true time, .* \(2023-11-14T22:13:20\.799Z\)/],
    [-2_500, 100, /^the hub's clock was 2\.5 ms ahead of true time/],
    [2_500, 3000, /^$/],
    [900, 10, /^$/],
  ])(
    "says so when the times are of a clock that was known to be off by %i us",
    async (offsetUs, uncertaintyUs, said) => {
      const clock = { synchronised: true, source: "sntp", offsetUs, uncertaintyUs } as const;
      const parts = files({ "camera0.mp4": from(0), "camera1.mp4": from(0) });
      const report = await buildReport(session([member("camera0"), member("camera1")], { clock }), parts);
      expect(report.findings.join("; ")).toMatch(said);
      expect(report.verdict).toBe("within_tolerance");
    },
  );

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
