/** Runs ffmpeg or ffprobe to completion, with its output in memory. For long-lived processes see `process.ts`. */

import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { OcelliError } from "@ocelli/protocol";
import type { Clock } from "../clock/clock.ts";
import type { FfmpegExit, FfmpegProcess } from "./contract.ts";
import { spawnFfmpeg } from "./process.ts";
import { type FfmpegProgress, ProgressReader } from "./progress.ts";

export interface RunOptions {
  readonly clock: Clock;
  readonly args: readonly string[];
  /** Name or path, default `ffmpeg`. */
  readonly program?: string;
  /** See `SpawnOptions`; default true for ffmpeg. */
  readonly quietArgs?: boolean;
  /** What the run is for, in words, for error messages: `exporting camera0_….mp4`. */
  readonly purpose?: string;
  /** Data for `pipe:0`. A process that closes its input early is no error by itself. */
  readonly stdin?: Buffer | Iterable<Buffer> | AsyncIterable<Buffer>;
  /** Default 30 000; `Infinity` for none. */
  readonly timeoutMs?: number;
  /** Default 64 MiB; more output is an error. */
  readonly maxStdoutBytes?: number;
  readonly signal?: AbortSignal;
  readonly env?: Readonly<Record<string, string>>;
  readonly secrets?: readonly string[];
  /** Adds `-progress pipe:3` (ffmpeg only); called about twice a second. */
  readonly onProgress?: (progress: FfmpegProgress) => void;
  readonly onStderrLine?: (line: string) => void;
}

export interface RunResult {
  readonly stdout: Buffer;
  readonly stderrTail: readonly string[];
}

/**
 * @throws OcelliError `ffmpeg_missing`; `ffmpeg_failed` (details: exitCode, signal, stderr, timedOut) on a
 *   non-zero exit, a timeout or too much output; the signal's reason when aborted
 */
export async function runFfmpeg(options: RunOptions): Promise<RunResult> {
  options.signal?.throwIfAborted();
  const name = options.purpose ?? options.program ?? "ffmpeg";
  const progress = options.onProgress === undefined ? undefined : new ProgressReader(options.onProgress);
  const child = spawnFfmpeg({
    clock: options.clock,
    args: progress === undefined ? options.args : ["-progress", "pipe:3", ...options.args],
    stdin: options.stdin === undefined ? "ignore" : "pipe",
    ...(options.program === undefined ? {} : { program: options.program }),
    ...(options.quietArgs === undefined ? {} : { quietArgs: options.quietArgs }),
    ...(options.env === undefined ? {} : { env: options.env }),
    ...(options.secrets === undefined ? {} : { secrets: options.secrets }),
    ...(options.onStderrLine === undefined ? {} : { onStderrLine: options.onStderrLine }),
    ...(progress === undefined ? {} : { onProgressChunk: (chunk: Buffer) => progress.push(chunk) }),
  });

  const maxBytes = options.maxStdoutBytes ?? 64 * 2 ** 20;
  const timeoutMs = options.timeoutMs ?? 30_000;
  let ended: "timeout" | "abort" | "output" | undefined;
  const end = (why: "timeout" | "abort" | "output"): void => {
    ended ??= why;
    child.kill();
  };
  const cancelTimeout = Number.isFinite(timeoutMs)
    ? options.clock.after(timeoutMs, () => end("timeout"))
    : () => {};
  const onAbort = (): void => end("abort");
  options.signal?.addEventListener("abort", onAbort, { once: true });

  const chunks: Buffer[] = [];
  let bytes = 0;
  child.stdout.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > maxBytes) end("output");
    else chunks.push(chunk);
  });

  try {
    let feedError: unknown;
    void feed(child, options.stdin, (error) => {
      feedError = error;
    });
    // Not of the feeding: the source of the data may never come to its end.
    const exit = await child.exited;
    if (ended === "abort") throw options.signal?.reason;
    if (ended === "timeout")
      throw failed(name, `did not finish within ${timeoutMs} ms`, exit, { timedOut: true });
    if (ended === "output") throw failed(name, `wrote more than ${maxBytes} bytes`, exit);
    if (feedError !== undefined) throw feedError;
    if (exit.code !== 0) throw failed(name, exitInWords(exit), exit);
    return { stdout: Buffer.concat(chunks), stderrTail: exit.stderrTail };
  } finally {
    cancelTimeout();
    options.signal?.removeEventListener("abort", onAbort);
  }
}

/** `exit code 1`, `signal SIGKILL`, `could not be started`. */
export function exitInWords(exit: FfmpegExit): string {
  if (exit.signal !== null) return `was ended by ${exit.signal}`;
  if (exit.code !== null) return `ended with exit code ${exit.code}`;
  return "could not be started";
}

function failed(
  name: string,
  what: string,
  exit: FfmpegExit,
  more: Record<string, unknown> = {},
): OcelliError {
  const last = exit.stderrTail.at(-1);
  return new OcelliError("ffmpeg_failed", `${name}: ffmpeg ${what}${last === undefined ? "" : `: ${last}`}`, {
    details: { exitCode: exit.code, signal: exit.signal, stderr: exit.stderrTail, ...more },
  });
}

/** Writes all data and closes the pipe. What the *source* of the data throws ends the process. */
async function feed(
  child: FfmpegProcess,
  data: RunOptions["stdin"],
  onSourceError: (error: unknown) => void,
): Promise<void> {
  if (child.stdin === undefined || data === undefined) return;
  const chunks = async function* (): AsyncGenerator<Buffer> {
    try {
      if (Buffer.isBuffer(data)) yield data;
      else yield* data;
    } catch (error) {
      onSourceError(error);
      child.kill();
    }
  };
  try {
    await pipeline(Readable.from(chunks(), { objectMode: true, highWaterMark: 1 }), child.stdin);
  } catch {
    // The process closed its input: its exit says whether that was an error.
  }
}
