/** `ocelli status`: one screen about a hub. */
import { CameraServiceError } from "@ocelli/client";
import type { ResultOf } from "@ocelli/protocol/camera-service";
import type { Command } from "commander";
import { type Context, withHub } from "../context.ts";
import type { Io } from "../io.ts";
import { stateText } from "../style.ts";
import {
  aboutText,
  bytesText,
  countText,
  durationText,
  harmless,
  pictureText,
  spanText,
  timeText,
} from "../words.ts";

type Camera = ResultOf<"get_camera_list">["cameras"][number];
type Schedule = ResultOf<"get_scheduled_recordings">["schedules"][number];

interface Problem {
  readonly code: string;
  readonly severity: string;
  readonly message: string;
  readonly device?: unknown;
}

/** What is found out; `null` where the credential does not allow it. The shape of `--json`. */
interface Report {
  readonly address: string;
  readonly version: string;
  /** `healthy`, `degraded`, `unhealthy` */
  readonly status: string | null;
  readonly uptime_seconds: number;
  readonly started_at: string;
  readonly hostname: string;
  readonly connections: number | null;
  readonly cpu_percent: number;
  readonly memory_mb: number | null;
  readonly cameras: readonly Camera[];
  readonly next_schedule: Schedule | null;
  readonly storage: ResultOf<"get_storage_info"> | null;
  readonly disk_total_gb: number;
  readonly disk_percent: number;
  readonly problems: readonly Problem[];
}

export function addStatus(program: Command, io: Io): void {
  program
    .command("status")
    .description("show how a hub is: cameras, recordings, disk, and what is wrong")
    .addHelpText("after", "\nDisk, problems and load are told to administrators only.")
    .action((_options, command: Command) =>
      withHub(command, io, async (context) => {
        const report = await examine(context);
        context.print(report, () => screen(report, context));
      }),
    );
}

async function examine({ connection, target }: Context): Promise<Report> {
  const [info, list, schedules, status, storage, metrics] = await Promise.all([
    connection.call("get_server_info"),
    connection.call("get_camera_list"),
    connection.call("get_scheduled_recordings", {}),
    allowed(connection.call("get_status")),
    allowed(connection.call("get_storage_info")),
    allowed(connection.call("get_metrics")),
  ]);
  return {
    address: target.baseUrl,
    version: info.version,
    status: status?.status.toLowerCase() ?? null,
    uptime_seconds: info.server.uptime_seconds,
    started_at: info.server.started_at,
    hostname: info.system.hostname,
    connections: metrics?.active_connections ?? null,
    cpu_percent: info.resources.cpu_percent,
    memory_mb: metrics?.memory_usage ?? null,
    cameras: list.cameras,
    next_schedule: schedules.schedules[0] ?? null,
    storage,
    disk_total_gb: info.resources.disk_total_gb,
    disk_percent: info.resources.disk_percent,
    problems: status?.problems ?? problemsSeen(list.cameras),
  };
}

/** What anybody can see that is wrong. */
function problemsSeen(cameras: readonly Camera[]): Problem[] {
  return cameras.flatMap(({ device, status, error_message }) =>
    status === "ERROR"
      ? [
          {
            device,
            code: "camera",
            severity: "critical",
            message: error_message ?? "The camera is in error.",
          },
        ]
      : [],
  );
}

/** `null` for what the credential is not enough for. */
async function allowed<T>(answer: Promise<T>): Promise<T | null> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof CameraServiceError && error.condition === "permission_denied") return null;
    throw error;
  }
}

