/** One line of progress on a terminal; nothing elsewhere. */
import type { Io } from "./io.ts";
import { bytesText, countdownText, widthOf } from "./words.ts";

/** Faster is not seen, and takes time from the download. */
const shortestBetweenMs = 100;
const barWidth = 24;

export class ProgressLine {
  readonly #io: Io;
  readonly #beganMono = performance.now();
  #firstBytes: number | undefined;
  #drawnMono = Number.NEGATIVE_INFINITY;
  #drawn = 0;

  constructor(io: Io) {
    this.#io = io;
  }

  /** Of a transfer: with its speed and the time it still takes. */
  bytes(label: string, bytes: number, total: number | undefined): void {
    // What was there before from an earlier attempt says nothing of the speed.
    this.#firstBytes ??= bytes;
    const elapsed = (performance.now() - this.#beganMono) / 1000;
    const rate = elapsed > 0 ? (bytes - this.#firstBytes) / elapsed : 0;
    const speed = rate > 0 ? `  ${bytesText(rate)}/s` : "";
    if (total === undefined || total === 0) {
      this.#draw(label, `${bytesText(bytes)}${speed}`, false);
      return;
    }
    const rest = rate > 0 && bytes < total ? `  ${countdownText((total - bytes) / rate)}` : "";
    const amount = `${bytesText(bytes)} of ${bytesText(total)}`;
    this.#draw(label, `${barText(bytes / total)}  ${amount}${speed}${rest}`, bytes >= total);
  }

  /** Of other work; 0 to 1. */
  fraction(label: string, fraction: number): void {
    this.#draw(label, barText(fraction), fraction >= 1);
  }

  /** Of something that has no end yet, or counts down. */
  say(label: string, text: string): void {
    this.#draw(label, text, false);
  }

  end(): void {
    if (this.#drawn > 0) this.#io.err("\n");
    this.#drawn = 0;
  }

  #draw(label: string, text: string, isLast: boolean): void {
    if (!this.#io.isTerminal) return;
    const now = performance.now();
    if (!isLast && now - this.#drawnMono < shortestBetweenMs) return;
    this.#drawnMono = now;
    const room = Math.max(0, this.#io.columns() - 1 - widthOf(text) - 2);
    const name = widthOf(label) > room ? `${[...label].slice(0, Math.max(0, room - 1)).join("")}…` : label;
    const line = room > 1 ? `${name}  ${text}` : text;
    const width = widthOf(line);
    // A longer line before this one is wiped out.
    this.#io.err(`\r${line}${" ".repeat(Math.max(0, this.#drawn - width))}`);
    this.#drawn = width;
  }
}

function barText(fraction: number): string {
  const part = Math.min(1, Math.max(0, fraction));
  const full = Math.round(part * barWidth);
  const percent = String(Math.floor(part * 100)).padStart(3);
  return `${"█".repeat(full)}${"░".repeat(barWidth - full)} ${percent} %`;
}
