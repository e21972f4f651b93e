/**
 * What is wrong now with cameras, disk and clock, from the events that say so. Tells every change as `system.health`.
 * Holds no rule of its own about cameras or space: a camera in ERROR, and space that is critical, are critical.
 */
import type { Clock } from "../clock/clock.ts";
import { uncertainBeyondUs } from "../clock/sync/state.ts";
import type { EventBus } from "../events/bus.ts";
import {
  type CameraView,
  type ClockView,
  type HealthProblem,
  notLookedAt,
  type Severity,
} from "../events/catalogue.ts";

export interface HealthProblemsOptions {
  readonly bus: EventBus;
  readonly clock: Clock;
  /** Interruptions of one capture within `repeatedWithinMs` that make a problem. Default 3. */
  readonly repeatedStalls?: number;
  /** Default 10 minutes. */
  readonly repeatedWithinMs?: number;
  /** How long a step of the wall clock is a problem. Default 10 minutes. */
  readonly clockStepMs?: number;
  /** Whether a wall clock that is not to be trusted is a problem: where others must agree with it. Default false. */
  readonly judgeClock?: boolean;
}

export function worstOf(problems: readonly HealthProblem[]): Severity {
  if (problems.some(({ severity }) => severity === "critical")) return "critical";
  return problems.length > 0 ? "warning" : "ok";
}

export class HealthProblems {
  readonly #options: HealthProblemsOptions;
  readonly #problems = new Map<string, HealthProblem>();
  /** Times of interruptions, by camera. */
  readonly #interruptions = new Map<string, number[]>();
  readonly #stops: (() => void)[];
  #steppedAtMonoUs: number | undefined;

  constructor(options: HealthProblemsOptions) {
    this.#options = options;
    const { bus, clock } = options;
    this.#stops = [
      bus.on("camera.status", ({ camera }) => this.#camera(camera)),
      bus.on("capture.state", ({ cameraId, from, to }) => {
        if (from === "live" && (to === "stalled" || to === "recovering")) this.#interrupted(cameraId);
      }),
      bus.on("storage.level", ({ level, freeBytes }) => {
        const free = Math.floor(freeBytes / 2 ** 20);
        this.#set(
          "storage",
          level === "ok"
            ? undefined
            : {
                component: "storage",
                code: `storage_${level}`,
                severity: level === "critical" ? "critical" : "warning",
                message:
                  level === "critical"
                    ? `${free} MiB of storage are free: recordings have ended and none starts. Delete recordings or give the hub a larger disk.`
                    : `${free} MiB of storage are free: no recording starts. Delete recordings or give the hub a larger disk.`,
              },
        );
      }),
      bus.on("clock.step", ({ stepUs }) => {
        this.#steppedAtMonoUs = clock.monoUs();
        this.#set("clock", {
          component: "clock",
          code: "clock_step",
          severity: "warning",
          message: `The wall clock was set by ${(stepUs / 1e6).toFixed(3)} s. Times told before and after do not compare; check how it is synchronised.`,
        });
      }),
      bus.on("clock.state", ({ state }) => this.judgeClock(state)),
      clock.every(15_000, () => this.#forget()),
    ];
  }

  /** Oldest first. */
  get problems(): readonly HealthProblem[] {
    return [...this.#problems.values()].sort((a, b) => a.sinceUs - b.sinceUs);
  }

  get severity(): Severity {
    return worstOf([...this.#problems.values()]);
  }

  close(): void {
    for (const stop of this.#stops.splice(0)) stop();
  }

  /** Also called with the first state there is, which is no change. */
  judgeClock({ synchronised, source, uncertaintyUs = 0, reason }: ClockView): void {
    if (this.#options.judgeClock !== true || this.#stops.length === 0) return;
    const message = reason ?? "This machine's clock is not synchronised.";
    this.#set(
      "clock state",
      synchronised
        ? undefined
        : { component: "clock", code: "clock_unsynchronised", severity: "warning", message },
    );
    // The bound of the kernel grows between two corrections of a healthy daemon; what servers said does not.
    const isUncertain = synchronised && source === "sntp" && uncertaintyUs > uncertainBeyondUs;
    this.#set(
      "clock uncertainty",
      isUncertain
        ? {
            component: "clock",
            code: "clock_uncertain",
            severity: "warning",
            message: `The time servers tell the time to ${Math.round(uncertaintyUs / 1000)} ms only: starts at a common instant may be off by that much. Name nearer servers in clock.ntpServers, or ask them more often.`,
          }
        : undefined,
    );
  }

  #camera({ id, name, status, reason, reasonCode }: CameraView): void {
    this.#set(
      `camera ${id}`,
      status !== "ERROR" || reasonCode === notLookedAt
        ? undefined
        : {
            component: "camera",
            code: reasonCode ?? "capture_failed",
            severity: "critical",
            message: `${name}: ${reason ?? "it cannot be used"}`,
            cameraId: id,
          },
    );
    if (status === "DISCONNECTED") {
      this.#interruptions.delete(id);
      this.#set(`stalls ${id}`, undefined);
    }
  }

  #interrupted(cameraId: string): void {
    const times = this.#recent(cameraId);
    times.push(this.#options.clock.monoUs());
    this.#interruptions.set(cameraId, times);
    if (times.length < (this.#options.repeatedStalls ?? 3)) return;
    this.#set(`stalls ${cameraId}`, {
      component: "camera",
      code: "repeated_stalls",
      severity: "warning",
      message: `${cameraId} was interrupted again and again of late. Check its cable, its power and what else is on its bus or network.`,
      cameraId,
    });
  }

  /** What is long past is no problem any more. */
  #forget(): void {
    for (const cameraId of this.#interruptions.keys()) {
      const times = this.#recent(cameraId);
      if (times.length === 0) this.#interruptions.delete(cameraId);
      else this.#interruptions.set(cameraId, times);
      if (times.length < (this.#options.repeatedStalls ?? 3)) this.#set(`stalls ${cameraId}`, undefined);
    }
    const { clock, clockStepMs = 600_000 } = this.#options;
    if (this.#steppedAtMonoUs !== undefined && clock.monoUs() - this.#steppedAtMonoUs >= clockStepMs * 1000) {
      this.#steppedAtMonoUs = undefined;
      this.#set("clock", undefined);
    }
  }

  #recent(cameraId: string): number[] {
    const { clock, repeatedWithinMs = 600_000 } = this.#options;
    const sinceUs = clock.monoUs() - repeatedWithinMs * 1000;
    return (this.#interruptions.get(cameraId) ?? []).filter((at) => at > sinceUs);
  }

  #set(key: string, problem: Omit<HealthProblem, "sinceUs"> | undefined): void {
    const previous = this.severity;
    const before = this.#problems.get(key);
    if (problem === undefined) {
      if (!this.#problems.delete(key)) return;
    } else {
      const same = before?.code === problem.code && before.severity === problem.severity;
      const sinceUs = same ? before.sinceUs : this.#options.clock.wallUs();
      this.#problems.set(key, { ...problem, sinceUs });
      // Other words for the same problem are no news, but for a camera's, which say more as they come.
      if (same && before.message === problem.message) return;
      if (same && problem.component !== "camera") return;
    }
    const { problems } = this;
    this.#options.bus.emit("system.health", { severity: worstOf(problems), previous, problems });
  }
}
