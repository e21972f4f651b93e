/** Makes a sidecar for a file that has none: copied in by somebody, or its sidecar was lost. */
import { stat } from "node:fs/promises";
import type { Clock } from "../clock/clock.ts";
import { mediaFileArgs } from "../ffmpeg/media-file.ts";
import { type ProbeResult, probe } from "../ffmpeg/probe.ts";
import type { MediaKind, Sidecar } from "./contract.ts";
import { cameraOfName, extensionOf, isEnclosure } from "./names.ts";
import { importedReason, stampOf } from "./reconcile.ts";
import { recordedFrames } from "./recorded-frames.ts";
import { isoOfUs } from "./sidecar.ts";

export interface DescribeOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** ffprobe's name or path. */
  readonly ffprobe?: string;
}

/** Counting the frames of a long file that has no table of them means reading all of it. */
const countTimeoutMs = 600_000;
/** A machine that is that busy must not have a whole file written down as a broken one. */
const quickTimeoutMs = 60_000;

/**
 * What can be known of a file from itself. A file nothing can be read from gets a sidecar of state `failed`, so that
 * it is seen and can be deleted.
 * @throws errors of the file system when it is gone; the signal's reason
 */
export async function describeFile(
  kind: MediaKind,
  path: string,
  filename: string,
  options: DescribeOptions,
): Promise<Sidecar> {
  const file = await stat(path, { bigint: true });
  const { bytes, modifiedAtUs } = stampOf(file);
  const isPicture = !isEnclosure(filename);
  const probed = isPicture ? await probeFrames(kind, path, options) : undefined;
  const video = probed?.video;
  const times = kind === "recording" ? await captureTimes(path, options.signal) : undefined;
  const birthUs = Number(file.birthtimeNs / 1000n);
  const createdAtUs = times?.firstUs ?? (birthUs > 0 ? Math.min(birthUs, modifiedAtUs) : modifiedAtUs);
  const durationS =
    times?.durationS ?? (kind === "recording" ? (video?.durationS ?? probed?.durationS) : undefined);
  const extension = extensionOf(filename);
  return {
    version: 1,
    kind,
    filename,
    cameraId: cameraOfName(filename) ?? "unknown",
    cameraName: "",
    device: { busPath: "" },
    state: isPicture && video === undefined ? "failed" : "complete",
    format: extension === "jpeg" ? "jpg" : extension,
    codec: video?.codec ?? "",
    resolution:
      video?.width === undefined || video.height === undefined ? "" : `${video.width}x${video.height}`,
    fps: kind === "recording" ? (video?.fps ?? video?.rawFps ?? 0) : 0,
    bytes,
    createdAtUs,
    timeSource: "arrival",
    firstFrameAtUs: times?.firstUs,
    lastFrameAtUs: times?.lastUs,
    durationS,
    frames: times?.frames ?? (kind === "snapshot" && video !== undefined ? 1 : video?.frames),
    droppedFrames: undefined,
    gaps: [],
    clockSteps: [],
    recordingId: undefined,
    segment: undefined,
    requestedDurationS: undefined,
    scheduledStart: undefined,
    endReason: importedReason,
    started_at: isoOfUs(times?.firstUs ?? createdAtUs),
    stopped_at: times === undefined ? null : isoOfUs(times.lastUs),
    sha256: undefined,
  };
}

async function probeFrames(
  kind: MediaKind,
  path: string,
  { clock, signal, ffprobe }: DescribeOptions,
): Promise<ProbeResult | undefined> {
  const common = {
    ...{ clock, signal, inputArgs: kind === "recording" ? mediaFileArgs : [] },
    ...(ffprobe === undefined ? {} : { program: ffprobe }),
  };
  try {
    const quick = await probe(path, { ...common, timeoutMs: quickTimeoutMs });
    if (kind === "snapshot" || quick.video === undefined || quick.video.frames !== undefined) return quick;
    return await probe(path, { ...common, countPackets: true, timeoutMs: countTimeoutMs });
  } catch (error) {
    signal.throwIfAborted();
    // No ffprobe is a fault of the machine, and must not be written down as one of the file.
    if (error instanceof Error && "code" in error && error.code === "ffmpeg_missing") throw error;
    return undefined;
  }
}

interface CaptureTimes {
  readonly firstUs: number;
  readonly lastUs: number;
  readonly frames: number;
  readonly durationS: number;
}

/** What one of our own recordings says of its frames; `undefined` for other files. */
async function captureTimes(path: string, signal: AbortSignal): Promise<CaptureTimes | undefined> {
  if (isEnclosure(path)) return undefined;
  let firstUs: number | undefined;
  let lastUs = 0;
  let frames = 0;
  let endUs = 0;
  try {
    for await (const { capturedAtUs, mediaTimeUs, durationUs } of recordedFrames(path, signal)) {
      firstUs ??= capturedAtUs;
      lastUs = capturedAtUs;
      frames++;
      endUs = mediaTimeUs + durationUs;
    }
  } catch {
    signal.throwIfAborted();
    return undefined;
  }
  return firstUs === undefined ? undefined : { firstUs, lastUs, frames, durationS: endUs / 1e6 };
}
