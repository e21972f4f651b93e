/**
 * The sidecar JSON beside every medium, the truth the index is made from. Owns its form on disk: reading forgives
 * (fields of other versions, missing ones), writing does not.
 */
import { readFile } from "node:fs/promises";
import { z } from "zod";
import { type WriteFileAtomicOptions, writeFileAtomic } from "../store/atomic-file.ts";
import type { MediaKind, Sidecar } from "./contract.ts";
import { sidecarSuffix } from "./names.ts";

const timeUs = z.number().min(0);

const gap = z.object({
  fromUs: timeUs,
  toUs: timeUs,
  reason: z.string(),
  missingFrames: z.number().min(0),
});
const clockStep = z.object({ atUs: timeUs, stepUs: z.number() });
const scheduledStart = z.object({ atUs: timeUs, errorUs: z.number() });
const sync = z.object({ sessionId: z.string(), groupName: z.string(), startAtUs: timeUs });
const clock = z.object({
  synchronised: z.boolean(),
  source: z.enum(["sntp", "chrony", "ntpd", "timesyncd", "ptp", "kernel", "none"]),
  offsetUs: z.number(),
  uncertaintyUs: z.number().min(0).optional(),
});
const device = z.object({ node: z.string().optional(), busPath: z.string(), serial: z.string().optional() });
const state = z.enum(["recording", "complete", "recovered", "failed"]);
const timeSource = z.enum(["kernel", "arrival"]);

/** What may be written: the contract to the letter, with nothing unknown in it. */
const written = z.strictObject({
  version: z.literal(1),
  kind: z.enum(["recording", "snapshot"]),
  filename: z.string().min(1),
  cameraId: z.string().min(1),
  cameraName: z.string(),
  device: device.strict(),
  state,
  format: z.string().min(1),
  codec: z.string(),
  resolution: z.string(),
  fps: z.number().min(0),
  bytes: z.number().int().min(0),
  createdAtUs: timeUs,
  timeSource,
  firstFrameAtUs: timeUs.optional(),
  lastFrameAtUs: timeUs.optional(),
  durationS: z.number().min(0).optional(),
  frames: z.number().int().min(0).optional(),
  droppedFrames: z.number().int().min(0).optional(),
  gaps: z.array(gap.strict()),
  clockSteps: z.array(clockStep.strict()),
  recordingId: z.string().optional(),
  segment: z.number().int().min(0).optional(),
  requestedDurationS: z.number().min(0).optional(),
  scheduledStart: scheduledStart.strict().optional(),
  sync: sync.strict().optional(),
  clock: clock.strict().optional(),
  endReason: z.string().optional(),
  exportedFrom: z.string().optional(),
  becomes: z.string().optional(),
  started_at: z.string(),
  stopped_at: z.string().nullable(),
  sha256: z.string().optional(),
} satisfies Record<keyof Sidecar, z.ZodType>);

const lenient = <T extends z.ZodType>(schema: T) => schema.optional().catch(undefined);

/** What can be read: enough to know which medium it is; the rest falls back. */
const readable = z.object({
  version: z.number().int().min(1),
  cameraId: z.string().min(1),
  format: z.string().min(1),
  state,
  createdAtUs: timeUs,
  cameraName: z.string().catch(""),
  device: device.catch({ busPath: "" }),
  codec: z.string().catch(""),
  resolution: z.string().catch(""),
  fps: z.number().min(0).catch(0),
  bytes: z.number().int().min(0).catch(0),
  timeSource: timeSource.catch("arrival"),
  firstFrameAtUs: lenient(timeUs),
  lastFrameAtUs: lenient(timeUs),
  durationS: lenient(z.number().min(0)),
  frames: lenient(z.number().int().min(0)),
  droppedFrames: lenient(z.number().int().min(0)),
  gaps: z.array(gap).catch([]),
  clockSteps: z.array(clockStep).catch([]),
  recordingId: lenient(z.string()),
  segment: lenient(z.number().int().min(0)),
  requestedDurationS: lenient(z.number().min(0)),
  scheduledStart: lenient(scheduledStart),
  sync: lenient(sync),
  clock: lenient(clock),
  endReason: lenient(z.string()),
  exportedFrom: lenient(z.string()),
  becomes: lenient(z.string()),
  started_at: z.string().catch(""),
  stopped_at: z.string().nullable().catch(null),
  sha256: lenient(z.string()),
});

