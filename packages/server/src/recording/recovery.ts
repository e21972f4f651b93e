/**
 * What a crash left behind: finishes the files of a journal entry and says whether the recording should go on. The steps
 * are those of docs/recording.md, *Recovery*.
 */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { messageOf, OcelliError } from "@ocelli/protocol";
import type { Clock } from "../clock/clock.ts";
import type { EventBus } from "../events/bus.ts";
import type { Library, Sidecar } from "../library/contract.ts";
import { readSidecar } from "../library/sidecar.ts";
import type { Log } from "../log/log.ts";
import type { CameraFacts } from "./camera-facts.ts";
import type { JournalEntry, RecordingJournal } from "./journal.ts";
import { type RecoveredFile, recoverFile } from "./recover-file.ts";
import { buildSidecar, type SegmentContent } from "./segment-sidecar.ts";

export interface RecoveryParts {
  readonly library: Library;
  readonly journal: RecordingJournal;
  readonly clock: Clock;
  readonly events: EventBus;
  readonly log: Log;
}

/** Why a recovered file ended. */
export const crashed = "crash";

/**
 * Finishes every file of the entry.
 * @returns the entry to go on with, or `undefined` when the recording is over (its entry is removed then)
 * @throws OcelliError `storage_failed`, errors of the file system: the entry stays
 */
export async function recoverEntry(
  found: JournalEntry,
  parts: RecoveryParts,
): Promise<JournalEntry | undefined> {
  const { journal, clock, events, log } = parts;
  let entry = found;
  const stillUnfinished: JournalEntry["unfinished"] = [];
  const recovered: { filename: string; frames: number }[] = [];
  for (const { filename, index } of found.unfinished) {
    const file = await recoverSegment(entry, filename, index, parts);
    log.info({ filename, ...file }, "a file left behind by a crash");
    if (file.state === "missing" || file.state === "empty") {
      entry = { ...entry, segments: entry.segments.filter((name) => name !== filename) };
    }
    if (file.state !== "recovered") continue;
    if (file.unfinished !== undefined) stillUnfinished.push({ filename, index });
    recovered.push({ filename, frames: file.frames });
    entry = {
      ...entry,
      recordedUs: entry.recordedUs + file.durationUs,
      recordedFrames: entry.recordedFrames + file.frames,
      recordedBytes: entry.recordedBytes + file.bytes,
      ...(file.lastFrameAtUs === undefined ? {} : { lastFrameAtUs: file.lastFrameAtUs }),
    };
  }
  entry = { ...entry, unfinished: stillUnfinished };
  for (const { filename, frames } of recovered) {
    events.emit("recording.recovered", { filename, cameraId: entry.cameraId, frames, resumed: false });
  }
  if (shouldGoOn(entry, clock.wallUs())) {
    await journal.write(entry);
    return entry;
  }
  if (stillUnfinished.length > 0) await journal.write({ ...entry, over: true });
  else await journal.remove(entry.id);
  return undefined;
}

/** True for a recording that was told to run on, or armed for an instant, and whose time is not over. */
export function shouldGoOn(entry: JournalEntry, nowUs: number): boolean {
  if (entry.over) return false;
  const { startedAtUs, startAtUs, durationS, recordedUs } = entry;
  const beganAtUs = startedAtUs ?? startAtUs;
  if (beganAtUs === undefined) return false;
  if (durationS === undefined) return true;
  return recordedUs < durationS * 1e6 && nowUs < beganAtUs + durationS * 1e6;
}

