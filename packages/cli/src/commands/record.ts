/** `ocelli record start` and `ocelli record stop` */
import { OcelliError } from "@ocelli/protocol";
import type { Command } from "commander";
import { Option } from "commander";
import { type Context, withHub } from "../context.ts";
import type { Io } from "../io.ts";
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
    .argument("<camera...>", "camera0, /dev/video0, …")
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
  const { connection, print } = context;
  const { filename, format, preRoll } = options;
  if (filename !== undefined && cameras.length > 1) {
    throw new OcelliError(
      "invalid_params",
      "--filename is for one camera; each of several gets its own name.",
    );
  }
  const duration = durationOf(options.duration);
  const startAt = await instantOf(options.at, context);
  // All or none: a camera that is not there is found out before any other starts.
  if (cameras.length > 1) {
    await Promise.all(cameras.map((device) => connection.call("get_camera_capabilities", { device })));
  }
  const started = await allOf(
    cameras.map((device) =>
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
    (one) => print(one, () => `${one.device}: recording ${one.filename}\n`),
  );
  if (started.failure !== undefined) throw started.failure;
}

async function stop(cameras: readonly string[], { connection, print, io }: Context): Promise<void> {
  const devices =
    cameras.length > 0
      ? cameras
      : (await connection.call("get_camera_list")).cameras
          .filter(({ recording }) => recording)
          .map(({ device }) => device);
  if (devices.length === 0) io.err("No recording is running.\n");
  const stopped = await allOf(
    devices.map((device) => connection.call("stop_recording", { device }, { timeoutMs: 0 })),
    (one) =>
      print(
        one,
        () =>
          `${one.device}: ${one.files.join(", ")}  ${durationText(one.duration)}  ${bytesText(one.file_size)}\n`,
      ),
  );
  if (stopped.failure !== undefined) throw stopped.failure;
}

/** Tells each result as it comes; the first failure is thrown only when all have ended. */
async function allOf<T>(
  work: readonly Promise<T>[],
  tell: (result: T) => void,
): Promise<{ failure: unknown }> {
  let failure: unknown;
  await Promise.all(
    work.map((one) =>
      one.then(tell, (error: unknown) => {
        failure ??= error;
      }),
    ),
  );
  return { failure };
}
