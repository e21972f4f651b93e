/** `ocelli record start` and `ocelli record stop` */
import { OcelliError } from "@ocelli/protocol";
import type { ResultOf } from "@ocelli/protocol/camera-service";
import type { Command } from "commander";
import { Option } from "commander";
import { cameraHelp } from "../camera-names.ts";
import { type Context, withHub } from "../context.ts";
import type { Io } from "../io.ts";
import { Results } from "../results.ts";
import { durationOf, instantOf } from "../times.ts";
import { bytesText, durationText } from "../words.ts";
import { addSchedule } from "./schedule.ts";

interface StartOptions {
  readonly duration?: string;
  readonly filename?: string;
  readonly format?: "mp4" | "fmp4" | "mkv" | "ts";
  readonly preRoll?: string;
  readonly at?: string;
}

export function addRecord(program: Command, io: Io): void {
  const record = program.command("record").description("start, stop and schedule recordings");
  record
    .command("start")
    .description("start recording one or more cameras")
    .argument("<camera...>", cameraHelp)
    .option("--duration <time>", "stop after 90, 90s, 1.5m, 2h; until `record stop` otherwise")
    .option("--filename <name>", "name of the file (for one camera)")
    .addOption(new Option("--format <format>", "container").choices(["mp4", "fmp4", "mkv", "ts"]))
    .option("--pre-roll <seconds>", "begin this long before now, as far as the hub still has the frames")
    .option(
      "--at <time>",
      "first frame at this instant on every camera: ISO 8601, seconds since 1970, or +seconds from now",
    )
    .action((cameras: string[], options: StartOptions, command: Command) =>
      withHub(command, io, (context) => start(cameras, options, context)),
    );
  record
    .command("stop")
    .description("stop recordings and finish their files")
    .argument("[camera...]", "all that run when none is named")
    .action((cameras: string[], _options, command: Command) =>
      withHub(command, io, (context) => stop(cameras, context)),
    );
  addSchedule(record, io);
}

async function start(cameras: readonly string[], options: StartOptions, context: Context): Promise<void> {
  const { connection, camera } = context;
  const { filename, format, preRoll } = options;
  if (filename !== undefined && cameras.length > 1) {
    throw new OcelliError(
      "invalid_params",
      "--filename is for one camera; each of several gets its own name.",
    );
  }
  const duration = durationOf(options.duration);
  const startAt = await instantOf(options.at, context);
  const devices = await Promise.all(cameras.map(camera));
  // All or none: a camera that is not there is found out before any other starts.
  if (cameras.length > 1) {
    await Promise.all(devices.map((device) => connection.call("get_camera_capabilities", { device })));
  }
  const results = new Results(
    context,
    (one: ResultOf<"start_recording"> & { success: true }) => `${one.device}: recording ${one.filename}\n`,
  );
  await results.together(
    devices.map((device) =>
      connection.call(
        "start_recording",
        {
          device,
          ...(duration === undefined ? {} : { duration }),
          ...(filename === undefined ? {} : { filename }),
          ...(format === undefined ? {} : { format }),
          ...(preRoll === undefined ? {} : { pre_roll: preRoll }),
          ...(startAt === undefined ? {} : { start_at: startAt }),
        },
        { timeoutMs: 0 },
      ),
    ),
  );
}

async function stop(cameras: readonly string[], context: Context): Promise<void> {
  const { connection, camera, note } = context;
  const devices =
    cameras.length > 0
      ? await Promise.all(cameras.map(camera))
      : (await connection.call("get_camera_list")).cameras
          .filter(({ recording }) => recording)
          .map(({ device }) => device);
  if (devices.length === 0) note("No recording is running.");
  const results = new Results(context, (one: ResultOf<"stop_recording"> & { success: true }) =>
    one.status === "CANCELLED"
      ? `${one.device}: the start at ${one.scheduled_for} is taken back, nothing was recorded\n`
      : `${one.device}: ${one.files.join(", ")}  ${durationText(one.duration)}  ${bytesText(one.file_size)}\n`,
  );
  await results.together(
    devices.map((device) => connection.call("stop_recording", { device }, { timeoutMs: 0 })),
  );
}
