/** How the hub is, from what is wrong and how loaded it is: one rule for every protocol. Pure. */
import type { HealthProblem } from "../events/catalogue.ts";

export type HealthStatus = "healthy" | "degraded" | "unhealthy";

/** What is wrong; `hub` for its load. */
export type Problem = Pick<HealthProblem, "code" | "severity" | "message" | "cameraId"> & {
  readonly component: HealthProblem["component"] | "hub";
};

/** Measured. Parts are percent. */
export interface Load {
  /** Of the machine's memory. */
  readonly memory: number;
  /** Of the newest requests, that failed by the hub's own doing; 0 while there were too few to tell. */
  readonly errors: number;
  /** Mean time of the newest requests. */
  readonly responseMs: number;
  /** Of the connections there may be. */
  readonly connections: number;
}

/** Above the first the hub is degraded, above the second unhealthy. */
const limits: Readonly<Record<keyof Load, readonly [degraded: number, unhealthy: number]>> = {
  memory: [90, 95],
  errors: [5, 10],
  responseMs: [1000, 2000],
  connections: [90, 95],
};

const codes: Readonly<Record<keyof Load, string>> = {
  memory: "memory_high",
  errors: "errors_high",
  responseMs: "responses_slow",
  connections: "connections_high",
};

const messages: Readonly<Record<keyof Load, (value: number) => string>> = {
  memory: (value) => `${value} % of the machine's memory are in use.`,
  errors: (value) => `${value} % of the newest requests failed by the hub's fault. See its log.`,
  responseMs: (value) => `Answers take ${value} ms on average.`,
  connections: (value) => `${value} % of the possible connections are open.`,
};

export function loadProblems(load: Load): Problem[] {
  const of: readonly (keyof Load)[] = ["memory", "errors", "responseMs", "connections"];
  return of.flatMap((what): Problem[] => {
    const value = load[what];
    const [degraded, unhealthy] = limits[what];
    if (!(value > degraded)) return [];
    const message = messages[what](Math.round(value * 100) / 100);
    const severity = value > unhealthy ? "critical" : "warning";
    return [{ component: "hub", code: codes[what], severity, message }];
  });
}

/** A camera that fails degrades the hub and no more: the others go on. */
export function statusOf(problems: readonly Pick<Problem, "component" | "severity">[]): HealthStatus {
  const isUnhealthy = problems.some(
    ({ component, severity }) => severity === "critical" && component !== "camera",
  );
  if (isUnhealthy) return "unhealthy";
  return problems.length > 0 ? "degraded" : "healthy";
}
