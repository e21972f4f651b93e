/**
 * Makes the index equal to the folders, in batches: many files off the hub's thread (`rebuild.ts`). Synchronous file
 * access is right here: the thread has nothing else to do, or the files are few; a hundred thousand are looked at in a second
 * or two.
 *
 * The hub goes on adding and deleting meanwhile. Both sides change the files first and the row after, so a row is
 * written or removed here only inside a transaction in which the file was looked at again: whatever the hub did to
 * the file later, its own change of the row comes later too.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { MediaKind, Sidecar } from "./contract.ts";
import type { MediaIndex } from "./media-index.ts";
import { isMediaName } from "./names.ts";
import { parseSidecar, sidecarPath } from "./sidecar.ts";

/** What a file without a usable sidecar gets as `endReason` in the one made for it. */
export const importedReason = "imported";

export interface ReconcileOptions {
  readonly index: MediaIndex;
  readonly folders: Readonly<Record<MediaKind, string>>;
  /** Read every sidecar again; otherwise only those that changed since their row was made. */
  readonly full: boolean;
  /** Files a transaction; keeps the hub's writes from waiting long. Default 100. */
  readonly batchSize?: number;
  /** Called between batches with files that need a sidecar. */
  readonly onOrphan: (kind: MediaKind, filename: string) => void;
}

export interface ReconcileResult {
  readonly added: number;
  readonly removed: number;
}

export interface FileStamp {
  readonly stamp: string;
  readonly bytes: number;
  readonly modifiedAtUs: number;
}

/** Identifies one version of a file: a file replaced by rename has another inode. */
export function stampOf(stat: { ino: bigint; size: bigint; mtimeNs: bigint }): FileStamp {
  return {
    stamp: `${stat.ino}:${stat.size}:${stat.mtimeNs}`,
    bytes: Number(stat.size),
    modifiedAtUs: Number(stat.mtimeNs / 1000n),
  };
}

function look(path: string): FileStamp | undefined {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stat?.isFile() ? stampOf(stat) : undefined;
}

/** Runs over both folders, giving way between batches. */
export function* reconcile(options: ReconcileOptions): Generator<void, ReconcileResult> {
  let added = 0;
  let removed = 0;
  for (const kind of ["recording", "snapshot"] as const) {
    const pass = new FolderPass(kind, options);
    added += yield* pass.addFiles();
    removed += yield* pass.removeRows();
  }
  return { added, removed };
}

interface Candidate {
  readonly sidecar: Sidecar;
  readonly sidecarFile: FileStamp;
  readonly media: FileStamp;
}

class FolderPass {
  readonly #kind: MediaKind;
  readonly #folder: string;
  readonly #index: MediaIndex;
  readonly #full: boolean;
  readonly #batchSize: number;
  readonly #onOrphan: ReconcileOptions["onOrphan"];
  readonly #present: Set<string>;

  constructor(kind: MediaKind, options: ReconcileOptions) {
    this.#kind = kind;
    this.#folder = options.folders[kind];
    this.#index = options.index;
    this.#full = options.full;
    this.#batchSize = options.batchSize ?? 100;
    this.#onOrphan = options.onOrphan;
    this.#present = new Set(readdirSync(this.#folder).filter((name) => isMediaName(kind, name)));
  }

  *addFiles(): Generator<void, number> {
    let added = 0;
    let batch: Candidate[] = [];
    const flush = (): void => {
      if (batch.length > 0) added += this.#write(batch);
      batch = [];
    };
    let looked = 0;
    for (const filename of this.#present) {
      const candidate = this.#read(filename);
      if (candidate !== undefined) batch.push(candidate);
      looked++;
      if (batch.length >= this.#batchSize || looked % 1000 === 0) {
        flush();
        yield;
      }
    }
    flush();
    return added;
  }

  /** @returns `undefined` when the row is right already, or there is no sidecar to make one from */
  #read(filename: string): Candidate | undefined {
    const path = join(this.#folder, filename);
    const media = look(path);
    if (media === undefined) return undefined;
    const sidecarFile = look(sidecarPath(path));
    if (sidecarFile === undefined) {
      this.#onOrphan(this.#kind, filename);
      return undefined;
    }
    const row = this.#index.byName(this.#kind, filename);
    const unchanged = row?.sidecarStamp === sidecarFile.stamp && (row.writing || row.bytes === media.bytes);
    if (unchanged && !this.#full) return undefined;
    let content: string;
    try {
      content = readFileSync(sidecarPath(path), "utf8");
    } catch {
      // Deleted a moment ago, or not readable: the second case is told of by the orphan's own failure.
      this.#onOrphan(this.#kind, filename);
      return undefined;
    }
    const sidecar = parseSidecar(content, this.#kind, filename);
    // A file that was still being copied in when its sidecar was made is described again.
    const grown = sidecar?.endReason === importedReason && sidecar.bytes !== media.bytes;
    if (sidecar === undefined || grown) {
      this.#onOrphan(this.#kind, filename);
      return undefined;
    }
    return { sidecar, sidecarFile, media };
  }

  #write(batch: readonly Candidate[]): number {
    return this.#index.transaction(() => {
      let added = 0;
      for (const { sidecar, sidecarFile, media } of batch) {
        const path = join(this.#folder, sidecar.filename);
        if (look(sidecarPath(path))?.stamp !== sidecarFile.stamp) continue;
        if (this.#index.byName(this.#kind, sidecar.filename) === undefined) added++;
        this.#index.put(sidecar, {
          bytes: media.bytes,
          modifiedAtUs: media.modifiedAtUs,
          sidecarStamp: sidecarFile.stamp,
        });
      }
      return added;
    });
  }

  *removeRows(): Generator<void, number> {
    let removed = 0;
    let last = "";
    for (;;) {
      const rows = this.#index.namesAfter(this.#kind, last, 1000);
      const final = rows.at(-1);
      if (final === undefined) return removed;
      last = final.filename;
      const gone = rows.filter((row) => !this.#present.has(row.filename));
      if (gone.length > 0) {
        removed += this.#index.transaction(
          () =>
            gone.filter((row) => this.#isGone(row) && this.#index.remove(this.#kind, row.filename)).length,
        );
      }
      yield;
    }
  }

  /** A recording that is just starting has its sidecar before its file. */
  #isGone(row: { filename: string; writing: boolean }): boolean {
    const path = join(this.#folder, row.filename);
    return look(path) === undefined && !(row.writing && look(sidecarPath(path)) !== undefined);
  }
}
