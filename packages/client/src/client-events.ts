import type { NotificationName, NotificationParams } from "@ocelli/protocol/camera-service";
import type { JsonObject } from "./records.ts";
import type { LostEvents } from "./subscriptions.ts";

export interface ServerNotification {
  readonly method: string;
  readonly params: JsonObject;
}

/** What `on`, `once` and `events` know by name: the client's own events and the server's notifications. */
export type ClientEvents = {
  [N in NotificationName]: NotificationParams<N>;
} & {
  /** Every notification, known to this client or not. */
  notification: ServerNotification;
  connected: { readonly reconnected: boolean };
  connectionLost: { readonly code: number; readonly reason: string; readonly willReconnect: boolean };
  /** `delay` in seconds. */
  reconnecting: { readonly attempt: number; readonly delay: number };
  /** No more attempts are made; `connect()` makes new ones. */
  reconnectFailed: { readonly error: Error };
  /** After a reconnect: events that the server no longer has. */
  eventsLost: LostEvents;
  disconnected: Readonly<Record<string, never>>;
};

/** May be async. What it throws is logged. */
export type NotificationCallback = (params: JsonObject) => unknown;
