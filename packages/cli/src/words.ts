/** Numbers, times and tables for people. */
import { stripVTControlCharacters } from "node:util";

/**
 * Left-aligned columns; the last one is not padded. Colours do not count as width. Other control characters do not
 * reach the terminal: a name or a message may come from a device nobody knows.
 */
export function table(headers: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [headers, ...rows.map((row) => row.map(harmless))];
  const widths = headers.map((_, column) => Math.max(...all.map((row) => widthOf(row[column] ?? ""))));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) =>
        column === row.length - 1
          ? cell
          : cell + " ".repeat(Math.max(0, (widths[column] ?? 0) - widthOf(cell))),
      )
      .join("  ")
      .trimEnd();
  return `${all.map(line).join("\n")}\n`;
}

/** Cells a text takes on a terminal, without its colours. */
export function widthOf(text: string): number {
  let width = 0;
  for (const char of stripVTControlCharacters(text)) {
    if (/\p{Mark}|\p{Format}/u.test(char)) continue;
    width += wide.test(char) ? 2 : 1;
  }
  return width;
}

const wide =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u;

/** Without control characters other than colours; a line break becomes a space. */
export function harmless(text: string): string {
  return text.replace(/\p{Cc}/gu, (char, at: number) => {
    if (char === "\n" || char === "\t") return " ";
    return char === "\u001b" && /^\[\d{1,2}m/.test(text.slice(at + 1, at + 5)) ? char : "";
  });
}

/** The same for a text of several lines. */
export function harmlessLines(text: string): string {
  return text.split("\n").map(harmless).join("\n");
}

/** `640x480 at 30 fps`; of streams nobody has looked at the rate (and the size) may not be known yet. */
export function pictureText(resolution: string | null | undefined, fps: number | null | undefined): string {
  if (resolution === null || resolution === undefined) return "";
  return fps ? `${resolution} at ${fps} fps` : resolution;
}

export function bytesText(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** `1:02:03`, `2:03.4`. */
export function durationText(seconds: number): string {
  const tenths = Math.round(seconds * 10);
  const hours = Math.floor(tenths / 36_000);
  const minutes = Math.floor((tenths % 36_000) / 600);
  const rest = (tenths % 600) / 10;
  const two = (value: number): string => String(value).padStart(2, "0");
  return hours > 0
    ? `${hours}:${two(minutes)}:${two(Math.floor(rest))}`
    : `${minutes}:${rest.toFixed(1).padStart(4, "0")}`;
}

/** `0:09`, `12:34`, `1:02:03`: whole seconds to go. */
export function countdownText(seconds: number): string {
  return durationText(Math.ceil(seconds)).replace(/\.0$/, "");
}

/** Local time, to the second. */
export function timeText(iso: string): string {
  const time = new Date(iso);
  const two = (value: number): string => String(value).padStart(2, "0");
  const date = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
  return `${date} ${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}

/** `5 min`, `3 d`: the largest unit that fits, rounded down. */
export function spanText(seconds: number): string {
  const size = Math.abs(seconds);
  const [unit, length] = spans.find(([, length]) => size >= length) ?? ["s", 1];
  return `${Math.floor(size / length)} ${unit}`;
}

const spans: readonly (readonly [string, number])[] = [
  ["d", 86_400],
  ["h", 3600],
  ["min", 60],
];

/** What is wrong with a thing, its name once: some messages begin with it, or have it twice. */
export function aboutText(name: string, message: string): string {
  const text = message.startsWith(`${name}: `) ? message.slice(name.length + 2) : message;
  return text.startsWith(`${name} `) ? text : `${name}: ${text}`;
}

/** `12.35 ms`, `250.0 ms`. */
export function millisText(ms: number): string {
  return `${ms.toFixed(Math.abs(ms) < 100 ? 2 : 1)} ms`;
}

/** Names in one column, what is known of each beside it. */
export function factLines(facts: readonly (readonly [string, string | undefined])[]): string {
  const known = facts.flatMap(([name, value]) => (value === undefined ? [] : [{ name, value }]));
  const width = Math.max(...known.map(({ name }) => name.length));
  return known.map(({ name, value }) => `${name.padEnd(width)}  ${harmless(value)}\n`).join("");
}

/** `2 recordings`, `1 camera`. */
export function countText(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** `90`, `90s`, `1.5m`, `2h`, `30d` in seconds; `undefined` for anything else. */
export function readDurationS(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*(s|m|min|h|d)?$/.exec(text.trim());
  if (match === null) return undefined;
  const unit = { s: 1, m: 60, min: 60, h: 3600, d: 86_400 }[match[2] ?? "s"] ?? 1;
  return Number(match[1]) * unit;
}
