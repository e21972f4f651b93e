/**
 * Takes a file fetched from elsewhere into the hub's library. A QuickTime file becomes MP4 by stream copy; what is no
 * video is kept as it came.
 */
import { rename, rm } from "node:fs/promises";
import { extname, join } from "node:path";
import { OcelliError } from "@ocelli/protocol";
import type { Clock } from "../../clock/clock.ts";
import { mediaFileArgs } from "../../ffmpeg/media-file.ts";
import { runFfmpeg } from "../../ffmpeg/run.ts";
import type { Library, Sidecar } from "../../library/contract.ts";
import { describeFile } from "../../library/describe.ts";
import { extensionOfImport } from "../../library/names.ts";
import { isoOfUs } from "../../library/sidecar.ts";
import { syncFolder } from "../../store/atomic-file.ts";
import type { SyncSession } from "../contract.ts";

export interface ImportParts {
  readonly library: Library;
  readonly clock: Clock;
  readonly ffmpeg?: string;
  readonly ffprobe?: string;
}

export interface ImportRequest {
  /** In a folder of the same file system as the library's. */
  readonly path: string;
  /** Name wished for, without extension. */
  readonly stem: string;
  /** Under which its recordings are listed. */
  readonly cameraId: string;
  readonly cameraName: string;
  readonly sync: Sidecar["sync"];
  /** What was known of the hub's clock then. */
  readonly clockThen: SyncSession["clock"];
  /** When it began, as far as anybody knows, epoch microseconds; a file that has times of its own knows better. */
  readonly beganAtUs?: number;
  /** What is known of it better than the file's tables tell: they count what an edit list hides. */
  readonly shown?: Pick<Sidecar, "frames" | "durationS">;
  readonly signal: AbortSignal;
}

/**
 * @returns name of the entry
 * @throws OcelliError `ffmpeg_missing`; errors of the file system; the signal's reason
 */
export async function importFile(request: ImportRequest, parts: ImportParts): Promise<string> {
  const { library, clock, ffprobe } = parts;
  const { cameraId, cameraName, sync, clockThen } = request;
  const path = await asMp4(request, parts);
  const extension = extensionOfImport(path);
  const folder = library.folder("recording");
  // What it was called would be lost otherwise.
  const stem =
    extension === "bin" ? `${request.stem}${extname(path).replaceAll(/[^.\w]/g, "")}` : request.stem;
  const filename = library.reserve("recording", stem, extension);
  let placed: Promise<void> | undefined;
  try {
    const described = await describeFile("recording", path, filename, {
      clock,
      signal: request.signal,
      ...(ffprobe === undefined ? {} : { ffprobe }),
    });
    placed = rename(path, join(folder, filename)).then(() => syncFolder(folder));
    const stamp = { ...clockThen, uncertaintyUs: clockThen.uncertaintyUs };
    const known = { ...described, ...began(described, request), ...request.shown, clock: stamp };
    await library.put({ ...known, cameraId, cameraName, sync }, { after: placed });
    return filename;
  } catch (error) {
    library.release("recording", filename);
    // Back to whose it is: a file nobody knows of would be taken for one that was copied in.
    await placed?.then(() => rename(join(folder, filename), path)).catch(() => undefined);
    throw error;
  }
}

/** Otherwise it would have begun when it was fetched. */
function began(described: Sidecar, { beganAtUs }: ImportRequest): Partial<Sidecar> {
  const { firstFrameAtUs, durationS } = described;
  if (beganAtUs === undefined || firstFrameAtUs !== undefined) return {};
  const stopped_at = durationS === undefined ? null : isoOfUs(beganAtUs + durationS * 1e6);
  return { createdAtUs: beganAtUs, started_at: isoOfUs(beganAtUs), stopped_at };
}

/** What phones make is MP4 but for its name and index. What cannot be copied stays as it is. */
async function asMp4({ path, signal }: ImportRequest, { clock, ffmpeg }: ImportParts): Promise<string> {
  if (extname(path).toLowerCase() !== ".mov") return path;
  const target = `${path.slice(0, -".mov".length)}.mp4`;
  const streams = ["-map", "0:v:0", "-map", "0:a:0?", "-c", "copy"];
  try {
    await runFfmpeg({
      clock,
      args: ["-y", ...mediaFileArgs, "-i", path, ...streams, "-movflags", "+faststart", target],
      purpose: `copying ${path} to MP4`,
      timeoutMs: 3_600_000,
      signal,
      ...(ffmpeg === undefined ? {} : { program: ffmpeg }),
    });
  } catch (error) {
    await rm(target, { force: true });
    if (error instanceof OcelliError && error.code === "ffmpeg_failed" && !signal.aborted) return path;
    throw error;
  }
  await rm(path, { force: true });
  return target;
}
