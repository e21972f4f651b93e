import { expect, it } from "vitest";
import type { MediaEntry } from "../../library/contract.ts";
import type { MemberReport } from "../contract.ts";
import { type CutParts, planMemberCut } from "./cut-member.ts";
import type { TimedFrame } from "./cut-plan.ts";

const t0 = 1_736_951_400_000_000;
const hourUs = 3600e6;
const { signal } = new AbortController();

/** Ten frames a second. */
function frames(count: number, atUs: (index: number) => number): TimedFrame[] {
  return Array.from({ length: count }, (_, i) => ({
    capturedAtUs: atUs(i),
    mediaTimeUs: i * 100_000,
    durationUs: 100_000,
  }));
}

it("a cut goes by the clock as it was at T0, over a step of it and the files after that", async () => {
  const files: Record<string, TimedFrame[]> = {
    "a.mp4": frames(30, (i) => t0 + i * 100_000 + (i < 10 ? 0 : hourUs)),
    "b.mp4": frames(30, (i) => t0 + 3e6 + i * 100_000 + hourUs),
  };
  const entry = (filename: string): MediaEntry =>
    ({
      ...{ filename, path: filename, codec: "mjpeg", resolution: "320x240" },
      clockSteps: filename === "a.mp4" ? [{ atUs: t0 + 1e6 + hourUs, stepUs: hourUs }] : [],
    }) as unknown as MediaEntry;
  const parts = {
    library: { get: (_kind: string, name: string) => entry(name) },
    async *frames(path: string) {
      yield* files[path] ?? [];
    },
  } as unknown as CutParts;
  const member = {
    ...{ key: "camera0", kind: "camera", timeSource: "kernel", notes: [] },
    files: ["a.mp4", "b.mp4"],
  } as unknown as MemberReport;
  const cut = await planMemberCut(member, { fromUs: t0 + 500_000, toUs: t0 + 5_500_000 }, parts, signal);
  expect(cut).toMatchObject({ frames: 50, firstFrameAtUs: t0 + 500_000, durationUs: 5e6 });
});
