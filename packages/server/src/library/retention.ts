/**
 * Deletes the oldest recordings and snapshots as the policies say. Owns the policies and the passes; deleting one
 * medium is the library's.
 *
 * Invariants: without an enabled policy nothing is deleted; never a file being written or exported; none that is still
 * needed, unless recordings are about to end for want of room; oldest first within what a policy covers; a pass deletes at
 * most `filesPerPass` files and reads the index only, never a folder.
 */
import { codeOf, messageOf } from "@ocelli/protocol";
import type { Clock } from "../clock/clock.ts";
import type { EventBus } from "../events/bus.ts";
import type { Log } from "../log/log.ts";
import type { Database } from "../store/database.ts";
import type { MediaKind, StorageGuard, StorageState } from "./contract.ts";
import { type AgedIndex, type OldMedium, oldestFirst } from "./oldest-first.ts";
import {
  checkPolicy,
  limitsOf,
  type RetentionLimits,
  type RetentionStore,
  retentionStore,
  type ScopedPolicy,
} from "./retention-policy.ts";
import { type GrowingMedia, growingBytes } from "./storage-report.ts";

export interface RetentionLibrary extends AgedIndex, GrowingMedia {
  usageByCamera(kind: MediaKind): { readonly cameraId: string; readonly bytes: number }[];
  delete(kind: MediaKind, filename: string): Promise<void>;
}

export interface RetentionOptions {
  readonly library: RetentionLibrary;
  readonly storage: StorageGuard;
  /** Opened with `retentionMigrations` among its migrations. */
  readonly database: Database;
  readonly clock: Clock;
  readonly bus: EventBus;
  readonly log: Log;
  /** Whether a recording must not be deleted yet, such as one that waits for its upload. Default: none. */
  readonly isNeeded?: (filename: string) => boolean;
  /** How often the limits are looked at. Default 5000. */
  readonly intervalMs?: number;
  /** Default 200. */
  readonly filesPerPass?: number;
  /** How long `cleanup` goes on before it leaves the rest to the background. Default 20,000. */
  readonly cleanupMs?: number;
}

export interface Cleanup {
  readonly recordings: number;
  readonly snapshots: number;
  readonly bytes: number;
  /** Recordings beyond the limits that are still needed. */
  readonly kept: number;
  /** More is to be deleted. */
  readonly partial: boolean;
}

type Reason = "age" | "size" | "free";

interface Tally {
  recordings: number;
  snapshots: number;
  bytes: number;
  readonly reasons: Set<Reason>;
  /** Recordings that are still needed. */
  readonly kept: Set<string>;
}

/** What a pass looks at. */
interface Scope extends ScopedPolicy {
  readonly cameraIds: readonly string[];
  readonly bytes: number;
  readonly limits: RetentionLimits;
}

const nothing: Cleanup = { recordings: 0, snapshots: 0, bytes: 0, kept: 0, partial: false };
/** So far above the level `critical` that the guard, with its hysteresis, lets recordings be. */
const aboveCritical = 1.15;
/** Deleting frees nothing while a reader has the file open: then it must not go on and on. */
const restMs = 60_000;
/** So many files that cannot be deleted are passed over in one pass. */
const mostStubborn = 1000;

export class Retention {
  readonly #options: RetentionOptions;
  readonly #store: RetentionStore;
  readonly #stop: (() => void)[];
  /** Sources of exports under way, by export. */
  readonly #exporting = new Map<string, string>();
  #policies: ScopedPolicy[];
  #turn: Promise<unknown> = Promise.resolve();
  #running = false;
  #restsUntilMonoUs = 0;
  #closing = false;
  /** Files that could not be deleted, so that each is told of once. */
  readonly #stubborn = new Set<string>();
  /** Recordings that were kept in the last pass, so that each is told of once. */
  #kept: ReadonlySet<string> = new Set();

  constructor(options: RetentionOptions) {
    const { database, clock, bus, intervalMs = 5000 } = options;
    this.#options = options;
    this.#store = retentionStore(database);
    this.#policies = this.#store.all();
    this.#stop = [
      clock.every(intervalMs, () => this.#look()),
      bus.on("storage.level", ({ level }) => {
        if (level !== "ok") this.#look();
      }),
      bus.on("export.progress", ({ exportId, filename, state }) => {
        if (state === "running") this.#exporting.set(exportId, filename);
        else this.#exporting.delete(exportId);
      }),
    ];
  }

