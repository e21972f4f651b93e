/**
 * Cuts the files of one member to the common time, as one file. Stream copy where the outcome has exactly the wanted
 * frames, encoding otherwise; what came out is counted, not trusted.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { OcelliError } from "@ocelli/protocol";
import type { Library, MediaEntry } from "../../library/contract.ts";
import { isEnclosure, stemOf } from "../../library/names.ts";
import { countPresentedFrames } from "../../library/presented-frames.ts";
import { endVideoAt } from "../../media/edit-end.ts";
import type { MemberReport } from "../contract.ts";
import { isTimed } from "../report/member-report.ts";
import { inHubTime } from "../times/hub-times.ts";
import { copyArgs, encodeArgs, joinList } from "./align-args.ts";
import { encoderThreads, type FfmpegParts, runFfmpegWork } from "./align-ffmpeg.ts";
import { type Cut, planCut, type TimedFrame } from "./cut-plan.ts";

export interface CutParts extends FfmpegParts {
  readonly library: Library;
  readonly frames: (path: string, signal: AbortSignal) => AsyncIterable<TimedFrame>;
  readonly ffprobe?: string;
}

export interface MemberCut extends Cut {
  /** Those of its files that have a part in it. */
  readonly entries: readonly [MediaEntry, ...MediaEntry[]];
}

/**
 * @returns why it cannot be cut, in words
 * @throws the signal's reason
 */
export async function planMemberCut(
  member: MemberReport,
  common: { readonly fromUs: number; readonly toUs: number },
  { library, frames }: CutParts,
  signal: AbortSignal,
): Promise<MemberCut | string> {
  const enclosure = member.files.find(isEnclosure);
  if (enclosure !== undefined) return `${enclosure} is no video`;
  if (!isTimed(member)) {
    return (
      (member.timeSource === "unknown" ? member.notes[0] : undefined) ?? "its file holds no capture times"
    );
  }
  const framesOf = inHubTime(member, (path) => frames(path, signal));
  const all = member.files.map((file) => library.get("recording", file));
  const cut = await planCut(all.map(framesOf), common.fromUs, common.toUs);
  const [entry, ...others] = (cut?.files ?? []).flatMap(({ index }) => all[index] ?? []);
  if (cut === undefined || entry === undefined) return "it has no frame in the common time";
  const other = others.find(
    ({ codec, resolution }) => codec !== entry.codec || resolution !== entry.resolution,
  );
  if (other !== undefined) {
    return `its files cannot be joined: ${entry.filename} is ${entry.codec} ${entry.resolution}, ${other.filename} ${other.codec} ${other.resolution}`;
  }
  return { ...cut, entries: [entry, ...others] };
}

/**
 * @param folder where the outcome is made
 * @throws OcelliError those of `runFfmpegWork`; the signal's reason
 */
export async function cutMember(
  cut: MemberCut,
  folder: string,
  parts: CutParts,
  signal: AbortSignal,
  onPart: (fraction: number) => void,
): Promise<{ readonly path: string; readonly method: "copy" | "encoded" }> {
  const [entry] = cut.entries;
  const stem = stemOf("recording", entry.filename);
  const path = join(folder, `${stem}.mp4`);
  const list = join(folder, `${stem}.ffconcat`);
  await writeFile(list, listOf(cut));
  const work = { purpose: `cutting ${entry.filename}`, durationUs: cut.durationUs, signal, onPart };
  const shown = async (): Promise<number> => {
    const { clock, ffprobe } = parts;
    const program = ffprobe === undefined ? {} : { ffprobe };
    return (await countPresentedFrames(path, { clock, signal, ...program })).presented;
  };
  const copy = async (): Promise<number> => {
    await runFfmpegWork({ ...work, args: copyArgs(list, path, cut) }, parts);
    const copied = await shown();
    // Frames that others before the end depend on are shown behind it, unless the edit list says otherwise.
    return copied > cut.frames && (await endVideoAt(path, cut.durationUs)) ? shown() : copied;
  };
  const copied = await copy().catch((error: unknown) => {
    signal.throwIfAborted();
    if (error instanceof OcelliError && error.code === "ffmpeg_failed") return -1;
    throw error;
  });
  if (copied === cut.frames) return { path, method: "copy" };
  await runFfmpegWork({ ...work, args: encodeArgs(list, path, cut, encoderThreads()) }, parts);
  const encoded = await shown();
  if (encoded === cut.frames) return { path, method: "encoded" };
  throw new OcelliError(
    "ffmpeg_failed",
    `${entry.filename} could not be cut to ${cut.frames} frames: ffmpeg gave ${encoded}.`,
    { details: { filename: entry.filename, wanted: cut.frames, got: encoded } },
  );
}

function listOf({ entries, files, fromMediaUs, durationUs }: MemberCut): string {
  const endUs = files[0].startUs + fromMediaUs + durationUs;
  return joinList(
    entries.map(({ path }, i) => ({
      path,
      lastsUs: (files[i + 1]?.startUs ?? endUs) - (files[i]?.startUs ?? 0),
    })),
  );
}
