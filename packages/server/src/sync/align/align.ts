/** Cuts the files of a session to what all of them have, on frame boundaries, and shows them side by side. */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { messageOf, OcelliError } from "@ocelli/protocol";
import type { EventBus } from "../../events/bus.ts";
import type { MemberReport, SyncReport } from "../contract.ts";
import { fileStem, syncFacts } from "../members/camera-member.ts";
import { importFile } from "../members/import-file.ts";
import { alignFolder } from "../members/work-folder.ts";
import { previewArgs } from "./align-args.ts";
import { encoderThreads, runFfmpegWork } from "./align-ffmpeg.ts";
import { type CutParts, cutMember, type MemberCut, planMemberCut } from "./cut-member.ts";

export interface AlignParts extends CutParts {
  readonly bus: EventBus;
  /** For files in the making; on the same file system as the library's. */
  readonly folder: string;
}

export interface AlignOptions {
  /** Also make the side-by-side view. Default true. */
  readonly preview?: boolean;
  readonly signal: AbortSignal;
  readonly onProgress?: (fraction: number) => void;
}

export interface AlignedMember {
  readonly key: string;
  readonly filename: string;
  readonly frames: number;
  readonly method: "copy" | "encoded";
  /** Capture time of its first frame, epoch microseconds. */
  readonly firstFrameAtUs: number;
}

export interface Aligned {
  readonly fromUs: number;
  readonly toUs: number;
  readonly members: readonly AlignedMember[];
  /** Members left out, and why. */
  readonly skipped: readonly { readonly key: string; readonly reason: string }[];
  readonly preview: string | undefined;
}

/** Frames a second of the side-by-side view, at most: the rate of its fastest member otherwise. */
const fastestPreview = 60;
/** How much of the work the side-by-side view is. */
const previewShare = 0.4;

/**
 * @throws OcelliError `unsupported` when fewer than one member can be aligned or nothing is common to all,
 *   `storage_low`, those of `runFfmpegWork`; the signal's reason. Nothing half done is left
 */
