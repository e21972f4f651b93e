/**
 * Times between frames over a recording as a bounded number of spans, each with its shortest and its longest: what a page
 * has room for, and the worst is always in it. When there are too many spans, each two become one.
 */
export interface IntervalSpan {
  /** Capture times of its first and its last frame. */
  readonly fromUs: number;
  readonly toUs: number;
  readonly shortestUs: number;
  readonly longestUs: number;
}

export class IntervalCurve {
  readonly #most: number;
  #spans: IntervalSpan[] = [];
  /** Of one span. */
  #intervals = 1;
  #open: { span: IntervalSpan; intervals: number } | undefined;

  /** @param most spans; an even number */
  constructor(most: number) {
    this.#most = most;
  }

  /** The time between two neighbouring frames. */
  add(fromUs: number, toUs: number): void {
    const us = toUs - fromUs;
    const span = { fromUs, toUs, shortestUs: us, longestUs: us };
    const open = this.#open;
    this.#open =
      open === undefined
        ? { span, intervals: 1 }
        : { span: joined(open.span, span), intervals: open.intervals + 1 };
    if (this.#open.intervals < this.#intervals) return;
    this.#spans.push(this.#open.span);
    this.#open = undefined;
    if (this.#spans.length === this.#most) this.#halve();
  }

  /** In order. */
  spans(): IntervalSpan[] {
    return this.#open === undefined ? [...this.#spans] : [...this.#spans, this.#open.span];
  }

  #halve(): void {
    this.#spans = Array.from({ length: this.#most / 2 }, (_, i) => {
      const [first, second] = this.#spans.slice(2 * i, 2 * i + 2);
      if (first === undefined || second === undefined) throw new Error("an odd number of spans");
      return joined(first, second);
    });
    this.#intervals *= 2;
  }
}

function joined(first: IntervalSpan, second: IntervalSpan): IntervalSpan {
  return {
    fromUs: first.fromUs,
    toUs: second.toUs,
    shortestUs: Math.min(first.shortestUs, second.shortestUs),
    longestUs: Math.max(first.longestUs, second.longestUs),
  };
}
