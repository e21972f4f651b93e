import { expect, it } from "vitest";
import type { ClockState } from "../clock/sync/state.ts";
import type { SyncSession } from "./contract.ts";
import { clockFindings, follow, trueStartUs } from "./session-clock.ts";

const nowUs = 1_736_951_400_000_000;
const state = (offsetUs: number, synchronised = true): ClockState => ({
  ...{ synchronised, source: synchronised ? "sntp" : "none", offsetUs, uncertaintyUs: 500 },
  ...{ servers: [], measuredAtUs: 0, reason: undefined },
});
const session = (offsetUs = 0, aheadUs = 5e6): SyncSession => ({
  ...{ id: "s", groupId: "g", name: "lab", startAtUs: nowUs + aheadUs, state: "armed", createdAtUs: nowUs },
  clock: { synchronised: true, source: "sntp", offsetUs, uncertaintyUs: 500 },
  members: [
    {
      ...{ key: "camera0", name: "Door", state: "armed", files: [], armedAtUs: nowUs },
      member: { kind: "camera", cameraId: "camera0" },
    },
  ],
});
const withDevice = (one: SyncSession): SyncSession => ({
  ...one,
  members: [
    ...one.members,
    {
      ...{ key: "d", name: "d", state: "armed", files: [], declared: { clockOffset: 0.25, roundTrip: 0.01 } },
      member: { kind: "multicam", host: "d", port: 1 },
    },
  ],
});

/** What follows, when the clock is now so much further on than it would have been. */
const after = (one: SyncSession, stepUs: number, then: ClockState): SyncSession | undefined =>
  follow(one, { nowUs: nowUs + stepUs, stepUs, state: then });

it.each([3_600e6, -3_600e6])("a step of %i µs that is known leaves T0 the moment it was", (stepUs) => {
  const moved = after(session(), stepUs, state(-stepUs));
  expect(moved).toMatchObject({ startAtUs: nowUs + 5e6 + stepUs, clock: { offsetUs: -stepUs } });
  expect(moved?.members[0]?.armedAtUs).toBe(nowUs + stepUs);
  expect(moved?.clockChanges).toEqual([{ atUs: nowUs + stepUs, stepUs, correctionUs: 0, untilStartUs: 5e6 }]);
  const [text] = clockFindings(moved ?? session());
  expect(text).toMatch(
    /^the hub's clock was set 3600.000 s (ahead|back) at 2025-.*Z while the session waited/,
  );
  expect(text).toContain("T0 stayed the moment it was");
});

it("a step nobody can explain is taken for the truth: T0 is told as before, and comes sooner", () => {
  const moved = after(session(), 2e6, state(0));
  expect(moved?.startAtUs).toBe(nowUs + 5e6);
  expect(moved?.clockChanges).toMatchObject([{ stepUs: 2e6, correctionUs: 2e6, untilStartUs: 3e6 }]);
  expect(clockFindings(moved ?? session())).toEqual([
    expect.stringMatching(
      /2\.000 s behind the true one; cameras followed, so that T0 came that much sooner$/,
    ),
  ]);
});

it("an error that is measured anew moves T0 on the hub's clock, not in true time", () => {
  const before = withDevice(session(100_000));
  const moved = after(before, 0, state(-400_000)) ?? before;
  expect(moved.startAtUs).toBe(before.startAtUs + 500_000);
  expect(moved.members[0]?.armedAtUs).toBe(nowUs + 500_000);
  expect(trueStartUs(moved)).toBe(trueStartUs(before));
  expect(moved.clockChanges).toMatchObject([{ stepUs: 0, correctionUs: -500_000 }]);
  expect(clockFindings(moved)).toEqual([
    expect.stringMatching(/500\.0 ms ahead of the true one; .* that much later; devices had been told T0/),
  ]);
});

it("a device's clock stands where it stood, however the hub's is set", () => {
  const offsetOf = (stepUs: number, then: ClockState) =>
    after(withDevice(session()), stepUs, then)?.members[1]?.declared?.clockOffset;
  expect(offsetOf(2e6, state(-2e6))).toBeCloseTo(-1.75, 9);
  expect(offsetOf(2e6, state(0))).toBeCloseTo(-1.75, 9);
  expect(offsetOf(0, state(2e6))).toBe(0.25);
});

it("says so when T0 was past by then", () => {
  const moved = after(session(), 0, state(7e6)) ?? session();
  expect(moved.clockChanges).toMatchObject([{ correctionUs: 7e6, untilStartUs: -2e6 }]);
  expect(clockFindings(moved).join()).toContain("T0 was 2.000 s past by then, and cameras began at once");
});

it("once it records, only a step matters, which is in the times of its files", () => {
  const recording = { ...session(0, -1e6), state: "recording" as const };
  expect(after(recording, 0, state(3e6))).toBeUndefined();
  // T0 lies ahead again by the clock as it is now.
  const moved = after(recording, -60e6, state(0)) ?? recording;
  expect(moved.startAtUs).toBe(recording.startAtUs);
  expect(moved.clockChanges).toMatchObject([{ stepUs: -60e6, untilStartUs: -1e6 }]);
  expect(clockFindings(moved).join()).toMatch(/set 60\.000 s back at .*, during the recording/);
});

it("leaves small changes alone, and what is not known any more", () => {
  expect(after(session(), 0, state(900))).toBeUndefined();
  expect(after(session(), 0, state(1100))).toBeDefined();
  // Many small ones are a large one.
  const crept = follow(session(), { nowUs, stepUs: 0, state: state(600) }) ?? session();
  expect(after(crept, 0, state(1200))).toMatchObject({ startAtUs: session().startAtUs - 1200 });
  expect(after(session(2e6), 0, state(0, false))).toBeUndefined();
});

it("keeps the newest of many changes", () => {
  let one = session();
  for (let i = 1; i <= 50; i++) one = after(one, 0, state(i * 10_000)) ?? one;
  expect(one.clockChanges).toHaveLength(20);
  expect(trueStartUs(one)).toBe(nowUs + 5e6);
});