  /** The one for all cameras first. */
  policies(): readonly ScopedPolicy[] {
    return this.#policies;
  }

  /**
   * Keeps a policy for good; it replaces the one of the same scope. One of a single camera that is not enabled is
   * removed: the policy for all cameras covers that camera again.
   * @throws OcelliError `invalid_params`
   */
  set(scoped: ScopedPolicy): void {
    checkPolicy(scoped);
    if (scoped.cameraId !== undefined && !scoped.policy.enabled) this.#store.remove(scoped.cameraId);
    else this.#store.put(scoped);
    this.#policies = this.#store.all();
    this.#options.log.info({ camera: scoped.cameraId ?? "all", ...scoped.policy }, "retention policy set");
    this.#restsUntilMonoUs = 0;
  }

  /** Applies the policies now. @throws OcelliError `storage_failed` when free space cannot be measured */
  async cleanup(): Promise<Cleanup> {
    const { clock, cleanupMs = 20_000 } = this.#options;
    const untilMonoUs = clock.monoUs() + cleanupMs * 1000;
    let total = nothing;
    do {
      const { recordings, snapshots, bytes, kept, partial } = await this.#pass();
      total = {
        recordings: total.recordings + recordings,
        snapshots: total.snapshots + snapshots,
        bytes: total.bytes + bytes,
        kept,
        partial,
      };
    } while (total.partial && clock.monoUs() < untilMonoUs);
    return total;
  }

