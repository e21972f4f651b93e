import { describe, expect, it } from "vitest";
import { type Load, loadProblems, statusOf } from "./judgement.ts";

const idle: Load = { memory: 50, errors: 0, responseMs: 3, connections: 1 };

describe("the load of the hub", () => {
  it.each([
    ["memory", 90, 90.01, 95.01, "memory_high"],
    ["errors", 5, 5.01, 10.01, "errors_high"],
    ["responseMs", 1000, 1001, 2001, "responses_slow"],
    ["connections", 90, 90.1, 95.1, "connections_high"],
  ] as const)("%s is a problem above its limits", (what, fine, degraded, unhealthy, code) => {
    const problems = (value: number) => loadProblems({ ...idle, [what]: value });
    expect(problems(fine)).toEqual([]);
    expect(problems(degraded)).toMatchObject([{ component: "hub", code, severity: "warning" }]);
    expect(problems(unhealthy)).toMatchObject([{ component: "hub", code, severity: "critical" }]);
    expect([fine, degraded, unhealthy].map((value) => statusOf(problems(value)))).toEqual([
      "healthy",
      "degraded",
      "unhealthy",
    ]);
  });

  it("is no problem where it cannot be told", () => {
    expect(loadProblems({ ...idle, memory: Number.NaN })).toEqual([]);
  });

  it("is not unhealthy for one camera that fails", () => {
    expect(statusOf([{ component: "camera", severity: "critical" }])).toBe("degraded");
    expect(statusOf([{ component: "storage", severity: "critical" }])).toBe("unhealthy");
    expect(statusOf([{ component: "clock", severity: "warning" }])).toBe("degraded");
  });
});
