/**
 * Who is told what: takes events from the log, makes each into one message for each vocabulary, and hands it to the
 * connections that are to hear of it, live or replayed.
 *
 * A connection that never subscribed hears the broadcasts; the first subscription ends that. While the past of a topic
 * is replayed to a connection, the topic's live events wait in the log, where the replay comes upon them: no gap, no
 * duplicate. A replay goes as fast as its client reads, and holds nobody else up.
 */
import { setImmediate } from "node:timers/promises";
import { OcelliError } from "@ocelli/protocol";
import { type EventFilters, type Names, readTimestampUs, type Topic } from "@ocelli/protocol/camera-service";
import type { Limited } from "../../auth/camera-limit.ts";
import type { Identity } from "../../auth/identity.ts";
import { limitedCameras } from "../../auth/limited-cameras.ts";
import type { EventRecord, Events } from "../../event-log/contract.ts";
import type { Log } from "../../log/log.ts";
import { notification } from "./announcer.ts";
import { type EventView, eventViewOf } from "./event-limits.ts";
import { cameraOf, eventsOf, isBroadcast, type ShapeContext, type Told, told } from "./event-shapes.ts";
import { type Frame, lastingTextFrame, type Outgoing } from "./frame.ts";
import { idOf } from "./node-of.ts";
import type { Session } from "./session.ts";

/** The connection, as far as telling it something goes. */
export interface Outlet {
  readonly session: Session;
  /** A broadcast; a client that does not read is dropped for it. */
  announce(message: Outgoing): void;
  /** The same about the recording of a camera: kept back while an answer about it is due. */
  announceRecording(cameraId: string, message: Outgoing): void;
  /** For this client alone, as much as it wants. */
  send(message: Outgoing): void;
  /** Resolves when the client has taken most of what waits for it, or is gone. */
  drained(): Promise<void>;
}

export interface SubscriptionsOptions {
  readonly events: Events;
  readonly context: Omit<ShapeContext, "names" | "activeOf">;
  readonly log: Log;
}

export interface SubscribeRequest {
  readonly topics: readonly Topic[];
  readonly filters: EventFilters;
  readonly since: number | undefined;
}

export interface Replay {
  readonly since: number;
  readonly gone: boolean;
  readonly completeAfter: number;
}

export interface SubscriptionCounts {
  readonly total: number;
  readonly clients: number;
  readonly byTopic: Readonly<Record<string, number>>;
}

interface Client {
  readonly outlet: Outlet;
  /** `undefined`: has never subscribed. */
  wishes: Map<Topic, EventFilters> | undefined;
  /** Topics whose past is being replayed, with how many replays. */
  replaying: Map<Topic, number> | undefined;
  /** One replay after the other: they share what the client can take. */
  pastTold: Promise<void> | undefined;
  pending: number;
  /** Made anew when somebody else speaks on the connection. */
  view: { readonly of: Identity | undefined; readonly see: EventView } | undefined;
}

interface Text {
  readonly topic: Topic;
  readonly data: Told["data"];
  /** Of those that connections hear that never subscribed. */
  readonly isBroadcast: boolean;
  readonly frame: () => Frame;
}

function viewOf(client: Client): EventView {
  const { identity } = client.outlet.session;
  // Most are not limited; what is kept for each connection is to be little.
  if (identity?.cameras === undefined) return eventViewOf(identity);
  if (client.view === undefined || client.view.of !== identity) {
    client.view = { of: identity, see: eventViewOf(identity) };
  }
  return client.view.see;
}

const replayAtATime = 200;
/** To one connection, waiting ones included. */
const maxReplays = 8;

export class Subscriptions {
  readonly #options: SubscriptionsOptions;
  readonly #clients = new Map<Session, Client>();
  readonly #explicit = new Set<Client>();
  readonly #unsubscribe: () => void;

  constructor(options: SubscriptionsOptions) {
    this.#options = options;
    this.#unsubscribe = options.events.on((record) => this.#tell(record));
  }

