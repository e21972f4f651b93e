import type { Report } from "./lib/report.ts";

export interface Context {
  readonly report: Report;
  /** Fewer and shorter runs. */
  readonly quick: boolean;
  /** Temporary, for clips and outputs. */
  readonly folder: string;
}

export interface Section {
  readonly name: string;
  /** One line. */
  readonly about: string;
  run(context: Context): Promise<void>;
}
