/**
 * One supervised ffmpeg (or ffprobe) process. Owns spawning, its stderr, its exit and its end; knows nothing
 * of what the bytes on its pipes mean.
 *
 * Invariants: no shell; a process group of its own (Ctrl-C on the hub does not reach it) that dies with the
 * hub; `exited` settles exactly once and never rejects, also when the program cannot be started; after it
 * nothing is left behind: no process, pipe or timer.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { PassThrough, type Readable, type Writable } from "node:stream";
import { OcelliError } from "@ocelli/protocol";
import type { Clock } from "../clock/clock.ts";
import { maskSecrets, secretsInUrls } from "../log/mask.ts";
import type { FfmpegExit, FfmpegProcess, FfmpegSpawnOptions } from "./contract.ts";
import { findExecutable, launchCommand } from "./launcher.ts";
import type { OutputPipe } from "./output-pipe.ts";
import { StderrRing } from "./stderr-ring.ts";

/** Put before the arguments of every ffmpeg: quiet, each line with its level, never reading the terminal. */
export const ffmpegQuietArgs = ["-hide_banner", "-nostdin", "-loglevel", "repeat+level+warning"] as const;

/** The command a user runs to get ffmpeg. */
export const ffmpegInstallCommand = "sudo apt-get install ffmpeg";

export interface SpawnOptions extends FfmpegSpawnOptions {
  readonly clock: Clock;
  /** Program to run: name or path; default `ffmpeg`. */
  readonly program?: string;
  /** `-hide_banner -nostdin -loglevel …` first; default true. Off for ffprobe and for user-defined processes. */
  readonly quietArgs?: boolean;
  /** Takes the place of `stdout`, which is then empty. Whoever made it reads and closes it. */
  readonly output?: OutputPipe | undefined;
  /** Opens `pipe:3` for `-progress pipe:3`. */
  readonly onProgressChunk?: (chunk: Buffer) => void;
  /** Deadlines of `stop()`: interrupt, then TERM after `quitMs`, then KILL after `termMs`. Defaults 1500 and 1000. */
  readonly quitMs?: number;
  readonly termMs?: number;
  /** Lines of stderr to be left out: known noise. */
  readonly ignoreStderr?: RegExp;
  /** Lines of stderr kept, default 40. */
  readonly stderrLines?: number;
}

/** Time for readers to drain the pipes of a process that is gone. */
const drainMs = 2000;

/**
 * Starts the process.
 * @throws OcelliError `ffmpeg_missing` when there is no such program
 */
export function spawnFfmpeg(options: SpawnOptions): FfmpegProcess {
  return new SupervisedProcess(options);
}

export function ffmpegMissing(program: string): OcelliError {
  return new OcelliError(
    "ffmpeg_missing",
    `${program} was not found. Ocelli needs ffmpeg 5.1 or newer; install it with: ${ffmpegInstallCommand}`,
    { details: { program, command: ffmpegInstallCommand } },
  );
}

class SupervisedProcess implements FfmpegProcess {
  readonly pid: number | undefined;
  readonly stdin: Writable | undefined;
  readonly stdout: Readable;
  readonly exited: Promise<FfmpegExit>;
  readonly #child: ChildProcess | undefined;
  readonly #clock: Clock;
  readonly #quitMs: number;
  readonly #termMs: number;
  readonly #stderr: StderrRing;
  #gone = false;
  #requested = false;
  #stopped: Promise<FfmpegExit> | undefined;

