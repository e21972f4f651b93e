/** Writes a finished recording from fragments, as a recorder does. */
import { writeFile } from "node:fs/promises";
import type { Fragment } from "../../media/fragment.ts";
import { HybridMp4Writer } from "../../media/mp4-writer.ts";

export interface WrittenRecording {
  readonly frames: number;
  readonly durationS: number;
  readonly firstFrameAtUs: number;
  readonly lastFrameAtUs: number;
}

/** @param presentFromUs see `HybridMp4Writer` */
export async function writeRecording(
  path: string,
  fragments: readonly Fragment[],
  presentFromUs?: number,
): Promise<WrittenRecording> {
  const start = fragments.findIndex((one) => one.track.kind === "video");
  const first = fragments[start];
  if (first === undefined) throw new Error("no video");
  const writer = new HybridMp4Writer({ first, ...(presentFromUs === undefined ? {} : { presentFromUs }) });
  const parts = [writer.header()];
  for (let at = start; at < fragments.length; at += 30)
    parts.push(...writer.fragment(fragments.slice(at, at + 30)));
  const { moov, patch } = writer.finish();
  const file = Buffer.concat([...parts, moov]);
  patch.bytes.copy(file, patch.offset);
  await writeFile(path, file);
  const captured = fragments
    .filter((one) => one.track.kind === "video" && one.mediaTimeUs >= (presentFromUs ?? 0))
    .map((one) => one.capturedAtUs);
  return {
    frames: writer.presentedFrames,
    durationS: writer.durationUs / 1e6,
    firstFrameAtUs: Math.min(...captured),
    lastFrameAtUs: Math.max(...captured),
  };
}
