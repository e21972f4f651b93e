import { describe, expect, it } from "vitest";
import { decideRecovery, type RecoveryState } from "./recovery-policy.ts";

const state = (more: Partial<RecoveryState>): RecoveryState => ({
  wasLive: false,
  failures: 1,
  deviceLost: false,
  wanted: true,
  ...more,
});

describe("decideRecovery", () => {
  it.each([
    ["nobody wants it", state({ wanted: false, wasLive: true }), { action: "rest" }],
    ["nobody wants it and it is gone", state({ wanted: false, deviceLost: true }), { action: "rest" }],
    ["unplugged while live", state({ wasLive: true, deviceLost: true, failures: 0 }), { action: "wait" }],
    ["unplugged before it was live", state({ deviceLost: true, failures: 9 }), { action: "wait" }],
    ["first failed start", state({ failures: 1 }), { action: "restart", delayMs: 250 }],
    ["second failed start", state({ failures: 2 }), { action: "restart", delayMs: 500 }],
    ["third failed start", state({ failures: 3 }), { action: "give-up" }],
    ["a live run ended", state({ wasLive: true, failures: 0 }), { action: "restart", delayMs: 50 }],
    ["first failed restart", state({ wasLive: true, failures: 1 }), { action: "restart", delayMs: 250 }],
    ["fifth failed restart", state({ wasLive: true, failures: 5 }), { action: "restart", delayMs: 4000 }],
    ["hundredth", state({ wasLive: true, failures: 100 }), { action: "restart", delayMs: 15_000 }],
    ["a million", state({ wasLive: true, failures: 1e6 }), { action: "restart", delayMs: 15_000 }],
  ])("%s", (_name, given, expected) => {
    expect(decideRecovery(given, 0.5)).toEqual(expected);
  });

  it("spreads the delay by the jitter, and no further", () => {
    const delay = (random: number) => {
      const decision = decideRecovery(state({ wasLive: true, failures: 3 }), random);
      return decision.action === "restart" ? decision.delayMs : Number.NaN;
    };
    expect([delay(0), delay(0.5), delay(0.999_999)]).toEqual([700, 1000, 1300]);
  });
});
