/** `ocelli cameras set`, `ocelli cameras controls` and `ocelli cameras control` */
import { OcelliError } from "@ocelli/protocol";
import type { ControlObject } from "@ocelli/protocol/camera-service";
import { type Command, Option } from "commander";
import { cameraHelp } from "../camera-names.ts";
import { withHub } from "../context.ts";
import type { Io } from "../io.ts";
import { pictureText, table } from "../words.ts";

interface SetOptions {
  readonly name?: string;
  readonly format?: string;
  readonly size?: string;
  readonly fps?: string;
  readonly codec?: "copy" | "h264" | "auto";
  readonly continuous?: "on" | "off";
  readonly preRoll?: string;
}

export function addCameraSettings(cameras: Command, io: Io): void {
  cameras
    .command("set")
    .description("show the settings of a camera, or change them for good")
    .argument("<camera>", cameraHelp)
    .option("--name <name>", "name for people; auto for its own")
    .option("--format <fourcc>", "MJPG, H264, YUYV, …; auto lets the hub choose")
    .option("--size <size>", "1280x720; auto lets the hub choose")
    .option("--fps <rate>", "frames a second; auto lets the hub choose")
    .addOption(
      new Option("--codec <codec>", "record what the camera gives, or H.264").choices([
        "copy",
        "h264",
        "auto",
      ]),
    )
    .addOption(new Option("--continuous <switch>", "keep a recording running").choices(["on", "off"]))
    .option("--pre-roll <seconds>", "begin recordings so much early; keeps the camera running")
    .action((named: string, options: SetOptions, command: Command) =>
      withHub(command, io, async ({ connection, camera, print }) => {
        const device = await camera(named);
        const change = changeOf(options);
        const settings =
          Object.keys(change).length === 0
            ? await connection.call("get_camera_settings", { device })
            : await connection.call("set_camera_settings", { device, ...change });
        const { mode, current_mode } = settings;
        const modeText = (one: typeof mode): string =>
          one === null ? "not known yet" : `${one.format} ${pictureText(one.resolution, one.fps)}`;
        const differs = JSON.stringify(mode) !== JSON.stringify(current_mode) && current_mode !== null;
        print(settings, () =>
          [
            `name        ${settings.name}`,
            `mode        ${modeText(mode)}${differs ? ` (now ${modeText(current_mode)})` : ""}`,
            `records     ${settings.record_codec === "copy" ? "what the camera gives" : "H.264"}`,
            `continuous  ${settings.continuous_recording ? "on" : "off"}`,
            `pre-roll    ${settings.pre_roll} s\n`,
          ].join("\n"),
        );
      }),
    );
  cameras
    .command("controls")
    .description("list exposure, focus and whatever else can be turned")
    .argument("<camera>", cameraHelp)
    .action((named: string, _options, command: Command) =>
      withHub(command, io, async ({ connection, camera, print }) => {
        const device = await camera(named);
        const list = await connection.call("get_camera_controls", { device });
        print(list, () =>
          list.total === 0
            ? "This camera has no controls.\n"
            : table(["CONTROL", "VALUE", "DEFAULT", "ALLOWED", "NOTE"], list.controls.map(controlRow)),
        );
      }),
    );
  cameras
    .command("control")
    .description("set one control; no value for a button")
    .argument("<camera>", cameraHelp)
    .argument("<control>", "as `cameras controls` lists it")
    .argument("[value]", "a number, true or false, or the name of a menu entry")
    .action((named: string, control: string, value: string | undefined, _options, command: Command) =>
      withHub(command, io, async ({ connection, camera, print }) => {
        const device = await camera(named);
        const now = await connection.call("set_camera_control", {
          ...{ device, control },
          ...(value === undefined ? {} : { value }),
        });
        print(now, () => `${now.name}: ${valueText(now, now.value)}\n`);
      }),
    );
}

function changeOf({ name, format, size, fps, codec, continuous, preRoll }: SetOptions) {
  const rate = fps === undefined || fps === "auto" ? fps : Number(fps);
  if (typeof rate === "number" && !Number.isFinite(rate)) {
    throw new OcelliError("invalid_params", `"${fps}" is no rate. Write a number, or auto.`);
  }
  return {
    ...(name === undefined ? {} : { name }),
    ...(format === undefined ? {} : { format }),
    ...(size === undefined ? {} : { resolution: size }),
    ...(rate === undefined ? {} : { fps: rate }),
    ...(codec === undefined ? {} : { record_codec: codec }),
    ...(continuous === undefined ? {} : { continuous_recording: continuous === "on" }),
    ...(preRoll === undefined ? {} : { pre_roll: preRoll }),
  };
}

function controlRow(control: ControlObject): string[] {
  const { name, type, min, max, step, menu } = control;
  const allowed =
    type === "int"
      ? `${min} to ${max}${step > 1 ? ` in steps of ${step}` : ""}`
      : type === "menu"
        ? (menu ?? []).map((entry) => entry.name).join(" | ")
        : type === "bool"
          ? "true | false"
          : "press";
  const note = control.read_only ? "only read" : control.inactive ? "no effect now" : "";
  return [name, valueText(control, control.value), valueText(control, control.default), allowed, note];
}

function valueText({ type, menu }: ControlObject, value: number | boolean | null): string {
  if (value === null || type === "button") return "-";
  const entry = type === "menu" ? menu?.find((one) => one.value === value) : undefined;
  return entry?.name ?? String(value);
}