  add(outlet: Outlet): void {
    this.#clients.set(outlet.session, {
      outlet,
      wishes: undefined,
      replaying: undefined,
      pastTold: undefined,
      pending: 0,
      view: undefined,
    });
  }

  remove(session: Session): void {
    const client = this.#clients.get(session);
    if (client === undefined) return;
    this.#clients.delete(session);
    this.#explicit.delete(client);
  }

  /** What events are told with. */
  get context(): SubscriptionsOptions["context"] {
    return this.#options.context;
  }

  /** Nothing is told any more. */
  close(): void {
    this.#unsubscribe();
  }

  /**
   * Adds topics; a topic subscribed again gets the new filters. From now on their events are told.
   * @throws OcelliError `rate_limited` while too many replays to the connection run
   * @param afterAnswer runs its argument when the answer to the call is out: the past comes after that
   */
  subscribe(
    session: Session,
    { topics, filters, since }: SubscribeRequest,
    afterAnswer: (work: () => void) => void,
  ): Replay | undefined {
    const client = this.#clients.get(session);
    if (client === undefined) return undefined;
    if (since !== undefined && client.pending >= maxReplays) {
      throw new OcelliError(
        "rate_limited",
        `${maxReplays} replays to this connection are still running. Wait for them.`,
      );
    }
    client.wishes ??= new Map();
    this.#explicit.add(client);
    for (const topic of topics) client.wishes.set(topic, filters);
    if (since === undefined) return undefined;
    const { latestSeq, completeAfter } = this.#options.events;
    client.replaying ??= new Map();
    for (const topic of topics) client.replaying.set(topic, (client.replaying.get(topic) ?? 0) + 1);
    // A number from the future is one of a log that is no more: there is nothing between it and now.
    const from = Math.min(since, latestSeq);
    client.pending++;
    afterAnswer(() => {
      client.pastTold = (client.pastTold ?? Promise.resolve()).then(() => this.#replay(client, topics, from));
    });
    return { since, gone: since < completeAfter || since > latestSeq, completeAfter };
  }

  /** Without `topics`: all. @returns those that were subscribed and are no longer */
  unsubscribe(session: Session, topics?: readonly Topic[]): Topic[] {
    const client = this.#clients.get(session);
    if (client === undefined) return [];
    client.wishes ??= new Map();
    this.#explicit.add(client);
    const { wishes } = client;
    return (topics ?? [...wishes.keys()]).filter((topic) => wishes.delete(topic));
  }

  topicsOf(session: Session): Topic[] {
    return [...(this.#clients.get(session)?.wishes?.keys() ?? [])];
  }

  counts(): SubscriptionCounts {
    const byTopic: Record<string, number> = {};
    let total = 0;
    let clients = 0;
    for (const { wishes } of this.#explicit) {
      if (wishes === undefined || wishes.size === 0) continue;
      clients++;
      total += wishes.size;
      for (const topic of wishes.keys()) byTopic[topic] = (byTopic[topic] ?? 0) + 1;
    }
    return { total, clients, byTopic };
  }

  #tell(record: EventRecord): void {
    const everybody = isBroadcast(record);
    if (!everybody && this.#explicit.size === 0) return;
    const textsFor = this.#texts(record, true);
    const nowUs = this.#options.context.services.clock.wallUs();
    for (const client of everybody ? this.#clients.values() : this.#explicit) {
      const { outlet, wishes, replaying } = client;
      if (!outlet.session.mayBeTold(nowUs)) continue;
      const seen = viewOf(client)(record);
      if (seen === undefined) continue;
      const unasked = everybody && (seen === record || isBroadcast(seen));
      const critical = record.name === "system.health" && unasked;
      const texts = seen === record ? textsFor : this.#texts(seen, true, outlet.session.identity);
      for (const one of texts(outlet.session.dialect.names)) {
        if (replaying?.has(one.topic)) continue;
        const uninvited = unasked && one.isBroadcast && (wishes === undefined || critical);
        if (uninvited || this.#isWanted(seen, one, wishes?.get(one.topic))) {
          this.#deliver(outlet, seen, one.frame());
        }
      }
    }
  }

  #deliver(outlet: Outlet, record: EventRecord, frame: Frame): void {
    const camera = record.name.startsWith("recording.") ? cameraOf(record) : undefined;
    if (camera === undefined) outlet.announce(frame);
    else outlet.announceRecording(camera, frame);
  }

  async #replay(client: Client, topics: readonly Topic[], since: number): Promise<void> {
    const { outlet } = client;
    const { events, context, log } = this.#options;
    const names = eventsOf(topics);
    let after = since;
    let reader: NonNullable<Client["view"]> = { of: undefined, see: eventViewOf(undefined) };
    try {
      while (this.#clients.has(outlet.session) && outlet.session.mayBeTold(context.services.clock.wallUs())) {
        const records = events.read({ after, limit: replayAtATime, names });
        const { identity } = outlet.session;
        if (identity !== reader.of) reader = { of: identity, see: eventViewOf(identity) };
        for (const record of records) {
          const seen = reader.see(record);
          if (seen === undefined) continue;
          for (const one of this.#texts(seen, false, identity)(outlet.session.dialect.names)) {
            if (!topics.includes(one.topic)) continue;
            if (this.#isWanted(seen, one, client.wishes?.get(one.topic))) outlet.send(one.frame());
          }
        }
        if (records.length < replayAtATime) break;
        after = records.at(-1)?.seq ?? after;
        await outlet.drained();
        // Where nothing of it is wanted, nothing has been sent to wait for.
        await setImmediate();
      }
    } catch (error) {
      log.error({ err: error, session: outlet.session.id }, "events could not be replayed");
    } finally {
      client.pending--;
      // In the turn of the last reading: what happens from here on is told live.
      for (const topic of topics) {
        const left = (client.replaying?.get(topic) ?? 1) - 1;
        if (left > 0) client.replaying?.set(topic, left);
        else client.replaying?.delete(topic);
      }
    }
  }

  #isWanted(record: EventRecord, { topic, data }: Text, filters: EventFilters | undefined): boolean {
    if (filters === undefined) return false;
    return Object.entries(filters).every(([key, value]) => {
      if (key === "topic") return value === topic;
      if (key === "timestamp_after")
        return record.atUs > (readTimestampUs(value) ?? Number.POSITIVE_INFINITY);
      if (key === "timestamp_before")
        return record.atUs < (readTimestampUs(value) ?? Number.NEGATIVE_INFINITY);
      if (key === "device" || key === "device_path") {
        const camera = cameraOf(record) ?? data.camera_id;
        return camera !== undefined && camera === idOf(String(value), this.#options.context.services.cameras);
      }
      return Object.hasOwn(data, key) && data[key] === value;
    });
  }

  /** Each message is made once for each vocabulary, when the first client needs it. */
  #texts(record: EventRecord, live: boolean, who?: Limited): (names: Names) => readonly Text[] {
    const { services } = this.#options.context;
    const cameras = limitedCameras(who, services.cameras);
    const context = { ...this.#options.context, services: { ...services, cameras } };
    const activeOf: ShapeContext["activeOf"] = (cameraId) =>
      live ? context.services.recordings.activeOf(cameraId) : undefined;
    const made = new Map<Names, readonly Text[]>();
    return (names) => {
      const existing = made.get(names);
      if (existing !== undefined) return existing;
      const texts = told(record, { ...context, names, activeOf }).map(({ topic, data }) => {
        let frame: Frame | undefined;
        const isBroadcast = !topic.includes(".");
        return {
          topic,
          data,
          isBroadcast,
          frame: () => (frame ??= lastingTextFrame(notification(topic, data))),
        };
      });
      made.set(names, texts);
      return texts;
    };
  }
}