  constructor(options: SpawnOptions) {
    this.#clock = options.clock;
    this.#quitMs = options.quitMs ?? 1500;
    this.#termMs = options.termMs ?? 1000;
    const secrets = [...(options.secrets ?? []), ...secretsInUrls(options.args)];
    this.#stderr = new StderrRing({
      secrets,
      onLine: options.onStderrLine,
      ignore: options.ignoreStderr,
      ...(options.stderrLines === undefined ? {} : { capacity: options.stderrLines }),
    });
    const program = options.program ?? "ffmpeg";
    // Looked up before: through setpriv a missing program would only show as an exit code.
    const file = findExecutable(program, options.env?.PATH ?? process.env.PATH);
    if (file === undefined) throw ffmpegMissing(program);
    const args = options.quietArgs === false ? options.args : [...ffmpegQuietArgs, ...options.args];
    const command = launchCommand(file, args);

    let child: ChildProcess | undefined;
    let failure: unknown;
    try {
      child = spawn(command.file, command.args, {
        stdio: [
          options.stdin === "pipe" ? "pipe" : "ignore",
          options.output?.writeFd ?? "pipe",
          "pipe",
          ...(options.onProgressChunk === undefined ? [] : (["pipe"] as const)),
        ],
        detached: true,
        env: { ...inherited(), ...options.env },
      });
    } catch (error) {
      // Such as an argument with a NUL byte, or no memory left to fork.
      failure = error;
    }
    options.output?.started();
    this.#child = child;
    this.pid = child?.pid;
    this.stdin = child?.stdin ?? undefined;
    this.stdout = child?.stdout ?? emptyStream();
    if (child === undefined) {
      this.#gone = true;
      this.#stderr.push(Buffer.from(`${maskSecrets(String(failure), secrets)}\n`));
      this.exited = Promise.resolve({
        code: null,
        signal: null,
        stderrTail: this.#stderr.lines,
        requested: false,
      });
      return;
    }

    child.stderr?.on("data", (chunk: Buffer) => this.#stderr.push(chunk));
    // A broken pipe is the other end's exit, which `exited` reports.
    for (const stream of child.stdio) stream?.on("error", () => {});
    const progress = child.stdio[3];
    if (options.onProgressChunk !== undefined && progress) progress.on("data", options.onProgressChunk);
    this.exited = this.#watch(child);
  }

  stop(): Promise<FfmpegExit> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  kill(): void {
    this.#requested = true;
    this.#signal("SIGKILL");
  }

  #watch(child: ChildProcess): Promise<FfmpegExit> {
    return new Promise((resolve) => {
      let cancelDrain: (() => void) | undefined;
      const finish = (code: number | null, signal: string | null): void => {
        this.#gone = true;
        cancelDrain?.();
        for (const stream of child.stdio) stream?.destroy();
        this.#stderr.end();
        resolve({ code, signal, stderrTail: this.#stderr.lines, requested: this.#requested });
      };
      child.once("error", (error) => {
        // Emitted for a spawn that failed (and for a kill that failed, when the process is still watched).
        if (child.pid !== undefined) return;
        this.#stderr.push(Buffer.from(`${error.message}\n`));
        finish(null, null);
      });
      child.once("exit", (code, signal) => {
        this.#gone = true;
        // Whoever reads stdout may have stopped: then the pipe would never close.
        cancelDrain = this.#clock.after(drainMs, () => finish(code, signal));
      });
      child.once("close", (code, signal) => finish(code, signal));
    });
  }

  async #stop(): Promise<FfmpegExit> {
    this.#requested = true;
    const cancels: (() => void)[] = [];
    // A second interrupt is what makes ffmpeg give up a blocked read, hence INT first, TERM second.
    this.#signal("SIGINT");
    cancels.push(this.#clock.after(this.#quitMs, () => this.#signal("SIGTERM")));
    cancels.push(this.#clock.after(this.#quitMs + this.#termMs, () => this.#signal("SIGKILL")));
    const exit = await this.exited;
    for (const cancel of cancels) cancel();
    return exit;
  }

  #signal(signal: NodeJS.Signals): void {
    // After the exit the pid may belong to another process.
    if (!this.#gone) this.#child?.kill(signal);
  }
}

function emptyStream(): Readable {
  const stream = new PassThrough();
  stream.end();
  return stream;
}

/** The hub's own settings, its admin key among them, are nobody else's business. */
function inherited(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("OCELLI_")));
}