function screen(report: Report, { style, target }: Context): string {
  const { cameras, problems, storage } = report;
  const running = cameras.filter(({ recording }) => recording);
  const rows: [string, string][] = [
    ["Hub", `${style.bold(report.address)}  Ocelli ${report.version} on ${report.hostname}`],
    ["State", stateOf(report, style)],
    ["Up", `${spanText(report.uptime_seconds)}, since ${timeText(report.started_at)}`],
    ["Load", loadOf(report)],
    ["Cameras", camerasOf(cameras)],
    ...cameras.map((camera): [string, string] => ["", cameraLine(camera, cameras, style)]),
    ["Recording", running.length === 0 ? "nothing" : ""],
    ...running.map((camera): [string, string] => [
      "",
      `${camera.device}  ${camera.current_file ?? ""}  ${durationText(camera.elapsed_time)}`,
    ]),
  ];
  // The first of several goes beside its heading.
  const joined = rows.reduce<[string, string][]>((all, [heading, text]) => {
    const last = all.at(-1);
    if (heading === "" && last?.[1] === "") last[1] = text;
    else all.push([heading, text]);
    return all;
  }, []);
  const next = report.next_schedule;
  if (next !== null) {
    joined.push([
      "Next",
      `${next.device}  ${timeText(next.scheduled_for)} for ${durationText(next.duration)}`,
    ]);
  }
  joined.push(["Disk", diskOf(report)]);
  if (storage !== null) {
    joined.push([
      "",
      `recordings ${bytesText(storage.recordings_size)}, snapshots ${bytesText(storage.snapshots_size)}`,
    ]);
  }
  if (problems.length === 0) joined.push(["Problems", style.good("none")]);
  problems.forEach((problem, at) => {
    const mark = problem.severity === "critical" ? style.bad("PROBLEM") : style.warn("WARNING");
    const camera = cameras.find(({ device }) => device === problem.device);
    const what = camera === undefined ? problem.message : aboutText(camera.name, problem.message);
    const where = camera === undefined ? "" : `${camera.device}  `;
    joined.push([at === 0 ? "Problems" : "", `${mark}  ${harmless(where + what)}`]);
    const remedy = remedyOf(problem, target.baseUrl);
    if (remedy !== undefined) joined.push(["", `         ${style.dim(`-> ${remedy}`)}`]);
  });
  return `${joined.map(([heading, text]) => `${heading.padEnd(10)} ${text}`.trimEnd()).join("\n")}\n`;
}

function stateOf({ status, problems }: Report, style: Context["style"]): string {
  if (status !== null) return stateText(style, status);
  return problems.length > 0 ? style.warn("not all cameras work") : "running";
}

function loadOf({ cpu_percent, connections, memory_mb }: Report): string {
  return [
    `processor ${Math.round(cpu_percent)} %`,
    ...(memory_mb === null ? [] : [`memory of the hub ${Math.round(memory_mb)} MiB`]),
    ...(connections === null ? [] : [countText(connections, "connection")]),
  ].join(", ");
}

function camerasOf(cameras: readonly Camera[]): string {
  if (cameras.length === 0) return "none; plug one in, it appears by itself";
  const connected = cameras.filter(({ status }) => status === "CONNECTED").length;
  return `${connected} of ${cameras.length} connected`;
}

function cameraLine(camera: Camera, all: readonly Camera[], style: Context["style"]): string {
  const width = Math.max(...all.map(({ device }) => device.length));
  const stateWidth = Math.max(...all.map(({ status }) => status.length));
  const picture = pictureText(camera.resolution, camera.fps);
  const state = stateText(style, camera.status) + " ".repeat(stateWidth - camera.status.length);
  return `${camera.device.padEnd(width)}  ${state}${picture && `  ${picture}`}  ${harmless(camera.name)}`;
}

function diskOf({ storage, disk_total_gb, disk_percent }: Report): string {
  if (storage === null) return `${disk_percent} % of ${disk_total_gb} GiB used`;
  return `${bytesText(storage.available_space)} free of ${bytesText(storage.total_space)} (${storage.usage_percentage} % used)`;
}

/** What to do about it, where the hub's own words do not say. */
function remedyOf({ code, device }: Problem, baseUrl: string): string | undefined {
  if (code === "storage_low" || code === "storage_critical") {
    return "`ocelli files list` and `ocelli files delete`, or a retention policy.";
  }
  if (code === "camera_busy") return "Close the program that uses it.";
  if (typeof device === "string") {
    const local = /\/\/(localhost|127\.|\[::1\])/.test(baseUrl);
    return `\`ocelli doctor\`${local ? "" : " on the hub's machine"} looks for the cause; \`ocelli events history --camera ${device}\` shows since when.`;
  }
  return undefined;
}
