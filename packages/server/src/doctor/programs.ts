/** Are Node, ffmpeg and what they are made of good enough for the hub? */
import { messageOf } from "@ocelli/protocol";
import type { Clock } from "../clock/clock.ts";
import { type FfmpegSkills, findFfmpeg } from "../ffmpeg/find-ffmpeg.ts";
import { ffmpegInstallCommand } from "../ffmpeg/process.ts";
import { runFfmpeg } from "../ffmpeg/run.ts";
import { type CheckContext, type Finding, ok, problem, warning } from "./finding.ts";

const minimumNode = [22, 13] as const;

export function checkNode(version: string = process.versions.node): Finding {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const enough = major > minimumNode[0] || (major === minimumNode[0] && minor >= minimumNode[1]);
  return enough
    ? ok("node", `Node ${version}`, { version })
    : problem(
        "node",
        `Node ${version} is too old: the hub needs ${minimumNode.join(".")} or newer.`,
        "Start the hub with `npm start` or as the installed service; both bring a Node of their own.",
        { version },
      );
}

/** What the hub asks of ffmpeg, by the option that lists it; each with what cannot be done without it. */
const neededSkills = [
  { list: "-demuxers", name: "video4linux2", for: "USB cameras", vital: true },
  { list: "-demuxers", name: "rtsp", for: "network cameras", vital: true },
  { list: "-demuxers", name: "mpjpeg", for: "MJPEG cameras over HTTP", vital: false },
  { list: "-muxers", name: "mp4", for: "capturing anything", vital: true },
  { list: "-muxers", name: "matroska", for: "exports as .mkv", vital: false },
  {
    list: "-encoders",
    name: "libx264",
    for: "the H.264 picture for browsers and h264 recordings",
    vital: true,
  },
  { list: "-encoders", name: "mjpeg", for: "snapshots of H.264 cameras", vital: true },
  { list: "-decoders", name: "hevc", for: "snapshots of HEVC cameras", vital: false },
] as const;

export interface FfmpegPrograms {
  /** Names or paths; defaults `ffmpeg` and `ffprobe`. */
  readonly ffmpeg?: string;
  readonly ffprobe?: string;
}

export async function checkFfmpeg(
  { clock, signal }: Pick<CheckContext, "clock" | "signal">,
  programs: FfmpegPrograms = {},
): Promise<Finding[]> {
  let skills: FfmpegSkills;
  try {
    skills = await findFfmpeg({ clock, ...programs });
  } catch (error) {
    return [problem("ffmpeg", messageOf(error), `Install it: ${ffmpegInstallCommand}`)];
  }
  const { version, ffmpeg, ffprobe } = skills;
  const lists = new Map<string, ReadonlySet<string>>();
  try {
    for (const list of new Set(neededSkills.map((skill) => skill.list))) {
      lists.set(list, await namesListed(ffmpeg, list, clock, signal));
    }
  } catch (error) {
    return [
      problem(
        "ffmpeg",
        `ffmpeg ${version} does not say what it can do: ${messageOf(error)}`,
        `Install it anew: ${ffmpegInstallCommand}`,
        { ffmpeg, version },
      ),
    ];
  }
  const missing = neededSkills.filter(({ list, name }) => lists.get(list)?.has(name) !== true);
  if (missing.length === 0)
    return [ok("ffmpeg", `ffmpeg ${version} (${ffmpeg})`, { version, ffmpeg, ffprobe })];
  const words = missing.map((skill) => `${skill.name} (for ${skill.for})`).join(", ");
  const make = missing.some((skill) => skill.vital) ? problem : warning;
  return [
    make(
      "ffmpeg",
      `ffmpeg ${version} (${ffmpeg}) was built without ${words}.`,
      `Use the ffmpeg of your distribution: ${ffmpegInstallCommand}; make sure that it comes first in PATH.`,
      { version, ffmpeg, ffprobe, missing: missing.map((skill) => skill.name) },
    ),
  ];
}

/** Lines of such lists are flags, names joined by commas, and words. */
async function namesListed(
  program: string,
  list: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<ReadonlySet<string>> {
  const { stdout } = await runFfmpeg({
    clock,
    signal,
    program,
    quietArgs: false,
    args: ["-hide_banner", list],
    purpose: `asking ffmpeg for its ${list.slice(1)}`,
    timeoutMs: 10_000,
  });
  const names = stdout
    .toString("utf8")
    .split("\n")
    .flatMap((line) => /^ [A-Z.a-z ]{1,7} ([\w,]+) /.exec(line)?.[1]?.split(",") ?? []);
  return new Set(names);
}
