/** What is measured and how it is told: median and range of the runs, a ratio against something measured beside it. */

export interface Figure {
  readonly what: string;
  readonly unit: string;
  readonly values: readonly number[];
  /** Measured in the same run, in the same unit; the ratio of medians is printed. */
  readonly against?: { readonly what: string; readonly values: readonly number[] };
  /** The median is to stay below. */
  readonly goal?: number;
  /** The ratio is to stay below. */
  readonly goalRatio?: number;
  /** The ratio is to reach. */
  readonly goalRatioAtLeast?: number;
}

export interface Summary {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly runs: number;
}

export interface ReportedFigure extends Summary {
  readonly section: string;
  readonly what: string;
  readonly unit: string;
  readonly values: readonly number[];
  readonly against?: Summary & { readonly what: string; readonly ratio: number };
  readonly goal?: string;
  readonly met?: boolean;
}

export function summarize(values: readonly number[]): Summary {
  if (values.length === 0 || values.some((value) => !Number.isFinite(value)))
    throw new Error(`no figure can be made of [${values.join(", ")}]`);
  const sorted = [...values].sort((a, b) => a - b);
  return { median: quantile(sorted, 0.5), min: sorted[0] ?? 0, max: sorted.at(-1) ?? 0, runs: values.length };
}

/** Of sorted values, between the two nearest. */
export function quantile(sorted: readonly number[], part: number): number {
  const at = (sorted.length - 1) * part;
  const below = sorted[Math.floor(at)] ?? Number.NaN;
  const above = sorted[Math.ceil(at)] ?? Number.NaN;
  return below + (above - below) * (at - Math.floor(at));
}

export class Report {
  readonly figures: ReportedFigure[] = [];
  readonly notes: { section: string; text: string }[] = [];
  readonly skipped: { section: string; reason: string }[] = [];
  section = "";

  begin(section: string, about: string): void {
    this.section = section;
    console.log(`\n${section}: ${about}`);
  }

  /** Prints and keeps a figure. */
  figure(figure: Figure): ReportedFigure {
    const own = summarize(figure.values);
    const against = figure.against && {
      ...summarize(figure.against.values),
      what: figure.against.what,
      ratio: own.median / summarize(figure.against.values).median,
    };
    const verdict = judge(figure, own.median, against?.ratio);
    const reported: ReportedFigure = {
      section: this.section,
      what: figure.what,
      unit: figure.unit,
      values: figure.values,
      ...own,
      ...(against && { against }),
      ...verdict,
    };
    this.figures.push(reported);
    console.log(`  ${lineOf(reported)}`);
    return reported;
  }

  note(text: string): void {
    this.notes.push({ section: this.section, text });
    console.log(`  (${text})`);
  }

  skip(reason: string): void {
    this.skipped.push({ section: this.section, reason });
    console.log(`  skipped: ${reason}`);
  }
}

function judge(
  { goal, goalRatio, goalRatioAtLeast, unit }: Figure,
  median: number,
  ratio: number | undefined,
): { goal?: string; met?: boolean } {
  if (goal !== undefined) return { goal: `< ${goal} ${unit}`, met: median < goal };
  if (goalRatio !== undefined && ratio !== undefined)
    return { goal: `ratio < ${goalRatio}`, met: ratio < goalRatio };
  if (goalRatioAtLeast !== undefined && ratio !== undefined)
    return { goal: `ratio ≥ ${goalRatioAtLeast}`, met: ratio >= goalRatioAtLeast };
  return {};
}

function lineOf(figure: ReportedFigure): string {
  const { what, unit, against, goal, met } = figure;
  let line = `${what}: ${rangeOf(figure, unit)}, ${figure.runs} ${figure.runs === 1 ? "run" : "runs"}`;
  if (against) line += `; against ${against.what} ${rangeOf(against, unit)}: ratio ${short(against.ratio)}`;
  if (goal) line += `; goal ${goal}: ${met ? "met" : "MISSED"}`;
  return line;
}

function rangeOf({ median, min, max, runs }: Summary, unit: string): string {
  return `${short(median)}${runs > 1 ? ` (${short(min)}–${short(max)})` : ""} ${unit}`;
}

/** Three digits that matter. */
export function short(value: number): string {
  const size = Math.abs(value);
  if (size >= 100) return value.toFixed(0);
  if (size >= 10) return value.toFixed(1);
  return size >= 1 || size === 0 ? value.toFixed(2) : String(Number(value.toPrecision(2)));
}
