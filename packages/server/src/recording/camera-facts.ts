/** What a sidecar says of the camera and its picture: its form in the journal, and how it is found. */
import { z } from "zod";
import { rateOf } from "../capture/rate.ts";
import type { FragmentSource } from "../capture/source.ts";
import type { CameraView } from "../events/catalogue.ts";
import type { InitSegment } from "../media/fragment.ts";

export const cameraFactsSchema = z.object({
  cameraName: z.string(),
  device: z.object({ node: z.string().optional(), busPath: z.string(), serial: z.string().optional() }),
  codec: z.string(),
  resolution: z.string(),
  /** Nominal frames a second; 0 when unknown. */
  fps: z.number(),
  timeSource: z.enum(["kernel", "arrival"]),
});

export type CameraFacts = z.output<typeof cameraFactsSchema>;

/**
 * @param modeFps of the mode granted; 0 when it does not say
 * @param init of the file: a camera may change its picture between two files
 */
export function cameraFacts(
  view: CameraView,
  source: Pick<FragmentSource, "frameIntervalUs" | "timeSource">,
  modeFps: number,
  init: InitSegment,
): CameraFacts {
  const video = init.tracks.find((track) => track.kind === "video");
  return {
    cameraName: view.name,
    device: {
      busPath: view.busPath,
      ...(view.node === undefined ? {} : { node: view.node }),
      ...(view.serial === undefined ? {} : { serial: view.serial }),
    },
    codec: video?.codec ?? "",
    resolution: video?.kind === "video" ? `${video.width}x${video.height}` : "",
    fps: modeFps > 0 ? modeFps : (rateOf(source.frameIntervalUs) ?? 0),
    timeSource: source.timeSource,
  };
}
