import type { RecordedFrameTime } from "../../media/mp4-recovery.ts";
import { recordedFrames } from "../recorded-frames.ts";

/** All frames of a recording with their times. */
export async function framesOf(path: string): Promise<RecordedFrameTime[]> {
  const frames: RecordedFrameTime[] = [];
  for await (const frame of recordedFrames(path)) frames.push(frame);
  return frames;
}