  /** Lets the deletion under way end. Idempotent. */
  async close(): Promise<void> {
    this.#closing = true;
    for (const stop of this.#stop.splice(0)) stop();
    await this.#turn.catch(() => undefined);
  }

  /** Background passes until the limits hold. */
  #look(): void {
    if (this.#running || this.#policies.length === 0) return;
    this.#running = true;
    const run = async (): Promise<void> => {
      while ((await this.#pass()).partial);
    };
    run()
      .catch((error: unknown) =>
        this.#options.log.error({ err: error }, "the retention policy could not be applied"),
      )
      .finally(() => {
        this.#running = false;
      });
  }

  /** One pass after the other. */
  #pass(): Promise<Cleanup> {
    const pass = this.#turn.then(() => this.#runPass());
    this.#turn = pass.catch(() => undefined);
    return pass;
  }

  async #runPass(): Promise<Cleanup> {
    const { storage, clock, bus, log } = this.#options;
    if (this.#closing || !this.#policies.some(({ policy }) => policy.enabled)) return nothing;
    const before = await storage.check();
    const tally: Tally = { recordings: 0, snapshots: 0, bytes: 0, reasons: new Set(), kept: new Set() };
    const partial = await this.#applyAll(before, tally);
    this.#tellKept(tally.kept);
    const { recordings, snapshots, bytes, reasons } = tally;
    const kept = tally.kept.size;
    if (recordings + snapshots === 0) return { ...nothing, kept };
    if (reasons.has("free")) {
      const gained = (await storage.check()).freeBytes - before.freeBytes;
      if (gained < bytes / 2) {
        this.#restsUntilMonoUs = clock.monoUs() + restMs * 1000;
        log.warn({ bytes, gained }, "deleted files free no room yet: somebody still reads or writes");
      }
    }
    log.info(
      { recordings, snapshots, bytes, reasons: [...reasons] },
      "old media deleted by the retention policy",
    );
    bus.emit("retention.deleted", { recordings, snapshots, bytes, reasons: [...reasons] });
    return { recordings, snapshots, bytes, kept, partial: partial && !this.#closing };
  }

  /** @returns true when the limits do not hold yet */
  async #applyAll(disk: StorageState, tally: Tally): Promise<boolean> {
    const scopes = this.#scopes(disk);
    let partial = false;
    for (const scope of scopes) {
      if (await this.#apply(scope, disk, tally, false)) partial = true;
    }
    const criticalBytes = disk.criticalBytes ?? 0;
    if (partial || disk.freeBytes + tally.bytes >= criticalBytes || tally.kept.size === 0) return partial;
    // Nothing else is left, and recordings under way are about to end: what is to come counts for more.
    for (const { limits, ...scope } of scopes) {
      if (limits.minFreeBytes === undefined) continue;
      const least = { ...scope, limits: { minFreeBytes: criticalBytes * aboveCritical } };
      if (await this.#apply(least, disk, tally, true)) partial = true;
    }
    return partial;
  }

  #tellKept(kept: ReadonlySet<string>): void {
    const further = [...kept].filter((filename) => !this.#kept.has(filename));
    this.#kept = kept;
    if (further.length === 0) return;
    this.#options.log.info(
      { files: further.slice(0, 20), further: further.length, kept: kept.size },
      "recordings beyond the retention policy are kept until they have been uploaded",
    );
  }

  /** Which cameras each policy covers. Cameras are those that have media. */
  #scopes({ lowBytes = 0 }: StorageState): Scope[] {
    const { library } = this.#options;
    const usage = [...library.usageByCamera("recording"), ...library.usageByCamera("snapshot")];
    const own = new Set(this.#policies.map(({ cameraId }) => cameraId));
    return this.#policies.map((scoped) => {
      const covered = usage.filter(({ cameraId }) =>
        scoped.cameraId === undefined ? !own.has(cameraId) : cameraId === scoped.cameraId,
      );
      return {
        ...scoped,
        cameraIds: [...new Set(covered.map(({ cameraId }) => cameraId))],
        bytes: covered.reduce((sum, { bytes }) => sum + bytes, 0),
        limits: limitsOf(scoped.policy, lowBytes),
      };
    });
  }

  /**
   * @param evenNeeded deletes recordings although they are still needed
   * @returns true when the limits do not hold yet
   */
  async #apply(scope: Scope, disk: StorageState, tally: Tally, evenNeeded: boolean): Promise<boolean> {
    const { library, clock, filesPerPass = 200, isNeeded = () => false } = this.#options;
    const { limits } = scope;
    if (Object.keys(limits).length === 0) return false;
    const rests = clock.monoUs() < this.#restsUntilMonoUs;
    const { maxAgeUs, maxBytes, minFreeBytes } = limits;
    const growing = maxBytes === undefined ? [] : await growingBytes(library);
    let bytes = scope.bytes;
    for (const file of growing) if (scope.cameraIds.includes(file.cameraId)) bytes += file.bytes;
    const oldestUs = maxAgeUs === undefined ? Number.NEGATIVE_INFINITY : clock.wallUs() - maxAgeUs;
    let stayed = 0;
    for (const medium of oldestFirst(library, scope.cameraIds)) {
      const reason: Reason | undefined =
        medium.modifiedAtUs < oldestUs
          ? "age"
          : maxBytes !== undefined && bytes > maxBytes
            ? "size"
            : minFreeBytes !== undefined && !rests && disk.freeBytes + tally.bytes < minFreeBytes
              ? "free"
              : undefined;
      if (reason === undefined || this.#closing) return false;
      if (tally.recordings + tally.snapshots >= filesPerPass) return true;
      const needed = medium.kind === "recording" && isNeeded(medium.filename);
      if (needed && !evenNeeded) tally.kept.add(medium.filename);
      if ((needed && !evenNeeded) || !(await this.#delete(medium))) {
        if (++stayed > mostStubborn) return false;
        continue;
      }
      if (needed) this.#tellLost(medium, tally);
      bytes -= medium.bytes;
      tally.bytes += medium.bytes;
      tally.reasons.add(reason);
      if (medium.kind === "recording") tally.recordings++;
      else tally.snapshots++;
    }
    return false;
  }

  #tellLost({ filename }: OldMedium, tally: Tally): void {
    tally.kept.delete(filename);
    this.#options.log.warn(
      { filename },
      "a recording was deleted before it had been uploaded: the disk was about to be full, and nothing else was left to delete",
    );
  }

  /** @returns false when the file had to stay */
  async #delete({ kind, filename }: OldMedium): Promise<boolean> {
    const { library, log } = this.#options;
    if (kind === "recording" && [...this.#exporting.values()].includes(filename)) return false;
    const key = `${kind}/${filename}`;
    try {
      await library.delete(kind, filename);
      this.#stubborn.delete(key);
      return true;
    } catch (error) {
      const harmless = codeOf(error) === "file_not_found" || codeOf(error) === "file_in_use";
      if (!harmless && !this.#stubborn.has(key)) {
        this.#stubborn.add(key);
        log.error(
          { err: error, filename },
          `the retention policy cannot delete this ${kind}: ${messageOf(error)}`,
        );
      }
      return false;
    }
  }
}
