/**
 * One growing file of a recording, from its exclusive creation to its finished form. Owns the file handle, the order of
 * writes and flushes, and the room set aside for finishing; leaves what the bytes mean to `HybridMp4Writer`, and when a
 * file begins and ends to the recorder. The order of the steps is that of docs/recording.md.
 *
 * Invariants: one write at a time (the caller awaits each); what lies before `bytes` is whole fragments; after an error
 * nothing is appended any more, but the file can still be finished.
 */
import { type FileHandle, open, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { messageOf, OcelliError } from "@ocelli/protocol";
import type { Fragment } from "../media/fragment.ts";
import { HybridMp4Writer } from "../media/mp4-writer.ts";
import { syncFolder } from "../store/atomic-file.ts";
import { preallocate } from "./preallocate.ts";

/** When data is forced to the disk: after each fragment, at the end of a file, or when the system likes. */
export type SyncPolicy = "fragment" | "segment" | "none";

export interface SegmentFileOptions {
  readonly path: string;
  /** The keyframe the file begins with. */
  readonly first: Fragment;
  /** Media time of the first frame to be presented; that of `first` by default. */
  readonly presentFromUs?: number;
  /** Default `fragment`. */
  readonly sync?: SyncPolicy;
  /** Leave the file fragmented at its end. Default false. */
  readonly keepFragmented?: boolean;
  /** Opens the file; for tests of slow and failing disks. */
  readonly openFile?: typeof open;
}

export interface FinishOutcome {
  readonly bytes: number;
  /** Why the file had to be left fragmented (valid, and finished by the next recovery). */
  readonly error?: OcelliError;
}

/** Asked for at a time, so that most appends find room already set aside. */
const preallocationStep = 4 * 2 ** 20;
/** Kept for the sidecar and what is not foreseen. */
const slackBytes = 64 * 2 ** 10;

export class SegmentFile {
  readonly path: string;
  readonly #file: FileHandle;
  readonly #writer: HybridMp4Writer;
  readonly #sync: SyncPolicy;
  readonly #keepFragmented: boolean;
  #bytes: number;
  #frames = 0;
  #durationUs = 0;
  #fragments = 0;
  #samples = 0;
  /** End of the room set aside; -1 where the file system cannot. */
  #reservedTo = 0;
  #failed = false;
  #finished: Promise<FinishOutcome> | undefined;

  private constructor(file: FileHandle, writer: HybridMp4Writer, options: SegmentFileOptions) {
    this.path = options.path;
    this.#file = file;
    this.#writer = writer;
    this.#sync = options.sync ?? "fragment";
    this.#keepFragmented = options.keepFragmented ?? false;
    this.#bytes = writer.header().length;
  }

  /**
   * Creates the file with its header, durable with its name unless the policy is `none`.
   * @throws OcelliError `storage_failed`; nothing is left behind then
   */
  static async create(options: SegmentFileOptions): Promise<SegmentFile> {
    const { path, first, presentFromUs, openFile = open } = options;
    const writer = new HybridMp4Writer({ first, ...(presentFromUs === undefined ? {} : { presentFromUs }) });
    let file: FileHandle | undefined;
    try {
      file = await openFile(path, "wx", 0o644);
      const segment = new SegmentFile(file, writer, options);
      await segment.#reserve(0);
      await writeAll(file, [writer.header()], 0);
      if (segment.#sync !== "none") {
        await file.datasync();
        await syncFolder(dirname(path));
      }
      return segment;
    } catch (error) {
      if (file !== undefined) {
        await file.close().catch(() => undefined);
        await unlink(path).catch(() => undefined);
      }
      throw storageError(`The recording file ${path} could not be created`, path, error);
    }
  }

  /** Size up to the end of the last whole fragment. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Presented video frames in the file. */
  get frames(): number {
    return this.#frames;
  }

  /** Media microseconds from the first presented frame to the end of the last. */
  get durationUs(): number {
    return this.#durationUs;
  }

  /** Whether the frame can go into this file; see `HybridMp4Writer.accepts`. */
  accepts(frame: Fragment): boolean {
    return this.#writer.accepts(frame);
  }

  /**
   * Appends one fragment made of `frames`.
   * @throws OcelliError `storage_failed` when the disk is full or fails: the file then ends before these frames
   */
  async append(frames: readonly Fragment[]): Promise<void> {
    if (this.#failed)
      throw new OcelliError("internal", `${this.path} has failed before and takes no more frames.`);
    const buffers = this.#writer.fragment(frames);
    if (buffers.length === 0) return;
    const length = buffers.reduce((sum, buffer) => sum + buffer.length, 0);
    try {
      await this.#reserve(length);
      await writeAll(this.#file, buffers, this.#bytes);
      if (this.#sync === "fragment") await this.#file.datasync();
    } catch (error) {
      this.#failed = true;
      // What was written of it stays behind the end until the file is finished: cutting it off now would give the room
      // for that to others.
      this.#writer.takeBack();
      throw storageError(`The recording file ${this.path} could not be written on`, this.path, error);
    }
    this.#bytes += length;
    this.#fragments++;
    this.#samples += buffers.length - 1;
    this.#frames = this.#writer.presentedFrames;
    this.#durationUs = this.#writer.durationUs;
  }

  /**
   * Gives the file its final form and closes it. Same promise each time; never rejects, because a file that cannot be
   * finished is still a valid one: the outcome says so.
   */
  finish(): Promise<FinishOutcome> {
    this.#finished ??= this.#finish();
    return this.#finished;
  }

  /** Closes and deletes the file: for one that never got a frame. */
  async discard(): Promise<void> {
    this.#finished ??= (async () => {
      await this.#file.close().catch(() => undefined);
      await unlink(this.path).catch(() => undefined);
      return { bytes: 0 };
    })();
    await this.#finished;
  }

  async #finish(): Promise<FinishOutcome> {
    const file = this.#file;
    try {
      let length = this.#bytes;
      if (!this.#keepFragmented)
        length = await finishInPlace(file, this.#writer.finish(), this.#sync !== "none");
      else if (this.#sync !== "none") await file.datasync();
      // Cuts off the rest of a fragment whose write failed, and gives back the room that was set aside.
      await file.truncate(length);
      return { bytes: length };
    } catch (error) {
      await file.truncate(this.#bytes).catch(() => undefined);
      return {
        bytes: this.#bytes,
        error: storageError(`The recording file ${this.path} could not be finished`, this.path, error),
      };
    } finally {
      await file.close().catch(() => undefined);
    }
  }

  /** Sets room aside for `length` more bytes and for all that finishing will write. */
  async #reserve(length: number): Promise<void> {
    if (this.#reservedTo < 0) return;
    const needed = this.#bytes + length + this.#finishBytes() + slackBytes;
    if (needed <= this.#reservedTo) return;
    const from = this.#reservedTo;
    for (const to of [needed + preallocationStep, needed]) {
      const result = await preallocate(this.#file, from, to - from);
      if (result === "done") {
        this.#reservedTo = to;
        return;
      }
      if (result === "unsupported") {
        this.#reservedTo = -1;
        return;
      }
    }
    throw Object.assign(new Error("ENOSPC: no space left on device, fallocate"), { code: "ENOSPC" });
  }

  /** Upper bound of the complete `moov`: its tables take at most 24 bytes a sample, 20 a chunk. */
  #finishBytes(): number {
    return this.#writer.header().length + 4096 + this.#samples * 24 + this.#fragments * 40;
  }
}

/**
 * Turns a fragmented recording into a plain MP4: the `moov` first and safely, the patch that makes it count after. The
 * other way round, a power loss between the two would leave an unreadable file.
 * @returns the size of the finished file
 */
export async function finishInPlace(
  file: FileHandle,
  finished: ReturnType<HybridMp4Writer["finish"]>,
  sync: boolean,
): Promise<number> {
  await writeAll(file, [finished.moov], finished.moovOffset);
  if (sync) await file.datasync();
  await writeAll(file, [finished.patch.bytes], finished.patch.offset);
  if (sync) await file.datasync();
  return finished.length;
}

/** One `writev` unless the system writes less than asked, as it does before it says that the disk is full. */
async function writeAll(file: FileHandle, buffers: readonly Buffer[], position: number): Promise<void> {
  let rest = [...buffers];
  let at = position;
  while (rest.length > 0) {
    const { bytesWritten } = await file.writev(rest, at);
    if (bytesWritten <= 0) throw Object.assign(new Error("EIO: nothing could be written"), { code: "EIO" });
    at += bytesWritten;
    rest = without(rest, bytesWritten);
  }
}

function without(buffers: readonly Buffer[], bytes: number): Buffer[] {
  let left = bytes;
  return buffers.flatMap((buffer) => {
    const cut = Math.min(left, buffer.length);
    left -= cut;
    return cut === buffer.length ? [] : [buffer.subarray(cut)];
  });
}

/** A file system's error in our form. */
export function storageError(what: string, path: string, cause: unknown): OcelliError {
  if (cause instanceof OcelliError) return cause;
  const errno =
    cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : undefined;
  const advice =
    errno === "ENOSPC" || errno === "EDQUOT"
      ? "Free some space; what was recorded up to here is kept."
      : "Check the disk and the permissions of the folder; what was recorded up to here is kept.";
  return new OcelliError("storage_failed", `${what}: ${messageOf(cause)}. ${advice}`, {
    details: { path, ...(errno === undefined ? {} : { errno }) },
    cause,
  });
}
