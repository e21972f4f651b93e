import { pino } from "pino";
import pretty from "pino-pretty";
import type { Log } from "./log.ts";

/**
 * The root logger, to stderr: lines for people on a terminal, JSON otherwise. What `npm start` prints for the
 * user goes to stdout and is no log.
 */
export function createLogger(level: string, terminal: boolean): Log {
  const destination = terminal
    ? pretty({
        destination: 2,
        sync: true,
        colorize: process.env.NO_COLOR === undefined,
        ignore: "pid,hostname",
        singleLine: true,
        translateTime: "SYS:HH:MM:ss.l",
      })
    : pino.destination({ dest: 2, sync: false });
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, destination);
}
