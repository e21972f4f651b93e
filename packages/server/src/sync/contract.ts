import { z } from "zod";

/**
 * Recording together: groups of cameras and devices, the sessions they recorded, and what a session's files show. The
 * schemas are how groups and sessions are kept in the database. Times: epoch microseconds by the hub's clock.
 */

const memberSchema = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("camera"), cameraId: z.string() }),
  z.object({
    kind: z.literal("multicam"),
    host: z.string(),
    port: z.number(),
    name: z.string().exactOptional(),
  }),
]);
export type SyncMember = Readonly<z.output<typeof memberSchema>>;

const groupSchema = z.object({
  id: z.string(),
  name: z.string(),
  members: z.array(memberSchema),
  /** How far first frames may be apart; one frame interval of the slowest member otherwise. */
  toleranceMs: z.number().exactOptional(),
  createdAtUs: z.number(),
});
export type SyncGroup = Readonly<z.output<typeof groupSchema>>;

/** `armed` waits for the common instant. */
const memberStates = ["pending", "armed", "recording", "completed", "failed"] as const;

const sessionMemberSchema = z.object({
  /** `camera0`, or `host:port` of a device. */
  key: z.string(),
  name: z.string(),
  member: memberSchema,
  state: z.enum(memberStates),
  recordingId: z.string().exactOptional(),
  /** When it was ready to start; after the common instant it was too late. */
  armedAtUs: z.number().exactOptional(),
  /** In the hub's library. */
  files: z.array(z.string()),
  /** What a device said of its file. */
  declared: z
    .object({
      deviceId: z.string().exactOptional(),
      /** Of the recording it has ended: known before the file is here. */
      fileId: z.string().exactOptional(),
      fileName: z.string().exactOptional(),
      fileSize: z.number().exactOptional(),
      /** Its clock against the hub's when the session began, seconds, by one answer. */
      clockOffset: z.number().exactOptional(),
      roundTrip: z.number().exactOptional(),
    })
    .exactOptional(),
  /** What went wrong, in words. */
  error: z.string().exactOptional(),
});
export type SessionMember = Readonly<z.output<typeof sessionMemberSchema>>;

/** The hub's clock, or what is known of its error, changed before or while the session recorded. */
const clockChangeSchema = z.object({
  /** By the clock as it was afterwards. */
  atUs: z.number(),
  /** How far the clock was set ahead. */
  stepUs: z.number(),
  /** How far the hub's idea of true time moved ahead; only told while the session waits. */
  correctionUs: z.number(),
  /** From then to T0; negative when it had passed. */
  untilStartUs: z.number(),
});
export type ClockChange = Readonly<z.output<typeof clockChangeSchema>>;

const sessionSchema = z.object({
  id: z.string(),
  groupId: z.string(),
  /** As it was then. */
  groupName: z.string().exactOptional(),
  name: z.string(),
  /** T0 by the hub's clock: every member's first frame is the first one captured at or after it. */
  startAtUs: z.number(),
  durationS: z.number().exactOptional(),
  toleranceMs: z.number().exactOptional(),
  state: z.enum(["armed", "recording", "completed", "failed"]),
  createdAtUs: z.number(),
  endedAtUs: z.number().exactOptional(),
  /** How right the hub's clock was when the session began, or `startAtUs` was reckoned anew. */
  clock: z.object({
    synchronised: z.boolean(),
    source: z.enum(["sntp", "chrony", "ntpd", "timesyncd", "ptp", "kernel", "none"]),
    offsetUs: z.number(),
    uncertaintyUs: z.number().optional(),
  }),
  /** The newest ones. */
  clockChanges: z.array(clockChangeSchema).exactOptional(),
  members: z.array(sessionMemberSchema),
  /** What aligning made of their files: copies and side-by-side views, in the hub's library. */
  aligned: z.array(z.string()).exactOptional(),
});
export type SyncSession = Readonly<z.output<typeof sessionSchema>>;

export { groupSchema, sessionSchema };

/** What one member's file shows. Milliseconds where nothing else is said. */
export interface MemberReport {
  readonly key: string;
  readonly name: string;
  readonly kind: SyncMember["kind"];
  readonly files: readonly string[];
  /**
   * How its frames got their times: stamped by the kernel, by their arrival, from the file of another hub (made times of
   * this one as well as can be told), or told by nobody.
   */
  readonly timeSource: "kernel" | "arrival" | "file" | "declared" | "unknown";
  /** Epoch microseconds of the first frame. */
  readonly firstFrameAtUs: number | undefined;
  /** First frame after T0. */
  readonly startErrorMs: number | undefined;
  /** How far its times were moved after that frame; negative where it was captured so much sooner than it says. */
  readonly movedMs: number | undefined;
  /** From frame to frame as the camera really gave them, holes left out; the nominal one where nothing was measured. */
  readonly frameIntervalMs: number | undefined;
  /** What the camera was set to. */
  readonly nominalIntervalMs: number | undefined;
  /** Those received, those that fit into holes, and those that fit between T0 and the first one. */
  readonly framesExpected: number | undefined;
  readonly framesReceived: number | undefined;
  /** That fit into holes: times between two frames that are longer than one and a half intervals. */
  readonly framesDropped: number | undefined;
  readonly durationS: number | undefined;
  /** Of the times between frames: the deviation without holes, the others with them. */
  readonly interval:
    | {
        readonly deviationMs: number;
        readonly medianMs: number;
        readonly percentile99Ms: number;
        readonly longestMs: number;
      }
    | undefined;
  /** How far its times may be off, beside the hub's own clock. */
  readonly uncertaintyMs: number | undefined;
  readonly declared: SessionMember["declared"];
  /** Why frames are missing where most are, as far as its sidecars say. */
  readonly gapReason: string | undefined;
  /** Why its last recording ended, as its sidecar says. */
  readonly endReason: string | undefined;
  /** What could not be checked, or went wrong. */
  readonly notes: readonly string[];
  /** For the plot, a bounded number: times between frames, and when after T0. */
  readonly curve: readonly {
    readonly fromMs: number;
    readonly toMs: number;
    readonly shortestMs: number;
    readonly longestMs: number;
  }[];
}

export interface SyncReport {
  readonly session: SyncSession;
  readonly members: readonly MemberReport[];
  /** Latest minus earliest first frame, of the members whose frames have times of the hub's clock. */
  readonly skewMs: number | undefined;
  readonly toleranceMs: number;
  readonly verdict: "within_tolerance" | "out_of_tolerance" | "not_measured";
  /** Why, in words. */
  readonly findings: readonly string[];
  /** What all members have, epoch microseconds. */
  readonly common: { readonly fromUs: number; readonly toUs: number } | undefined;
  readonly madeAtUs: number;
}
