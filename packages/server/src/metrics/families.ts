/** Metrics whose values are read from whoever knows them when somebody asks, and cost nothing until then. */
import { Counter, Gauge, type Registry } from "prom-client";

export type Labels = Readonly<Record<string, string>>;
export type Sample = readonly [labels: Labels, value: number];

export interface Family {
  readonly name: string;
  readonly help: string;
  /** A counter only ever grows while the hub runs. */
  readonly type: "gauge" | "counter";
  readonly labels?: readonly string[];
  /** What there is now; values that are not finite are left out. */
  readonly read: () => Iterable<Sample> | Promise<Iterable<Sample>>;
}

/** @param onFailure told when a family cannot be read; the others can */
export function addFamilies(
  registry: Registry,
  families: readonly Family[],
  onFailure: (name: string, error: unknown) => void,
): void {
  for (const family of families) {
    const read: Family["read"] = async () => {
      try {
        return await family.read();
      } catch (error) {
        onFailure(family.name, error);
        return [];
      }
    };
    addFamily(registry, { ...family, read });
  }
}

function addFamily(registry: Registry, { name, help, type, labels = [], read }: Family): void {
  const configuration = { name, help, labelNames: [...labels], registers: [registry] };
  if (type === "gauge") {
    new Gauge({
      ...configuration,
      async collect() {
        const samples = await read();
        // What is gone since is not to be told for ever; nor is 0 what nobody knows.
        this.reset();
        if (labels.length === 0) this.remove();
        for (const [given, value] of samples) if (Number.isFinite(value)) this.set({ ...given }, value);
      },
    });
  } else {
    new Counter({
      ...configuration,
      async collect() {
        const samples = await read();
        this.reset();
        if (labels.length === 0) this.remove();
        for (const [given, value] of samples)
          if (Number.isFinite(value) && value >= 0) this.inc({ ...given }, value);
      },
    });
  }
}

/** One sample without labels. */
export function single(value: number): Sample[] {
  return [[{}, value]];
}

/** 1 for the state that holds, 0 for the others. */
export function oneOf(label: string, states: readonly string[], now: string, more: Labels = {}): Sample[] {
  return states.map((state) => [{ ...more, [label]: state }, state === now ? 1 : 0]);
}

/** Counts by name, for things that happen. */
export class Tally {
  readonly #counts: Map<string, number>;

  /** @param names counted from 0 on: who computes rates misses what happens before a count is there */
  constructor(names: readonly string[] = []) {
    this.#counts = new Map(names.map((name) => [name, 0]));
  }

  of(name: string): number {
    return this.#counts.get(name) ?? 0;
  }

  add(name: string, by = 1): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + by);
  }

  samples(label: string): Sample[] {
    return [...this.#counts].map(([name, count]) => [{ [label]: name }, count]);
  }
}
