/**
 * The catalogue of recordings and snapshots. Owns the index, the reservation of names, the sidecars and the deletion
 * of media; leaves the media themselves to the recorder and the snapshots.
 *
 * The sidecars are the truth, the SQLite index only makes them quick to find. Files change first and rows after, so
 * that what a crash leaves between the two is put right by the reconciling pass at the next start; an index that is
 * missing, damaged or from another version is set aside and made again from the sidecars.
 */
import { existsSync, mkdirSync } from "node:fs";
import { rename, stat, unlink } from "node:fs/promises";
import { join, resolve } from "node:path";
import { messageOf, OcelliError } from "@ocelli/protocol";
import type { Clock } from "../clock/clock.ts";
import type { Log } from "../log/log.ts";
import { syncFolder } from "../store/atomic-file.ts";
import type { Library, MediaEntry, MediaKind, Page, PageOptions, Sidecar } from "./contract.ts";
import { describeFile } from "./describe.ts";
import { frameTimesPath } from "./frame-times-file.ts";
import { openIndex, setAside } from "./index-file.ts";
import { type IndexRow, isCorruption, type MediaIndex } from "./media-index.ts";
import { checkName, completeName, extensionOf, inFormat, stemOf, toBaseName, withSuffix } from "./names.ts";
import { fileNotFound } from "./not-found.ts";
import type { OldMedium } from "./oldest-first.ts";
import { runRebuild } from "./rebuild.ts";
import { type FileStamp, importedReason, stampOf } from "./reconcile.ts";
import { parseSidecar, readSidecar, sidecarPath, writeSidecar } from "./sidecar.ts";

export interface LibraryOptions {
  readonly recordingsFolder: string;
  readonly snapshotsFolder: string;
  /** The index file; it holds nothing else and may be deleted while the hub is down. */
  readonly indexPath: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Flush sidecars to the disk before `put` resolves. Default true. */
  readonly sync?: boolean;
  /** ffprobe's name or path, for files without a sidecar. */
  readonly ffprobe?: string;
}

const maxPageLimit = 10_000;

export class MediaLibrary implements Library {
  readonly #folders: Readonly<Record<MediaKind, string>>;
  readonly #options: LibraryOptions;
  #index: MediaIndex;
  /** `kind/filename` of names given out and not added yet. */
  readonly #reserved = new Set<string>();
  /** The last change under way of each file: changes of one file happen one after the other. */
  readonly #changes = new Map<string, Promise<unknown>>();
  readonly #closing = new AbortController();
  #rebuilding: Promise<{ added: number; removed: number }> | undefined;
  #closed: Promise<void> | undefined;

  readonly #firstPass = Promise.withResolvers<void>();

