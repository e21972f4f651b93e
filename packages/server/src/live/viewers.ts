/** Who watches what, for statistics; nothing here influences a picture. */

export type ViewKind = "mse" | "mjpeg";

export interface ViewerStats {
  readonly id: number;
  readonly cameraId: string;
  readonly kind: ViewKind;
  /** Who watches: the peer's address. */
  readonly viewer: string;
  readonly startedAtUs: number;
  readonly framesSent: number;
  readonly bytesSent: number;
  /** Frames skipped because this viewer was too slow. */
  readonly framesLost: number;
}

export type LiveTotals = Pick<ViewerStats, "framesSent" | "bytesSent" | "framesLost">;

export const noTotals: LiveTotals = { framesSent: 0, bytesSent: 0, framesLost: 0 };

export function addTo(sum: LiveTotals, more: LiveTotals): LiveTotals {
  return {
    framesSent: sum.framesSent + more.framesSent,
    bytesSent: sum.bytesSent + more.bytesSent,
    framesLost: sum.framesLost + more.framesLost,
  };
}

/** The running count of one viewer. */
export class ViewerCount {
  readonly #fixed: Pick<ViewerStats, "id" | "cameraId" | "kind" | "viewer" | "startedAtUs">;
  #framesSent = 0;
  #bytesSent = 0;
  #framesLost = 0;

  constructor(fixed: Pick<ViewerStats, "id" | "cameraId" | "kind" | "viewer" | "startedAtUs">) {
    this.#fixed = fixed;
  }

  get cameraId(): string {
    return this.#fixed.cameraId;
  }

  sent(bytes: number): void {
    this.#framesSent += 1;
    this.#bytesSent += bytes;
  }

  lost(frames: number): void {
    this.#framesLost += frames;
  }

  stats(): ViewerStats {
    return {
      ...this.#fixed,
      framesSent: this.#framesSent,
      bytesSent: this.#bytesSent,
      framesLost: this.#framesLost,
    };
  }
}
