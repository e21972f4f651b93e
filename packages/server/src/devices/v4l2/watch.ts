/**
 * Tells at once when a name in a folder appears, changes or disappears (inotify). Knows nothing of cameras. A watch
 * that breaks is made again, and the gap is reported so that the owner looks for itself.
 */
import { type FSWatcher, watch } from "node:fs";
import type { Clock } from "../../clock/clock.ts";

export interface FolderWatchOptions {
  readonly folder: string;
  readonly clock: Clock;
  /** Names that matter; everything else is dropped at once. */
  readonly matches: (name: string) => boolean;
  readonly onName: (name: string) => void;
  /** Events may have been missed: look at the whole folder. */
  readonly onGap: () => void;
  /** Wait before a broken watch is made again, milliseconds. Default 1000. */
  readonly retryMs?: number;
  /**
   * More events than this in one second and the watch rests for `restMs`: every write to `/dev/null` is an event of
   * `/dev`, and a busy shell script must not keep the hub busy. Default 2000.
   */
  readonly stormEvents?: number;
  /** Default 250. */
  readonly restMs?: number;
}

export class FolderWatch {
  readonly #options: FolderWatchOptions;
  #watcher: FSWatcher | undefined;
  #cancelTimer: (() => void) | undefined;
  #countedSinceUs = 0;
  #counted = 0;
  #closed = false;

  constructor(options: FolderWatchOptions) {
    this.#options = options;
    this.#open();
  }

  close(): void {
    this.#closed = true;
    this.#cancelTimer?.();
    this.#watcher?.close();
    this.#watcher = undefined;
  }

  #open(): void {
    const { folder, matches, onName } = this.#options;
    try {
      const watcher = watch(folder, { persistent: false }, (_event, name) => {
        if (name !== null && matches(name)) onName(name);
        else this.#countNoise();
      });
      watcher.on("error", () => this.#reopenAfter(this.#options.retryMs ?? 1000));
      this.#watcher = watcher;
    } catch {
      this.#reopenAfter(this.#options.retryMs ?? 1000);
    }
  }

  #countNoise(): void {
    const { clock, stormEvents = 2000, restMs = 250 } = this.#options;
    if (++this.#counted % 64 !== 0) return;
    const nowUs = clock.monoUs();
    if (nowUs - this.#countedSinceUs > 1_000_000) {
      this.#countedSinceUs = nowUs;
      this.#counted = 0;
    } else if (this.#counted > stormEvents) {
      this.#counted = 0;
      this.#reopenAfter(restMs);
    }
  }

  #reopenAfter(delayMs: number): void {
    this.#watcher?.close();
    this.#watcher = undefined;
    this.#cancelTimer?.();
    if (this.#closed) return;
    this.#cancelTimer = this.#options.clock.after(delayMs, () => {
      this.#open();
      this.#options.onGap();
    });
  }
}
