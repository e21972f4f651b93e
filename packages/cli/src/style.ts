/** Colours, where they are wanted: on a terminal, unless `NO_COLOR` is set; anywhere with `FORCE_COLOR`. */
import type { Io } from "./io.ts";

export interface Style {
  readonly bold: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly good: (text: string) => string;
  readonly warn: (text: string) => string;
  readonly bad: (text: string) => string;
}

const paint =
  (code: number) =>
  (text: string): string =>
    text === "" ? "" : `\u001b[${code}m${text}\u001b[0m`;
const plainly = (text: string): string => text;

const coloured: Style = { bold: paint(1), dim: paint(2), good: paint(32), warn: paint(33), bad: paint(31) };
const plain: Style = { bold: plainly, dim: plainly, good: plainly, warn: plainly, bad: plainly };

export function styleOf({ env, outIsTerminal }: Io): Style {
  if (env.NO_COLOR) return plain;
  if (env.FORCE_COLOR) return env.FORCE_COLOR === "0" ? plain : coloured;
  return outIsTerminal && env.TERM !== "dumb" ? coloured : plain;
}

/** A camera's or a file's state in its colour. */
export function stateText(style: Style, state: string): string {
  if (/^(CONNECTED|ACTIVE|READY|healthy|ok|pass)$/i.test(state)) return style.good(state);
  if (/^(ERROR|FAILED|unhealthy|critical|fail)$/i.test(state)) return style.bad(state);
  if (/^(degraded|warning|slow|STARTING|STOPPING)$/i.test(state)) return style.warn(state);
  return style.dim(state);
}
