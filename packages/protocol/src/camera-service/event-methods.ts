/** What happens in the hub: topics, subscriptions with replay, history. */
import { z } from "zod";
import { method } from "./method.ts";
import { deviceName, readTimestampUs, timestampUs, wholeNumber } from "./values.ts";

/** Sent to every connection that has never subscribed (`system_health_update`: to all while it is critical). */
export const broadcastTopics = [
  "camera_status_update",
  "recording_status_update",
  "system_health_update",
] as const;

/** A subscription to one of these yields notifications whose method is the topic. */
export const dottedTopics = [
  "camera.connected",
  "camera.disconnected",
  "camera.status_change",
  "camera.capability_detected",
  "camera.capability_error",
  "recording.start",
  "recording.stop",
  "recording.error",
  "recording.progress",
  "snapshot.taken",
  "snapshot.error",
  "system.health",
  "system.error",
  "system.startup",
  "system.shutdown",
  // Of a media engine beside the hub; accepted, and quiet without one.
  "mediamtx.stream",
  "mediamtx.path",
  "mediamtx.error",
  "mediamtx.recording_started",
  "mediamtx.recording_stopped",
  "mediamtx.recording_failed",
  "mediamtx.stream_started",
  "mediamtx.stream_stopped",
  // Extensions.
  "camera.added",
  "capture.state",
  "capture.gap",
  "recording.recovered",
  "storage.level",
  "schedule.changed",
  "schedule.missed",
  "retention.deleted",
  "stream.added",
  "stream.removed",
  "stream.discovered",
  "clock.step",
  "clock.state",
  "sync.session",
  "export.progress",
] as const;

export const topics = [...broadcastTopics, ...dottedTopics] as const;
export type Topic = (typeof topics)[number];
export type DottedTopic = (typeof dottedTopics)[number];

const topicList = z.array(z.enum(topics)).min(1).max(100);
const seq = z.number().int().min(0);
const since = wholeNumber(0, Number.MAX_SAFE_INTEGER);
const timeFilters = ["timestamp_after", "timestamp_before"];

/**
 * All must hold: equality on a key of the event's data (`device` in either spelling, `topic`), or a time in
 * `timestamp_after`, `timestamp_before`. A key the event does not have fails.
 */
const filters = z
  .record(z.string().min(1).max(64), z.union([z.string().max(255), z.number(), z.boolean()]))
  .refine((value) => Object.keys(value).length <= 20, "at most 20 filters")
  .refine(
    (value) =>
      timeFilters.every((key) => value[key] === undefined || readTimestampUs(value[key]) !== undefined),
    "timestamp_after and timestamp_before must be ISO 8601, or seconds since 1970",
  );
export type EventFilters = z.output<typeof filters>;

export const subscribedSchema = z.looseObject({
  subscribed: z.literal(true),
  /** Of this call. */
  topics: z.array(z.string()),
  filters: z.record(z.string(), z.unknown()),
  /** Extension: of the newest event now. */
  latest_seq: seq,
  /** Extension, with `since`. The events follow this answer, in order, before live ones of these topics. */
  replay: z
    .looseObject({
      since: seq,
      /** Events after `since` are no longer there (or the log was begun anew): what is, is replayed. */
      gone: z.boolean(),
      /** Nothing after this is missing. */
      complete_after: seq,
    })
    .optional(),
});

export const subscriptionStatsSchema = z.looseObject({
  global_stats: z.looseObject({
    total_subscriptions: z.number().int().min(0),
    active_clients: z.number().int().min(0),
    topic_counts: z.record(z.string(), z.number().int().min(0)),
  }),
  client_topics: z.array(z.string()),
  client_id: z.string(),
});

export const eventHistorySchema = z.looseObject({
  events: z.array(
    z.looseObject({
      seq,
      topic: z.enum(dottedTopics),
      timestamp: z.iso.datetime(),
      /** As in the notification of this topic. */
      data: z.record(z.string(), z.unknown()),
    }),
  ),
  latest_seq: seq,
  complete_after: seq,
  /** Something after `since` has been deleted already. */
  gone: z.boolean(),
  /** For the next page; null at the end. */
  next_since: seq.nullable(),
});

export const eventMethods = {
  /**
   * Adds topics to what the connection is told; the first call ends the broadcasts to it. With `since` (extension) it
   * first gets what it has missed.
   */
  subscribe_events: method(
    "viewer",
    {
      topics: topicList,
      filters: filters.optional(),
      /** Extension: `seq` of the last event seen. */
      since: since.optional(),
    },
    subscribedSchema,
  ),
  /** Without topics: all. */
  unsubscribe_events: method(
    "viewer",
    { topics: topicList.optional() },
    z.looseObject({ unsubscribed: z.literal(true), topics: z.array(z.string()) }),
  ),
  get_subscription_stats: method("viewer", {}, subscriptionStatsSchema),
  /** Extension. With `since` the events after it, in order; otherwise the newest, in order. */
  get_event_history: method(
    "viewer",
    {
      since: since.optional(),
      /** Default 100. */
      limit: wholeNumber(1, 1000).optional(),
      topics: topicList.optional(),
      device: deviceName.optional(),
      start_time: timestampUs.optional(),
      end_time: timestampUs.optional(),
    },
    eventHistorySchema,
  ),
} as const;