export async function alignSession(
  report: SyncReport,
  parts: AlignParts,
  options: AlignOptions,
): Promise<Aligned> {
  const { session, common } = report;
  if (common === undefined) {
    throw new OcelliError(
      "unsupported",
      `There is no time that all members of ${session.name} recorded. The report says what each of them has.`,
      { details: { session: session.id } },
    );
  }
  await parts.storage.assertMayRecord();
  const { cuts, skipped } = await planAll(report, common, parts, options.signal);
  assertSpace(
    cuts.map(({ cut }) => cut),
    parts,
  );
  const folder = alignFolder(parts.folder, session.id);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const progress = new Progress(report, parts, options);
  const made: string[] = [];
  try {
    const members: AlignedMember[] = [];
    for (const { member, cut } of cuts) {
      const { path, method } = await cutMember(cut, folder, parts, options.signal, (part) =>
        progress.member(member.key, part),
      );
      const stem = `${fileStem(session, member)}_aligned`;
      const { cameraId, cameraName } = cut.entries[0];
      const filename = await importFile(
        {
          ...{ path, stem, cameraId, cameraName, sync: syncFacts(session), signal: options.signal },
          clockThen: session.clock,
          shown: { frames: cut.frames, durationS: cut.durationUs / 1e6 },
        },
        parts,
      );
      made.push(filename);
      members.push({
        key: member.key,
        filename,
        frames: cut.frames,
        method,
        firstFrameAtUs: cut.firstFrameAtUs,
      });
    }
    const preview =
      options.preview === false
        ? undefined
        : await sideBySide(members, report, folder, parts, options.signal, progress);
    progress.done();
    return { ...common, members, skipped, preview };
  } catch (error) {
    for (const filename of made) await parts.library.delete("recording", filename).catch(() => undefined);
    progress.failed(error);
    throw error;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** @throws OcelliError `unsupported` when no member can be cut */
async function planAll(
  { session, members }: SyncReport,
  common: { readonly fromUs: number; readonly toUs: number },
  parts: AlignParts,
  signal: AbortSignal,
): Promise<{
  readonly cuts: readonly { readonly member: MemberReport; readonly cut: MemberCut }[];
  readonly skipped: Aligned["skipped"];
}> {
  const cuts: { member: MemberReport; cut: MemberCut }[] = [];
  const skipped: { key: string; reason: string }[] = [];
  for (const member of members) {
    signal.throwIfAborted();
    const cut = await planMemberCut(member, common, parts, signal);
    if (typeof cut === "string") skipped.push({ key: member.key, reason: cut });
    else cuts.push({ member, cut });
  }
  if (cuts.length > 0) return { cuts, skipped };
  throw new OcelliError(
    "unsupported",
    `No member of ${session.name} can be aligned: ${skipped.map(({ key, reason }) => `${key}: ${reason}`).join("; ")}`,
  );
}

/** Copies are as large as what they are made of; encoded ones, and the side-by-side view, are taken to be no larger. */
function assertSpace(cuts: readonly MemberCut[], { storage }: AlignParts): void {
  const { freeBytes, totalBytes } = storage.state;
  const neededBytes = cuts.flatMap(({ entries }) => entries).reduce((sum, { bytes }) => sum + bytes, 0);
  if (freeBytes > neededBytes) return;
  const inMiB = (bytes: number): number => Math.ceil(bytes / 2 ** 20);
  throw new OcelliError(
    "storage_low",
    `Aligning needs about ${inMiB(neededBytes)} MiB and ${inMiB(freeBytes)} MiB are free. Delete recordings first.`,
    { details: { freeBytes, totalBytes, neededBytes } },
  );
}

async function sideBySide(
  members: readonly AlignedMember[],
  { session }: SyncReport,
  folder: string,
  parts: AlignParts,
  signal: AbortSignal,
  progress: Progress,
): Promise<string> {
  const { library } = parts;
  const entries = members.map(({ filename }) => library.get("recording", filename));
  const path = join(folder, "preview.mp4");
  const longestUs = Math.max(...entries.map(({ durationS = 0 }) => durationS * 1e6));
  const args = previewArgs(
    entries.map((entry) => entry.path),
    path,
    Math.min(fastestPreview, Math.max(1, ...entries.map(({ fps }) => Math.round(fps)))),
    encoderThreads(),
  );
  const purpose = `showing ${session.name} side by side`;
  const onPart = (part: number): void => progress.preview(part);
  await runFfmpegWork({ args, purpose, durationUs: longestUs, signal, onPart }, parts);
  const stem = fileStem(session, { key: "preview" });
  const shown = { cameraId: session.name, cameraName: session.name, sync: syncFacts(session) };
  return importFile({ path, stem, ...shown, clockThen: session.clock, signal }, parts);
}

/** One fraction of all the work, told as an export's is. */
class Progress {
  readonly #report: SyncReport;
  readonly #parts: AlignParts;
  readonly #options: AlignOptions;
  readonly #share: number;
  /** A cut that is made a second time does not lead back. */
  #furthest = 0;

  constructor(report: SyncReport, parts: AlignParts, options: AlignOptions) {
    this.#report = report;
    this.#parts = parts;
    this.#options = options;
    this.#share = options.preview === false ? 0 : previewShare;
  }

  member(key: string, fraction: number): void {
    const { members } = this.#report;
    const at = members.findIndex((member) => member.key === key);
    this.#tell(((1 - this.#share) * (Math.max(0, at) + fraction)) / members.length, "running");
  }

  preview(fraction: number): void {
    this.#tell(1 - this.#share + this.#share * fraction, "running");
  }

  done(): void {
    this.#tell(1, "done");
  }

  failed(error: unknown): void {
    this.#tell(0, "failed", messageOf(error));
  }

  #tell(fraction: number, state: "running" | "done" | "failed", error?: string): void {
    const { session } = this.#report;
    this.#furthest = Math.max(this.#furthest, Math.min(0.99, fraction));
    const shown = state === "running" ? this.#furthest : fraction;
    this.#options.onProgress?.(shown);
    this.#parts.bus.emit("export.progress", {
      exportId: `align-${session.id}`,
      filename: session.name,
      fraction: shown,
      state,
      ...(error === undefined ? {} : { error }),
    });
  }
}
