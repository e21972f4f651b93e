/** `ocelli record schedule`, `ocelli record schedules` and `ocelli record cancel` */
import { OcelliError } from "@ocelli/protocol";
import type { ResultOf, ScheduleObject } from "@ocelli/protocol/camera-service";
import { type Command, Option } from "commander";
import { cameraHelp } from "../camera-names.ts";
import { type Context, withHub } from "../context.ts";
import type { Io } from "../io.ts";
import { Results } from "../results.ts";
import { durationOf, instantOf } from "../times.ts";
import { durationText, table, timeText } from "../words.ts";

interface ScheduleOptions {
  readonly at: string;
  readonly duration: string;
  readonly filename?: string;
  readonly format?: "mp4" | "fmp4" | "mkv" | "ts";
}

export function addSchedule(record: Command, io: Io): void {
  record
    .command("schedule")
    .description("record one or more cameras at a later time")
    .argument("<camera...>", `${cameraHelp}; they may be absent now`)
    .requiredOption(
      "--at <time>",
      "first frame at this instant: ISO 8601, seconds since 1970, or +seconds from now",
    )
    .requiredOption("--duration <time>", "90, 90s, 1.5m, 2h")
    .option("--filename <name>", "name of the file (for one camera)")
    .addOption(new Option("--format <format>", "container").choices(["mp4", "fmp4", "mkv", "ts"]))
    .action((cameras: string[], options: ScheduleOptions, command: Command) =>
      withHub(command, io, (context) => schedule(cameras, options, context)),
    );
  record
    .command("schedules")
    .description("list the recordings to come")
    .option("--all", "and those that are over, newest first")
    .action((options: { all?: true }, command: Command) =>
      withHub(command, io, async ({ connection, print }) => {
        const list = await connection.call("get_scheduled_recordings", { all: options.all ?? false });
        print(list, () =>
          list.schedules.length === 0
            ? "Nothing is scheduled.\n"
            : table(["ID", "CAMERA", "START", "DURATION", "STATUS", "FILES"], list.schedules.map(row)),
        );
      }),
    );
  record
    .command("cancel")
    .description("take back scheduled recordings that have not begun")
    .argument("<id...>", "as `record schedules` lists them")
    .action((ids: string[], _options, command: Command) =>
      withHub(command, io, async (context) => {
        const { connection } = context;
        const results = new Results(
          context,
          (one: ResultOf<"cancel_scheduled_recording">) =>
            `${one.device}: cancelled ${timeText(one.scheduled_for)}\n`,
        );
        await results.inTurn(ids, (schedule_id) =>
          connection.call("cancel_scheduled_recording", { schedule_id }),
        );
      }),
    );
}

async function schedule(
  cameras: readonly string[],
  options: ScheduleOptions,
  context: Context,
): Promise<void> {
  const { connection, camera } = context;
  const { filename, format } = options;
  if (filename !== undefined && cameras.length > 1) {
    throw new OcelliError(
      "invalid_params",
      "--filename is for one camera; each of several gets its own name.",
    );
  }
  const duration = durationOf(options.duration) ?? 0;
  // All cameras get the same instant.
  const start_time = (await instantOf(options.at, context)) ?? options.at;
  const results = new Results(
    context,
    (made: ResultOf<"schedule_recording">) =>
      `${made.device}: ${timeText(made.scheduled_for)} for ${durationText(made.duration)}  ${made.schedule_id}\n`,
  );
  await results.inTurn(await Promise.all(cameras.map(camera)), (device) =>
    connection.call("schedule_recording", {
      ...{ device, start_time, duration },
      ...(filename === undefined ? {} : { filename }),
      ...(format === undefined ? {} : { format }),
    }),
  );
}

function row(one: ScheduleObject): string[] {
  return [
    one.schedule_id,
    one.device,
    timeText(one.scheduled_for),
    durationText(one.duration),
    one.reason === null || one.status === "completed" ? one.status : `${one.status} (${one.reason})`,
    one.files.join(", ") || "-",
  ];
}
