/** `ocelli sync create | list | delete | start | stop | sessions | forget | report | align` */
import { isIP } from "node:net";
import { OcelliError } from "@ocelli/protocol";
import type { ParamsInput, ResultOf } from "@ocelli/protocol/camera-service";
import type { Command } from "commander";
import { cameraHelp } from "../camera-names.ts";
import { type Context, withHub } from "../context.ts";
import type { Io } from "../io.ts";
import { durationOf, instantOf } from "../times.ts";
import { countText, durationText, harmless, millisText, table, timeText } from "../words.ts";
import { addSyncResults, sessionFiles } from "./sync-results.ts";
import { follow } from "./sync-wait.ts";

type Group = ResultOf<"create_sync_group">;
type Session = ResultOf<"start_sync_recording">;
type Member = ParamsInput<"create_sync_group">["members"][number];

interface StartOptions {
  readonly at?: string;
  readonly delay?: string;
  readonly duration?: string;
  readonly name?: string;
  readonly allowPartial?: true;
  readonly wait?: true;
}

export function addSync(program: Command, io: Io): void {
  const sync = program
    .command("sync")
    .description("record several cameras and devices from one instant, and see how well it went");
  sync
    .command("create")
    .description("name a group of cameras and devices; one of the same name is replaced")
    .argument("<name>")
    .argument("<member...>", `${cameraHelp}, or <address>[:port] of a MultiCam device`)
    .option("--tolerance <ms>", "how far first frames may be apart; one frame of the slowest otherwise")
    .action((name: string, members: string[], options: { tolerance?: string }, command: Command) =>
      withHub(command, io, async (context) => {
        const { connection, print } = context;
        const made = await connection.call("create_sync_group", {
          name,
          members: await Promise.all(members.map((member) => memberOf(member, context))),
          ...(options.tolerance === undefined ? {} : { tolerance_ms: options.tolerance }),
        });
        print(made, () => `${made.name}: ${made.members.join(", ")}\n`);
      }),
    );
  sync
    .command("list")
    .description("list the groups")
    .action((_options, command: Command) =>
      withHub(command, io, async ({ connection, print }) => {
        const list = await connection.call("get_sync_groups");
        print(list, () =>
          list.groups.length === 0
            ? "No groups. `ocelli sync create <name> <camera...>` makes one.\n"
            : table(["GROUP", "MEMBERS", "TOLERANCE", "CREATED"], list.groups.map(groupRow)),
        );
      }),
    );
  sync
    .command("delete")
    .description("forget a group; its sessions and files stay")
    .argument("<group>")
    .action((group: string, _options, command: Command) =>
      withHub(command, io, async ({ connection, print }) => {
        const gone = await connection.call("delete_sync_group", { group });
        print(gone, () => `${gone.name} deleted\n`);
      }),
    );
  sync
    .command("start")
    .description("arm every member for one instant")
    .argument("<group>")
    .option("--at <time>", "first frame at this instant: ISO 8601, seconds since 1970, or +seconds from now")
    .option("--delay <time>", "so long from now; 5s otherwise")
    .option("--duration <time>", "stop after 90, 90s, 1.5m, 2h; until `sync stop` otherwise")
    .option("--name <name>", "part of the files' names; the group's otherwise")
    .option("--allow-partial", "begin with those members that can; all or none otherwise")
    .option("--wait", "follow it to its end, then print the report")
    .action((group: string, options: StartOptions, command: Command) =>
      withHub(command, io, (context) => start(group, options, context)),
    );
  sync
    .command("stop")
    .description("end a session, and wait until every file is finished and here")
    .argument("[group]", "or the id of a session; the one that runs otherwise")
    .action((wanted: string | undefined, _options, command: Command) =>
      withHub(command, io, async (context) => {
        const { connection, print } = context;
        const session_id = await runningSession(wanted, context);
        const ended = await connection.call("stop_sync_recording", { session_id }, { timeoutMs: 0 });
        print(ended, () => endText(ended));
      }),
    );
  sync
    .command("sessions")
    .description("list sessions, newest first")
    .option("--limit <number>", "at most so many", "20")
    .action((options: { limit: string }, command: Command) =>
      withHub(command, io, async ({ connection, print }) => {
        const list = await connection.call("get_sync_sessions", { limit: options.limit });
        print(list, () =>
          list.sessions.length === 0
            ? "No sessions yet.\n"
            : table(["SESSION", "NAME", "START", "PLANNED", "STATUS", "MEMBERS"], list.sessions.map(row)),
        );
      }),
    );
  sync
    .command("forget")
    .description("forget a session; its files stay unless --files")
    .argument("<session>", "as `sync sessions` lists it")
    .option("--files", "also delete its recordings and what `sync align` made of them")
    .action((session_id: string, options: { files?: true }, command: Command) =>
      withHub(command, io, async ({ connection, print }) => {
        const delete_files = options.files ?? false;
        const gone = await connection.call("delete_sync_session", { session_id, delete_files });
        const files = gone.deleted_files.map((file) => `${harmless(file)} deleted\n`).join("");
        print(gone, () => `${files}${gone.name} ${gone.session_id} forgotten\n`);
      }),
    );
  addSyncResults(sync, io);
}

