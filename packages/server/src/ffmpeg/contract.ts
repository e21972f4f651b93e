/** What the floors above may ask of ffmpeg. Implemented by `process.ts`, `run.ts`, `probe.ts`, `find-ffmpeg.ts`. */

export interface FfmpegExit {
  readonly code: number | null;
  readonly signal: string | null;
  /** Last lines of stderr, secrets masked. */
  readonly stderrTail: readonly string[];
  /** True when the hub had asked for it. */
  readonly requested: boolean;
}

export interface FfmpegProcess {
  readonly pid: number | undefined;
  readonly stdin: NodeJS.WritableStream | undefined;
  /** Raw bytes of `pipe:1`; empty where these were given a pipe of their own. */
  readonly stdout: NodeJS.ReadableStream;
  /** Settles when the process is gone and its pipes are closed. Never rejects. */
  readonly exited: Promise<FfmpegExit>;
  /** Asks to quit, then TERM, then KILL, each with its deadline. Resolves with the exit; same promise each time. */
  stop(): Promise<FfmpegExit>;
  /** KILL now. */
  kill(): void;
}

export interface FfmpegSpawnOptions {
  readonly args: readonly string[];
  readonly stdin?: "pipe" | "ignore";
  readonly env?: Readonly<Record<string, string>>;
  /** Strings masked in anything logged or thrown. */
  readonly secrets?: readonly string[];
  readonly onStderrLine?: (line: string) => void;
}