export function sidecarPath(mediaPath: string): string {
  return `${mediaPath}${sidecarSuffix}`;
}

/** Epoch microseconds as ISO 8601 in UTC, to the microsecond. */
export function isoOfUs(us: number): string {
  const whole = Math.floor(us / 1_000_000);
  const fraction = String(Math.floor(us - whole * 1_000_000)).padStart(6, "0");
  return `${new Date(whole * 1000).toISOString().slice(0, 19)}.${fraction}Z`;
}

/**
 * The text of a sidecar.
 * @throws ZodError when it breaks the contract: a fault of the caller, not of the user
 */
export function writeSidecarText(sidecar: Sidecar): string {
  written.parse(sidecar);
  return `${JSON.stringify(sidecar, undefined, 2)}\n`;
}

/** @throws ZodError as `writeSidecarText`; errors of the file system */
export async function writeSidecar(
  mediaPath: string,
  sidecar: Sidecar,
  options: WriteFileAtomicOptions = {},
): Promise<void> {
  await writeFileAtomic(sidecarPath(mediaPath), writeSidecarText(sidecar), options);
}

/**
 * Reads a sidecar's text. Kind and file name are what the folder says: a pair that somebody renamed stays a pair.
 * @returns `undefined` when it is not a sidecar
 */
export function parseSidecar(text: string, kind: MediaKind, filename: string): Sidecar | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return undefined;
  }
  const result = readable.safeParse(json);
  if (!result.success) return undefined;
  const read = result.data;
  return {
    version: 1,
    kind,
    filename,
    cameraId: read.cameraId,
    cameraName: read.cameraName,
    device: {
      busPath: read.device.busPath,
      ...(read.device.node === undefined ? {} : { node: read.device.node }),
      ...(read.device.serial === undefined ? {} : { serial: read.device.serial }),
    },
    state: read.state,
    format: read.format,
    codec: read.codec,
    resolution: read.resolution,
    fps: read.fps,
    bytes: read.bytes,
    createdAtUs: read.createdAtUs,
    timeSource: read.timeSource,
    firstFrameAtUs: read.firstFrameAtUs,
    lastFrameAtUs: read.lastFrameAtUs,
    durationS: read.durationS,
    frames: read.frames,
    droppedFrames: read.droppedFrames,
    gaps: read.gaps,
    clockSteps: read.clockSteps,
    recordingId: read.recordingId,
    segment: read.segment,
    requestedDurationS: read.requestedDurationS,
    scheduledStart: read.scheduledStart,
    ...(read.sync === undefined ? {} : { sync: read.sync }),
    ...(read.clock === undefined
      ? {}
      : { clock: { ...read.clock, uncertaintyUs: read.clock.uncertaintyUs } }),
    endReason: read.endReason,
    ...(read.exportedFrom === undefined ? {} : { exportedFrom: read.exportedFrom }),
    ...(read.becomes === undefined ? {} : { becomes: read.becomes }),
    started_at: read.started_at === "" ? isoOfUs(read.firstFrameAtUs ?? read.createdAtUs) : read.started_at,
    stopped_at: read.stopped_at,
    sha256: read.sha256,
  };
}

/** @returns `undefined` when there is none or it is not one */
export async function readSidecar(
  mediaPath: string,
  kind: MediaKind,
  filename: string,
): Promise<Sidecar | undefined> {
  const text = await readFile(sidecarPath(mediaPath), "utf8").catch(() => undefined);
  return text === undefined ? undefined : parseSidecar(text, kind, filename);
}
