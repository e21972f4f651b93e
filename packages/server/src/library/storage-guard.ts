/**
 * Watches free space where recordings and snapshots go. Owns the measuring and the levels; what is done about a
 * level is decided by those who listen.
 */
import { statfs } from "node:fs/promises";
import { messageOf, OcelliError } from "@ocelli/protocol";
import type { Clock } from "../clock/clock.ts";
import type { EventBus } from "../events/bus.ts";
import type { Log } from "../log/log.ts";
import type { StorageGuard, StorageLevel, StorageState } from "./contract.ts";

export interface StorageLimits {
  /** Below this much free space no recording starts, bytes. Default 1 GiB. */
  readonly lowBytes: number;
  /** Below this much free space running recordings end, bytes. Default 256 MiB. */
  readonly criticalBytes: number;
  /** On small disks these parts of the whole apply instead, where they are less. Defaults 0.10 and 0.04. */
  readonly lowFraction: number;
  readonly criticalFraction: number;
  /** Used part in percent from which the level is reached whatever is free in bytes. Default 100: never. */
  readonly lowUsedPercent: number;
  readonly criticalUsedPercent: number;
}

export const defaultStorageLimits: StorageLimits = {
  lowBytes: 2 ** 30,
  criticalBytes: 2 ** 28,
  lowFraction: 0.1,
  criticalFraction: 0.04,
  lowUsedPercent: 100,
  criticalUsedPercent: 100,
};

/** A level is left only when there is this much more room than its limit, so that it does not flicker. */
const hysteresis = 1.1;

const severity: Readonly<Record<StorageLevel, number>> = { ok: 0, low: 1, critical: 2 };

/** The free bytes below which each level begins. */
export function thresholds(totalBytes: number, limits: StorageLimits): { low: number; critical: number } {
  const of = (bytes: number, fraction: number, usedPercent: number): number =>
    Math.max(Math.min(bytes, totalBytes * fraction), totalBytes * (1 - usedPercent / 100));
  const critical = of(limits.criticalBytes, limits.criticalFraction, limits.criticalUsedPercent);
  // What ends a recording also keeps one from starting.
  return {
    low: Math.max(critical, of(limits.lowBytes, limits.lowFraction, limits.lowUsedPercent)),
    critical,
  };
}

/** The level that follows `previous`: worse at once, better only with some room to spare. */
export function nextLevel(
  previous: StorageLevel,
  measured: { readonly freeBytes: number; readonly totalBytes: number },
  limits: StorageLimits,
): StorageLevel {
  const { low, critical } = thresholds(measured.totalBytes, limits);
  const levelAt = (factor: number): StorageLevel => {
    if (measured.freeBytes < critical * factor) return "critical";
    return measured.freeBytes < low * factor ? "low" : "ok";
  };
  const worse = levelAt(1);
  if (severity[worse] >= severity[previous]) return worse;
  const better = levelAt(hysteresis);
  return severity[better] < severity[previous] ? better : previous;
}

export interface DiskGuardOptions {
  readonly folder: string;
  readonly clock: Clock;
  readonly bus: EventBus;
  readonly log: Log;
  readonly limits?: Partial<StorageLimits>;
  /** Default 2000. */
  readonly intervalMs?: number;
  /** Replaces the measuring, for tests. */
  readonly measure?: (folder: string) => Promise<{ freeBytes: number; totalBytes: number }>;
}

async function measureFolder(folder: string): Promise<{ freeBytes: number; totalBytes: number }> {
  const stats = await statfs(folder);
  // What an ordinary user may still write, against what there would be on an empty disk: as `df` reckons.
  const freeBytes = stats.bavail * stats.bsize;
  return { freeBytes, totalBytes: freeBytes + (stats.blocks - stats.bfree) * stats.bsize };
}

export class DiskGuard implements StorageGuard {
  readonly #options: DiskGuardOptions;
  readonly #limits: StorageLimits;
  readonly #cancel: () => void;
  #state: StorageState = { level: "ok", freeBytes: 0, totalBytes: 0 };
  #measuring: Promise<unknown> = Promise.resolve();
  #pending = 0;
  #failing = false;
  #closed = false;

  private constructor(options: DiskGuardOptions) {
    this.#options = options;
    this.#limits = { ...defaultStorageLimits, ...options.limits };
    this.#cancel = options.clock.every(options.intervalMs ?? 2000, () => {
      // A disk that does not answer must not pile up questions. A failure is told of in the log by `#measure`.
      if (this.#pending === 0) this.check().catch(() => undefined);
    });
  }

  /**
   * Measures once before it returns, then at every interval.
   * @throws OcelliError `storage_failed` when the folder cannot be measured
   */
  static async open(options: DiskGuardOptions): Promise<DiskGuard> {
    const guard = new DiskGuard(options);
    try {
      await guard.check();
    } catch (error) {
      guard.close();
      throw error;
    }
    return guard;
  }

  get state(): StorageState {
    return this.#state;
  }

  /** @throws OcelliError `storage_failed` when free space cannot be measured */
  check(): Promise<StorageState> {
    this.#pending++;
    // One after the other, each begun after it was asked for: levels change in the order of the measurements.
    const run = this.#measuring.then(() => this.#measure()).finally(() => this.#pending--);
    this.#measuring = run.catch(() => undefined);
    return run;
  }

  async assertMayRecord(): Promise<void> {
    const { level, freeBytes, totalBytes } = await this.check();
    if (level === "ok") return;
    const limit = thresholds(totalBytes, this.#limits)[level];
    throw new OcelliError(
      level === "critical" ? "storage_critical" : "storage_low",
      `Storage space is ${level}: ${inMiB(freeBytes)} MiB free in ${this.#options.folder}, ${inMiB(limit)} MiB needed. Delete recordings or give the hub a larger disk.`,
      { details: { freeBytes, totalBytes, limitBytes: Math.round(limit), path: this.#options.folder } },
    );
  }

  /** Idempotent. */
  close(): Promise<void> {
    this.#closed = true;
    this.#cancel();
    return Promise.resolve();
  }

  async #measure(): Promise<StorageState> {
    const { folder, measure = measureFolder, log, bus } = this.#options;
    let measured: { freeBytes: number; totalBytes: number };
    try {
      measured = await measure(folder);
    } catch (error) {
      if (!this.#failing) log.error({ err: error, folder }, "free space cannot be measured");
      this.#failing = true;
      throw new OcelliError(
        "storage_failed",
        `The free space of ${folder} cannot be measured: ${messageOf(error)}. Check that the folder is there and its disk is mounted.`,
        { details: { path: folder }, cause: error },
      );
    }
    this.#failing = false;
    const previous = this.#state.level;
    const level = nextLevel(previous, measured, this.#limits);
    const { low, critical } = thresholds(measured.totalBytes, this.#limits);
    this.#state = {
      level,
      freeBytes: measured.freeBytes,
      totalBytes: measured.totalBytes,
      lowBytes: Math.round(low),
      criticalBytes: Math.round(critical),
    };
    if (level !== previous && !this.#closed) {
      const { freeBytes, totalBytes } = measured;
      if (level === "ok") log.info({ freeBytes, totalBytes }, "there is enough storage space again");
      else log.warn({ freeBytes, totalBytes }, `storage space is ${level}`);
      bus.emit("storage.level", { level, freeBytes, totalBytes });
    }
    return this.#state;
  }
}

function inMiB(bytes: number): number {
  return Math.floor(bytes / 2 ** 20);
}