async function start(group: string, options: StartOptions, context: Context): Promise<void> {
  const { connection, print, aside } = context;
  if (options.at !== undefined && options.delay !== undefined) {
    throw new OcelliError("invalid_params", "--at and --delay say the same: give one of them.");
  }
  const delay = durationOf(options.delay);
  const duration = durationOf(options.duration);
  const start_time = await instantOf(options.at, context);
  const session = await connection.call(
    "start_sync_recording",
    {
      group,
      ...(start_time === undefined ? {} : { start_time }),
      ...(delay === undefined ? {} : { delay }),
      ...(duration === undefined ? {} : { duration }),
      ...(options.name === undefined ? {} : { name: options.name }),
      ...(options.allowPartial === undefined ? {} : { allow_partial: true }),
    },
    { timeoutMs: 0 },
  );
  if (options.wait === true) {
    await follow(session, context);
    return;
  }
  print(session, () => startText(session));
  aside(duration === undefined ? `It goes on until \`ocelli sync stop\`.` : `It ends by itself.`);
}

function startText(session: Session): string {
  const failed = session.members.filter(({ status }) => status === "failed");
  const left = failed.map(
    ({ member, error }) => `${member} takes no part: ${error ?? "no reason is known"}\n`,
  );
  const part = countText(session.members.length - failed.length, "member");
  return `${session.name}: ${part} armed for ${timeText(session.start_at)}  ${session.session_id}\n${left.join("")}`;
}

function endText(session: Session): string {
  return `${session.name}: ${session.status}  ${session.session_id}\n${sessionFiles(session)}`;
}

/** A MultiCam device is named by its address, a camera by anything else. */
async function memberOf(text: string, { camera }: Context): Promise<Member> {
  const match = /^(?:\[([^\]]+)\]|([\d.]+))(?::(\d+))?$/.exec(text);
  const host = match?.[1] ?? match?.[2] ?? text;
  if (isIP(host) === 0) {
    const id = await camera(text);
    // No camera's name, id or node.
    if (id === text && /^[^/]*[.:]/.test(text)) {
      throw new OcelliError(
        "camera_not_found",
        `There is no camera "${text}". A MultiCam device is named by its IP address, such as 192.168.1.21 or 192.168.1.21:8081.`,
      );
    }
    return id;
  }
  return { host, ...(match?.[3] === undefined ? {} : { port: Number(match[3]) }) };
}

/** @throws OcelliError `not_found`, `not_recording`, `invalid_params` when several run */
async function runningSession(wanted: string | undefined, { connection }: Context): Promise<string> {
  const { sessions: running } = await connection.call("get_sync_sessions", { running: true });
  if (wanted !== undefined) {
    const { groups } = await connection.call("get_sync_groups");
    const group = groups.find(({ group_id, name }) => group_id === wanted || name === wanted);
    // What is no group is the id of a session: of one that is over or is not there, the hub says so.
    if (group === undefined) return wanted;
    const found = running.find(({ group_id }) => group_id === group.group_id);
    if (found !== undefined) return found.session_id;
    throw new OcelliError("not_recording", `${group.name} is not recording.`);
  }
  const [only, second] = running;
  if (only === undefined) throw new OcelliError("not_recording", "No sync session is running.");
  if (second === undefined) return only.session_id;
  throw new OcelliError(
    "invalid_params",
    `Several sessions run: ${running.map(({ name, session_id }) => `${name} (${session_id})`).join(", ")}. Name one.`,
  );
}

function groupRow({ name, members, tolerance_ms, created_at }: Group): string[] {
  return [
    name,
    members.join(", "),
    tolerance_ms === null ? "one frame" : millisText(tolerance_ms),
    timeText(created_at),
  ];
}

function row(session: Session): string[] {
  return [
    session.session_id,
    session.name,
    timeText(session.start_at),
    session.duration === null ? "-" : durationText(session.duration),
    session.status,
    session.members
      .map(({ member, status }) => (status === session.status ? member : `${member} (${status})`))
      .join(", "),
  ];
}
