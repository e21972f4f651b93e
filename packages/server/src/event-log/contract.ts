import type { EventName, HubEvent } from "../events/catalogue.ts";

/** What the floors above may ask of the event log. Implemented by `event-log.ts`. */

/** An event with its place in the order of all events. `seq` only ever grows, over restarts too; it may skip numbers. */
export type EventRecord = HubEvent & { readonly seq: number; readonly atUs: number };

/** Told as they happen and then forgotten: nothing is lost with them that a later event does not tell. */
export const transientEvents: ReadonlySet<EventName> = new Set<EventName>([
  "recording.progress",
  "export.progress",
]);

export interface ReadOptions {
  /** Only events with a larger `seq`. */
  readonly after: number;
  readonly limit: number;
  /** Default: all. */
  readonly names?: readonly EventName[];
  /** Only events that happened before this instant, or at it. */
  readonly untilUs?: number;
}

export interface Events {
  /** Of the newest event; 0 when there was none yet. */
  readonly latestSeq: number;
  /** After this `seq` nothing is missing: older events have been deleted, by age or size. */
  readonly completeAfter: number;
  /** Each event as it happens. @returns the function that unsubscribes */
  on(listener: (record: EventRecord) => void): () => void;
  /** In order, without transient events. Together with `on` in the same turn: no gap and no duplicate. */
  read(options: ReadOptions): EventRecord[];
  /** The last ones before now that fit, in order. */
  newest(options: Omit<ReadOptions, "after"> & { readonly fromUs?: number }): EventRecord[];
}
