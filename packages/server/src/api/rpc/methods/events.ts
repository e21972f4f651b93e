/** Subscriptions and the history of events. What is told, and when, is `subscriptions.ts`'s. */
import { type DottedTopic, isoOf, type Topic } from "@ocelli/protocol/camera-service";
import type { EventRecord } from "../../../event-log/contract.ts";
import { eventViewOf } from "../event-limits.ts";
import { cameraOf, eventsOf, told } from "../event-shapes.ts";
import { idOf } from "../node-of.ts";
import type { MethodImplementation, MethodTable } from "./method.ts";

const subscribeEvents: MethodImplementation<"subscribe_events"> = {
  run({ topics, filters = {}, since }, { session, afterAnswer }, { subscriptions, events }) {
    const wanted = [...new Set(topics)];
    const latest = events.latestSeq;
    const replay = subscriptions.subscribe(session, { topics: wanted, filters, since }, afterAnswer);
    return {
      subscribed: true,
      topics: wanted,
      filters,
      latest_seq: latest,
      ...(replay === undefined
        ? {}
        : { replay: { since: replay.since, gone: replay.gone, complete_after: replay.completeAfter } }),
    };
  },
};

const unsubscribeEvents: MethodImplementation<"unsubscribe_events"> = {
  run({ topics }, { session }, { subscriptions }) {
    return { unsubscribed: true, topics: subscriptions.unsubscribe(session, topics) };
  },
};

const getSubscriptionStats: MethodImplementation<"get_subscription_stats"> = {
  run(_params, { session }, { subscriptions }) {
    const { total, clients, byTopic } = subscriptions.counts();
    return {
      global_stats: { total_subscriptions: total, active_clients: clients, topic_counts: byTopic },
      client_topics: subscriptions.topicsOf(session),
      client_id: session.id,
    };
  },
};

/** Read at a time while looking for the events of one camera. */
const pageSize = 1000;
/** Looked through in one call at most; with `since` the next call goes on from there. */
const maxRead = 2000;

const getEventHistory: MethodImplementation<"get_event_history"> = {
  run({ since, limit = 100, topics, device, start_time, end_time }, { dialect, identity }, services) {
    const { events, cameras, subscriptions } = services;
    const cameraId = device === undefined ? undefined : idOf(device, cameras);
    const range = {
      ...(topics === undefined ? {} : { names: eventsOf(topics) }),
      ...(end_time === undefined ? {} : { untilUs: end_time }),
    };
    const wanted = new Set<Topic>(topics);
    const see = eventViewOf(identity);
    const context = { ...subscriptions.context, services, names: dialect.names, activeOf: () => undefined };
    const shapes = (record: EventRecord) => {
      const seen = see(record);
      return seen === undefined ? [] : shapesOf(seen);
    };
    const shapesOf = (record: EventRecord) => {
      if (cameraId !== undefined && cameraOf(record) !== cameraId) return [];
      if (start_time !== undefined && record.atUs < start_time) return [];
      const all = told(record, context);
      const found = topics === undefined ? all[0] : all.find(({ topic }) => wanted.has(topic));
      if (found === undefined) return [];
      // A broadcast is listed as what it tells of.
      const listed = found.topic.includes(".") ? found : (all[0] ?? found);
      const { seq, timestamp: _timestamp, ...data } = listed.data;
      return [
        {
          seq: record.seq,
          topic: listed.topic as DottedTopic,
          timestamp: isoOf(record.atUs),
          data: { ...data },
        },
      ];
    };
    const { latestSeq, completeAfter } = events;
    const common = { latest_seq: latestSeq, complete_after: completeAfter };
    if (since === undefined) {
      const from = start_time === undefined ? {} : { fromUs: start_time };
      const look = (most: number) =>
        events
          .newest({ ...range, ...from, limit: most })
          .flatMap(shapes)
          .slice(-limit);
      // What is left out of a camera's or a topic's events is only seen in each: few are tried first, then many.
      const isLimited = identity?.cameras !== undefined;
      let found = isLimited ? look(maxRead) : look(limit);
      const some = cameraId !== undefined || topics !== undefined;
      if (!isLimited && some && found.length < limit) found = look(maxRead);
      return { events: found, ...common, gone: false, next_since: null };
    }
    const found: ReturnType<typeof shapes> = [];
    let after = since;
    let read = 0;
    let more = true;
    while (more && found.length < limit && read < maxRead) {
      const page = events.read({ ...range, after, limit: pageSize });
      for (const record of page) {
        if (found.length >= limit) break;
        found.push(...shapes(record));
        after = record.seq;
      }
      read += page.length;
      more = page.length === pageSize || after < (page.at(-1)?.seq ?? after);
    }
    return {
      events: found,
      ...common,
      gone: since < completeAfter || since > latestSeq,
      next_since: more ? after : null,
    };
  },
};

export const eventImplementations = {
  subscribe_events: subscribeEvents,
  unsubscribe_events: unsubscribeEvents,
  get_subscription_stats: getSubscriptionStats,
  get_event_history: getEventHistory,
} satisfies Partial<MethodTable>;
