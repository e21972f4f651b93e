/** One line of progress on a terminal; nothing elsewhere. */
import type { Io } from "./io.ts";

export class ProgressLine {
  readonly #io: Io;
  #drawn = false;

  constructor(io: Io) {
    this.#io = io;
  }

  show(label: string, fraction: number): void {
    if (!this.#io.isTerminal) return;
    const percent = String(Math.floor(fraction * 100)).padStart(3);
    const full = Math.round(fraction * 30);
    this.#io.err(`\r${label}  ${"█".repeat(full)}${"░".repeat(30 - full)} ${percent} %`);
    this.#drawn = true;
  }

  end(): void {
    if (this.#drawn) this.#io.err("\n");
    this.#drawn = false;
  }
}
