/** Media of some cameras, oldest first, read from the index in small steps: the cost is that of what is taken. */
import type { MediaKind } from "./contract.ts";

/** As much of a finished medium as deleting it needs. */
export interface OldMedium {
  readonly id: number;
  readonly kind: MediaKind;
  readonly filename: string;
  readonly cameraId: string;
  readonly bytes: number;
  readonly modifiedAtUs: number;
}

export interface AgedIndex {
  /** Finished media of one camera after `after`, oldest first. */
  oldest(
    kind: MediaKind,
    cameraId: string,
    limit: number,
    after?: { readonly modifiedAtUs: number; readonly id: number },
  ): OldMedium[];
}

const kinds: readonly MediaKind[] = ["recording", "snapshot"];
const atATime = 16;

class Queue {
  readonly #index: AgedIndex;
  readonly #kind: MediaKind;
  readonly #cameraId: string;
  #batch: OldMedium[] = [];
  #next = 0;

  constructor(index: AgedIndex, kind: MediaKind, cameraId: string) {
    this.#index = index;
    this.#kind = kind;
    this.#cameraId = cameraId;
    this.#batch = index.oldest(kind, cameraId, atATime);
  }

  get head(): OldMedium | undefined {
    return this.#batch[this.#next];
  }

  drop(): void {
    const taken = this.head;
    this.#next++;
    if (taken === undefined || this.#next < atATime) return;
    this.#batch = this.#index.oldest(this.#kind, this.#cameraId, atATime, taken);
    this.#next = 0;
  }
}

export function* oldestFirst(index: AgedIndex, cameraIds: readonly string[]): Generator<OldMedium> {
  const queues = cameraIds.flatMap((cameraId) => kinds.map((kind) => new Queue(index, kind, cameraId)));
  for (;;) {
    let oldest: Queue | undefined;
    for (const queue of queues) {
      const at = queue.head?.modifiedAtUs ?? Number.POSITIVE_INFINITY;
      if (at < (oldest?.head?.modifiedAtUs ?? Number.POSITIVE_INFINITY)) oldest = queue;
    }
    if (oldest?.head === undefined) return;
    yield oldest.head;
    oldest.drop();
  }
}
