/** Turns the finished files of an `mkv` or `ts` recording into that format. */
import type { Library } from "../library/contract.ts";
import type { Log } from "../log/log.ts";
import type { Exports } from "./contract.ts";

export interface ExportSegmentsParts {
  readonly exports: Exports;
  readonly library: Library;
  readonly log: Log;
  /** Files that are not finished: they stay as they are. */
  readonly untouchable: ReadonlySet<string>;
}

/**
 * Each copy replaces its MP4 once it is in the library; one that cannot be made leaves the MP4. Never rejects.
 * @returns the names of the files as they are now
 */
export async function exportSegments(
  segments: readonly string[],
  format: "mkv" | "ts",
  parts: ExportSegmentsParts,
): Promise<string[]> {
  const names: string[] = [];
  for (const filename of segments) {
    names.push(
      parts.untouchable.has(filename) || !filename.endsWith(".mp4")
        ? filename
        : await exportOne(filename, format, parts),
    );
  }
  return names;
}

async function exportOne(
  filename: string,
  format: "mkv" | "ts",
  parts: ExportSegmentsParts,
): Promise<string> {
  const { exports, library, log } = parts;
  let made: string;
  try {
    made = (await exports.run({ filename, format, codec: "copy" })).filename;
  } catch (error) {
    log.error({ err: error, filename }, `the recording could not be made into ${format}; the MP4 is kept`);
    return filename;
  }
  await library.delete("recording", filename).catch((error: unknown) => {
    log.warn({ err: error, filename }, "the MP4 an export was made from could not be deleted");
  });
  return made;
}
