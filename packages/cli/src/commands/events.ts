/** `ocelli events [follow]` and `ocelli events history` */
import { type CameraClient, CameraServiceError, type SubscribeOptions } from "@ocelli/client/node";
import { OcelliError } from "@ocelli/protocol";
import {
  dottedTopics,
  topics as knownTopics,
  readTimestampUs,
  type Topic,
} from "@ocelli/protocol/camera-service";
import { Argument, type Command, Option } from "commander";
import { type Context, type Following, followingHub, withHub } from "../context.ts";
import { eventText } from "../event-words.ts";
import type { Io } from "../io.ts";
import { durationOf } from "../times.ts";
import { readDurationS } from "../words.ts";

interface FollowOptions {
  readonly camera?: string;
  readonly filter?: readonly string[];
  readonly since?: string;
  readonly count?: string;
  readonly for?: string;
}

interface HistoryOptions {
  readonly camera?: string;
  readonly since?: string;
  readonly until?: string;
  readonly limit: string;
}

type Filters = Record<string, string | number | boolean>;

/** Each event once: what comes several times a second, and second names of the same event, only when asked for. */
const usual: readonly Topic[] = dottedTopics.filter(
  (topic) =>
    !topic.endsWith(".progress") &&
    !topic.startsWith("mediamtx.") &&
    !["camera.connected", "camera.disconnected", "system.error"].includes(topic) &&
    !topic.startsWith("camera.capability_"),
);

const sinceHelp = "the number of an event, a time (ISO 8601), or how long ago: 90s, 10m, 2h";

export function addEvents(program: Command, io: Io): void {
  const events = program.command("events").description("what happens in the hub, and what happened");
  const topicArgument = () =>
    new Argument(
      "[topic...]",
      "camera.status_change, recording.stop, …; all but progress otherwise",
    ).argParser(
      // Commander checks each of several with the list of choices only when it is given as choices.
      (value: string, before: string[] | undefined) => [...(before ?? []), topicOf(value)],
    );
  const collect = (value: string, before: string[] = []): string[] => [...before, value];

  events
    .command("follow", { isDefault: true })
    .description("tell each event as it happens, until Ctrl-C; lost connections are made up for")
    .addArgument(topicArgument())
    .option("--camera <camera>", "only of this camera")
    .option("--filter <key=value>", "only events with this value; may be given several times", collect)
    .option("--since <point>", `begin with what happened after ${sinceHelp}`)
    .option("--count <number>", "end after so many")
    .option("--for <time>", "end after 90s, 10m, 2h")
    .addHelpText("after", `\nTopics: ${dottedTopics.join(", ")}`)
    .action((topics: Topic[] | undefined, options: FollowOptions, command: Command) =>
      followingHub(command, io, (following) => follow(topics ?? [], options, following)),
    );

  events
    .command("history")
    .description("list the newest events, or those since a point")
    .addArgument(topicArgument())
    .option("--camera <camera>", "only of this camera")
    .addOption(new Option("--since <point>", `only after ${sinceHelp}`))
    .option("--until <time>", "only before this time, or so long ago")
    .option("--limit <number>", "at most so many", "50")
    .action((topics: Topic[] | undefined, options: HistoryOptions, command: Command) =>
      withHub(command, io, (context) => history(topics ?? [], options, context)),
    );
}

async function follow(given: readonly Topic[], options: FollowOptions, following: Following): Promise<void> {
  const { client, io, note, printLine, style } = following;
  const count = options.count === undefined ? Number.POSITIVE_INFINITY : wholeOf("--count", options.count);
  const seconds = durationOf(options.for);
  const topics = given.length > 0 ? given : usual;
  const wanted = new Set<string>(topics);
  const ended = Promise.withResolvers<void>();
  let told = 0;

  client.on("notification", ({ method, params }) => {
    if (!wanted.has(method) || told >= count) return;
    const { seq, timestamp, ...data } = params;
    const event = { seq, topic: method, timestamp, data };
    printLine(event, () => eventText(event, style));
    if (++told >= count) ended.resolve();
  });
  client.on("connectionLost", () => note("Connection lost; connecting again …"));
  client.on("connected", ({ reconnected }) => {
    if (reconnected) note("Connected again; what happened meanwhile follows.");
  });
  client.on("eventsLost", ({ since }) =>
    note(`Events after number ${since} are lost: the hub has no more of them.`),
  );
  client.on("reconnectFailed", ({ error }) => ended.reject(error));
  const interrupted = (): void => ended.resolve();
  io.signal.addEventListener("abort", interrupted);

  await client.connect({ signal: io.signal });
  const timer = seconds === undefined ? undefined : setTimeout(ended.resolve, seconds * 1000);
  try {
    const since =
      options.since === undefined
        ? undefined
        : await numberAt(options.since, (params) => client.call("get_event_history", params));
    const filters = await filtersOf(options, following);
    const answer = await subscribed(client, topics, { filters, ...(since === undefined ? {} : { since }) });
    if (isGone(answer)) note("Not all since then: the hub no longer has the oldest events.");
    await ended.promise;
  } finally {
    clearTimeout(timer);
    io.signal.removeEventListener("abort", interrupted);
  }
}

