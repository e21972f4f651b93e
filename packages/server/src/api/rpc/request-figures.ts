/** Counts what clients ask and how it goes. Numbers only: no names, no times of day. */

export interface RequestSummary {
  readonly total: number;
  /** 0 without any request. */
  readonly meanMs: number;
  /** 0 to 1. */
  readonly errorRate: number;
}

/** So many of the newest requests say how the hub is now. */
const recentRequests = 1000;

/** Told of each request; `method` is one of the hub's own. */
export type RequestListener = (method: string | undefined, outcome: RequestOutcome, seconds: number) => void;

/** `refused`: the caller's doing; `fault`: the hub's own. */
export type RequestOutcome = "ok" | "refused" | "fault";

export class RequestFigures {
  readonly #listener: RequestListener | undefined;
  #total = 0;
  #failed = 0;
  #totalMs = 0;
  readonly #recent: { readonly ms: number; readonly isFault: boolean }[] = [];
  #next = 0;

  constructor(listener?: RequestListener) {
    this.#listener = listener;
  }

  /** @param method `undefined` for one the hub does not have, and for malformed requests */
  add(ms: number, outcome: RequestOutcome, method?: string): void {
    this.#listener?.(method, outcome, ms / 1000);
    this.#total++;
    this.#totalMs += ms;
    if (outcome !== "ok") this.#failed++;
    this.#recent[this.#next] = { ms, isFault: outcome === "fault" };
    this.#next = (this.#next + 1) % recentRequests;
  }

  /** Since the start; every answer that is an error counts as one. */
  get all(): RequestSummary {
    return summary(this.#total, this.#totalMs, this.#failed);
  }

  /** Of the newest requests; only the hub's own faults count as errors. */
  get recent(): RequestSummary {
    const ms = this.#recent.reduce((sum, request) => sum + request.ms, 0);
    return summary(this.#recent.length, ms, this.#recent.filter(({ isFault }) => isFault).length);
  }
}

function summary(total: number, ms: number, failed: number): RequestSummary {
  return { total, meanMs: total === 0 ? 0 : ms / total, errorRate: total === 0 ? 0 : failed / total };
}
