import { createRequire } from "node:module";
import { messageOf } from "@ocelli/protocol";
import { pino } from "pino";
import type { PinoPretty } from "pino-pretty";
import type { Log } from "./log.ts";
import { LogFile, type LogFileOptions } from "./log-file.ts";
import { lineMask } from "./mask-line.ts";

export interface LoggerOptions {
  readonly level: string;
  /** Lines for people, as on a terminal; JSON otherwise. */
  readonly terminal: boolean;
  /** Masked wherever they occur. */
  readonly secrets?: readonly string[];
  /** Also into files; the console only otherwise. */
  readonly file?: Omit<LogFileOptions, "onTrouble" | "onRecovered">;
}

export interface RootLogger {
  readonly log: Log;
  /** Resolves when the files are written. */
  close(): Promise<void>;
}

/**
 * The root logger, to stderr and where wanted to files. What `npm start` prints for the user goes to stdout and is no
 * log. Every line passes the mask, whatever has been masked before.
 */
export function createLogger({ level, terminal, secrets = [], file }: LoggerOptions): RootLogger {
  // Each line at once on a terminal, where somebody may be looking when the process ends.
  const stderr = pino.destination({ dest: 2, sync: terminal });
  // Nobody reads what is written to a terminal that has been closed.
  stderr.on("error", () => undefined);
  const console = terminal
    ? prettyPrinter()({
        destination: stderr,
        colorize: process.env.NO_COLOR === undefined,
        ignore: "pid,hostname",
        singleLine: true,
        translateTime: "SYS:HH:MM:ss.l",
      })
    : stderr;
  const mask = lineMask(secrets);
  let logFile: LogFile | undefined;
  const destination = {
    write(line: string): void {
      const masked = mask(line);
      console.write(masked);
      logFile?.write(masked);
    },
  };
  const log = pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, destination);
  if (file !== undefined) {
    const { folder } = file;
    logFile = new LogFile({
      ...file,
      onTrouble: (error) =>
        log.warn(
          { folder, reason: messageOf(error) },
          "the log cannot be written to its folder and goes to the console only; make the folder writable for the user of the hub, or make room. It is tried again",
        ),
      onRecovered: (missingLines) =>
        log.info({ folder, missingLines }, "the log is written to its folder again"),
    });
  }
  return { log, close: async () => logFile?.close() };
}

/** Loaded where there is a terminal. */
function prettyPrinter(): typeof PinoPretty {
  return createRequire(import.meta.url)("pino-pretty");
}