  private constructor(options: LibraryOptions, index: MediaIndex, full: boolean) {
    this.#options = options;
    this.#folders = {
      recording: resolve(options.recordingsFolder),
      snapshot: resolve(options.snapshotsFolder),
    };
    this.#index = index;
    this.#rebuildInBackground(full);
  }

  /**
   * Opens the index, or makes it from the sidecars when there is none that can be used.
   * @throws OcelliError `storage_failed`
   */
  static async open(options: LibraryOptions): Promise<MediaLibrary> {
    for (const folder of [options.recordingsFolder, options.snapshotsFolder]) {
      mkdirSync(folder, { recursive: true, mode: 0o755 });
    }
    const { index, isNew } = openIndex(options.indexPath, options.clock, options.log);
    const library = new MediaLibrary(options, index, isNew);
    if (isNew) await library.ready;
    return library;
  }

  folder(kind: MediaKind): string {
    return this.#folders[kind];
  }

  reserve(kind: MediaKind, wanted: string, extension: string, becomes = extension): string {
    const name = completeName(wanted, extension, Object.values(this.#folders));
    const candidate = (suffix: number): string => (suffix === 0 ? name : withSuffix(name, suffix));
    const isFree = (one: string): boolean =>
      this.#isFree(kind, one) && (becomes === extension || this.#isFree(kind, inFormat(kind, one, becomes)));
    let free = 0;
    if (!isFree(name)) {
      // Doubling, then halving: a thousand files of one name cost ten looks, not a thousand.
      let taken = 0;
      free = 1;
      while (!isFree(candidate(free))) {
        taken = free;
        free *= 2;
      }
      while (free - taken > 1) {
        const middle = Math.floor((free + taken) / 2);
        if (isFree(candidate(middle))) free = middle;
        else taken = middle;
      }
    }
    const chosen = candidate(free);
    this.#reserved.add(keyOf(kind, chosen));
    this.#reserved.add(keyOf(kind, inFormat(kind, chosen, becomes)));
    return chosen;
  }

  reserveCopy(entry: MediaEntry, extension: string): string {
    const { kind, becomes = "" } = entry;
    const isPromised = extensionOf(becomes) === extension && !this.#isThere(kind, becomes);
    if (!isPromised) return this.reserve(kind, stemOf(kind, entry.filename), extension);
    this.#reserved.add(keyOf(kind, becomes));
    return becomes;
  }

  release(kind: MediaKind, filename: string): void {
    this.#reserved.delete(keyOf(kind, filename));
  }

  put(sidecar: Sidecar, options: { readonly after?: Promise<unknown> } = {}): Promise<void> {
    return this.#change(sidecar.kind, sidecar.filename, () => this.#put(sidecar, options.after));
  }

  get(kind: MediaKind, filename: string): MediaEntry {
    const name = toBaseName(filename, [this.#folders[kind]]);
    checkName(name);
    const row = this.#withIndex(
      (index) => index.byName(kind, name) ?? index.byStem(kind, name)[0] ?? toBecome(index, kind, name),
    );
    if (row === undefined) throw fileNotFound(kind, name);
    const entry = this.#entry(row);
    if (!row.writing && !existsSync(entry.path)) {
      // Somebody removed the file by hand.
      this.#withIndex((index) => index.remove(kind, row.filename));
      throw fileNotFound(kind, name);
    }
    return entry;
  }

  page(kind: MediaKind, options: PageOptions): Page {
    const limit = Math.min(maxPageLimit, Math.max(0, Math.floor(options.limit)));
    const offset = Math.max(0, Math.floor(options.offset));
    return this.#withIndex((index) => ({
      entries: index
        .page(kind, limit, offset, options.cameraId ?? options.cameraIds)
        .map((row) => this.#entry(row)),
      total: filesOf(index, kind, options),
    }));
  }

  /** How many finished media there are and how much room they take. */
  usage(kind: MediaKind): { readonly files: number; readonly bytes: number } {
    return this.#withIndex((index) => index.usage(kind));
  }

  /** Size of the finished media of each camera that has any. */
  usageByCamera(kind: MediaKind): { readonly cameraId: string; readonly bytes: number }[] {
    return this.#withIndex((index) => index.usageByCamera(kind));
  }

  /** Finished media of a camera, oldest first, after a place in that order. */
  oldest(
    kind: MediaKind,
    cameraId: string,
    limit: number,
    after: { readonly modifiedAtUs: number; readonly id: number } = { modifiedAtUs: -1, id: -1 },
  ): OldMedium[] {
    return this.#withIndex((index) => index.oldest(kind, cameraId, limit, after));
  }

  /** What is being written, or was when the hub died. */
  unfinished(): readonly MediaEntry[] {
    return this.#withIndex((index) => index.writing().map((row) => this.#entry(row)));
  }

  delete(kind: MediaKind, filename: string): Promise<void> {
    // A name without extension must lead to the same queue as the full one.
    let name: string;
    try {
      name = this.get(kind, filename).filename;
      this.#assertMeant(kind, filename);
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#change(kind, name, () => this.#delete(kind, name));
  }

  /** What deletes does not guess: a name without extension that fits several files is refused. */
  #assertMeant(kind: MediaKind, filename: string): void {
    const name = toBaseName(filename, [this.#folders[kind]]);
    const files = this.#withIndex((index) => (index.byName(kind, name) ? [] : index.byStem(kind, name)));
    if (files.length < 2) return;
    const names = files.map((file) => file.filename);
    throw new OcelliError(
      "invalid_filename",
      `${name} could be ${names.join(" or ")}. Give the whole name.`,
      {
        details: { filename: name, files: names },
      },
    );
  }

  rebuild(): Promise<{ added: number; removed: number }> {
    return this.#rebuild(true);
  }

  /**
   * Settles when the index knows every sidecar that was there at the start; a second or so for a hundred thousand.
   * Files without a sidecar are looked into after that. Never rejects: a failure is logged.
   */
  get ready(): Promise<void> {
    return this.#firstPass.promise;
  }

  /** Lets changes under way finish, ends a rebuild. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= (async () => {
      this.#closing.abort(new OcelliError("storage_failed", "The library is closed."));
      await Promise.allSettled([...this.#changes.values(), this.#rebuilding]);
      this.#index.close();
    })();
    return this.#closed;
  }

  async #put(sidecar: Sidecar, after: Promise<unknown> | undefined): Promise<void> {
    const { kind, filename, state } = sidecar;
    const path = join(this.#folders[kind], filename);
    const sync = this.#options.sync ?? true;
    const known = after === undefined ? await lookAt(path) : undefined;
    const bytes = state === "recording" ? sidecar.bytes : (known?.bytes ?? sidecar.bytes);
    const truth: Sidecar = { ...sidecar, bytes };
    const [written, media] = await Promise.allSettled([writeSidecar(path, truth, { sync }), after]);
    if (media.status === "rejected") {
      await unlink(sidecarPath(path)).catch(() => undefined);
      throw media.reason;
    }
    const unwritten =
      written.status === "rejected"
        ? storageFailed(`The sidecar of ${path} could not be written`, path, written.reason)
        : undefined;
    // A finished medium on a full disk: until its sidecar can be written, the index is all that knows what it holds.
    if (unwritten !== undefined && (state === "recording" || known === undefined)) throw unwritten;
    const [file, sidecarFile] = await Promise.all([known ?? lookAt(path), lookAt(sidecarPath(path))]);
    this.#withIndex((index) =>
      index.put(truth, {
        bytes: file?.bytes ?? bytes,
        modifiedAtUs: file?.modifiedAtUs ?? this.#options.clock.wallUs(),
        sidecarStamp: sidecarFile?.stamp ?? "",
      }),
    );
    // The row keeps both names taken now.
    for (const name of [filename, sidecar.becomes ?? filename]) this.release(kind, name);
    if (unwritten !== undefined) throw unwritten;
  }

  async #delete(kind: MediaKind, filename: string): Promise<void> {
    const row = this.#withIndex((index) => index.byName(kind, filename));
    if (row === undefined) throw fileNotFound(kind, filename);
    if (row.writing) {
      throw new OcelliError(
        "file_in_use",
        `The ${kind} ${filename} is still being written. Stop the recording before deleting it.`,
        { details: { filename, resource: kind } },
      );
    }
    const path = join(this.#folders[kind], filename);
    try {
      // The medium first: a sidecar left alone by a crash is only a note, a medium left alone would come back.
      for (const one of [path, frameTimesPath(path), sidecarPath(path)]) await removeFile(one);
      if (this.#options.sync ?? true) await syncFolder(this.#folders[kind]);
    } catch (error) {
      throw storageFailed(`The ${kind} ${filename} could not be deleted`, path, error);
    }
    this.#withIndex((index) => index.remove(kind, filename));
  }

  #rebuildInBackground(full: boolean): void {
    this.#rebuild(full)
      .catch((error: unknown) => {
        if (!this.#closing.signal.aborted) {
          this.#options.log.error({ err: error }, "the media folders could not be read in");
        }
      })
      .finally(() => this.#firstPass.resolve());
  }

  #rebuild(full: boolean): Promise<{ added: number; removed: number }> {
    // One at a time; a full one asked for while another runs begins after it.
    const before = this.#rebuilding;
    const run = (async () => {
      await before?.catch(() => undefined);
      this.#closing.signal.throwIfAborted();
      return this.#runRebuild(full);
    })();
    this.#rebuilding = run;
    return run;
  }

  async #runRebuild(full: boolean): Promise<{ added: number; removed: number }> {
    const { log, indexPath } = this.#options;
    const request = { databasePath: indexPath, folders: this.#folders, signal: this.#closing.signal };
    let outcome: Awaited<ReturnType<typeof runRebuild>>;
    try {
      outcome = await runRebuild({ ...request, full });
    } catch (error) {
      if (!(error instanceof OcelliError) || error.details.corrupt !== true) throw error;
      this.#replaceIndex();
      outcome = await runRebuild({ ...request, full: true });
    }
    this.#firstPass.resolve();
    const adopted = await this.#adoptOrphans(outcome.orphans);
    const result = { added: outcome.added + adopted, removed: outcome.removed };
    if (result.added + result.removed > 0) log.info(result, "the index of media was brought up to date");
    return result;
  }

  /** Makes sidecars for files that have none. */
  async #adoptOrphans(orphans: readonly { kind: MediaKind; filename: string }[]): Promise<number> {
    let adopted = 0;
    for (const { kind, filename } of orphans) {
      this.#closing.signal.throwIfAborted();
      try {
        if (await this.#change(kind, filename, () => this.#adopt(kind, filename))) adopted++;
      } catch (error) {
        this.#closing.signal.throwIfAborted();
        this.#options.log.warn({ err: error, filename }, "a file without a sidecar could not be taken in");
      }
    }
    return adopted;
  }

  /** @returns true when there is one entry more */
  async #adopt(kind: MediaKind, filename: string): Promise<boolean> {
    // Its owner has yet to add it.
    if (this.#reserved.has(keyOf(kind, filename))) return false;
    const { clock, log, ffprobe } = this.#options;
    const path = join(this.#folders[kind], filename);
    const file = await lookAt(path);
    if (file === undefined) return false;
    const existing = await readSidecar(path, kind, filename);
    if (existing !== undefined && !(existing.endReason === importedReason && existing.bytes !== file.bytes)) {
      return false;
    }
    if (existing === undefined && existsSync(sidecarPath(path))) {
      const aside = `${sidecarPath(path)}.unreadable-${clock.wallUs()}`;
      await rename(sidecarPath(path), aside);
      log.warn({ path: aside }, "a file beside a medium is no sidecar that can be read; it was renamed");
    }
    const sidecar = await describeFile(kind, path, filename, {
      clock,
      signal: this.#closing.signal,
      ...(ffprobe === undefined ? {} : { ffprobe }),
    });
    const isNew = this.#withIndex((index) => index.byName(kind, filename)) === undefined;
    await this.#put(sidecar, undefined);
    return isNew;
  }

  /** Uses the index; a damaged one is replaced, filled again in the background, and asked once more. */
  #withIndex<T>(use: (index: MediaIndex) => T): T {
    try {
      return use(this.#index);
    } catch (error) {
      if (!isCorruption(error)) {
        if (error instanceof OcelliError) throw error;
        throw storageFailed("The index of media cannot be used", this.#options.indexPath, error);
      }
    }
    this.#replaceIndex();
    this.#rebuildInBackground(true);
    return use(this.#index);
  }

  #replaceIndex(): void {
    const { indexPath, clock, log } = this.#options;
    try {
      this.#index.close();
    } catch (error) {
      log.warn({ err: error }, "a damaged index could not be closed cleanly");
    }
    setAside(indexPath, clock, log);
    this.#index = openIndex(indexPath, clock, log).index;
  }

  /** No file has that name or is to get it. */
  #isFree(kind: MediaKind, filename: string): boolean {
    return (
      !this.#isThere(kind, filename) &&
      this.#withIndex((index) => toBecome(index, kind, filename)) === undefined
    );
  }

  #isThere(kind: MediaKind, filename: string): boolean {
    if (this.#reserved.has(keyOf(kind, filename))) return true;
    const path = join(this.#folders[kind], filename);
    return (
      [path, sidecarPath(path), frameTimesPath(path)].some((one) => existsSync(one)) ||
      this.#withIndex((index) => index.byName(kind, filename)) !== undefined
    );
  }

  #entry(row: IndexRow): MediaEntry {
    // Two objects as one: `{"a":1}` and `{"b":2}`.
    const text = row.lists === "" ? row.sidecar : `${row.sidecar.slice(0, -1)},${row.lists.slice(1)}`;
    const sidecar = parseSidecar(text, row.kind, row.filename);
    if (sidecar === undefined) {
      throw new OcelliError("internal", `The index holds a row for ${row.filename} that cannot be read.`);
    }
    return {
      ...sidecar,
      bytes: row.bytes,
      path: join(this.#folders[row.kind], row.filename),
      modifiedAtUs: row.modifiedAtUs,
    };
  }

  /** Runs changes of one file one after the other. */
  #change<T>(kind: MediaKind, filename: string, work: () => Promise<T>): Promise<T> {
    if (this.#closed !== undefined) {
      return Promise.reject(new OcelliError("storage_failed", "The library is closed."));
    }
    const key = keyOf(kind, filename);
    const before = this.#changes.get(key);
    const run = before === undefined ? work() : before.then(work, work);
    this.#changes.set(key, run);
    const forget = (): void => {
      if (this.#changes.get(key) === run) this.#changes.delete(key);
    };
    run.then(forget, forget);
    return run;
  }
}

function keyOf(kind: MediaKind, filename: string): string {
  return `${kind}/${filename}`;
}

/** The file that is to be replaced by a copy of this name. */
function toBecome(index: MediaIndex, kind: MediaKind, name: string): IndexRow | undefined {
  return index
    .byStem(kind, stemOf(kind, name))
    .find((row) => parseSidecar(row.sidecar, kind, row.filename)?.becomes === name);
}

async function lookAt(path: string): Promise<FileStamp | undefined> {
  try {
    return stampOf(await stat(path, { bigint: true }));
  } catch {
    return undefined;
  }
}

async function removeFile(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
  }
}

function filesOf(index: MediaIndex, kind: MediaKind, { cameraId, cameraIds }: PageOptions): number {
  if (cameraId !== undefined || cameraIds === undefined) return index.usage(kind, cameraId).files;
  return [...cameraIds].reduce((sum, id) => sum + index.usage(kind, id).files, 0);
}

function storageFailed(what: string, path: string, cause: unknown): OcelliError {
  return new OcelliError(
    "storage_failed",
    `${what}: ${messageOf(cause)}. Check the permissions and the free space of its folder.`,
    { details: { path }, cause },
  );
}
