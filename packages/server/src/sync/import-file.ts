/** Takes a file fetched from elsewhere into the hub's library; a QuickTime file becomes MP4 by stream copy. */
import { rename, rm, stat } from "node:fs/promises";
import { dirname, extname, join } from "node:path";
import { OcelliError } from "@ocelli/protocol";
import type { Clock } from "../clock/clock.ts";
import { runFfmpeg } from "../ffmpeg/run.ts";
import type { Library, Sidecar } from "../library/contract.ts";
import { describeFile } from "../library/describe.ts";
import { syncFolder } from "../store/atomic-file.ts";

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
  readonly signal: AbortSignal;
}

/**
 * @returns name of the entry
 * @throws OcelliError `unsupported` for what is no video the library holds: the file stays where it is
 */
export async function importFile(request: ImportRequest, parts: ImportParts): Promise<string> {
  const { library, clock, ffprobe } = parts;
  const path = await asMp4(request, parts);
  const extension = extname(path).slice(1).toLowerCase();
  if (!["mp4", "mkv", "ts"].includes(extension)) {
    throw new OcelliError(
      "unsupported",
      `${path} is kept as it came: a ${extension} file cannot be a recording of the library.`,
      {
        details: { path },
      },
    );
  }
  const folder = library.folder("recording");
  const filename = library.reserve("recording", request.stem, extension);
  try {
    const described = await describeFile("recording", path, filename, {
      clock,
      signal: request.signal,
      ...(ffprobe === undefined ? {} : { ffprobe }),
    });
    const placed = rename(path, join(folder, filename)).then(() => syncFolder(folder));
    await library.put(
      { ...described, cameraId: request.cameraId, cameraName: request.cameraName, sync: request.sync },
      { after: placed },
    );
    return filename;
  } catch (error) {
    library.release("recording", filename);
    throw error;
  }
}

/** What phones make is MP4 but for its name and index. */
async function asMp4({ path, signal }: ImportRequest, { clock, ffmpeg }: ImportParts): Promise<string> {
  if (extname(path).toLowerCase() !== ".mov") return path;
  const target = join(dirname(path), `${path.slice(dirname(path).length + 1, -4)}.mp4`);
  try {
    await runFfmpeg({
      clock,
      args: [
        "-y",
        "-i",
        path,
        "-map",
        "0:v:0",
        "-map",
        "0:a:0?",
        "-c",
        "copy",
        "-movflags",
        "+faststart",
        target,
      ],
      purpose: `copying ${path} to MP4`,
      timeoutMs: 3_600_000,
      signal,
      ...(ffmpeg === undefined ? {} : { program: ffmpeg }),
    });
    if ((await stat(target)).size === 0)
      throw new OcelliError("ffmpeg_failed", `${path} could not be copied to MP4.`);
  } catch (error) {
    await rm(target, { force: true });
    throw error;
  }
  await rm(path, { force: true });
  return target;
}
