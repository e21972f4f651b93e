import { describe, expect, it } from "vitest";
import type { MemberReport, SyncReport } from "../contract.ts";
import { reportPage } from "./report-page.ts";

const t0 = 1_700_000_000_000_000;

function member(key: string, more: Partial<MemberReport> = {}): MemberReport {
  return {
    ...{ key, name: key, kind: "camera", files: [`${key}.mp4`], timeSource: "kernel" },
    ...{
      firstFrameAtUs: t0 + 12_000,
      startErrorMs: 12,
      frameIntervalMs: 1001 / 30,
      nominalIntervalMs: 1000 / 30,
    },
    ...{ framesExpected: 110, framesReceived: 100, framesDropped: 10, durationS: 3.3 },
    interval: { deviationMs: 0.25, medianMs: 33.37, percentile99Ms: 34, longestMs: 367 },
    ...{
      uncertaintyMs: 0,
      movedMs: 0,
      declared: undefined,
      endReason: undefined,
      gapReason: undefined,
      notes: [],
    },
    curve: [{ fromMs: 12, toMs: 3300, shortestMs: 33, longestMs: 367 }],
    ...more,
  };
}

function report(members: readonly MemberReport[], more: Partial<SyncReport> = {}): SyncReport {
  return {
    session: {
      ...{ id: "s", groupId: "g", name: "lab", startAtUs: t0, state: "completed", createdAtUs: t0 },
      clock: { synchronised: true, source: "chrony", offsetUs: 0, uncertaintyUs: 800 },
      members: [],
    },
    ...{ members, skewMs: 1, toleranceMs: 33, verdict: "within_tolerance", findings: [], madeAtUs: t0 },
    common: { fromUs: t0, toUs: t0 + 3e6 },
    ...more,
  };
}

const textOf = (html: string): string =>
  html
    .replace(/<style>.*<\/style>/s, "")
    .replace(/<[^>]+>/g, " ")
    .replace(/\s+/g, " ");

describe("the page of a report", () => {
  it("tells the rate a camera gave and the one it was set to, and the longest time between frames", () => {
    const text = textOf(reportPage(report([member("camera0")])));
    expect(text).toContain("100 of 110 10 29.97/s set to 30/s 0.25 ms 367.0 ms 99 %: 34.0 ms the kernel");
    expect(text).toContain("2023-11-14 22:13:20.000000");
  });

  it("tells a member that failed from starts that are too far apart", () => {
    const { session, ...rest } = report([member("camera0")], { verdict: "out_of_tolerance" });
    const phone = {
      ...{ key: "10.0.0.7:8080", name: "phone", files: [] },
      state: "failed",
      member: { kind: "multicam", host: "10.0.0.7", port: 8080 },
    } as const;
    const verdictOf = (members: typeof session.members): string | undefined =>
      /<p class="verdict bad">(.*?)<\/p>/.exec(
        reportPage({ ...rest, session: { ...session, members } }),
      )?.[1];
    expect([verdictOf([]), verdictOf([phone])]).toEqual(["Out of tolerance", "A member failed"]);
  });

  it("shows nothing of another's making as markup", () => {
    const nasty = "<img src=x onerror=alert(1)>\"'&";
    const html = reportPage(
      report([member(nasty, { name: nasty, files: [nasty], notes: [nasty] })], { findings: [nasty] }),
    );
    expect(html).not.toContain("<img");
    expect(html.split("&lt;img").length).toBeGreaterThan(5);
    expect(html).not.toContain('x onerror=alert(1)>"');
  });

  it("stays readable with 64 members, hundreds of files and a finding for each", () => {
    const spans = Array.from({ length: 200 }, (_, i) => ({
      ...{ fromMs: i * 1e6, toMs: (i + 1) * 1e6, shortestMs: 33.123456, longestMs: 34.123456 + i },
    }));
    const files = Array.from({ length: 400 }, (_, i) => `part${i + 1}.mp4`);
    const keys = Array.from({ length: 64 }, (_, i) => `camera${i + 100}`);
    const html = reportPage(
      report(
        keys.map((key) => member(key, { curve: spans, files })),
        { findings: keys.map((key) => `${key} lacks 10 frames`) },
      ),
    );
    expect(html.length).toBeLessThan(600_000);
    expect(html).toMatch(/<summary>56 more<\/summary>.*camera163 lacks/s);
    expect(textOf(html)).toContain("part1.mp4 part2.mp4 and 398 more, to part400.mp4");
    expect(html.match(/<svg /g)).toHaveLength(64);
  });

  it("draws the longest time between frames to the top, however long the recording", () => {
    const calm = { fromMs: 0, toMs: 8.64e7, shortestMs: 33, longestMs: 34 };
    const hole = { fromMs: 8.64e7, toMs: 8.641e7, shortestMs: 33, longestMs: 367 };
    const [, points = ""] =
      /<polygon points="([^"]+)"/.exec(reportPage(report([member("camera0", { curve: [calm, hole] })]))) ??
      [];
    const heights = points.split(" ").map((point) => Number(point.split(",")[1]));
    expect(Math.min(...heights)).toBeLessThan(6);
    expect(heights.every((height) => height >= 0 && height <= 100)).toBe(true);
  });

  it("says so when there is nothing to plot", () => {
    const bare = member("phone", {
      ...{ timeSource: "declared", firstFrameAtUs: undefined, startErrorMs: undefined },
      ...{ interval: undefined, framesDropped: undefined, curve: [], frameIntervalMs: 1000 / 30 },
      declared: { deviceId: "Valley-A1", fileName: "<x>.mp4", fileSize: 5 },
    });
    const text = textOf(reportPage(report([bare], { verdict: "not_measured", skewMs: undefined })));
    expect(text).toContain("No member has frames whose times could be read.");
    expect(text).toContain("– set to 30/s – – declared");
    expect(text).toContain("it declared: Valley-A1, file &lt;x&gt;.mp4, 5 bytes");
  });
});
