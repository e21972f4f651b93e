/** Reads what `-progress` writes: `key=value` lines, a block ended by `progress=continue|end`. */

export interface FfmpegProgress {
  /** Frames written so far. */
  readonly frame: number | undefined;
  readonly fps: number | undefined;
  /** Time of the newest output packet in microseconds; `undefined` before the first. */
  readonly outTimeUs: number | undefined;
  readonly totalBytes: number | undefined;
  /** Times real time. */
  readonly speed: number | undefined;
  readonly droppedFrames: number | undefined;
  readonly done: boolean;
}

export class ProgressReader {
  readonly #onProgress: (progress: FfmpegProgress) => void;
  #rest = "";
  #values = new Map<string, string>();

  constructor(onProgress: (progress: FfmpegProgress) => void) {
    this.#onProgress = onProgress;
  }

  push(chunk: Buffer): void {
    const lines = (this.#rest + chunk.toString("latin1")).split("\n");
    this.#rest = (lines.pop() ?? "").slice(-1000);
    for (const line of lines) {
      const equals = line.indexOf("=");
      if (equals < 0) continue;
      const key = line.slice(0, equals).trim();
      const value = line.slice(equals + 1).trim();
      if (key !== "progress") {
        this.#values.set(key, value);
        continue;
      }
      this.#onProgress({
        frame: this.#number("frame"),
        fps: this.#number("fps"),
        outTimeUs: this.#number("out_time_us"),
        totalBytes: this.#number("total_size"),
        speed: this.#number("speed"),
        droppedFrames: this.#number("drop_frames"),
        done: value === "end",
      });
      this.#values = new Map();
    }
  }

  #number(key: string): number | undefined {
    const value = Number.parseFloat(this.#values.get(key) ?? "");
    return Number.isFinite(value) ? value : undefined;
  }
}
