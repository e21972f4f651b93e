/** Several cameras recorded from one instant: by a hub's sync group, and by a shell that starts an ffmpeg for each at it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { type RunningHub, until } from "../../test/harness/hub.ts";
import type { Rpc } from "../../test/harness/rpc.ts";
import { first, over, reportOf, type SessionObject } from "../../test/harness/sync.ts";
import type { Report } from "./report.ts";

export interface Started {
  /** One a camera. */
  readonly files: readonly string[];
  /** Epoch milliseconds. */
  readonly instantMs: number;
  /** What the report says of each first frame, in milliseconds after the instant. */
  readonly toldMs: readonly number[];
}

export interface Rules {
  /** From the request to the instant: cameras have to run by then. */
  readonly delayS: number;
  /** Of the recordings. */
  readonly durationS: number;
}

/** By the hub, which holds no camera before and none afterwards. */
export async function byHub(
  hub: RunningHub,
  rpc: Rpc,
  group: string,
  { delayS, durationS }: Rules,
): Promise<Started> {
  const { session_id, start_at_us } = await rpc.call<SessionObject>("start_sync_recording", {
    group,
    delay: delayS,
    duration: durationS,
  });
  await over(rpc, session_id);
  const { members } = await reportOf(rpc, session_id);
  await until("the hub closes its cameras", () => hub.ffmpegs().length === 0);
  const files = members.map((member) => hub.file("recordings", first(member.files)));
  const toldMs = members.map(({ start_error_ms }) => start_error_ms);
  return { files, instantMs: start_at_us / 1000, toldMs };
}

/**
 * As one does it by hand: sleep until the instant, then all at once.
 * @param recorders arguments of an ffmpeg for each camera, which ends by itself
 */
export async function byShell(recorders: readonly (readonly string[])[], delayMs: number): Promise<number> {
  const instantMs = Math.ceil(Date.now()) + delayMs;
  const script = [
    `left=$((${instantMs}000000 - $(date +%s%N)))`,
    `sleep $((left / 1000000000)).$(printf %09d $((left % 1000000000)))`,
    ...recorders.map((args) => `ffmpeg -nostdin -v fatal ${args.map(quoted).join(" ")} &`),
    "wait",
  ].join("\n");
  const shell = spawn("sh", ["-c", script], { stdio: ["ignore", "ignore", "inherit"] });
  await once(shell, "close");
  return instantMs;
}

const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;

/** First frames of one start, in milliseconds after the instant. */
export class FirstFrames {
  readonly afterMs: readonly number[];

  constructor(afterMs: readonly number[]) {
    this.afterMs = afterMs;
  }

  get skewMs(): number {
    return Math.max(...this.afterMs) - Math.min(...this.afterMs);
  }

  /** How far each is from the instant. */
  get errorsMs(): readonly number[] {
    return this.afterMs.map(Math.abs);
  }

  /**
   * What the skew would have been, had each file begun with the very first frame at or after the instant: cameras that run
   * freely allow no better by that rule.
   */
  phaseSkewMs(intervalMs: number): number {
    const phases = this.afterMs.map((ms) => ((ms % intervalMs) + intervalMs) % intervalMs);
    return Math.max(...phases) - Math.min(...phases);
  }
}

/** What was found of a number of starts by each. */
export function tellStarts(
  report: Report,
  what: string,
  intervalMs: number,
  own: readonly FirstFrames[],
  shell: readonly FirstFrames[],
): void {
  const skews = own.map(({ skewMs }) => skewMs);
  const goal = Number(intervalMs.toFixed(1));
  report.figure({
    what: `${what}: first frames apart`,
    unit: "ms",
    values: skews,
    against: { what: "shell", values: shell.map(({ skewMs }) => skewMs) },
    goalRatio: 0.1,
  });
  report.figure({
    what: `${what}: first frames apart, one frame interval`,
    unit: "ms",
    values: skews,
    against: { what: "their phases", values: own.map((frames) => frames.phaseSkewMs(intervalMs)) },
    goal,
  });
  report.figure({
    what: `${what}: a first frame from the instant`,
    unit: "ms",
    values: own.flatMap(({ errorsMs }) => errorsMs),
    against: { what: "shell", values: shell.flatMap(({ errorsMs }) => errorsMs) },
    goalRatio: 0.1,
  });
}
