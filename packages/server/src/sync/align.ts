/**
 * Cuts the files of a session to what all of them have, on frame boundaries, and shows them side by side. Stream copy
 * where the outcome has exactly the wanted frames, encoding otherwise; what came out is counted, not trusted.
 */
import { mkdir, rm } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { messageOf, OcelliError } from "@ocelli/protocol";
import type { Clock } from "../clock/clock.ts";
import type { EventBus } from "../events/bus.ts";
import { runFfmpeg } from "../ffmpeg/run.ts";
import type { Library, MediaEntry, StorageGuard } from "../library/contract.ts";
import { stemOf } from "../library/names.ts";
import { countPresentedFrames } from "../library/presented-frames.ts";
import { copyArgs, encodeArgs, previewArgs } from "./align-args.ts";
import { fileStem, syncFacts } from "./camera-member.ts";
import type { MemberReport, SyncReport } from "./contract.ts";
import { type Cut, planCut, type TimedFrame } from "./cut-plan.ts";
import { importFile } from "./import-file.ts";

export interface AlignParts {
  readonly library: Library;
  readonly storage: StorageGuard;
  readonly clock: Clock;
  readonly bus: EventBus;
  /** For files in the making; on the same file system as the library's. */
  readonly folder: string;
  readonly frames: (path: string) => AsyncIterable<TimedFrame>;
  readonly ffmpeg?: string;
  readonly ffprobe?: string;
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

/** Of the folder in which the files of a session are made. */
export const alignPrefix = "align-";
/** Frames a second of the side-by-side view, at most: the rate of its fastest member otherwise. */
const fastestPreview = 60;
/** How much of the work the side-by-side view is. */
const previewShare = 0.4;

/**
 * @throws OcelliError `unsupported` when fewer than one member can be aligned or nothing is common to all,
 *   `storage_low`, `ffmpeg_failed`; the signal's reason. Nothing half done is left
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
  const folder = join(parts.folder, `${alignPrefix}${session.id}`);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const progress = new Progress(report, parts, options);
  const made: string[] = [];
  try {
    const members: AlignedMember[] = [];
    const skipped: { key: string; reason: string }[] = [];
    for (const member of report.members) {
      const plan = await planOf(member, common, parts);
      if (typeof plan === "string") {
        skipped.push({ key: member.key, reason: plan });
        continue;
      }
      const { path, method } = await cutOne(plan, folder, parts, options.signal, (part) =>
        progress.member(member.key, part),
      );
      const stem = `${fileStem(session, member)}_aligned`;
      const { cameraId, cameraName } = plan.entry;
      const filename = await importFile(
        { path, stem, cameraId, cameraName, sync: syncFacts(session), signal: options.signal },
        parts,
      );
      made.push(filename);
      members.push({
        key: member.key,
        filename,
        frames: plan.cut.frames,
        method,
        firstFrameAtUs: plan.cut.firstFrameAtUs,
      });
    }
    if (members.length === 0) {
      throw new OcelliError(
        "unsupported",
        `No member of ${session.name} can be aligned: ${skipped.map(({ key, reason }) => `${key}: ${reason}`).join("; ")}`,
      );
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

interface Plan {
  readonly entry: MediaEntry;
  readonly cut: Cut;
}

async function planOf(
  member: MemberReport,
  common: { readonly fromUs: number; readonly toUs: number },
  { library, frames }: AlignParts,
): Promise<Plan | string> {
  if (member.timeSource !== "kernel" && member.timeSource !== "arrival")
    return (
      (member.timeSource === "unknown" ? member.notes[0] : undefined) ?? "its file holds no capture times"
    );
  const plans: Plan[] = [];
  for (const file of member.files) {
    const entry = library.get("recording", file);
    const cut = await planCut(frames(entry.path), common.fromUs, common.toUs);
    if (cut !== undefined) plans.push({ entry, cut });
  }
  const [only, second] = plans;
  if (only === undefined) return "it has no frame in the common time";
  return second === undefined ? only : "the common time goes over several of its files";
}

async function cutOne(
  { entry, cut }: Plan,
  folder: string,
  parts: AlignParts,
  signal: AbortSignal,
  onPart: (fraction: number) => void,
): Promise<{ readonly path: string; readonly method: AlignedMember["method"] }> {
  const path = join(folder, `${stemOf("recording", entry.filename)}.mp4`);
  const copied = await run(
    copyArgs(entry.path, path, cut),
    `cutting ${entry.filename}`,
    parts,
    signal,
    cut.durationUs,
    onPart,
  )
    .then(() => counted(path, parts, signal))
    .catch((error: unknown) => {
      signal.throwIfAborted();
      if (error instanceof OcelliError && error.code === "storage_critical") throw error;
      return -1;
    });
  if (copied === cut.frames) return { path, method: "copy" };
  const args = encodeArgs(entry.path, path, cut, threads());
  await run(args, `cutting ${entry.filename}`, parts, signal, cut.durationUs, onPart);
  const encoded = await counted(path, parts, signal);
  if (encoded === cut.frames) return { path, method: "encoded" };
  throw new OcelliError(
    "ffmpeg_failed",
    `${entry.filename} could not be cut to ${cut.frames} frames: ffmpeg gave ${encoded}.`,
    { details: { filename: entry.filename, wanted: cut.frames, got: encoded } },
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
    threads(),
  );
  await run(args, `showing ${session.name} side by side`, parts, signal, longestUs, (part) =>
    progress.preview(part),
  );
  const stem = fileStem(session, { key: "preview" });
  const shown = { cameraId: session.name, cameraName: session.name, sync: syncFacts(session) };
  return importFile({ path, stem, ...shown, signal }, parts);
}

async function counted(path: string, { clock, ffprobe }: AlignParts, signal: AbortSignal): Promise<number> {
  const { presented } = await countPresentedFrames(path, {
    clock,
    signal,
    ...(ffprobe === undefined ? {} : { ffprobe }),
  });
  return presented;
}

async function run(
  args: readonly string[],
  purpose: string,
  { clock, storage, ffmpeg }: AlignParts,
  signal: AbortSignal,
  durationUs: number,
  onPart: (fraction: number) => void,
): Promise<void> {
  const full = new AbortController();
  await runFfmpeg({
    clock,
    purpose,
    args,
    timeoutMs: Number.POSITIVE_INFINITY,
    signal: AbortSignal.any([signal, full.signal]),
    ...(ffmpeg === undefined ? {} : { program: ffmpeg }),
    onProgress: ({ outTimeUs }) => {
      if (storage.state.level === "critical") {
        full.abort(
          new OcelliError("storage_critical", `${purpose} was given up: storage space is critical.`),
        );
      }
      if (outTimeUs !== undefined && durationUs > 0) onPart(Math.min(1, Math.max(0, outTimeUs / durationUs)));
    },
  });
}

function threads(): number {
  return Math.max(1, Math.floor(availableParallelism() / 2));
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
