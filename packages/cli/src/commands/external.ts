/** `ocelli external list | add | remove | discover | interval`: network streams that become cameras */
import { OcelliError } from "@ocelli/protocol";
import type { ResultOf } from "@ocelli/protocol/camera-service";
import { type Command, Option } from "commander";
import { type Context, withHub } from "../context.ts";
import type { Io } from "../io.ts";
import { stateText } from "../style.ts";
import { durationOf } from "../times.ts";
import { countText, table } from "../words.ts";

const types = ["generic_rtsp", "skydio_stanag4609"] as const;

type Stream = ResultOf<"get_external_streams">["external_streams"][number];

interface AddOptions {
  readonly name?: string;
  readonly type?: (typeof types)[number];
  readonly transport?: "tcp" | "udp";
  readonly audio: boolean;
}

interface DiscoverOptions {
  readonly rescan?: true;
  readonly offline?: true;
}

export function addExternal(program: Command, io: Io): void {
  const external = program.command("external").description("network streams that become cameras");

  external
    .command("list", { isDefault: true })
    .description("list streams that were added, and found")
    .action((_options, command: Command) =>
      withHub(command, io, async ({ connection, print, style }) => {
        const list = await connection.call("get_external_streams");
        print(list, () =>
          list.external_streams.length === 0
            ? "No streams. `ocelli external add <url>` adds one.\n"
            : streamTable(list.external_streams, style),
        );
      }),
    );

  external
    .command("add")
    .description("open a stream, and keep it as a camera when it works")
    .argument("<url>", "rtsp://…, rtsps://…, http://… or https://…; - reads it from the standard input")
    .option("--name <name>", "name for people")
    .addOption(new Option("--type <type>", "what it is").choices(types))
    .addOption(new Option("--transport <transport>", "of RTSP").choices(["tcp", "udp"]))
    .option("--no-audio", "without its sound")
    .addHelpText(
      "after",
      "\nOthers on this machine can see arguments while the command runs: give an address with a password by -.",
    )
    .action((url: string, options: AddOptions, command: Command) =>
      withHub(command, io, (context) => add(url, options, context)),
    );

  external
    .command("remove")
    .description("take a stream away; its recordings stay")
    .argument("<stream>", "its address, or its camera")
    .option("--force", "also while it is recorded: the recording is ended first")
    .action((stream: string, options: { force?: true }, command: Command) =>
      withHub(command, io, async (context) => {
        const { connection, print } = context;
        const removed = await connection.call("remove_external_stream", {
          stream_url: await urlOf(stream, context),
          ...(options.force === undefined ? {} : { force: true }),
        });
        print(removed, () => `${removed.camera_id ?? "stream"} removed: ${removed.stream_url}\n`);
      }),
    );

  external
    .command("discover")
    .description("search the network for cameras, where the hub is set up to")
    .option("--rescan", "search anew, however fresh the last search is")
    .option("--offline", "show those as well that do not answer")
    .action((options: DiscoverOptions, command: Command) =>
      withHub(command, io, async ({ connection, print, note, style }) => {
        const found = await connection.call(
          "discover_external_streams",
          { force_rescan: options.rescan ?? false, include_offline: options.offline ?? false },
          { timeoutMs: 0 },
        );
        print(found, () =>
          found.total_found === 0 ? "Nothing found.\n" : streamTable(found.discovered_streams, style),
        );
        for (const error of found.errors) note(error);
      }),
    );

  external
    .command("interval")
    .description("search again and again; 0 for on demand only")
    .argument("<time>", "0, 30, 90s, 10m")
    .action((time: string, _options, command: Command) =>
      withHub(command, io, async ({ connection, print }) => {
        const scan_interval = Math.round(durationOf(time) ?? 0);
        const set = await connection.call("set_discovery_interval", { scan_interval });
        print(set, () => `${set.message}.\n`);
      }),
    );
}

async function add(
  given: string,
  options: AddOptions,
  { connection, io, print, note }: Context,
): Promise<void> {
  const { name, type, transport, audio } = options;
  const stream_url = given === "-" ? (await io.input.readAll()).trim() : given;
  if (stream_url === "") throw new OcelliError("invalid_params", "The standard input holds no address.");
  const added = await connection.call(
    "add_external_stream",
    {
      stream_url,
      ...(name === undefined ? {} : { stream_name: name }),
      ...(type === undefined ? {} : { stream_type: type }),
      ...(transport === undefined ? {} : { transport }),
      ...(audio ? {} : { audio: false }),
    },
    { timeoutMs: 0 },
  );
  print(added, () => `${added.camera_id ?? "-"}  ${added.stream_name}  ${added.stream_url}\n`);
  if (added.already_added) note("It was there before.");
}

/** @throws OcelliError `not_found` for a camera that is no such stream */
async function urlOf(stream: string, { connection, camera }: Context): Promise<string> {
  if (stream.includes("://")) return stream;
  const device = await camera(stream);
  const { external_streams } = await connection.call("get_external_streams");
  const found = external_streams.find(({ added, camera_id }) => added && camera_id === device);
  if (found !== undefined) return found.url;
  const others = external_streams.flatMap(({ camera_id }) => camera_id ?? []);
  throw new OcelliError(
    "not_found",
    `"${stream}" is no stream that was added (${others.length === 0 ? "there is none" : `there ${others.length === 1 ? "is" : "are"} ${others.join(", ")}`}). \`ocelli external list\` lists them; cameras of the settings are removed there.`,
  );
}

function streamTable(streams: readonly Stream[], style: Context["style"]): string {
  const rows = streams.map((stream) => [
    stream.camera_id ?? "-",
    stateText(style, stream.status === "ERROR" ? "ERROR" : stream.added ? "ACTIVE" : "found"),
    picture(stream),
    stream.name,
    stream.error === undefined ? stream.url : `${stream.url}: ${stream.error}`,
  ]);
  return `${table(["CAMERA", "STATE", "PICTURE", "NAME", "ADDRESS"], rows)}${countText(streams.length, "stream")}\n`;
}

function picture({ capabilities: { codec, resolution, fps } }: Stream): string {
  const parts = [codec, resolution, typeof fps === "number" ? `${fps} fps` : undefined];
  return parts.filter((part) => typeof part === "string").join(" ") || "-";
}
