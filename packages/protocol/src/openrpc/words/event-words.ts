import type { Words } from "./contract.ts";

/** Events, as they come and afterwards. */
export const eventWords: Words = {
  subscribe_events: {
    summary:
      "Says what this connection is told; with `since` also what it missed. See [events.md](events.md).",
    params: {
      topics: "names of topics, see [events.md](events.md); an unknown one refuses the call",
      filters: "equality on keys of the event, `timestamp_after`, `timestamp_before`; all must hold",
      since:
        "extension: `seq` of the last event seen; what came after it follows the answer, then live events",
    },
    example: { topics: ["camera.connected", "recording.stop"] },
  },
  unsubscribe_events: {
    summary: "Takes topics back; all without any named.",
    params: {
      topics: "all without",
    },
    example: { topics: ["recording.stop"] },
  },
  get_subscription_stats: {
    summary: "What this connection and all together have subscribed to.",
  },
  get_event_history: {
    summary: "Extension: what happened, from the log of events.",
    params: {
      since: "events after this `seq`, oldest first; without it the newest, oldest first",
      limit: "100 otherwise",
      topics: "only these",
      device: "only of this camera",
      start_time: "only from here on",
      end_time: "only until here",
    },
    example: { limit: 5 },
  },
};