async function recoverSegment(
  entry: JournalEntry,
  filename: string,
  index: number,
  parts: RecoveryParts,
): Promise<RecoveredFile> {
  const { library, clock, log } = parts;
  const path = join(library.folder("recording"), filename);
  const before = await readSidecar(path, "recording", filename);
  const facts = before === undefined ? entry.facts : factsOf(before);
  if (facts === undefined)
    throw new OcelliError("internal", `Neither the journal nor a sidecar says which camera made ${path}.`);
  const file = await recoverFile({
    path,
    keepFragmented: entry.format === "fmp4",
    // What a network camera's rate is said to be need not be true.
    ...(facts.timeSource === "kernel" && facts.fps > 0 ? { intervalUs: 1e6 / facts.fps } : {}),
  });
  const nowUs = clock.wallUs();
  const content: SegmentContent = {
    ...blankContent,
    ...(file.state === "recovered" ? file : {}),
    filename,
    index,
  };
  switch (file.state) {
    case "missing":
    case "empty":
      if (before !== undefined) {
        await library.put(buildSidecar(entry, facts, content, { state: "failed", reason: crashed, nowUs }));
        await library.delete("recording", filename);
      }
      break;
    case "unusable": {
      log.error({ path, reason: file.reason }, "a recording cannot be recovered; the file is left as it is");
      const { bytes, reason } = file;
      await library.put(
        buildSidecar(
          entry,
          facts,
          { ...content, bytes },
          { state: "failed", reason: `unusable: ${reason}`, nowUs },
        ),
      );
      break;
    }
    case "recovered": {
      if (file.unfinished !== undefined) {
        log.error(
          { path, err: file.unfinished },
          "a recovered recording could not be finished; it stays fragmented",
        );
      }
      // What the file itself cannot tell: the hole before it, and what the clock did.
      const first = file.firstFrameAtUs ?? Number.POSITIVE_INFINITY;
      const earlier = before?.gaps.filter((gap) => gap.toUs <= first) ?? [];
      const known: SegmentContent = {
        ...content,
        gaps: [...earlier, ...file.gaps],
        droppedFrames: file.droppedFrames + earlier.reduce((sum, gap) => sum + gap.missingFrames, 0),
        clockSteps: before?.clockSteps ?? [],
        clock: before?.clock,
      };
      await library.put(buildSidecar(entry, facts, known, { state: "recovered", reason: crashed, nowUs }));
      break;
    }
  }
  return file;
}

/** The journal is gone: whatever its sidecar calls a recording in progress is finished, and not resumed. */
export async function recoverWithoutJournal(parts: RecoveryParts): Promise<void> {
  const { library, log } = parts;
  const folder = library.folder("recording");
  for (const name of await readdir(folder)) {
    if (!name.endsWith(".mp4")) continue;
    const sidecar = await readSidecar(join(folder, name), "recording", name);
    if (sidecar?.state !== "recording") continue;
    try {
      await recoverSegment(entryOf(sidecar), name, sidecar.segment ?? 0, parts);
    } catch (error) {
      log.error({ err: error, file: name }, `a recording could not be recovered: ${messageOf(error)}`);
    }
  }
}

function entryOf(sidecar: Sidecar): JournalEntry {
  const copy = (["mkv", "ts"] as const).find((format) => sidecar.becomes?.endsWith(`.${format}`));
  return {
    version: 1,
    id: sidecar.recordingId ?? sidecar.filename,
    cameraId: sidecar.cameraId,
    format: copy ?? "mp4",
    over: true,
    segments: [sidecar.filename],
    unfinished: [],
    recordedUs: 0,
    recordedFrames: 0,
    recordedBytes: 0,
    facts: factsOf(sidecar),
    ...(sidecar.requestedDurationS === undefined ? {} : { durationS: sidecar.requestedDurationS }),
    ...(sidecar.sync === undefined ? {} : { sync: { ...sidecar.sync } }),
    ...(sidecar.scheduledStart === undefined ? {} : { startAtUs: sidecar.scheduledStart.atUs }),
  };
}

function factsOf(sidecar: Sidecar): CameraFacts {
  const { cameraName, device, codec, resolution, fps, timeSource } = sidecar;
  return { cameraName, device: { ...device }, codec, resolution, fps, timeSource };
}

const blankContent: Omit<SegmentContent, "filename" | "index"> = {
  bytes: 0,
  frames: 0,
  durationUs: 0,
  firstFrameAtUs: undefined,
  lastFrameAtUs: undefined,
  droppedFrames: 0,
  gaps: [],
  clockSteps: [],
};
