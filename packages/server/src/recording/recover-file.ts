/**
 * Brings one file that a crash left behind into its final form, and counts what is in it. Touches nothing it does not
 * understand.
 */
import { type FileHandle, open, unlink } from "node:fs/promises";
import type { MediaGap } from "../library/contract.ts";
import { readFrameTimes, scanRecording } from "../media/mp4-recovery.ts";
import { HybridMp4Writer } from "../media/mp4-writer.ts";
import type { ReadAt } from "../media/recording-walk.ts";
import { captureInterrupted } from "./camera-link.ts";
import { DropAccount } from "./drops.ts";
import { finishInPlace } from "./segment-file.ts";

export interface RecoverFileOptions {
  readonly path: string;
  /** `fmp4`: only the torn tail is cut. */
  readonly keepFragmented: boolean;
  /** Nominal interval of frames, for the drops; by default the usual one of the file. */
  readonly intervalUs?: number;
  /** More than this behind the last whole fragment is not one torn fragment but damage in the middle. Default 64 MiB. */
  readonly maxTornBytes?: number;
}

export type RecoveredFile =
  /** Never created, or deleted by somebody. */
  | { readonly state: "missing" }
  /** Held no frame; removed. */
  | { readonly state: "empty" }
  /** Not understood; untouched. */
  | { readonly state: "unusable"; readonly reason: string; readonly bytes: number }
  | {
      readonly state: "recovered";
      readonly bytes: number;
      readonly frames: number;
      readonly durationUs: number;
      readonly firstFrameAtUs: number | undefined;
      readonly lastFrameAtUs: number | undefined;
      readonly droppedFrames: number;
      readonly gaps: readonly MediaGap[];
      /** It could not be finished (disk full); it is a valid fragmented file. */
      readonly unfinished?: unknown;
    };

/** @throws errors of the file system while reading */
export async function recoverFile(options: RecoverFileOptions): Promise<RecoveredFile> {
  let file: FileHandle;
  try {
    file = await open(options.path, "r+");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return { state: "missing" };
    throw error;
  }
  try {
    return await recoverOpenFile(file, options);
  } finally {
    await file.close();
  }
}

async function recoverOpenFile(file: FileHandle, options: RecoverFileOptions): Promise<RecoveredFile> {
  const { path, keepFragmented, maxTornBytes = 64 * 2 ** 20 } = options;
  const read = async (offset: number, length: number): Promise<Buffer> => {
    const buffer = Buffer.allocUnsafe(length);
    const { bytesRead } = await file.read(buffer, 0, length, offset);
    return buffer.subarray(0, bytesRead);
  };
  const { size } = await file.stat();
  const scan = await scanRecording(read, size);
  if (size === 0 || (scan.state === "fragmented" && scan.fragments === 0 && scan.validLength === size)) {
    await unlink(path);
    return { state: "empty" };
  }
  if (scan.state === "unusable") return { state: "unusable", reason: scan.reason, bytes: size };
  if (scan.fragments === 0 || size - scan.validLength > maxTornBytes) {
    const reason = `damaged at byte ${scan.validLength} of ${size}: ${scan.reason}`;
    return { state: "unusable", reason, bytes: size };
  }
  let bytes = scan.validLength;
  let unfinished: unknown;
  if (scan.state === "fragmented") {
    try {
      await file.truncate(bytes);
      if (keepFragmented) await file.datasync();
      else bytes = await finishInPlace(file, HybridMp4Writer.resume(scan).finish(), true);
    } catch (error) {
      unfinished = error;
      await file.truncate(bytes).catch(() => undefined);
    }
  }
  // Gives back what was set aside behind the end of the file.
  await file.truncate(bytes).catch(() => undefined);
  const drops = new DropAccount();
  const intervalUs = options.intervalUs ?? (await usualInterval(read, bytes));
  for await (const frame of readFrameTimes(read, bytes)) {
    const { mediaTimeUs, capturedAtUs, discontinuity } = frame;
    const instant = { mediaTimeUs, decodeTimeUs: mediaTimeUs, capturedAtUs };
    drops.frame(instant, intervalUs, discontinuity ? captureInterrupted : undefined);
  }
  return {
    state: "recovered",
    bytes,
    frames: scan.presentedFrames,
    durationUs: scan.durationUs,
    firstFrameAtUs: scan.firstFrameAtUs,
    lastFrameAtUs: scan.lastFrameAtUs,
    droppedFrames: drops.missing,
    gaps: drops.gaps,
    ...(unfinished === undefined ? {} : { unfinished }),
  };
}

/** Median of the first intervals between frames, microseconds; `undefined` where there are too few to tell. */
async function usualInterval(read: ReadAt, size: number): Promise<number | undefined> {
  const intervals: number[] = [];
  for await (const { durationUs } of readFrameTimes(read, size)) {
    intervals.push(durationUs);
    if (intervals.length === 100) break;
  }
  return intervals.length < 8 ? undefined : intervals.sort((a, b) => a - b)[intervals.length >> 1];
}
