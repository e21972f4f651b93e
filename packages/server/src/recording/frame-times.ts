/** The capture time of every frame of a recording, as CSV text. */
import { recordedFrames } from "../library/recorded-frames.ts";
import { isoOfUs } from "../library/sidecar.ts";

export const frameTimesHeader = "frame,captured_at_us,captured_at,media_time_us,duration_us,keyframe\n";

/** Text handed out at a time, characters. */
const chunkLength = 65_536;

/**
 * CSV in chunks of some tens of KiB: a header, then a line a presented frame: its number from 0, capture time (epoch
 * microseconds and ISO 8601 in UTC), time in the file, duration, and 1 for a keyframe. Reads as `recordedFrames` does.
 * @throws OcelliError `unsupported` when the file has no frame times, `file_not_found`
 */
export async function* frameTimesCsv(path: string, signal?: AbortSignal): AsyncGenerator<string> {
  let text = frameTimesHeader;
  for await (const frame of recordedFrames(path, signal)) {
    text += `${frame.index},${frame.capturedAtUs},${isoOfUs(frame.capturedAtUs)},${frame.mediaTimeUs},${frame.durationUs},${frame.keyframe ? 1 : 0}\n`;
    if (text.length >= chunkLength) {
      yield text;
      text = "";
    }
  }
  yield text;
}