/** A hub older than this command does not know all topics: it names the first it does not. */
async function subscribed(
  client: CameraClient,
  topics: readonly Topic[],
  options: SubscribeOptions,
): Promise<Readonly<Record<string, unknown>>> {
  try {
    return await client.subscribeEvents(topics, options);
  } catch (error) {
    const unknown = error instanceof CameraServiceError ? /\btopics\.(\d+)\b/.exec(error.message) : null;
    if (unknown === null || topics.length === 1) throw error;
    return subscribed(client, topics.toSpliced(Number(unknown[1]), 1), options);
  }
}

async function history(topics: readonly Topic[], options: HistoryOptions, context: Context): Promise<void> {
  const { connection, camera, print, note, style } = context;
  const since =
    options.since === undefined
      ? undefined
      : await numberAt(options.since, (params) => connection.call("get_event_history", params));
  const found = await connection.call("get_event_history", {
    limit: options.limit,
    ...(since === undefined ? {} : { since }),
    ...(topics.length === 0 ? {} : { topics: [...topics] }),
    ...(options.camera === undefined ? {} : { device: await camera(options.camera) }),
    ...(options.until === undefined ? {} : { end_time: timeOf(options.until) }),
  });
  print(found, () =>
    found.events.length === 0
      ? "No such events.\n"
      : found.events.map((event) => eventText(event, style)).join(""),
  );
  if (found.gone) note("Not all since then: the hub no longer has the oldest events.");
  if (found.next_since !== null) note(`More follow: --since ${found.next_since}`);
}

/** The number of the last event before a point. */
async function numberAt(
  point: string,
  ask: (params: { end_time: string; limit: number }) => Promise<{
    readonly events: readonly { readonly seq: number }[];
    readonly complete_after: number;
  }>,
): Promise<number> {
  if (/^\d+$/.test(point)) return Number(point);
  const { events, complete_after } = await ask({ end_time: timeOf(point), limit: 1 });
  return events[0]?.seq ?? complete_after;
}

/** ISO 8601. @throws OcelliError `invalid_params` */
function timeOf(text: string): string {
  const ago = readDurationS(text);
  if (ago !== undefined) return new Date(Date.now() - ago * 1000).toISOString();
  const us = readTimestampUs(text);
  if (us !== undefined) return new Date(us / 1000).toISOString();
  throw new OcelliError(
    "invalid_params",
    `"${text}" is no time. Write 2026-01-15T14:30:00, or 90s, 10m, 2h for so long ago.`,
  );
}

async function filtersOf(options: FollowOptions, { camera }: Following): Promise<Filters> {
  const filters: Filters = {};
  for (const one of options.filter ?? []) {
    const [, key = "", value = ""] = /^([^=]+)=(.*)$/s.exec(one) ?? [];
    if (key === "") {
      throw new OcelliError(
        "invalid_params",
        `"${one}" is no filter. Write key=value, such as reason=stopped.`,
      );
    }
    filters[key] = key === "device" ? await camera(value) : plainValue(value);
  }
  if (options.camera !== undefined) filters.device = await camera(options.camera);
  return filters;
}

function plainValue(text: string): string | number | boolean {
  if (text === "true" || text === "false") return text === "true";
  return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
}

function topicOf(text: string): Topic {
  const topic = knownTopics.find((one) => one === text);
  if (topic !== undefined) return topic;
  throw new OcelliError(
    "invalid_params",
    `There is no topic "${text}". \`ocelli events --help\` lists them.`,
  );
}

function wholeOf(flag: string, text: string): number {
  if (/^[1-9]\d*$/.test(text)) return Number(text);
  throw new OcelliError("invalid_params", `${flag} must be a whole number of at least 1, not "${text}".`);
}

function isGone(answer: Readonly<Record<string, unknown>>): boolean {
  const { replay } = answer;
  return typeof replay === "object" && replay !== null && "gone" in replay && replay.gone === true;
}
