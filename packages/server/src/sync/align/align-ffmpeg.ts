/** One run of ffmpeg that writes as much as a recording: given up when space runs out, whoever says so. */
import { availableParallelism } from "node:os";
import { OcelliError } from "@ocelli/protocol";
import type { Clock } from "../../clock/clock.ts";
import { runFfmpeg } from "../../ffmpeg/run.ts";
import type { StorageGuard } from "../../library/contract.ts";

export interface FfmpegParts {
  readonly storage: StorageGuard;
  readonly clock: Clock;
  readonly ffmpeg?: string;
}

export interface FfmpegWork {
  readonly args: readonly string[];
  /** In words, for error messages. */
  readonly purpose: string;
  /** Of the outcome: what progress is measured by. */
  readonly durationUs: number;
  readonly signal: AbortSignal;
  /** How much of it is done, 0 to 1. */
  readonly onPart: (fraction: number) => void;
}

/** Half of the processors, so that captures keep theirs. */
export function encoderThreads(): number {
  return Math.max(1, Math.floor(availableParallelism() / 2));
}

/** @throws OcelliError `storage_critical`, `storage_failed`, `ffmpeg_failed`, `ffmpeg_missing`; the signal's reason */
export async function runFfmpegWork(
  { args, purpose, durationUs, signal, onPart }: FfmpegWork,
  { clock, storage, ffmpeg }: FfmpegParts,
): Promise<void> {
  const full = new AbortController();
  try {
    await runFfmpeg({
      clock,
      purpose,
      args,
      timeoutMs: Number.POSITIVE_INFINITY,
      signal: AbortSignal.any([signal, full.signal]),
      ...(ffmpeg === undefined ? {} : { program: ffmpeg }),
      onProgress: ({ outTimeUs }) => {
        if (storage.state.level === "critical") {
          full.abort(
            new OcelliError("storage_critical", `${purpose} was given up: storage space is critical.`),
          );
        }
        if (outTimeUs !== undefined && durationUs > 0)
          onPart(Math.min(1, Math.max(0, outTimeUs / durationUs)));
      },
    });
  } catch (error) {
    throw isDiskFull(error)
      ? new OcelliError("storage_failed", `${purpose} was given up: the disk is full. Free some space.`, {
          cause: error,
        })
      : error;
  }
}

function isDiskFull(error: unknown): boolean {
  return error instanceof OcelliError && JSON.stringify(error.details).includes("No space left on device");
}
