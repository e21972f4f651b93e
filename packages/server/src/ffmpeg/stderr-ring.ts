/** The last lines a process wrote to stderr: masked, bounded in number and length, split at newlines and at ffmpeg's carriage returns. */
import { StringDecoder } from "node:string_decoder";
import { maskSecrets } from "../log/mask.ts";

const maxLineLength = 1000;

export class StderrRing {
  readonly #capacity: number;
  readonly #secrets: readonly string[];
  readonly #onLine: ((line: string) => void) | undefined;
  readonly #ignore: RegExp | undefined;
  readonly #decoder = new StringDecoder("utf8");
  readonly #lines: string[] = [];
  #rest = "";

  constructor(
    options: {
      /** Lines kept, default 40. */
      readonly capacity?: number;
      readonly secrets?: readonly string[];
      readonly onLine?: ((line: string) => void) | undefined;
      /** Lines that say nothing to anybody. */
      readonly ignore?: RegExp | undefined;
    } = {},
  ) {
    this.#capacity = options.capacity ?? 40;
    this.#secrets = options.secrets ?? [];
    this.#onLine = options.onLine;
    this.#ignore = options.ignore;
  }

  push(chunk: Buffer): void {
    const parts = (this.#rest + this.#decoder.write(chunk)).split(/\r\n|\n|\r/);
    this.#rest = parts.pop() ?? "";
    for (const part of parts) this.#add(part);
    // A program that never ends its line must not fill the memory.
    if (this.#rest.length > maxLineLength * 2) {
      this.#add(this.#rest);
      this.#rest = "";
    }
  }

  /** Takes the unfinished last line too. */
  end(): void {
    this.#add(this.#rest + this.#decoder.end());
    this.#rest = "";
  }

  get lines(): readonly string[] {
    return [...this.#lines];
  }

  #add(raw: string): void {
    const text = raw.trim();
    if (text === "" || this.#ignore?.test(text)) return;
    // Masked before it is cut, so that no half of a secret stays behind.
    const line = maskSecrets(text, this.#secrets).slice(0, maxLineLength);
    this.#lines.push(line);
    if (this.#lines.length > this.#capacity) this.#lines.shift();
    this.#onLine?.(line);
  }
}
