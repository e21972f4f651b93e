/** Frames of a member with times of the hub's clock as it was at T0, whatever clock they were recorded by. */
import type { MediaEntry } from "../../library/contract.ts";
import type { MemberReport } from "../contract.ts";
import { deviceClock } from "./device-clock.ts";
import { onOneClock, type StampedFrame, totalUs } from "./one-clock.ts";

/**
 * @param frames of a file, as it has them
 * @returns the frames of one of the member's files; to be called for each of them, in the order they were recorded
 */
export function inHubTime<F extends StampedFrame>(
  member: Pick<MemberReport, "kind" | "declared">,
  frames: (path: string) => AsyncIterable<F>,
): (entry: Pick<MediaEntry, "path" | "clockSteps">) => AsyncGenerator<F, void, undefined> {
  let aheadUs = -(deviceClock(member)?.shiftUs ?? 0);
  return ({ path, clockSteps }) => {
    const steady = onOneClock(frames(path), clockSteps, aheadUs);
    aheadUs += totalUs(clockSteps);
    return steady;
  };
}
